//! Traps: why a guest was stopped, and where it was.

use std::fmt;
#[cfg(feature = "coredump")]
use std::sync::Arc;

use cwasm_format::code::{FunctionRecord, function_kind};
use cwasm_format::escape;
use cwasm_format::header::SectionId;
use cwasm_format::names;
use cwasm_format::{Artifact, TrapCode};

use crate::artifact::registry;
use crate::error::Error;
#[cfg(feature = "tracing")]
use crate::trace;
use crate::vm::instance::InstanceData;
#[cfg(feature = "coredump")]
use crate::vm::stack::Stack;
use crate::vm::store::{HostFailure, StoreOpaque};
use crate::vm::unwind;

/// Why a guest was stopped.
///
/// It prints as `wasm trap: REASON` and one line a frame of the guest, innermost first. Found in an
/// [`Error`] by [`Error::trap`].
#[derive(Clone)]
pub struct Trap {
    code: TrapCode,
    frames: Box<[Frame]>,
    truncated: bool,
    tag: Option<Box<ThrownTag>>,
    #[cfg(feature = "coredump")]
    stack: Option<Arc<Stack>>,
}

/// The tag of an exception that was not caught.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ThrownTag {
    /// A name by which the core module imports or exports the tag, or its name in the module's name
    /// section.
    pub name: Option<String>,
    /// The core instance that has thrown the exception, or whose tag it is, in the order of the
    /// component's core instances.
    pub core_instance: u32,
    /// The tag's index in the core module.
    pub tag_index: u32,
    /// The function that has thrown the exception first: what has caught it since, to clean up,
    /// has thrown it again.
    pub thrown_by: Option<Frame>,
}

impl fmt::Display for ThrownTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ThrownTag {
            name,
            core_instance,
            tag_index,
            ..
        } = self;
        write!(f, "tag {tag_index} of core instance {core_instance}")?;
        match name {
            // Any text, as that of frames.
            Some(name) => write!(f, " (`{}`)", escape::name(name)),
            None => Ok(()),
        }
    }
}

/// The reason in words: the names of all codes are no part of small hosts.
impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trap")
            .field("code", &format_args!("{}", self.code))
            .field("frames", &self.frames)
            .field("truncated", &self.truncated)
            .finish()
    }
}

/// A function of a guest that was active when it trapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name, in an artifact with names (`--debug`).
    pub name: Option<String>,
    /// The core instance that it belongs to, in the order of the component's core instances.
    pub core_instance: u32,
    /// Its index in the core module.
    pub func_index: u32,
    /// Where it was: an offset in the artifact's `.text`.
    pub text_offset: u32,
}

impl Trap {
    /// A trap outside of compiled code: it has no frames.
    #[cold]
    pub(crate) fn new(code: TrapCode) -> Trap {
        Trap {
            code,
            frames: Box::default(),
            truncated: false,
            tag: None,
            #[cfg(feature = "coredump")]
            stack: None,
        }
    }

    /// Which instances were active; `None` if no code was.
    #[cfg(feature = "coredump")]
    pub(crate) fn stack(&self) -> Option<&Stack> {
        self.stack.as_deref()
    }

    /// The tag of the exception, if [`code`](Trap::code) is [`TrapCode::UncaughtException`] and a
    /// guest has thrown it.
    pub fn tag(&self) -> Option<&ThrownTag> {
        self.tag.as_deref()
    }

    /// The reason.
    pub fn code(&self) -> TrapCode {
        self.code
    }

    /// The functions that were active, innermost first. Only those since the guest was entered
    /// last: what called the host before is not among them.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.code)?;
        if let Some(tag) = &self.tag {
            write!(f, ": {tag}")?;
        }
        for (index, frame) in self.frames.iter().enumerate() {
            write!(f, "\n  {index:>3}: {:#8x} - {frame}", frame.text_offset)?;
        }
        if self.truncated {
            f.write_str("\n  ... and more")?;
        }
        let thrown_by = self.tag.as_ref().and_then(|tag| tag.thrown_by.as_ref());
        match thrown_by.filter(|frame| self.frames.first() != Some(frame)) {
            Some(frame) => write!(f, "\n  thrown by {:#8x} - {frame}", frame.text_offset),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Trap {}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            // Any text: a guest must not make lines of its own in a log.
            Some(name) => write!(f, "{}", escape::name(name)),
            None => {
                write!(
                    f,
                    "<core instance {}, function {}>",
                    self.core_instance, self.func_index
                )
            }
        }
    }
}

impl Error {
    /// The trap that stopped the guest, if that is what happened.
    pub fn trap(&self) -> Option<&Trap> {
        self.downcast_ref()
    }

    /// The error of a trap outside of compiled code.
    #[cold]
    pub(crate) fn trapped(code: TrapCode) -> Error {
        Error::new(Trap::new(code))
    }
}

