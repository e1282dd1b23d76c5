//! Backtraces: the functions of guests that were active.
//!
//! When a guest traps, it is noted which places in which artifacts were active. Names and lines are
//! looked up when somebody asks; without the feature `backtrace`, where there is little to look up,
//! at once.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "backtrace")]
use std::sync::OnceLock;

use cwasm_format::code::function_kind;
use cwasm_format::escape;

use crate::artifact::{Unit, registry};

/// The functions that were active at a moment, innermost first.
#[derive(Clone, Default)]
pub(crate) struct Backtrace {
    #[cfg(feature = "backtrace")]
    noted: Arc<Noted>,
    #[cfg(not(feature = "backtrace"))]
    frames: Arc<[Frame]>,
    /// Whether there were more.
    truncated: bool,
}

#[cfg(feature = "backtrace")]
#[derive(Default)]
struct Noted {
    places: Box<[Place]>,
    frames: OnceLock<Box<[Frame]>>,
}

/// A place in a core function.
#[cfg(feature = "backtrace")]
struct Place {
    unit: Arc<Unit>,
    text_offset: u32,
}

/// A function of a guest that was active when it trapped.
///
/// With `--debug`, artifacts have names and lines of their functions, or with `--debug=split` the
/// file beside them, which is opened when it is needed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The function's name, as people write it.
    pub name: Option<String>,
    /// The name of its core module.
    pub module: Option<String>,
    /// The core instance that it belongs to, in the order of the component's core instances.
    pub core_instance: u32,
    /// Its index in the core module.
    pub func_index: u32,
    /// Where it was in machine code: an offset in the artifact's `.text`.
    pub text_offset: u32,
    /// Where it was in WebAssembly: bytes from the start of the core module's binary to the
    /// operator.
    pub wasm_offset: Option<u32>,
    /// The same from the start of the function's body, where its locals are declared.
    pub func_offset: Option<u32>,
    /// Where it was in the source, if the core module has DWARF. The first is where the code comes
    /// from. If that is a function that was inlined, it is followed by the place where that was
    /// called, and so on to the function that this frame is of.
    pub locations: Vec<Location>,
}

/// A place in a function's source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Location {
    /// The function's name, as people write it.
    pub function: Option<String>,
    /// The path of the source file, as the compiler of the guest has noted it.
    pub file: Option<String>,
    /// The line, from 1 on.
    pub line: Option<u32>,
    /// The column, from 1 on, in bytes.
    pub column: Option<u32>,
}

impl Backtrace {
    /// The places of core functions among these program counters. Their artifacts are mapped.
    pub(crate) fn new(pcs: &[usize], truncated: bool) -> Backtrace {
        Backtrace {
            #[cfg(feature = "backtrace")]
            noted: Arc::new(Noted {
                places: pcs.iter().filter_map(|pc| place(*pc)).collect(),
                frames: OnceLock::new(),
            }),
            #[cfg(not(feature = "backtrace"))]
            frames: pcs.iter().filter_map(|pc| frame(*pc)).collect(),
            truncated,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        #[cfg(feature = "backtrace")]
        return self.noted.places.is_empty();
        #[cfg(not(feature = "backtrace"))]
        self.frames.is_empty()
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The functions, with all that is known of them.
    pub(crate) fn frames(&self) -> &[Frame] {
        #[cfg(feature = "backtrace")]
        {
            let Noted { places, frames } = &*self.noted;
            frames.get_or_init(|| {
                let frames = places.iter();
                let frames = frames.filter_map(|place| frame_in(&place.unit, place.text_offset));
                frames.collect()
            })
        }
        #[cfg(not(feature = "backtrace"))]
        &self.frames
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames().fmt(f)
    }
}

/// The place of an instruction; `None` in thunks, trampolines and the like.
#[cfg(feature = "backtrace")]
fn place(pc: usize) -> Option<Place> {
    registry::with_unit(pc, |unit| {
        let text_offset = unit.text_offset(pc)?;
        core_function(unit, text_offset)?;
        Some(Place {
            unit: unit.shared()?,
            text_offset,
        })
    })?
}

#[cfg(not(feature = "backtrace"))]
fn frame(pc: usize) -> Option<Frame> {
    registry::with_unit(pc, |unit| frame_in(unit, unit.text_offset(pc)?))?
}

/// The index of the core function that has an offset of the text.
pub(super) fn core_function(unit: &Unit, text_offset: u32) -> Option<usize> {
    let functions = unit.artifact().functions();
    let after = functions.partition_point(|function| function.start <= text_offset);
    let index = after.checked_sub(1)?;
    (functions.get(index)?.kind & 0xff == function_kind::CORE).then_some(index)
}

/// The frame of a core function that was at an offset of the text.
pub(crate) fn frame_in(unit: &Unit, text_offset: u32) -> Option<Frame> {
    let index = core_function(unit, text_offset)?;
    let function = unit.artifact().functions().get(index)?;
    let frame = Frame {
        name: unit.function_name(index as u32).map(str::to_owned),
        module: None,
        core_instance: function.kind >> 8,
        func_index: function.index,
        text_offset,
        wasm_offset: None,
        func_offset: None,
        locations: Vec::new(),
    };
    #[cfg(feature = "backtrace")]
    let frame = with_lines(frame, unit, index as u32, text_offset - function.start);
    Some(frame)
}

/// Adds what the tables of lines say of the place `offset` bytes from the start of a function.
#[cfg(feature = "backtrace")]
fn with_lines(mut frame: Frame, unit: &Unit, function: u32, offset: u32) -> Frame {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let number = |number: u32| (number != 0).then_some(number);
    let Some(lines) = unit.lines() else {
        return frame;
    };
    let Some(found) = lines.find(function, offset) else {
        return frame;
    };
    frame.module = known(found.module);
    frame.wasm_offset = Some(found.start.wrapping_add(found.site.wasm_offset));
    frame.func_offset = Some(found.site.wasm_offset);
    let positions = found.site.position.into_iter();
    let positions = positions.flat_map(|position| lines.chain(position));
    frame.locations = positions
        .map(|position| Location {
            function: known(lines.text(position.function)),
            file: known(lines.text(position.file)),
            line: number(position.line),
            column: number(position.column),
        })
        .collect();
    frame
}

/// As it is displayed.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As in a backtrace, without its number: where it was, its name, and a line for each place in the
/// source that is known.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "backtrace")]
        if let Some(offset) = self.wasm_offset {
            write!(f, "{offset:#8x} - ")?;
            return self.write_places(f);
        }
        write!(f, ".text+{:#x} - ", self.text_offset)?;
        self.write_name(f, self.name.as_ref())
    }
}

