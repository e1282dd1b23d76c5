//! Collects what a core dump says: modules, instances, their memories and globals, and the frames
//! of a trap.
//!
//! The index spaces of a dump are its own: each core instance of each instance of the store is an
//! instance of it, and a memory or global that several share is there once.

use std::collections::{BTreeSet, HashMap};

use cwasm_format::Artifact;
use cwasm_format::code::function_kind;
use cwasm_format::data::{MemoryRecord, RESERVATION_32};
use cwasm_format::header::NONE;
use cwasm_format::state::{
    CoreInstanceRecord, CoreState, NO_MAX, StateGlobal, StateMemory, global_type,
};

use crate::artifact::{self, UnitId};
use crate::vm::backtrace;
use crate::vm::instance::InstanceData;
use crate::vm::snapshot::{MemoryRef, global_address, global_bits};
use crate::vm::stack::{InstanceNumber, Stack, StackFrame};
use crate::vm::store::StoreOpaque;

/// What a core dump says. Indices are those of the dump.
#[derive(Debug, Default)]
pub(super) struct Collected<'s> {
    /// Names of modules.
    pub(super) modules: Vec<String>,
    pub(super) instances: Vec<Instance>,
    pub(super) memories: Vec<Memory<'s>>,
    pub(super) globals: Vec<Global>,
    /// Innermost first.
    pub(super) frames: Vec<Frame>,
}

/// A core instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) module: u32,
    pub(super) memories: Vec<u32>,
    pub(super) globals: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Memory<'s> {
    pub(super) memory: MemoryRef<'s>,
    pub(super) is_64: bool,
    /// Declared maximum in pages.
    pub(super) max: Option<u64>,
}

#[derive(Debug)]
pub(super) struct Global {
    /// A number of [`global_type`].
    pub(super) ty: u32,
    pub(super) bits: u128,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) instance: u32,
    pub(super) func_index: u32,
    /// Where it was: bytes from the start of its body; 0 if that is not known.
    pub(super) offset: u32,
}

impl<'s> Collected<'s> {
    /// What there is in a store, and the stack of a trap of it with what is known of its frames.
    pub(super) fn of(
        store: &'s StoreOpaque,
        stack: Option<(&Stack, &[backtrace::Frame])>,
    ) -> Collected<'s> {
        let mut collector = Collector::default();
        for (number, data) in store.numbered_instances() {
            collector.add(number, data);
        }
        if let Some((stack, frames)) = stack {
            collector.add_frames(stack, frames);
        }
        collector.found
    }
}

#[derive(Default)]
struct Collector<'s> {
    found: Collected<'s>,
    units: HashMap<UnitId, Unit<'s>>,
    /// Instances of the store: number, unit, and the dump's index of each core instance.
    known: Vec<(InstanceNumber, UnitId, HashMap<u32, u32>)>,
    /// By address.
    memories: HashMap<usize, u32>,
    /// By address.
    globals: HashMap<usize, u32>,
    /// Instances that stand for those of frames that are not known.
    unknown: HashMap<(UnitId, u32), u32>,
}

/// What is known of an artifact.
#[derive(Clone, Copy)]
struct Unit<'s> {
    state: Option<CoreState<'s>>,
    /// The dump's index of its first module.
    modules: u32,
}

impl<'s> Collector<'s> {
    fn add(&mut self, number: InstanceNumber, data: &'s InstanceData) {
        let id = data.unit().id();
        let unit = match self.units.get(&id) {
            Some(unit) => *unit,
            None => {
                let unit = self.unit(data.unit());
                *self.units.entry(id).or_insert(unit)
            }
        };
        let instances = match unit.state {
            Some(state) => self.described_instances(data, &state, unit.modules),
            None => self.bare_instances(data, unit.modules),
        };
        self.known.push((number, id, instances));
    }

