//! Code without alias analysis, for comparison in tests. Cranelift's own setting,
//! `enable_alias_analysis`, has no effect: version 0.135 does not read it.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Function, InstBuilder};

/// Puts a barrier before each access: a sequence point, which makes the analysis forget everything
/// and becomes no machine code.
pub(crate) fn insert(func: &mut Function) {
    let mut cursor = FuncCursor::new(func);
    while cursor.next_block().is_some() {
        while let Some(inst) = cursor.next_inst() {
            let opcode = cursor.func.dfg.insts[inst].opcode();
            if opcode.can_load() || opcode.can_store() {
                cursor.ins().sequence_point();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Options, compile};

    #[test]
    fn what_was_stored_is_loaded_again() {
        let text = "(module (memory 1) (func (param i32) (result i32)
            (i32.store (local.get 0) (i32.const 1))
            (i32.load (local.get 0))))";
        let bytes = wat::parse_str(text).unwrap();
        let code_size = |alias_analysis| {
            let options = Options {
                alias_analysis,
                ..Options::default()
            };
            compile(&bytes, &options).unwrap().stats.code_size
        };
        assert!(code_size(true) < code_size(false));
    }
}
