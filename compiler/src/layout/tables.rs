//! Tables: what code does with them decides where their elements lie.
//!
//! Elements of a closed unit's table that nothing writes are constants of the artifact. Other tables
//! start from the context image; one that never grows has its elements there for good.

use std::collections::HashMap;

use cwasm_format::data::{MAX_TABLE_ELEMENTS, TableRecord};
use cwasm_format::vmctx::VmTable;
use rayon::prelude::*;
use wasmparser::Operator;
use zerocopy::IntoBytes as _;

use super::{Builder, Step};
use crate::env::{ConstValue, Env, SegmentStart, TableLoc};
use crate::error::{Error, Result};
use crate::module::{Body, Module, SegmentMode};
use crate::plan::{ModuleId, Plan};

/// What may happen to a table after it was made, beyond calls and reads of elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TableUse {
    /// It may get more elements.
    grows: bool,
    /// Elements may be written, or something needs its [`VmTable`].
    is_written: bool,
}

impl TableUse {
    const ANYTHING: TableUse = TableUse {
        grows: true,
        is_written: true,
    };

    fn add(&mut self, other: TableUse) {
        self.grows |= other.grows;
        self.is_written |= other.is_written;
    }
}

/// A table that an instance defines.
pub(super) struct PlacedTable {
    instance: u32,
    index: u32,
    /// Its `VmTable`.
    pub(super) desc: u32,
    pub(super) elements: Vec<ConstValue>,
    /// Steps when it was defined, as for memories.
    pub(super) stepped: usize,
}

