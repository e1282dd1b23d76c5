//! The records of the core modules that a component imports and exports, and of their instances.

use std::ops::Range;

use cwasm_format::FormatError;
use cwasm_format::exports::{ExportRecord, IMPORTED, kind};
use cwasm_format::header::{PAGE_SIZE, SectionId};
use cwasm_format::modules::{ModuleArgRecord, ModuleInstanceRecord, ModuleType};

use super::{Claims, References, check_name, check_type};
use crate::artifact::records::{RecordId, Records, record_id};
use crate::artifact::text::Code;
use crate::core_types::ExternType;

/// An instance of an imported core module.
#[derive(Debug)]
pub(crate) struct ModuleInstancePlan {
    /// Index of the module's import.
    pub(crate) import: usize,
    /// The code that runs before it is made.
    pub(crate) init: Option<Code>,
    /// Indices of what it is given.
    pub(crate) args: Range<usize>,
    /// Indices of the imports that are its exports.
    pub(crate) exports: Range<usize>,
}

/// Checks the instances of imported modules, and what they are given.
pub(super) fn plan_instances(
    records: &Records<'_>,
    claims: &Claims,
    references: &References,
) -> Result<Box<[ModuleInstancePlan]>, FormatError> {
    let artifact = records.artifact;
    let first = first_core_import(records)?;
    let core_imports = &artifact.imports()[first..];
    let mut end_of_args = 0;
    let mut plan_one = |number: usize, instance: &ModuleInstanceRecord| {
        let record = record_id(SectionId::ModuleInstances, number);
        let import = artifact.imports().get(instance.import as usize);
        if import.is_none_or(|import| import.kind != kind::MODULE) {
            return Err(record.error("import", instance.import));
        }
        let args = instance.args as usize..instance.args as usize + instance.arg_count as usize;
        let Some(found) = artifact.module_args().get(args.clone()) else {
            return Err(record.error("args", instance.args));
        };
        if args.start != end_of_args {
            return Err(record.error("args", instance.args));
        }
        end_of_args = args.end;
        // Only what was there before can be given.
        let start = core_imports.partition_point(|import| (import.index as usize) < number);
        let end = core_imports.partition_point(|import| (import.index as usize) <= number);
        for (index, arg) in found.iter().enumerate() {
            let record = record_id(SectionId::ModuleArgs, args.start + index);
            check_name(records, record, "module", arg.module)?;
            let given = &core_imports[..start];
            let known = check_arg(records, (claims, references), record, arg, |import| {
                given.get(import).is_some_and(|it| it.kind == arg.item.kind)
            })?;
            if !known {
                return Err(record.error("index", arg.item.index));
            }
        }
        Ok(ModuleInstancePlan {
            import: instance.import as usize,
            init: records.optional_code(record, "init", instance.init)?,
            args,
            exports: first + start..first + end,
        })
    };
    let instances = artifact.module_instances().iter().enumerate();
    instances
        .map(|(number, instance)| plan_one(number, instance))
        .collect()
}

fn check_arg(
    records: &Records<'_>,
    (claims, references): (&Claims, &References),
    record: RecordId,
    arg: &ModuleArgRecord,
    is_import: impl FnOnce(usize) -> bool,
) -> Result<bool, FormatError> {
    check_name(records, record, "name", arg.item.name)?;
    check_type(records, record, arg.item.kind, arg.item.core_type)?;
    if arg.item.index & IMPORTED != 0 {
        Ok(is_import((arg.item.index & !IMPORTED) as usize))
    } else {
        references.check_item(records, claims, record, &arg.item)
    }
}

/// Checks that imports of core kinds come last, by the instances that export them, and where the
/// first is.
fn first_core_import(records: &Records<'_>) -> Result<usize, FormatError> {
    let artifact = records.artifact;
    let imports = artifact.imports();
    let is_core = |kind: u32| kind >= kind::CORE_FUNC;
    let first = imports.iter().position(|import| is_core(import.kind));
    let first = first.unwrap_or(imports.len());
    let mut last = 0;
    for (index, import) in imports.iter().enumerate().skip(first) {
        let record = record_id(SectionId::Imports, index);
        let instances = artifact.module_instances().len();
        if import.index < last || import.index as usize >= instances {
            return Err(record.error("index", import.index));
        }
        last = import.index;
        if !is_core(import.kind) {
            return Err(record.error("kind", import.kind));
        }
        check_type(records, record, import.kind, import.core_type)?;
    }
    Ok(first)
}

/// Checks the type of an imported module.
pub(super) fn check_module_type(
    records: &Records<'_>,
    record: RecordId,
    core_type: cwasm_format::exports::StrRef,
) -> Result<(), FormatError> {
    let bytes = records.artifact.string_bytes(core_type);
    let ty = bytes.and_then(ModuleType::decode);
    let is_sound = |ty: ModuleType| {
        let imports = ty.imports.iter().map(|(_, item)| item);
        let mut items = imports.chain(&ty.exports);
        items.all(|item| ExternType::decode(item.kind, &item.core_type).is_some())
    };
    match ty.is_some_and(is_sound) {
        true => Ok(()),
        false => Err(record.error("core_type", core_type.offset)),
    }
}

/// Checks an export that is a module.
pub(super) fn check_export(
    records: &Records<'_>,
    record: RecordId,
    export: &ExportRecord,
) -> Result<(), FormatError> {
    let artifact = records.artifact;
    if export.index & IMPORTED != 0 {
        let import = artifact.imports().get((export.index & !IMPORTED) as usize);
        return match import.is_some_and(|import| import.kind == kind::MODULE) {
            true => Ok(()),
            false => Err(record.error("index", export.index)),
        };
    }
    let range = export.core_type;
    let end = u64::from(range.offset) + u64::from(range.len);
    let is_inside = end <= artifact.section(SectionId::Modules).len() as u64;
    match is_inside && u64::from(range.offset).is_multiple_of(PAGE_SIZE) {
        true => Ok(()),
        false => Err(record.error("core_type", range.offset)),
    }
}