/// The error of a call into wasm that came back with this status, which is not 0. The call must
/// have been this thread's last.
///
/// A panic of a host function continues here.
#[cold]
#[inline(never)]
pub(crate) fn take_trap(store: &mut StoreOpaque, status: u64) -> Error {
    let code = u8::try_from(status).ok().and_then(TrapCode::from_number);
    // Statuses are ours: from the trap table, where unknown codes are no traps, or `TrapCode`s.
    let code = code.unwrap_or(TrapCode::HostError);
    if code == TrapCode::Interrupt {
        store.withdraw_interrupts();
    }
    let mut trap = Trap::new(code);
    let mut frames = Vec::new();
    #[cfg(feature = "coredump")]
    let context = unwind::entry_context();
    unwind::take_backtrace(|pcs, truncated| {
        frames.extend(pcs.iter().filter_map(|pc| resolve_frame(*pc)));
        trap.truncated = truncated;
        #[cfg(feature = "coredump")]
        (trap.stack = Some(Arc::new(Stack::new(store, context, pcs))));
    });
    trap.frames = frames.into();
    #[cfg(feature = "metrics")]
    store.engine().counters().trap(code);
    if code == TrapCode::UncaughtException {
        trap.tag = thrown_tag(store).map(Box::new);
    }
    #[cfg(feature = "tracing")]
    tell(&trap);
    match store.take_host_failure() {
        None => Error::new(trap),
        Some(HostFailure::Error(error)) => error.wrap(trap),
        Some(HostFailure::Panic(payload)) => std::panic::resume_unwind(payload),
    }
}

/// Tells of a trap. A host function may fail for any reason, as when a program exits.
#[cfg(feature = "tracing")]
fn tell(trap: &Trap) {
    let frames = InnermostFrames(&trap.frames);
    match trap.code {
        TrapCode::HostError => trace::event!(DEBUG, code = %trap.code, %frames, "guest trapped"),
        _ => trace::event!(WARN, code = %trap.code, %frames, "guest trapped"),
    }
}

/// Prints some frames in a line, innermost first.
#[cfg(feature = "tracing")]
struct InnermostFrames<'f>(&'f [Frame]);

#[cfg(feature = "tracing")]
impl fmt::Display for InnermostFrames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Frames that are printed.
        const MAX: usize = 4;
        for (index, frame) in self.0.iter().take(MAX).enumerate() {
            let before = if index == 0 { "" } else { " < " };
            write!(f, "{before}{frame}")?;
        }
        match self.0.len() {
            0..=MAX => Ok(()),
            _ => f.write_str(" < ..."),
        }
    }
}

/// The tag of the exception that was thrown last.
fn thrown_tag(store: &StoreOpaque) -> Option<ThrownTag> {
    let origin = store.exceptions_if_any()?.tag()?.origin?;
    let is_origin = |instance: &&InstanceData| instance.context().addr().get() == origin.context;
    let artifact = store.instances().find(is_origin)?.unit().artifact();
    let record = artifact.tags().get(origin.tag as usize)?;
    let name = artifact.string(record.name).filter(|name| !name.is_empty());
    Some(ThrownTag {
        name: name.map(str::to_owned),
        core_instance: record.core_instance,
        tag_index: record.index,
        thrown_by: resolve_frame(origin.pc),
    })
}

/// The frame whose instruction at `pc` was the last; `None` for thunks, trampolines and the like.
fn resolve_frame(pc: usize) -> Option<Frame> {
    // The store still holds the instances whose code has run, and they hold their artifacts.
    registry::with_unit(pc, |unit| {
        describe_frame(&unit.artifact(), unit.text_offset(pc)?)
    })?
}

/// The core function at a text offset, and its index among all functions; `None` if another one is
/// there.
pub(super) fn core_function<'a>(
    artifact: &Artifact<'a>,
    text_offset: u32,
) -> Option<(u32, &'a FunctionRecord)> {
    let functions = artifact.functions();
    let index = functions
        .partition_point(|f| f.start <= text_offset)
        .checked_sub(1)?;
    let function = &functions[index];
    (function.kind & 0xff == function_kind::CORE).then_some((index as u32, function))
}

fn describe_frame(artifact: &Artifact<'_>, text_offset: u32) -> Option<Frame> {
    let (index, function) = core_function(artifact, text_offset)?;
    let name = names::lookup(artifact.section(SectionId::Names), index);
    Some(Frame {
        name: name.map(str::to_owned),
        core_instance: function.kind >> 8,
        func_index: function.index,
        text_offset,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_print_their_frames() {
        let frame = |name: Option<&str>| Frame {
            name: name.map(str::to_owned),
            core_instance: 1,
            func_index: 7,
            text_offset: 0x1f,
        };
        let trap = Trap {
            code: TrapCode::Unreachable,
            tag: None,
            #[cfg(feature = "coredump")]
            stack: None,
            frames: [frame(Some("run")), frame(None)].into(),
            truncated: true,
        };
        let expected = "wasm trap: unreachable\n    0:     0x1f - run\n    1:     0x1f - \
                        <core instance 1, function 7>\n  ... and more";
        assert_eq!(trap.to_string(), expected);
        assert_eq!(
            Error::trapped(TrapCode::CannotEnter)
                .trap()
                .unwrap()
                .frames(),
            []
        );
    }
}
