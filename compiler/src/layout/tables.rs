//! Tables: the way in which code uses them decides where their elements are.
//!
//! If nothing writes a table of a closed unit, its elements are constants in the artifact. Other
//! tables start in the context image; one that never grows keeps its elements there.

use std::borrow::Cow;
use std::collections::HashMap;

use cwasm_format::data::{MAX_TABLE_ELEMENTS, TableRecord};
use cwasm_format::vmctx::VmTable;
use rayon::prelude::*;
use wasmparser::Operator;
use zerocopy::IntoBytes as _;

use super::order::Target;
use super::{Builder, Step};
use crate::env::{ConstRef, ConstValue, Env, SegmentStart, TableLoc};
use crate::error::Result;
use crate::module::{Body, Module, SegmentMode};
use crate::plan::{ModuleId, Plan};

/// How a table may be used after it was made, beyond calls and reads of elements.
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

/// The most elements of a table whose initial value, other than null, is part of its image. Longer
/// tables are filled when an instance is made.
const MAX_FILLED: u64 = 4096;

/// The most elements of a table that may be a constant however few of its elements are functions.
const SMALL_TABLE: u64 = 64;
/// A longer one may be a constant if at least one element in this many is a function.
const MAX_SPARSENESS: u64 = 8;

/// A table that an instance defines.
pub(super) struct PlacedTable {
    instance: u32,
    index: u32,
    /// Its `VmTable`.
    pub(super) desc: u32,
    /// Its initial number of elements.
    pub(super) len: u64,
    /// The value of the elements that no segment was folded into.
    initial: ConstRef,
    /// The elements that segments were folded into, in the order of the segments.
    pub(super) elements: Vec<(u32, ConstRef)>,
    pub(super) order: Target,
}

impl PlacedTable {
    /// The folded elements in order, each once: the last segment counts.
    fn settled(&self) -> Cow<'_, [(u32, ConstRef)]> {
        if self.elements.is_sorted_by(|a, b| a.0 < b.0) {
            return Cow::Borrowed(&self.elements);
        }
        let mut elements = self.elements.clone();
        elements.reverse();
        elements.sort_by_key(|(index, _)| *index);
        elements.dedup_by_key(|(index, _)| *index);
        Cow::Owned(elements)
    }

    /// All elements in order.
    fn all(&self) -> Vec<ConstRef> {
        let mut all = vec![self.initial; self.len as usize];
        for (index, reference) in &self.elements {
            all[*index as usize] = *reference;
        }
        all
    }

    /// Whether enough of the elements are functions to store the table as a whole.
    fn is_dense(&self) -> bool {
        let functions = match self.initial {
            ConstRef::Null => self.settled().len() as u64,
            _ => self.len,
        };
        self.len <= SMALL_TABLE || functions.saturating_mul(MAX_SPARSENESS) >= self.len
    }
}

/// The tables of a unit, in the order of their `VmTable`s.
#[derive(Default)]
pub(super) struct PlacedTables(Vec<PlacedTable>);

impl PlacedTables {
    /// The table with this `VmTable`.
    pub(super) fn find_mut(&mut self, desc: u32) -> Option<&mut PlacedTable> {
        let place = self.0.binary_search_by_key(&desc, |table| table.desc);
        place.ok().map(|place| &mut self.0[place])
    }
}

/// For each module that has instances in the unit, how its code uses each table, by table index.
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
                    // The body is not valid: translating it gives the error.
                    uses.fill(TableUse::ANYTHING);
                }
                uses
            },
        )
        .reduce(|| vec![TableUse::default(); tables], add)
}

fn add_body_uses(uses: &mut [TableUse], body: &Body<'_>) -> wasmparser::Result<()> {
    // Bodies are validated when they are translated, so an index may be out of range here.
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
                // A builtin copies it, and takes the source's `VmTable`.
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
            let mut order = self.order.target();
            let mut initial = ConstRef::Null;
            if let Some(expr) = &env.module.table_inits[own as usize] {
                match self.evaluate(env, expr)? {
                    Some(ConstValue::Ref(ConstRef::Null)) => {}
                    Some(ConstValue::Ref(reference @ ConstRef::Closed { .. }))
                        if ty.initial <= MAX_FILLED =>
                    {
                        initial = reference;
                    }
                    _ => {
                        // The step would overwrite a folded segment.
                        order.written();
                        self.unit.steps.push(Step::TableFill {
                            instance: env.instance,
                            index,
                        });
                    }
                }
            }
            self.placed_tables.0.push(PlacedTable {
                instance: env.instance,
                index,
                desc,
                len: ty.initial,
                initial,
                elements: Vec::new(),
                order,
            });
            env.tables.push(TableLoc::Own { desc });
        }
        Ok(())
    }

    /// Gives all elements their place. Returns the tables that code accesses without their
    /// `VmTable`, by the context offset of the `VmTable`.
    pub(super) fn place_tables(&mut self, plan: &Plan) -> HashMap<u32, TableLoc> {
        let uses = self.uses_of_tables(plan);
        let mut places = HashMap::new();
        for table in std::mem::take(&mut self.placed_tables).0 {
            let env = &self.unit.envs[table.instance as usize];
            let ty = &env.module.tables[table.index as usize];
            // A table that is too long for any instance is still valid.
            let is_possible = table.len <= MAX_TABLE_ELEMENTS;
            let len = u32::try_from(table.len).unwrap_or(u32::MAX);
            let grows = ty.maximum != Some(ty.initial);
            let uses = uses.get(&table.desc).copied().unwrap_or_default();
            let is_constant = !self.unit.is_open && uses == TableUse::default();
            if is_possible && is_constant && table.is_dense() {
                places.insert(table.desc, self.constant_table(&table.all()));
                continue;
            }
            let desc = table.desc;
            let elements = match is_possible {
                true => self.placed_elements(&table),
                false => self.reserve(0, 8),
            };
            if is_possible && !(grows && uses.grows) {
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
                len: table.len,
            });
        }
        places
    }

    /// Puts the elements of a table into the context.
    fn placed_elements(&mut self, table: &PlacedTable) -> u32 {
        let start = self.reserve(8 * table.len as usize, 8);
        if table.initial == ConstRef::Null {
            for (index, reference) in &*table.settled() {
                self.write_reference(start + 8 * index, *reference);
            }
        } else {
            for (index, reference) in (0..).zip(table.all()) {
                self.write_reference(start + 8 * index, reference);
            }
        }
        start
    }

    /// Puts the elements of a table that nothing writes into the data section.
    fn constant_table(&mut self, elements: &[ConstRef]) -> TableLoc {
        let type_number = |value: &ConstRef| match value {
            ConstRef::Closed { type_number, .. } => Some(*type_number),
            _ => None,
        };
        let first = elements.first().and_then(type_number);
        let all_of_type =
            first.filter(|_| elements.iter().all(|value| type_number(value) == first));
        let values: Vec<Option<ConstRef>> = elements.iter().copied().map(Some).collect();
        let SegmentStart::Data(data) = self.element_data(&values) else {
            unreachable!("elements of closed units are in the data section")
        };
        TableLoc::Constant {
            data,
            len: elements.len() as u32,
            all_of_type,
        }
    }

    /// How each table of the unit may be used, by context offset of its `VmTable`.
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
                // Importers can do anything with an exported table.
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
