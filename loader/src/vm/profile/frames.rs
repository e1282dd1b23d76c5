//! From program counters to functions.

use cwasm_format::Artifact;
use cwasm_format::builtin::Builtin;
use cwasm_format::code::{FunctionRecord, function_kind};
use cwasm_format::header::SectionId;
use cwasm_format::names;

use super::data::{FrameKind, ProfileFrame};

/// The longest name in bytes, as of symbols. Of a longer one there is the start.
const MAX_NAME_LEN: usize = 1000;

/// The place in the artifact's functions of the one at this offset of the text.
pub(super) fn function_at(artifact: &Artifact<'_>, text_offset: u32) -> Option<usize> {
    let functions = artifact.functions();
    functions
        .partition_point(|function| function.start <= text_offset)
        .checked_sub(1)
}

/// Whether a function is one of those through which the host enters guests.
pub(super) fn is_thunk(artifact: &Artifact<'_>, index: usize) -> bool {
    let function = artifact.functions().get(index);
    function.is_some_and(|function| function.kind & 0xff == function_kind::THUNK)
}

/// The function at this place of the artifact's functions.
pub(super) fn describe(artifact: &Artifact<'_>, index: usize) -> Option<ProfileFrame> {
    let function = artifact.functions().get(index)?;
    let name = names::lookup(
        artifact.section(SectionId::Names),
        u32::try_from(index).ok()?,
    );
    let kind = function.kind & 0xff;
    let (kind, name) = match kind {
        function_kind::CORE => (
            FrameKind::Guest,
            name.map_or_else(|| core(function), str::to_owned),
        ),
        function_kind::TRAMPOLINE => (FrameKind::Host, host(function, name)),
        function_kind::BUILTIN => (FrameKind::Builtin, builtin(function)),
        _ => {
            let unnamed = || format!("{}[{}]", glue(kind), function.index);
            (FrameKind::Glue, name.map_or_else(unnamed, str::to_owned))
        }
    };
    Some(ProfileFrame {
        kind,
        name: shortened(name),
    })
}

/// The name of a core function without one, as of its symbol.
fn core(function: &FunctionRecord) -> String {
    format!("core[{}].func[{}]", function.kind >> 8, function.index)
}

/// The import behind a trampoline, which is called `lower[IMPORT]`.
fn host(function: &FunctionRecord, name: Option<&str>) -> String {
    let Some(name) = name else {
        return format!("host[{}]", function.index);
    };
    let import = name
        .strip_prefix("lower[")
        .and_then(|rest| rest.strip_suffix(']'));
    import.unwrap_or(name).to_owned()
}

fn builtin(function: &FunctionRecord) -> String {
    match Builtin::ALL.get(function.index as usize) {
        Some(builtin) => format!("builtin[{}]", builtin.name()),
        None => format!("builtin[{}]", function.index),
    }
}

fn glue(kind: u32) -> &'static str {
    match kind {
        function_kind::THUNK => "thunk",
        function_kind::ADAPTER => "adapter",
        function_kind::INIT => "init",
        function_kind::RESOURCE => "resource",
        _ => "function",
    }
}

fn shortened(mut name: String) -> String {
    if name.len() > MAX_NAME_LEN {
        name.truncate(name.floor_char_boundary(MAX_NAME_LEN));
        name.push_str("...");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_without_names_have_numbers() {
        let function = |kind, index| FunctionRecord {
            start: 0,
            kind,
            index,
        };
        let of_core = function(function_kind::CORE | 2 << 8, 7);
        assert_eq!(core(&of_core), "core[2].func[7]");
        let trampoline = function(function_kind::TRAMPOLINE, 3);
        assert_eq!(host(&trampoline, None), "host[3]");
        assert_eq!(
            host(&trampoline, Some("lower[a:b/c#[method]d]")),
            "a:b/c#[method]d"
        );
        assert_eq!(host(&trampoline, Some("stream.read[1]")), "stream.read[1]");
        let grow = function(function_kind::BUILTIN, Builtin::MemoryGrow as u32);
        assert_eq!(builtin(&grow), "builtin[memory_grow]");
        assert_eq!(
            builtin(&function(function_kind::BUILTIN, 999)),
            "builtin[999]"
        );
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(shortened("ö".repeat(500)), "ö".repeat(500));
        assert_eq!(shortened(format!("a{}", "ö".repeat(500))).len(), 999 + 3);
    }
}
