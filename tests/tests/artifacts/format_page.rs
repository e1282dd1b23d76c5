//! `docs/format.md`: its tables are made of the format's own constants, offsets and comments.
//!
//! The text between `<!-- KIND NAME -->` and `<!-- end -->` is compared with the one made here.
//! `UPDATE=1 cargo test --workspace --test artifacts format_page` writes it anew, to be reviewed as
//! a diff.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cwasm_format::TrapCode;
use cwasm_format::builtin::{Builtin, Returns, Ty};
use cwasm_format::concurrent::Op;
use cwasm_format::cpu::{CpuLevel, X86_64_FEATURES};
use cwasm_format::header::SectionId;
use cwasm_format::{
    code, concurrent, data, exceptions, exports, header, imports, lookup, modules, resources,
    traps, vmctx,
};
use zerocopy::FromZeros as _;

use crate::common;

/// A field: name, offset, bytes.
type Field = (&'static str, usize, usize);

/// A record: file in `format/src`, name, bytes, fields.
type Record = (&'static str, &'static str, usize, Vec<Field>);

macro_rules! records {
    ($($file:ident::$name:ident { $($field:ident),* })*) => {
        fn records() -> Vec<Record> {
            vec![$({
                type Type = $file::$name;
                let zeros = Type::new_zeroed();
                let fields = vec![$((
                    stringify!($field),
                    std::mem::offset_of!(Type, $field),
                    size_of_val(&zeros.$field),
                )),*];
                (stringify!($file), stringify!($name), size_of::<Type>(), fields)
            }),*]
        }
    };
}

records! {
    header::Header {
        magic, abi_version, target, cpu_features, file_size, kind, context_size, init_thunk,
        thunks_start, type_ids, interrupt_slot, sections, digest, checksum
    }
    header::SectionRange { offset, size }
    exports::StrRef { offset, len }
    exports::ExportRecord { name, kind, index, core_type }
    lookup::ExportSlot { start, len, export, lift, reserved }
    imports::ImportRecord { module, name, kind, slot, hash, core_type, index, uses, is_checked }
    exports::LiftRecord { hash, thunk, post_return, options, flags, func_type, task }
    exports::CanonOptions { memory, realloc, string_encoding, handles, uses, is_64 }
    imports::LowerRecord { import, flags, options }
    resources::ResourceRecord { name, flags, dtor, import, reserved }
    resources::UseRange { start, len }
    resources::HandleTableRecord { slot }
    exceptions::TagRecord { slot, core_instance, index, core_type, name }
    exceptions::CatchSite { return_offset, list }
    exceptions::CatchList { frame_size, context_offset, first, count }
    exceptions::CatchRecord { catches, handler }
    resources::NestRecord { flags }
    concurrent::ConcurrentRecord { flags, slot, handles, may_block }
    concurrent::TaskRecord {
        thunk, post_return, callback, is_async, may_wait, options, func_type, result, instance
    }
    concurrent::OpRecord { op, is_async, options, instance, ty, target, count, align }
    data::MemoryRecord {
        slot, page_log2, is_checked, is_shared, min, max, guard_size, reservation
    }
    data::TableRecord { slot, elements, len }
    data::ImageRecord { target, is_mapped, offset, source, size }
    code::CoreTypeRecord { core_type, array_thunk, host_trampoline }
    code::FuncRefRecord { slot, code, core_type }
    code::RefSlotRecord { slot, source }
    modules::ModuleInstanceRecord { import, init, args, arg_count }
    modules::ModuleArgRecord { module, item }
    code::EntryRecord { return_offset, handler_offset, frame_size, context_offset }
    code::FunctionRecord { start, kind, index }
    traps::TrapBlock { first, position }
    vmctx::VmContext { store, instance, closed, held }
    vmctx::VmStore { builtins, stack_limit, host }
    vmctx::VmMemory { base, byte_len, max_byte_len, page_log2, is_shared, guard }
    vmctx::VmTable { base, len, max, capacity }
    vmctx::VmHandles { base, stack, len, free, max, stack_len, stack_capacity, reserved }
    vmctx::VmConcurrent { storage, number }
    vmctx::VmHandle { rep, ty, lends, scope }
    vmctx::VmFuncRef { code, context, type_id }
    vmctx::VmFuncImport { code, context, func_ref }
    vmctx::VmTag { type_id }
    vmctx::VmHostImport { code, data }
    vmctx::VmHostFunc { store, code, data }
    vmctx::RawReturn { value, status }
}

/// The comment above the line of `source` that starts with `item` within `scope`, as a table has
/// it.
fn comment(source: &str, scope: &str, item: &str) -> String {
    let start = source.find(scope).unwrap_or_else(|| panic!("no `{scope}`"));
    let mut words = String::new();
    for line in source[start..].lines().skip(1) {
        let line = line.trim();
        match line.strip_prefix("///") {
            Some(text) => words = words + " " + text.trim(),
            None if line.starts_with(item) => {
                // A link is a name in a page of its own.
                let mut text = String::new();
                let mut rest = words.trim().trim_end_matches('.');
                while let Some((before, link)) = rest.split_once('[') {
                    let (name, after) = link.split_once(']').expect("a link ends");
                    let after = match after.strip_prefix('(') {
                        Some(target) => target.split_once(')').expect("a link ends").1,
                        None => after,
                    };
                    let name = name.trim_matches('`').trim_start_matches("crate::");
                    write!(text, "{before}`{name}`").unwrap();
                    rest = after;
                }
                return (text + rest).replace('|', "\\|");
            }
            None if line.starts_with('#') => {}
            None => words.clear(),
        }
    }
    panic!("no `{item}` after `{scope}`")
}

fn source(file: &str) -> String {
    std::fs::read_to_string(common::root().join(format!("format/src/{file}.rs"))).unwrap()
}

fn record((file, name, size, fields): &Record) -> String {
    let source = source(file);
    let scope = format!("pub struct {name} {{");
    let mut table =
        format!("`{name}`: {size} bytes\n\n| at | bytes | field | |\n|---|---|---|---|\n");
    let mut end = 0;
    for (field, offset, bytes) in fields {
        assert_eq!(
            *offset, end,
            "{name}.{field}: fields are in order and without gaps"
        );
        end += bytes;
        let comment = comment(&source, &scope, &format!("pub {field}:"));
        writeln!(table, "| {offset} | {bytes} | `{field}` | {comment} |").unwrap();
    }
    assert_eq!(end, *size, "{name}: all fields are listed");
    table
}

fn sections() -> String {
    let source = source("header");
    let mut table = "| | section | bytes of a record | |\n|---|---|---|---|\n".to_owned();
    for id in SectionId::ALL {
        let size = match (id.is_paged(), id.record_size()) {
            (true, _) => "pages".to_owned(),
            (false, 1) => "bytes".to_owned(),
            (false, size) => size.to_string(),
        };
        let comment = comment(&source, "sections! {\n", &format!("{id:?} = "));
        writeln!(
            table,
            "| {} | `{}` | {size} | {comment} |",
            *id as u8,
            id.name()
        )
        .unwrap();
    }
    table
}

fn builtins() -> String {
    let source = source("builtin");
    let mut table =
        "| at | name | after the context | returns | |\n|---|---|---|---|---|\n".to_owned();
    let name_of = |ty: &Ty| format!("{ty:?}").to_lowercase();
    for builtin in Builtin::ALL {
        let params: Vec<String> = builtin.params().iter().map(name_of).collect();
        let returns = match builtin.returns() {
            Returns::Never => "never".to_owned(),
            Returns::Status => "status".to_owned(),
            Returns::Value(ty) => name_of(&ty),
        };
        let comment = comment(&source, "builtins! {\n", &format!("{builtin:?} = "));
        writeln!(
            table,
            "| {} | `{}` | {} | {returns} | {comment} |",
            builtin.table_offset(),
            builtin.name(),
            params.join(", ")
        )
        .unwrap();
    }
    table
}

fn operations() -> String {
    let source = source("concurrent");
    let mut table = "| number | function |\n|---|---|\n".to_owned();
    for op in Op::ALL {
        let comment = comment(&source, "ops! {\n", &format!("{op:?} = "));
        writeln!(table, "| {} | {comment} |", *op as u32).unwrap();
    }
    table
}

fn trap_codes() -> String {
    let mut table = "| number | trap |\n|---|---|\n".to_owned();
    for code in TrapCode::ALL {
        writeln!(table, "| {} | {} |", code.number(), code.message()).unwrap();
    }
    table
}

fn cpu_features() -> String {
    let mut table = "| bit | feature | from level |\n|---|---|---|\n".to_owned();
    for (name, bits) in X86_64_FEATURES {
        let mut levels = CpuLevel::ALL.iter();
        let level = levels.find(|level| level.features() & bits != 0).unwrap();
        writeln!(
            table,
            "| {} | {name} | {} |",
            bits.trailing_zeros(),
            level.name()
        )
        .unwrap();
    }
    table
}

fn constants() -> String {
    use cwasm_format::exports::kind;
    let magic: Vec<String> = header::MAGIC
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut rows: Vec<(&str, String)> = vec![
        ("`MAGIC`", magic.join(" ")),
        ("`HEADER_OFFSET`", format!("{:#x}", header::HEADER_OFFSET)),
        ("`HEADER_END`", format!("{:#x}", header::HEADER_END)),
    ];
    let mut number = |name, value: u64| rows.push((name, value.to_string()));
    number("`ABI_VERSION`", header::ABI_VERSION.into());
    number("`ABI_VERSION_MIN`", header::ABI_VERSION_MIN.into());
    number("`PAGE_SIZE`", header::PAGE_SIZE);
    number("`TARGET_X86_64_LINUX`", header::TARGET_X86_64_LINUX.into());
    number("`NONE`", header::NONE.into());
    number("`NO_INTERRUPTS`", header::NO_INTERRUPTS.into());
    number("`IMPORTED`", exports::IMPORTED.into());
    number("`IMAGE_CONTEXT`", data::IMAGE_CONTEXT.into());
    number("`RESERVATION_32`", data::RESERVATION_32);
    number("`GUARD_SIZE`", data::GUARD_SIZE);
    number("`CHECKED_GUARD_SIZE`", data::CHECKED_GUARD_SIZE);
    number("`MAX_RESERVATION`", data::MAX_RESERVATION);
    number("`MAX_TABLE_ELEMENTS`", data::MAX_TABLE_ELEMENTS);
    number("`MAX_MAPPED_RUNS`", data::MAX_MAPPED_RUNS as u64);
    number("`INTERRUPT_PAGE_SIZE`", vmctx::INTERRUPT_PAGE_SIZE.into());
    number("`PLAIN`", concurrent::PLAIN.into());
    number("`VmHandle::SUBTASK`", vmctx::VmHandle::SUBTASK.into());
    number(
        "`VmHandle::WAITABLE_SET`",
        vmctx::VmHandle::WAITABLE_SET.into(),
    );
    number("`VmHandle::END`", vmctx::VmHandle::END.into());
    number(
        "`VmHandle::ERROR_CONTEXT`",
        vmctx::VmHandle::ERROR_CONTEXT.into(),
    );
    number("`VmHandle::FREE`", vmctx::VmHandle::FREE.into());
    number("flag `MAY_LEAVE`", vmctx::flags::MAY_LEAVE.into());
    number("flag `MAY_NEST`", vmctx::flags::MAY_NEST.into());
    number("kind of a component function", kind::FUNC.into());
    number("kind of an instance", kind::INSTANCE.into());
    number("kind of a resource type", kind::RESOURCE.into());
    number("kind of a core module", kind::MODULE.into());
    number("kind of a core function", kind::CORE_FUNC.into());
    number("kind of a core table", kind::CORE_TABLE.into());
    number("kind of a core memory", kind::CORE_MEMORY.into());
    number("kind of a core global", kind::CORE_GLOBAL.into());
    number("kind of a core tag", kind::CORE_TAG.into());
    number("`catch::TAG`", exceptions::catch::TAG.into());
    number("`catch::ANY`", exceptions::catch::ANY.into());
    number("`catch::REFERENCE`", exceptions::catch::REFERENCE.into());
    number("`catch::BOUNDARY`", exceptions::catch::BOUNDARY.into());
    let mut table = "| | |\n|---|---|\n".to_owned();
    for (name, value) in rows {
        writeln!(table, "| {name} | {value} |").unwrap();
    }
    table
}

#[test]
fn the_page_on_the_format_is_what_the_code_says() {
    let mut parts: BTreeMap<String, String> = records()
        .iter()
        .map(|part| (format!("record {}", part.1), record(part)))
        .collect();
    parts.insert("table sections".to_owned(), sections());
    parts.insert("table builtins".to_owned(), builtins());
    parts.insert("table operations".to_owned(), operations());
    parts.insert("table traps".to_owned(), trap_codes());
    parts.insert("table cpu".to_owned(), cpu_features());
    parts.insert("table constants".to_owned(), constants());

    let path = common::root().join("docs/format.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let mut expected = String::new();
    let mut rest = &page[..];
    while let Some((before, after)) = rest.split_once("<!-- ") {
        let (name, after) = after.split_once(" -->\n").expect("a mark ends its line");
        let part = parts
            .remove(name)
            .unwrap_or_else(|| panic!("nothing is called `{name}`, or twice"));
        let (_, after) = after.split_once("<!-- end -->").expect("a part ends");
        write!(expected, "{before}<!-- {name} -->\n\n{part}\n<!-- end -->").unwrap();
        rest = after;
    }
    expected.push_str(rest);
    assert!(parts.is_empty(), "the page lacks {:?}", parts.keys());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    for (line, (found, expected)) in page.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "docs/format.md:{}: see UPDATE=1", line + 1);
    }
    assert_eq!(page.len(), expected.len(), "docs/format.md: see UPDATE=1");
}