impl Frame {
    pub(super) fn write_name(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: Option<&String>,
    ) -> fmt::Result {
        match name {
            // Any text: a guest must not make lines of its own in a log.
            Some(name) => write!(f, "{}", escape::name(name)),
            None => write!(
                f,
                "<core instance {}, function {}>",
                self.core_instance, self.func_index
            ),
        }
    }
}

#[cfg(feature = "backtrace")]
impl Frame {
    /// Writes the names of the functions, and their places in the source.
    fn write_places(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(module) = &self.module {
            write!(f, "{}!", escape::name(module))?;
        }
        if self.locations.is_empty() {
            return self.write_name(f, self.name.as_ref());
        }
        for (outside, location) in (0..self.locations.len()).rev().zip(&self.locations) {
            if outside == 0 {
                self.write_name(f, self.name.as_ref().or(location.function.as_ref()))?;
                location.write_place(f)?;
            } else {
                self.write_name(f, location.function.as_ref())?;
                f.write_str(" (inlined)")?;
                location.write_place(f)?;
                f.write_str("\n                - ")?;
            }
        }
        Ok(())
    }
}

#[cfg(feature = "backtrace")]
impl Location {
    fn write_place(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.file else {
            return Ok(());
        };
        write!(f, "\n               at {}", escape::name(file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "backtrace"))]
impl Frame {
    /// The frame of a function of this name.
    pub(super) fn named(name: &str) -> Frame {
        Frame {
            name: Some(name.to_owned()),
            module: None,
            core_instance: 1,
            func_index: 7,
            text_offset: 0x1f,
            wasm_offset: None,
            func_offset: None,
            locations: Vec::new(),
        }
    }
}

#[cfg(all(test, feature = "backtrace"))]
mod tests {
    use super::*;

    fn location(function: &str, line: Option<u32>) -> Location {
        Location {
            function: Some(function.to_owned()),
            file: Some("src/a.rs".to_owned()),
            line,
            column: Some(3),
        }
    }

    #[test]
    fn frames_print_what_is_known() {
        assert_eq!(Frame::named("run\n").to_string(), ".text+0x1f - run\\u{a}");
        let nameless = Frame {
            name: None,
            ..Frame::named("")
        };
        assert_eq!(
            nameless.to_string(),
            ".text+0x1f - <core instance 1, function 7>"
        );
        let mut known = Frame::named("outer");
        known.module = Some("app".to_owned());
        known.wasm_offset = Some(0x2a);
        assert_eq!(known.to_string(), "    0x2a - app!outer");
        known.locations = vec![location("inner", Some(9)), location("outer", None)];
        assert_eq!(
            known.to_string(),
            "    0x2a - app!inner (inlined)\n               at src/a.rs:9:3\n                - outer\n               \
             at src/a.rs"
        );
    }
}
