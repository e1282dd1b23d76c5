//! Traps: why a guest was stopped, and where it was.

use std::fmt;
use std::ops::Range;
#[cfg(feature = "coredump")]
use std::sync::Arc;

use cwasm_format::TrapCode;
use cwasm_format::escape;

use crate::error::Error;
#[cfg(feature = "tracing")]
use crate::trace;
use crate::vm::backtrace::{Backtrace, Frame};
use crate::vm::instance::InstanceData;
#[cfg(feature = "backtrace")]
use crate::vm::noise::Noise;
#[cfg(feature = "coredump")]
use crate::vm::stack::Stack;
use crate::vm::store::{HostFailure, StoreOpaque};
use crate::vm::unwind;

/// Why a guest was stopped.
///
/// It prints as `wasm trap: REASON` and the frames of the guest, innermost first, each with the
/// lines of its source as far as the artifact has them (`--debug`). Frames that only begin a
/// program or end it after a panic are left out, unless it is printed with `{:#}`. Found in an
/// [`Error`] by [`Error::trap`].
#[derive(Clone)]
pub struct Trap {
    code: TrapCode,
    backtrace: Backtrace,
    tag: Option<Box<ThrownTag>>,
    #[cfg(feature = "coredump")]
    stack: Option<Arc<Stack>>,
}

/// The tag of an exception that was not caught.
#[derive(Clone, Debug)]
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
    thrown_by: Backtrace,
}

impl ThrownTag {
    /// The function that has thrown the exception first: what has caught it since, to clean up,
    /// has thrown it again.
    pub fn thrown_by(&self) -> Option<&Frame> {
        self.thrown_by.frames().first()
    }
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
            .field("frames", &self.backtrace)
            .field("truncated", &self.backtrace.is_truncated())
            .finish()
    }
}

impl Trap {
    /// A trap outside of compiled code: it has no frames.
    #[cold]
    pub(crate) fn new(code: TrapCode) -> Trap {
        Trap {
            code,
            backtrace: Backtrace::default(),
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
    /// last: what called the host before is not among them. Names and lines are looked up the first
    /// time that somebody asks; until then, and as long as the trap is kept, the artifact is
    /// mapped.
    pub fn frames(&self) -> &[Frame] {
        self.backtrace.frames()
    }

    /// Whether there are frames.
    pub(crate) fn has_frames(&self) -> bool {
        !self.backtrace.is_empty()
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.code)?;
        if let Some(tag) = &self.tag {
            write!(f, ": {tag}")?;
        }
        let frames = self.frames();
        let shown = shown(frames, f.alternate());
        left_out(f, shown.start, "a panic")?;
        for (index, frame) in shown.clone().zip(&frames[shown.clone()]) {
            write!(f, "\n  {index:>3}: {frame}")?;
        }
        left_out(f, frames.len() - shown.end, "the runtime")?;
        if self.backtrace.is_truncated() {
            f.write_str("\n  ... and more")?;
        }
        let thrown_by = self.tag.as_ref().and_then(|tag| tag.thrown_by());
        let place = |frame: &Frame| (frame.text_offset, frame.func_index, frame.core_instance);
        let first = frames.first().map(place);
        match thrown_by.filter(|frame| first != Some(place(frame))) {
            Some(frame) => write!(f, "\n  thrown by {frame}"),
            None => Ok(()),
        }
    }
}

/// Which frames are shown, unless all of them are asked for.
#[cfg(feature = "backtrace")]
fn shown(frames: &[Frame], all: bool) -> Range<usize> {
    let noise = match all {
        true => Noise::NONE,
        false => Noise::of(frames),
    };
    noise.panic..frames.len() - noise.runtime
}

#[cfg(not(feature = "backtrace"))]
fn shown(frames: &[Frame], _all: bool) -> Range<usize> {
    0..frames.len()
}

/// Says that frames are not shown.
fn left_out(f: &mut fmt::Formatter<'_>, count: usize, of: &str) -> fmt::Result {
    match count {
        0 => Ok(()),
        1 => write!(f, "\n  ... a frame of {of}"),
        _ => write!(f, "\n  ... {count} frames of {of}"),
    }
}

impl std::error::Error for Trap {}

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
    #[cfg(feature = "coredump")]
    let context = unwind::entry_context();
    // The store still holds the instances whose code has run, and they hold their artifacts.
    unwind::take_backtrace(|pcs, truncated| {
        trap.backtrace = Backtrace::new(pcs, truncated);
        #[cfg(feature = "coredump")]
        (trap.stack = Some(Arc::new(Stack::new(store, context, pcs))));
    });
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
    // Looked up only if somebody wants to know.
    let frames = InnermostFrames(trap);
    match trap.code {
        TrapCode::HostError => trace::event!(DEBUG, code = %trap.code, %frames, "guest trapped"),
        _ => trace::event!(WARN, code = %trap.code, %frames, "guest trapped"),
    }
}

/// Prints some frames in a line, innermost first.
#[cfg(feature = "tracing")]
struct InnermostFrames<'t>(&'t Trap);

#[cfg(feature = "tracing")]
impl fmt::Display for InnermostFrames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Frames that are printed.
        const MAX: usize = 4;
        let frames = self.0.frames();
        for (index, frame) in frames.iter().take(MAX).enumerate() {
            f.write_str(if index == 0 { "" } else { " < " })?;
            frame.write_name(f, frame.name.as_ref())?;
        }
        match frames.len() {
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
        thrown_by: Backtrace::new(&[origin.pc], false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trap_outside_of_code_has_no_frames() {
        let error = Error::trapped(TrapCode::CannotEnter);
        let trap = error.trap().unwrap();
        assert_eq!((trap.frames(), trap.has_frames()), (&[][..], false));
        assert_eq!(
            trap.to_string(),
            format!("wasm trap: {}", TrapCode::CannotEnter)
        );
    }
}