/// What compiled code and loaders of an ABI version agree on, without comments.
fn abi() -> String {
    let mut text = String::new();
    for (_, name, size, fields) in records() {
        let fields = fields
            .iter()
            .map(|(name, at, bytes)| format!(" {name} {at}+{bytes}"));
        let fields: String = fields.collect();
        writeln!(text, "record {name} {size}:{fields}").unwrap();
    }
    for id in SectionId::ALL {
        let (number, size) = (*id as u8, id.record_size());
        writeln!(text, "section {number} {} {size}", id.name()).unwrap();
    }
    for builtin in Builtin::ALL {
        let (at, name) = (builtin.table_offset(), builtin.name());
        let (params, returns) = (builtin.params(), builtin.returns());
        writeln!(text, "builtin {at} {name} {params:?} {returns:?}").unwrap();
    }
    for op in Op::ALL {
        writeln!(text, "operation {} {}", *op as u32, op.name()).unwrap();
    }
    for code in TrapCode::ALL {
        writeln!(text, "trap {} {code:?}", code.number()).unwrap();
    }
    for (name, bits) in X86_64_FEATURES {
        writeln!(text, "feature {bits:#x} {name}").unwrap();
    }
    for row in constants().lines().skip(2) {
        // Which older versions a loader takes is its own affair.
        if !row.contains("ABI_VERSION_MIN") {
            writeln!(text, "constant {row}").unwrap();
        }
    }
    text
}

