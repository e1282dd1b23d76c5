//! The Cranelift entities that a function refers to, remembered so that each is declared once.

use cranelift_codegen::entity::packed_option::{PackedOption, ReservedValue};
use cranelift_codegen::ir::{AliasRegion, FuncRef, GlobalValue, Inst, SigRef, Value};

use crate::ir::check::Checks;

/// The entities that the function at hand has declared. Reused from function to function;
/// [`Emitter::new`](super::Emitter::new) clears it.
#[derive(Default)]
pub(crate) struct References {
    /// By function index.
    pub(super) funcs: Memo<FuncRef>,
    /// By type index.
    pub(super) signatures: Memo<SigRef>,
    /// By builtin.
    pub(super) builtins: Memo<FuncRef>,
    /// By [`Region`](super::emit::Region).
    pub(super) regions: Memo<AliasRegion>,
    /// The start of the text, at index 0.
    pub(super) text: Memo<GlobalValue>,
    /// The interrupt checks of the function.
    pub(super) checks: Checks,
    /// The loops that are being translated.
    pub(super) loops: Loops,
    /// Arguments of the call that is being emitted.
    pub(super) args: Vec<Value>,
}

impl References {
    pub(super) fn clear(&mut self, checks: Checks) {
        self.funcs.clear();
        self.signatures.clear();
        self.builtins.clear();
        self.regions.clear();
        self.text.clear();
        self.args.clear();
        self.checks = checks;
        self.loops.clear();
    }
}

/// The loops that are being translated, the innermost last.
#[derive(Default)]
pub(super) struct Loops(Vec<Loop>);

struct Loop {
    /// The jump to its head.
    entry: Inst,
    /// Whether a memory's size is loaded before it.
    has_size: bool,
    /// The address of the first memory, if it is loaded before it.
    memory_base: Option<Value>,
}

impl Loops {
    fn clear(&mut self) {
        self.0.clear();
    }

    /// Enters the loop to whose head `entry` jumps.
    pub(super) fn enter(&mut self, entry: Inst) {
        self.0.push(Loop {
            entry,
            has_size: false,
            memory_base: None,
        });
    }

    pub(super) fn leave(&mut self) {
        self.0.pop();
    }

    /// The address of the first memory in a loop; the first time, `load` loads it at the jump into
    /// the outermost one. `None` outside of loops.
    pub(super) fn memory_base(&mut self, load: impl FnOnce(Inst) -> Value) -> Option<Value> {
        let outermost = self.0.first_mut()?;
        let base = outermost
            .memory_base
            .get_or_insert_with(|| load(outermost.entry));
        Some(*base)
    }

    /// The jumps into the innermost loops before which no memory's size is loaded yet, the
    /// innermost loop first. Marks them: the caller loads the size there.
    pub(super) fn take_without_size(&mut self) -> impl Iterator<Item = Inst> {
        let loops = self.0.iter_mut().rev();
        loops.take_while(|found| !found.has_size).map(|found| {
            found.has_size = true;
            found.entry
        })
    }
}

/// A map from small numbers. Clearing it takes time linear in the insertions, not in its size,
/// because it is cleared for each function of a module that may have very many.
pub(super) struct Memo<T: ReservedValue> {
    slots: Vec<PackedOption<T>>,
    used: Vec<u32>,
}

impl<T: ReservedValue> Default for Memo<T> {
    fn default() -> Self {
        Memo {
            slots: Vec::new(),
            used: Vec::new(),
        }
    }
}

impl<T: ReservedValue + Copy> Memo<T> {
    pub(super) fn get(&self, index: u32) -> Option<T> {
        self.slots.get(index as usize)?.expand()
    }

    pub(super) fn insert(&mut self, index: u32, value: T) -> T {
        if self.slots.len() <= index as usize {
            self.slots.resize(index as usize + 1, None.into());
        }
        self.slots[index as usize] = Some(value).into();
        self.used.push(index);
        value
    }

    fn clear(&mut self) {
        for index in self.used.drain(..) {
            self.slots[index as usize] = None.into();
        }
    }
}