/// What code does with the tables of the modules that the unit has instances of, by table index.
pub(super) fn table_uses(plan: &Plan, modules: &[Module<'_>]) -> HashMap<ModuleId, Vec<TableUse>> {
    let mut found = HashMap::new();
    for instance in &plan.instances {
        found
            .entry(instance.module)
            .or_insert_with(|| module_uses(&modules[instance.module.0 as usize]));
    }
    found
}

fn module_uses(module: &Module<'_>) -> Vec<TableUse> {
    let tables = module.tables.len();
    if tables == 0 {
        return Vec::new();
    }
    let add = |mut sum: Vec<TableUse>, uses: Vec<TableUse>| {
        sum.iter_mut()
            .zip(uses)
            .for_each(|(sum, uses)| sum.add(uses));
        sum
    };
    module
        .bodies
        .par_iter()
        .fold(
            || vec![TableUse::default(); tables],
            |mut uses, body| {
                if add_body_uses(&mut uses, body).is_err() {
                    // Translating the body says what is wrong with it.
                    uses.fill(TableUse::ANYTHING);
                }
                uses
            },
        )
        .reduce(|| vec![TableUse::default(); tables], add)
}

fn add_body_uses(uses: &mut [TableUse], body: &Body<'_>) -> wasmparser::Result<()> {
    // Bodies are validated when they are translated, so an index may be any.
    let mut written = |table: u32, grows| {
        if let Some(uses) = uses.get_mut(table as usize) {
            uses.add(TableUse {
                grows,
                is_written: true,
            });
        }
    };
    let mut reader = body.body.get_operators_reader()?;
    while !reader.eof() {
        match reader.read()? {
            Operator::TableSet { table }
            | Operator::TableFill { table }
            | Operator::TableInit { table, .. } => written(table, false),
            Operator::TableGrow { table } => written(table, true),
            Operator::TableCopy {
                dst_table,
                src_table,
            } => {
                written(dst_table, false);
                // It is copied by a builtin, which takes the source's `VmTable`.
                written(src_table, false);
            }
            _ => {}
        }
    }
    Ok(())
}

impl<'a> Builder<'a> {
    pub(super) fn define_tables(&mut self, env: &mut Env<'a>) -> Result<()> {
        for index in env.module.imported_tables..env.module.tables.len() as u32 {
            let ty = &env.module.tables[index as usize];
            let placed: u64 = self
                .table_elements
                .iter()
                .map(|table| table.elements.len() as u64)
                .sum();
            let total = placed.saturating_add(ty.initial);
            // A table that no instance can have is still valid.
            let is_possible = ty.initial <= MAX_TABLE_ELEMENTS;
            if is_possible && total > MAX_TABLE_ELEMENTS {
                return Err(Error::limit(
                    "initial table elements",
                    total,
                    MAX_TABLE_ELEMENTS,
                ));
            }
            let desc = self.reserve(size_of::<VmTable>(), 8);
            let most = if ty.table64 {
                u64::MAX
            } else {
                u64::from(u32::MAX)
            };
            let table = VmTable {
                base: 0,
                len: ty.initial,
                max: ty.maximum.unwrap_or(most),
                capacity: 0,
            };
            self.write(desc, table.as_bytes());
            let own = index - env.module.imported_tables;
            // A fill of its own is a step behind this: it would overwrite what is folded.
            let stepped = self.unit.steps.len();
            let mut initial = ConstValue::Null;
            if let Some(expr) = &env.module.table_inits[own as usize] {
                match self.evaluate(env, expr)? {
                    Some(value) => initial = value,
                    None => self.unit.steps.push(Step::TableFill {
                        instance: env.instance,
                        index,
                    }),
                }
            }
            self.table_elements.push(PlacedTable {
                instance: env.instance,
                index,
                desc,
                elements: vec![initial; if is_possible { ty.initial as usize } else { 0 }],
                stepped,
            });
            env.tables.push(TableLoc::Own { desc });
        }
        Ok(())
    }

    /// Gives all elements their place. The result says, by context offset of the `VmTable`, which
    /// tables code reaches without it.
    pub(super) fn place_tables(&mut self, plan: &Plan) -> HashMap<u32, TableLoc> {
        let uses = self.uses_of_tables(plan);
        let mut places = HashMap::new();
        for table in std::mem::take(&mut self.table_elements) {
            let env = &self.unit.envs[table.instance as usize];
            let ty = &env.module.tables[table.index as usize];
            let len = u32::try_from(ty.initial).unwrap_or(u32::MAX);
            let is_complete = table.elements.len() as u64 == ty.initial;
            let grows = ty.maximum != Some(ty.initial);
            let uses = uses.get(&table.desc).copied().unwrap_or_default();
            if is_complete && !self.unit.is_open && uses == TableUse::default() {
                places.insert(table.desc, self.constant_table(&table.elements, len));
                continue;
            }
            let desc = table.desc;
            let elements = self.reserve(8 * table.elements.len(), 8);
            for (place, value) in table.elements.iter().enumerate() {
                self.write_value(elements + 8 * place as u32, *value);
            }
            if is_complete && !(grows && uses.grows) {
                let fixed = TableLoc::Fixed {
                    desc,
                    elements,
                    len,
                };
                places.insert(desc, fixed);
            }
            self.unit.tables.push(TableRecord {
                slot: desc,
                elements,
                len: ty.initial,
            });
        }
        places
    }

    /// Puts the elements of a table that nothing writes into the data section.
    fn constant_table(&mut self, elements: &[ConstValue], len: u32) -> TableLoc {
        let type_number = |value: &ConstValue| match value {
            ConstValue::Func { type_number, .. } => Some(*type_number),
            _ => None,
        };
        let first = elements.first().and_then(type_number);
        let all_of_type =
            first.filter(|_| elements.iter().all(|value| type_number(value) == first));
        let values: Vec<Option<ConstValue>> = elements.iter().copied().map(Some).collect();
        let SegmentStart::Data(data) = self.element_data(&values) else {
            unreachable!("elements of closed units are in the data section")
        };
        TableLoc::Constant {
            data,
            len,
            all_of_type,
        }
    }

    /// What may happen to each table of the unit, by context offset of its `VmTable`.
    fn uses_of_tables(&self, plan: &Plan) -> HashMap<u32, TableUse> {
        let mut found: HashMap<u32, TableUse> = HashMap::new();
        let mut add = |env: &Env<'_>, table: u32, uses| {
            if let TableLoc::Own { desc } = env.tables[table as usize] {
                found.entry(desc).or_default().add(uses);
            }
        };
        for (env, instance) in self.unit.envs.iter().zip(&plan.instances) {
            let uses = &self.table_uses[&instance.module];
            for (table, uses) in uses.iter().enumerate() {
                add(env, table as u32, *uses);
            }
            if self.unit.is_open {
                // Whoever imports it can do anything with it.
                env.module
                    .exports
                    .iter()
                    .filter(|export| export.kind == wasmparser::ExternalKind::Table)
                    .for_each(|export| add(env, export.index, TableUse::ANYTHING));
            }
        }
        let written = TableUse {
            grows: false,
            is_written: true,
        };
        for step in &self.unit.steps {
            let env = &self.unit.envs[step.instance() as usize];
            match *step {
                Step::TableFill { index, .. } => add(env, index, written),
                Step::Element { segment, .. } => {
                    if let SegmentMode::Active { index, .. } =
                        env.module.elements[segment as usize].mode
                    {
                        add(env, index, written);
                    }
                }
                _ => {}
            }
        }
        found
    }
}