/// An artifact says the version it was compiled for: then all of it has to be as it was.
#[test]
fn a_version_of_the_abi_does_not_change() {
    let version = header::ABI_VERSION;
    let path = common::root().join(format!("tests/golden/v{version}.txt"));
    let Ok(expected) = std::fs::read_to_string(&path) else {
        assert!(
            std::env::var_os("UPDATE").is_some(),
            "tests/golden/v{version}.txt is not there yet: see UPDATE=1"
        );
        std::fs::write(&path, abi()).unwrap();
        return;
    };
    for (found, expected) in abi().lines().zip(expected.lines()) {
        assert_eq!(
            found, expected,
            "ABI version {version} is in use: raise ABI_VERSION in format/src/header.rs"
        );
    }
    assert_eq!(
        abi().len(),
        expected.len(),
        "ABI version {version} is in use: raise ABI_VERSION in format/src/header.rs"
    );
}

/// No record of the format is left out of the page, but for those that only tools read.
#[test]
fn all_records_are_listed() {
    let listed: Vec<&str> = records().iter().map(|record| record.1).collect();
    let mut found = 0;
    for entry in std::fs::read_dir(common::root().join("format/src")).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() || path.ends_with("state.rs") {
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        for (_, rest) in source
            .match_indices("#[repr(C)]\npub struct ")
            .map(|(at, mark)| source.split_at(at + mark.len()))
        {
            let name = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap();
            // What has no names for its parts is a field of others.
            if rest[name.len()..].starts_with(" {") {
                assert!(listed.contains(&name), "{name} is not in records!");
                found += 1;
            }
        }
    }
    assert!(found > 20, "records are not written as this test expects");
}
