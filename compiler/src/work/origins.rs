//! Where the machine code of a function comes from: kept with `--debug` only.

use cranelift_codegen::{Final, MachBufferFinalized};

use crate::isa::Relaxed;

/// Where the machine code of a core function comes from. Offsets in code are bytes from its start.
pub(crate) struct Origins {
    /// Where code starts, in order, that comes from the operator so many bytes after the start of
    /// the function's body; `None` if it comes from no operator.
    pub(crate) code: Vec<(u32, Option<u32>)>,
    /// The return addresses of calls, in order.
    pub(crate) returns: Vec<u32>,
}

impl Origins {
    pub(super) fn of(buffer: &MachBufferFinalized<Final>) -> Origins {
        let mut code: Vec<(u32, Option<u32>)> = Vec::new();
        let mut end = 0;
        for range in buffer.get_srclocs_sorted() {
            if range.start > end {
                push(&mut code, end, None);
            }
            let offset = (!range.loc.is_default()).then(|| range.loc.bits());
            push(&mut code, range.start, offset);
            end = range.end;
        }
        if (end as usize) < buffer.data().len() {
            push(&mut code, end, None);
        }
        Origins {
            code,
            returns: buffer.call_sites().map(|site| site.ret_addr).collect(),
        }
    }

    /// The operator that the code at this offset comes from: bytes from the start of the body.
    pub(crate) fn find(&self, offset: u32) -> Option<u32> {
        let after = self.code.partition_point(|(start, _)| *start <= offset);
        self.code[after.checked_sub(1)?].1
    }

    /// Follows the code when it is made shorter.
    pub(super) fn relax(&mut self, relaxed: &Relaxed) {
        for (start, _) in &mut self.code {
            *start = relaxed.moved(*start);
        }
        for end in &mut self.returns {
            // What follows the call may be aligned.
            *end = relaxed.moved(*end - 1) + 1;
        }
    }
}

fn push(code: &mut Vec<(u32, Option<u32>)>, start: u32, from: Option<u32>) {
    if code.last().is_none_or(|(_, last)| *last != from) {
        code.push((start, from));
    }
}
