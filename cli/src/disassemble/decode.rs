//! The instructions of a function: decoded, with what its artifact says of them.

use std::collections::BTreeSet;
use std::ops::Range;

use cwasm_format::header::SectionId;
use cwasm_format::{Artifact, TrapCode, traps};
use iced_x86::{Decoder, DecoderOptions, Formatter as _, Instruction, IntelFormatter, OpKind};
use serde::Serialize;

use crate::code::Code;

/// An instruction.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Text offset.
    pub(super) offset: u32,
    /// As hexadecimal digits.
    pub(super) bytes: String,
    /// In Intel's syntax; targets by name.
    pub(super) text: String,
    /// Whether another instruction of the function jumps here.
    pub(super) is_label: bool,
    /// Why it traps, if it may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trap: Option<&'static str>,
    /// What it refers to outside of the text: a section, and the offset in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<String>,
    /// Where it comes from, if the artifact says it.
    #[serde(flatten)]
    pub(super) origin: Option<Origin>,
}

/// Where an instruction comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Origin {
    /// Byte offset of the operator in its core module.
    #[serde(rename = "wasm_offset")]
    pub(super) offset: u64,
    /// File and line, if they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source: Option<String>,
}

/// The instructions at a range of the text. `origin` is asked for the text offset of each.
pub(super) fn decode(
    artifact: &Artifact<'_>,
    code: &Code<'_>,
    range: Range<u32>,
    origin: impl Fn(u32) -> Option<Origin>,
) -> Vec<Row> {
    let text = artifact.section(SectionId::Text);
    let bytes = &text[range.start as usize..range.end as usize];
    // In the file, addresses are offsets.
    let base = artifact.range(SectionId::Text).offset;
    let start = base + u64::from(range.start);
    let mut decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
    let instructions: Vec<Instruction> = decoder.iter().collect();
    let to_text = |address: u64| u32::try_from(address.checked_sub(base)?).ok();
    let targets = instructions.iter().filter_map(branch_target);
    let targets = targets.filter_map(to_text);
    let labels: BTreeSet<u32> = targets.filter(|target| range.contains(target)).collect();
    let mut formatter = formatter();
    let mut rows = Vec::new();
    for instruction in &instructions {
        let offset = (instruction.ip() - base) as u32;
        let place = (offset - range.start) as usize;
        let mut text = String::new();
        formatter.format(instruction, &mut text);
        if let Some(target) = branch_target(instruction) {
            let mnemonic = text.split_whitespace().next().unwrap_or_default();
            let target = to_text(target).map(|target| place_name(code, &range, target));
            text = format!("{mnemonic} {}", target.as_deref().unwrap_or("(bad)"));
        }
        let trap = traps::lookup(
            artifact.trap_blocks(),
            artifact.section(SectionId::TrapBytes),
            offset,
        );
        let data = instruction.is_ip_rel_memory_operand();
        let data = data.then(|| section_at(artifact, instruction.ip_rel_memory_address()));
        rows.push(Row {
            offset,
            bytes: hex(&bytes[place..place + instruction.len()]),
            text,
            is_label: labels.contains(&offset),
            trap: trap.map(TrapCode::message),
            data: data.flatten(),
            origin: origin(offset),
        });
    }
    rows
}

fn formatter() -> IntelFormatter {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_rip_relative_addresses(true);
    formatter
}

fn branch_target(instruction: &Instruction) -> Option<u64> {
    let is_branch = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::NearBranch64;
    is_branch.then(|| instruction.near_branch_target())
}

/// What a jump or call to a text offset is shown as: a label of the function, or another function.
fn place_name(code: &Code<'_>, range: &Range<u32>, target: u32) -> String {
    if range.contains(&target) && target != range.start {
        return label(target);
    }
    let Some(number) = code.at(target) else {
        return format!("{target:#x}");
    };
    let function = &code.functions[number as usize];
    let name = code.shown(function);
    match target - function.range.start {
        0 => name,
        more => format!("{name}+{more:#x}"),
    }
}

pub(super) fn label(offset: u32) -> String {
    format!(".{offset:x}")
}

/// The section that has an address, and the offset in it.
fn section_at(artifact: &Artifact<'_>, address: u64) -> Option<String> {
    let mut sections = SectionId::ALL.iter();
    let (id, range) = sections.find_map(|id| {
        let range = artifact.range(*id);
        let is_inside = address >= range.offset && address - range.offset < range.size;
        is_inside.then_some((id, range))
    })?;
    Some(format!("{}+{:#x}", id.name(), address - range.offset))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
