//! The instructions of exceptions before WebAssembly 3.0: `try`, `catch`, `catch_all`, `delegate`,
//! `rethrow`. They become what a `try_table` would:
//!
//! ```text
//! try a catch $t b catch_all c end        try a delegate n
//! =                                       = a, in the scope of the frame n
//! block $end
//!   block $c
//!     block $b
//!       try_table (catch_ref $t $b) (catch_all_ref $c) a end, br $end
//!     end, keep the reference, b, br $end
//!   end, keep the reference, c
//! end
//! ```
//!
//! Which clauses a `try` has is said after its body, but calls in the body need to know it: all are
//! looked for when the first `try` of a function is found.

use cwasm_format::exceptions::catch;
use wasmparser::{BlockType, Operator, OperatorsReader};

use super::control::FrameKind;
use super::operators::Translator;

/// The `try`s of a function, in their order.
#[derive(Default)]
pub(super) struct Tries {
    found: Vec<Try>,
    /// How many have begun.
    begun: usize,
}

/// How a `try` ends.
#[derive(Default)]
struct Try {
    /// The tags of its clauses; `None` for `catch_all`.
    clauses: Vec<Option<u32>>,
    /// The label that it delegates to.
    delegate: Option<u32>,
}

impl Tries {
    pub(super) fn clear(&mut self) {
        self.found.clear();
        self.begun = 0;
    }

    /// Finds the `try`s from the one on whose start `reader` has just read, the first time.
    pub(super) fn find(&mut self, mut reader: OperatorsReader<'_>) {
        if !self.found.is_empty() {
            return;
        }
        self.found.push(Try::default());
        // The frames that are open, with the place of a `try`.
        let mut frames = vec![Some(0)];
        // An operator that cannot be read becomes an error when it is translated.
        while let Ok(op) = reader.read() {
            match op {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => frames.push(None),
                Operator::Try { .. } => {
                    frames.push(Some(self.found.len()));
                    self.found.push(Try::default());
                }
                Operator::Catch { tag_index } => self.clause(&frames, Some(tag_index)),
                Operator::CatchAll => self.clause(&frames, None),
                Operator::Delegate { relative_depth } => {
                    if let Some(Some(place)) = frames.pop() {
                        self.found[place].delegate = Some(relative_depth);
                    }
                }
                Operator::End => _ = frames.pop(),
                _ => {}
            }
        }
    }

    fn clause(&mut self, frames: &[Option<usize>], tag: Option<u32>) {
        // Elsewhere it is not valid.
        if let Some(Some(place)) = frames.last() {
            self.found[*place].clauses.push(tag);
        }
    }

    /// Begins the next one.
    fn begin(&mut self) -> Try {
        self.begun += 1;
        std::mem::take(&mut self.found[self.begun - 1])
    }

    /// Begins the next one, in code that is never reached.
    pub(super) fn skip(&mut self) {
        self.begun += 1;
    }
}

impl Translator<'_, '_> {
    pub(super) fn try_(&mut self, ty: BlockType) {
        let found = self.exceptions.tries.begin();
        if let Some(depth) = found.delegate {
            // A label or tag that is not there is an error where it is validated: later.
            let target = self.frames.iter().rev().nth(depth as usize);
            let scope = target.and_then(|target| target.scope);
            self.push_frame(FrameKind::Block, ty, None);
            self.set_scope(scope);
            return;
        }
        let (first, target) = (self.clause_count(), self.frames.len());
        let tags = self.emit.env.tags.len();
        let is_known = |tag: &Option<u32>| tag.is_none_or(|tag| (tag as usize) < tags);
        for tag in found.clauses.into_iter().take_while(is_known) {
            self.push_clause(tag, catch::REFERENCE, target);
        }
        let scope = self.enter_scope(first);
        self.push_frame(FrameKind::Try, ty, None);
        self.set_scope(Some(scope));
    }

    /// Ends the body of the innermost frame, a `try`, or the clause before this one.
    pub(super) fn catch(&mut self) {
        let index = self.frames.len() - 1;
        let (kind, ty) = (self.frames[index].kind, self.frames[index].ty);
        if self.reachable {
            let target = self.target(index);
            self.jump(target, self.result_count(ty));
        }
        let height = self.frames[index].height;
        self.stack.truncate(height);
        self.merge_budget(index);
        let number = match kind {
            FrameKind::Try => {
                if !self.leave_scope().is_empty() {
                    self.dispatch();
                }
                0
            }
            FrameKind::Catch { clause, .. } => clause + 1,
            _ => unreachable!("`catch` is validated"),
        };
        let (clause, is_used) = self.exceptions.clause(number as usize);
        let mut exception = None;
        if is_used {
            let values = self.begin_landing(clause.handler.block);
            self.push_caught(clause, values);
            exception = self.stack.pop();
        }
        self.reachable = is_used;
        self.frames[index].kind = FrameKind::Catch {
            clause: number,
            exception: exception.into(),
        };
    }

    /// Ends the `try` that is the innermost frame.
    pub(super) fn end_try(&mut self) {
        self.exceptions.pop_scope();
        self.end_innermost();
    }

    pub(super) fn rethrow(&mut self, depth: u32) {
        let FrameKind::Catch { exception, .. } = self.frames[self.frame_index(depth)].kind else {
            unreachable!("`rethrow` is validated")
        };
        match exception.expand() {
            Some(exception) => self.throw_reference(exception),
            None => unreachable!("code that is reached has caught something"),
        }
    }
}
