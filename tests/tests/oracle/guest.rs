//! An instance with a memory, and what the memory should hold.

use std::ops::Range;

use cwasm::{CoreFunc, CoreMemory, CoreVal, Extern, ModuleInstance, Store};
use cwasm_format::TrapCode;
use cwasm_format::data::GUARD_SIZE;
use cwasm_tests::artifact::Workshop;

/// Bytes up to which all of a memory is filled.
const SMALL: u64 = 1 << 18;

/// The initial contents of a memory: bytes that differ from their neighbours; in a large memory
/// only around the places that matter, with zeros between.
pub(crate) struct Model {
    windows: Vec<(u64, Vec<u8>)>,
}

impl Model {
    pub(crate) fn new(size: u64) -> Model {
        const DISTANCE: u64 = 128;
        let around = |middle: u64| middle.saturating_sub(DISTANCE)..size.min(middle + DISTANCE);
        let ranges: Vec<Range<u64>> = match size <= SMALL {
            true => std::iter::once(0..size).collect(),
            false => [0, GUARD_SIZE, 1 << 31, 1 << 32, size].map(around).into(),
        };
        let mut windows: Vec<_> = ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .collect();
        windows.dedup();
        let byte = |at: u64| (at * 73 % 251 + (at >> 12)) as u8 | 1;
        let fill = |range: Range<u64>| (range.start, range.map(byte).collect());
        Model {
            windows: windows.into_iter().map(fill).collect(),
        }
    }

    /// The `len` bytes from `start` on.
    pub(crate) fn bytes(&self, start: u64, len: usize) -> Vec<u8> {
        (start..start + len as u64)
            .map(|at| self.byte(at))
            .collect()
    }

    fn byte(&self, at: u64) -> u8 {
        let mut found = self.windows.iter().filter_map(|(start, bytes)| {
            let at = at.checked_sub(*start)?;
            bytes.get(at as usize)
        });
        found.next().copied().unwrap_or(0)
    }
}

/// An instance of a module, and its memory.
pub(crate) struct Guest {
    store: Store<()>,
    instance: ModuleInstance,
    memory: CoreMemory,
}

impl Guest {
    /// An instance of the module of this text, which may import the memory of another one.
    pub(crate) fn new(workshop: &Workshop, text: &str, exporter: Option<&str>) -> Guest {
        let mut store = Store::new(workshop.engine(), ());
        let exporter = exporter.map(|text| instantiate(workshop, &mut store, text, &[]));
        let imported = exporter.map(|exporter| exported_memory(&store, &exporter));
        let imports = imported.map(Extern::Memory);
        let instance = instantiate(workshop, &mut store, text, imports.as_slice());
        let memory = imported.unwrap_or_else(|| exported_memory(&store, &instance));
        Guest {
            store,
            instance,
            memory,
        }
    }

    pub(crate) fn func(&self, name: &str) -> CoreFunc {
        match self.instance.get(&self.store, name).unwrap() {
            Some(Extern::Func(func)) => func,
            _ => panic!("the module exports no function `{name}`"),
        }
    }

    /// Grows the memory by `pages` pages.
    pub(crate) fn grow(&mut self, pages: u64) {
        let grown = self.memory.grow(&mut self.store, pages).unwrap();
        assert!(grown.is_some(), "the memory can have {pages} pages");
    }

    /// Fills the memory with what it should hold.
    pub(crate) fn fill(&mut self, model: &Model) {
        let data = self.memory.data_mut(&mut self.store).unwrap();
        for (start, bytes) in &model.windows {
            data[*start as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }

    /// The bits of the result of a call, if it has one; or why it traps.
    pub(crate) fn call(
        &mut self,
        func: CoreFunc,
        argument: CoreVal,
    ) -> Result<Option<u128>, TrapCode> {
        match func.call(&mut self.store, &[argument]) {
            Ok(results) => Ok(results.first().map(bits)),
            Err(error) => match error.trap() {
                Some(trap) => Err(trap.code()),
                None => panic!("{error:?}"),
            },
        }
    }

    /// The bytes at `start`, which are replaced by `bytes`.
    pub(crate) fn take(&mut self, start: u64, bytes: Vec<u8>) -> Vec<u8> {
        let data = self.memory.data_mut(&mut self.store).unwrap();
        let place = &mut data[start as usize..][..bytes.len()];
        let found = place.to_vec();
        place.copy_from_slice(&bytes);
        found
    }

    /// Compares the memory with what it should hold where that was filled in.
    ///
    /// # Errors
    /// The first address where they differ.
    pub(crate) fn compare(&self, model: &Model) -> Result<(), usize> {
        let data = self.memory.data(&self.store).unwrap();
        for (start, bytes) in &model.windows {
            let found = &data[*start as usize..][..bytes.len()];
            if found != bytes {
                let differs = found
                    .iter()
                    .zip(bytes)
                    .position(|(found, byte)| found != byte);
                return Err(*start as usize + differs.unwrap_or_default());
            }
        }
        Ok(())
    }
}

fn instantiate(
    workshop: &Workshop,
    store: &mut Store<()>,
    text: &str,
    imports: &[Extern],
) -> ModuleInstance {
    let artifact = match workshop.compile(text.as_bytes()) {
        Ok(artifact) => artifact,
        Err(error) => panic!("{error}"),
    };
    let module = workshop.map_module(&artifact).unwrap();
    module.instantiate(store, imports).unwrap()
}

fn exported_memory(store: &Store<()>, instance: &ModuleInstance) -> CoreMemory {
    match instance.get(store, "memory").unwrap() {
        Some(Extern::Memory(memory)) => memory,
        _ => panic!("the module exports a memory"),
    }
}

/// The bits of a number or vector.
fn bits(value: &CoreVal) -> u128 {
    match *value {
        CoreVal::I32(value) => (value as u32).into(),
        CoreVal::I64(value) => (value as u64).into(),
        CoreVal::F32(bits) => bits.into(),
        CoreVal::F64(bits) => bits.into(),
        CoreVal::V128(bits) => bits,
        value => panic!("no operator gives {value:?}"),
    }
}
