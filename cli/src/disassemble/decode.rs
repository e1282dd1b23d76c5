//! The instructions of a function: decoded, with what its artifact says of them.

use std::ops::Range;

use cwasm_format::header::SectionId;
use cwasm_format::{Artifact, TrapCode, traps};
use iced_x86::{Decoder, DecoderOptions, Formatter as _, Instruction, IntelFormatter, OpKind};
use serde::Serialize;

use super::origins::Origins;
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

/// A function's code. Its instructions are decoded one by one, as there may be very many.
pub(super) struct Instructions<'a> {
    artifact: &'a Artifact<'a>,
    code: &'a Code<'a>,
    range: Range<u32>,
    /// Text offsets that instructions of the function jump to, sorted.
    labels: Vec<u32>,
    /// The traps of the function, sorted.
    traps: Vec<(u32, TrapCode)>,
    /// `None` if the artifact does not say where instructions come from.
    origins: Option<Origins>,
}

impl<'a> Instructions<'a> {
    /// The instructions at a range of the text.
    pub(super) fn new(
        artifact: &'a Artifact<'a>,
        code: &'a Code<'a>,
        range: Range<u32>,
        origins: Option<Origins>,
    ) -> Instructions<'a> {
        let bytes = artifact.section(SectionId::TrapBytes);
        let traps = traps::iter(artifact.trap_blocks(), bytes);
        let traps = traps.filter(|trap| range.contains(&trap.offset));
        let mut traps: Vec<_> = traps.map(|trap| (trap.offset, trap.code)).collect();
        traps.sort_unstable_by_key(|(offset, _)| *offset);
        let mut instructions = Instructions {
            artifact,
            code,
            range,
            labels: Vec::new(),
            traps,
            origins,
        };
        let targets = instructions.decode().filter_map(|instruction| {
            let target = instructions.text_offset(branch_target(&instruction)?)?;
            instructions.range.contains(&target).then_some(target)
        });
        let mut labels: Vec<u32> = targets.collect();
        labels.sort_unstable();
        labels.dedup();
        instructions.labels = labels;
        instructions
    }

    pub(super) fn has_origins(&self) -> bool {
        self.origins.is_some()
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        let mut formatter = formatter();
        let instructions = self.decode();
        instructions.map(move |instruction| self.row(&instruction, &mut formatter))
    }

    /// In a file, addresses are offsets.
    fn base(&self) -> u64 {
        self.artifact.range(SectionId::Text).offset
    }

    fn bytes(&self) -> &'a [u8] {
        let text = self.artifact.section(SectionId::Text);
        &text[self.range.start as usize..self.range.end as usize]
    }

    fn decode(&self) -> impl Iterator<Item = Instruction> {
        let start = self.base() + u64::from(self.range.start);
        Decoder::with_ip(64, self.bytes(), start, DecoderOptions::NONE).into_iter()
    }

    fn text_offset(&self, address: u64) -> Option<u32> {
        u32::try_from(address.checked_sub(self.base())?).ok()
    }

    fn row(&self, instruction: &Instruction, formatter: &mut IntelFormatter) -> Row {
        let offset = (instruction.ip() - self.base()) as u32;
        let place = (offset - self.range.start) as usize;
        let mut text = String::new();
        formatter.format(instruction, &mut text);
        if let Some(target) = branch_target(instruction) {
            let mnemonic = text.split_whitespace().next().unwrap_or_default();
            let target = self.text_offset(target).map(|target| self.name(target));
            text = format!("{mnemonic} {}", target.as_deref().unwrap_or("(bad)"));
        }
        let trap = self.traps.binary_search_by_key(&offset, |(at, _)| *at);
        let is_data = instruction.is_ip_rel_memory_operand();
        let address = instruction.ip_rel_memory_address();
        Row {
            offset,
            bytes: hex(&self.bytes()[place..place + instruction.len()]),
            text,
            is_label: self.labels.binary_search(&offset).is_ok(),
            trap: trap.ok().map(|place| self.traps[place].1.message()),
            data: is_data
                .then(|| section_at(self.artifact, address))
                .flatten(),
            origin: self
                .origins
                .as_ref()
                .and_then(|origins| origins.of(offset..offset + instruction.len() as u32)),
        }
    }

    /// What a jump or call to a text offset is shown as: a label of the function, or another
    /// function.
    fn name(&self, target: u32) -> String {
        if self.range.contains(&target) && target != self.range.start {
            return label(target);
        }
        let Some(number) = self.code.at(target) else {
            return format!("{target:#x}");
        };
        let function = &self.code.functions[number as usize];
        let name = self.code.shown(function);
        match target - function.range.start {
            0 => name.into_owned(),
            more => format!("{name}+{more:#x}"),
        }
    }
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

pub(super) fn label(offset: u32) -> String {
    format!(".{offset:x}")
}

/// The section that has an address, and the offset in it.
fn section_at(artifact: &Artifact<'_>, address: u64) -> Option<String> {
    let mut sections = SectionId::ALL.iter();
    sections.find_map(|id| {
        let range = artifact.range(*id);
        let offset = address.checked_sub(range.offset)?;
        (offset < range.size).then(|| format!("{}+{offset:#x}", id.name()))
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