    /// Adds the modules of an artifact.
    fn unit(&mut self, unit: &'s artifact::Unit) -> Unit<'s> {
        let state = unit.core_state();
        let modules = self.found.modules.len() as u32;
        match state {
            Some(state) => {
                for module in 0..state.modules.len() as u32 {
                    self.module(state.module_name(module));
                }
            }
            // Each core instance may be of a module of its own.
            None => core_instances(&unit.artifact()).iter().for_each(|_| {
                self.module(None);
            }),
        }
        Unit { state, modules }
    }

    fn module(&mut self, name: Option<&str>) -> u32 {
        let index = self.found.modules.len();
        let name = name.map_or_else(|| format!("module[{index}]"), str::to_owned);
        self.found.modules.push(name);
        index as u32
    }

    fn instance(&mut self, module: u32, memories: Vec<u32>, globals: Vec<u32>) -> u32 {
        self.found.instances.push(Instance {
            module,
            memories,
            globals,
        });
        self.found.instances.len() as u32 - 1
    }

    /// Adds the core instances of an instance whose artifact says where their state is.
    fn described_instances(
        &mut self,
        data: &'s InstanceData,
        state: &CoreState<'s>,
        modules: u32,
    ) -> HashMap<u32, u32> {
        let mut indices = HashMap::new();
        for (number, record) in (0..).zip(state.instances) {
            // Those of imported modules are instances of the store themselves.
            if record.module == NONE || record.module as usize >= state.modules.len() {
                continue;
            }
            let (memories, globals) = self.items(data, state, record);
            let index = self.instance(modules + record.module, memories, globals);
            indices.insert(number, index);
        }
        indices
    }

    /// The memories and globals of a core instance. If one of a kind is not known, none of the kind
    /// are listed: others would have its index.
    fn items(
        &mut self,
        data: &'s InstanceData,
        state: &CoreState<'s>,
        record: &CoreInstanceRecord,
    ) -> (Vec<u32>, Vec<u32>) {
        let memories = state.memories_of(record).unwrap_or_default().iter();
        let memories = memories.map(|memory| self.described_memory(data, memory));
        let memories = memories.collect::<Option<Vec<u32>>>();
        let globals = state.globals_of(record).unwrap_or_default().iter();
        let globals = globals.map(|global| self.global(data, global));
        let globals = globals.collect::<Option<Vec<u32>>>();
        (memories.unwrap_or_default(), globals.unwrap_or_default())
    }

    fn described_memory(&mut self, data: &'s InstanceData, memory: &StateMemory) -> Option<u32> {
        let found = MemoryRef::of(data, memory.place)?;
        Some(self.memory(Memory {
            memory: found,
            is_64: memory.is_64 != 0,
            max: (memory.max != NO_MAX).then_some(memory.max),
        }))
    }

    fn memory(&mut self, memory: Memory<'s>) -> u32 {
        let next = self.found.memories.len() as u32;
        *self
            .memories
            .entry(memory.memory.address())
            .or_insert_with(|| {
                self.found.memories.push(memory);
                next
            })
    }

    fn global(&mut self, data: &InstanceData, global: &StateGlobal) -> Option<u32> {
        if global.ty > global_type::EXN_REF {
            return None;
        }
        let next = self.found.globals.len() as u32;
        let bits = match global.place {
            NONE => {
                let [low, high] = global.value.map(u128::from);
                low | high << 64
            }
            place => {
                let address = global_address(data, place, global.ty)?;
                if let Some(known) = self.globals.get(&address) {
                    return Some(*known);
                }
                self.globals.insert(address, next);
                global_bits(data, place, global.ty)?
            }
        };
        self.found.globals.push(Global {
            ty: global.ty,
            bits,
        });
        Some(next)
    }

    /// Adds the core instances of an instance whose artifact does not say where their state is:
    /// what memories there are is known, but not whose they are.
    fn bare_instances(&mut self, data: &'s InstanceData, modules: u32) -> HashMap<u32, u32> {
        let artifact = data.unit().artifact();
        for record in artifact.memories() {
            if let Some(memory) = MemoryRef::of(data, record.slot) {
                self.memory(bare_memory(memory, record));
            }
        }
        let numbers = (modules..).zip(core_instances(&artifact));
        let instances =
            numbers.map(|(module, number)| (number, self.instance(module, vec![], vec![])));
        instances.collect()
    }

    /// `frames` are those of the stack, in the same order.
    fn add_frames(&mut self, stack: &Stack, frames: &[backtrace::Frame]) {
        for (index, frame) in stack.frames.iter().enumerate() {
            let instance = self.instance_of(stack, frame);
            let known = frames.get(index).and_then(|known| known.func_offset);
            self.found.frames.push(Frame {
                instance,
                func_index: frame.func_index,
                offset: known.unwrap_or(0),
            });
        }
    }

    /// The dump's index of a frame's instance: of the one that was entered, or of the only one of
    /// its artifact. For one that cannot be told from others, or that is not there any more, a
    /// nameless one stands, without memories and globals.
    fn instance_of(&mut self, stack: &Stack, frame: &StackFrame) -> u32 {
        let mut of_unit = self.known.iter().filter(|(_, id, _)| *id == frame.unit);
        let entered = of_unit
            .clone()
            .find(|(number, ..)| Some(*number) == stack.entered);
        let found = entered.or_else(|| of_unit.next().filter(|_| of_unit.next().is_none()));
        let known = found.and_then(|(.., instances)| instances.get(&frame.core_instance));
        if let Some(known) = known {
            return *known;
        }
        let key = (frame.unit, frame.core_instance);
        if let Some(unknown) = self.unknown.get(&key) {
            return *unknown;
        }
        let module = self.module_of(frame).unwrap_or_else(|| self.module(None));
        let index = self.instance(module, vec![], vec![]);
        self.unknown.insert(key, index);
        index
    }

    /// The module of a frame whose instance is not known.
    fn module_of(&self, frame: &StackFrame) -> Option<u32> {
        let mut known = self.known.iter();
        let (.., instances) = known.find(|(_, id, _)| *id == frame.unit)?;
        let instance = instances.get(&frame.core_instance)?;
        Some(self.found.instances[*instance as usize].module)
    }
}

/// The core instances that have functions.
fn core_instances(artifact: &Artifact<'_>) -> BTreeSet<u32> {
    let functions = artifact.functions().iter();
    let functions = functions.filter(|function| function.kind & 0xff == function_kind::CORE);
    functions.map(|function| function.kind >> 8).collect()
}

fn bare_memory<'s>(memory: MemoryRef<'s>, record: &MemoryRecord) -> Memory<'s> {
    // A 32-bit memory without a declared maximum has the largest one, in bytes or in pages.
    let most = (RESERVATION_32 >> record.page_log2.min(63)).min(u32::MAX.into());
    Memory {
        memory,
        is_64: record.max > most,
        max: (record.max < most).then_some(record.max),
    }
}
