//! Inlining of calls between components.
//!
//! ```text
//! core function --call--> adapter --call--> leaf       becomes one function
//! ```
//!
//! A *leaf* is a small core function that neither calls nor traps, so that its frame is never in a
//! backtrace. Small adapters are inlined into the core functions that call them; adapters never
//! have a frame in backtraces.
//!
//! Functions with interrupt checks are not inlined: Cranelift would merge equal checks of one
//! function.
//!
//! Accesses of adapters have no alias region, those of core functions have one. Cranelift keeps a
//! load without region in order only with stores without region, calls and fences. **Invariant:**
//! an inlined adapter that loads from a memory also stores the loaded value, or makes a call,
//! before the core function goes on: results are stored in the caller's memory, and an adapter with
//! parameters in memory calls `realloc`.
//!
//! Functions that are inlined are built before all others. One that cannot be built is not inlined,
//! so that the error is that of compiling it.

use std::collections::HashMap;

use cranelift_codegen::inline::{Inline, InlineCommand};
use cranelift_codegen::ir::SourceLoc;
use cranelift_codegen::{Context, ir};

use crate::error::{Error, Result};
use crate::ir::symbol::{FuncId, Symbol};

/// The most instructions that are inlined into one function: a call is two bytes of a module, so a
/// hostile module could make much code from few bytes.
const MAX_INLINED: usize = 20_000;

/// The functions that are inlined, by their place in the work list.
#[derive(Default)]
pub(crate) struct Bodies {
    funcs: HashMap<FuncId, ir::Function>,
}

impl Bodies {
    /// Adds a function.
    pub(super) fn insert(&mut self, id: FuncId, func: ir::Function) {
        self.funcs.insert(id, func);
    }

    /// Whether a function is here, which for core functions means that it is a leaf.
    pub(crate) fn contains(&self, id: FuncId) -> bool {
        self.funcs.contains_key(&id)
    }

    /// Inlines what the function in `context` calls.
    pub(crate) fn inline_into(&self, context: &mut Context) -> Result<()> {
        let names = context.func.params.user_named_funcs();
        if !names.values().any(|name| self.get(name).is_some()) {
            return Ok(());
        }
        let mut calls = Vec::new();
        let inliner = Inliner {
            bodies: self,
            left: MAX_INLINED,
            calls: &mut calls,
        };
        if let Err(error) = context.inline(inliner) {
            return Err(Error::codegen(
                format!("{}", context.func.name),
                format!("{error:?}"),
            ));
        }
        set_origins(&mut context.func, &calls);
        Ok(())
    }

    fn get(&self, name: &ir::UserExternalName) -> Option<&ir::Function> {
        match Symbol::from_name(name) {
            Symbol::Func(id) => self.funcs.get(&id),
            _ => None,
        }
    }
}

/// Decides for each call of one function whether to inline it.
struct Inliner<'b> {
    bodies: &'b Bodies,
    /// How many more instructions may be inlined.
    left: usize,
    calls: &'b mut Vec<InlinedCall>,
}

/// A call that is inlined.
struct InlinedCall {
    /// How many instructions there were before.
    first: u32,
    origin: SourceLoc,
}

/// Gives instructions that were inlined the origin of their call: a backtrace shows that.
fn set_origins(func: &mut ir::Function, calls: &[InlinedCall]) {
    let ends = calls.iter().skip(1).map(|call| call.first);
    let ends = ends.chain([func.dfg.num_insts() as u32]);
    let ranges: Vec<_> = calls.iter().zip(ends).collect();
    // What is inlined into an adapter has no origin.
    for (call, end) in ranges
        .into_iter()
        .filter(|(call, _)| !call.origin.is_default())
    {
        for inst in call.first..end {
            func.set_srcloc(ir::Inst::from_u32(inst), call.origin);
        }
    }
}

impl Inline for Inliner<'_> {
    fn inline(
        &mut self,
        caller: &ir::Function,
        call: ir::Inst,
        _: ir::Opcode,
        callee: ir::FuncRef,
        _: &[ir::Value],
    ) -> InlineCommand<'_> {
        let ir::ExternalName::User(name) = caller.dfg.ext_funcs[callee].name else {
            return InlineCommand::KeepCall;
        };
        let found = self.bodies.get(&caller.params.user_named_funcs()[name]);
        let Some(callee) = found else {
            return InlineCommand::KeepCall;
        };
        match self.left.checked_sub(count_insts(callee)) {
            Some(left) => self.left = left,
            None => return InlineCommand::KeepCall,
        }
        self.calls.push(InlinedCall {
            first: caller.dfg.num_insts() as u32,
            origin: caller.srcloc(call),
        });
        InlineCommand::Inline {
            callee: std::borrow::Cow::Borrowed(callee),
            // The callee's own calls were inlined already.
            visit_callee: false,
        }
    }
}

pub(super) fn count_insts(func: &ir::Function) -> usize {
    insts(func).count()
}

pub(super) fn insts(func: &ir::Function) -> impl Iterator<Item = ir::Inst> {
    let blocks = func.layout.blocks();
    blocks.flat_map(|block| func.layout.block_insts(block))
}
