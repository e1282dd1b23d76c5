//! x86-64. [`cwasm_format::header`] has the machine number of its ELF files.

mod decode;
mod relax;
mod unwind;

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::ir::Opcode;
use cwasm_format::cpu::{CpuLevel, X86_64_FEATURES};
use cwasm_format::header::TARGET_X86_64_LINUX;

use super::Arch;
use crate::error::{Error, Result};

/// `int3`.
const TRAP: u8 = 0xcc;

pub(super) static ARCH: Arch = Arch {
    architecture: target_lexicon::Architecture::X86_64,
    linux: TARGET_X86_64_LINUX,
    // Loops are fastest if few blocks of 32 bytes hold their instructions, which a larger alignment
    // keeps as they are wherever the function is. Vector constants after the code need 16.
    function_align: 32,
    padding: &[TRAP],
    probe_log2: "12",
    cpu_flags,
    // Of SSSE3.
    swizzle: |isa| {
        let has = isa.has_x86_pshufb_lowering();
        has.then_some(Opcode::X86Pshufb)
    },
    relocate,
    relax: relax::relax,
    common_frame: unwind::common,
    frame: unwind::frame,
};

/// Cranelift's flags for the features of a level.
fn cpu_flags(level: CpuLevel) -> Vec<String> {
    let features = X86_64_FEATURES.iter();
    let enabled = features.filter(|(_, bit)| level.features() & bit != 0);
    enabled.map(|(name, _)| cpu_flag(name)).collect()
}

/// Cranelift's flag for a feature.
fn cpu_flag(feature: &str) -> String {
    match feature {
        "cx16" => "has_cmpxchg16b".to_owned(),
        name => format!("has_{}", name.replace('.', "")),
    }
}

/// Relocations are displacements of 32 bits.
fn relocate(code: &mut [u8], offset: u32, kind: Reloc, distance: i64) -> Result<()> {
    match kind {
        Reloc::X86PCRel4 | Reloc::X86CallPCRel4 => {
            let Ok(distance) = i32::try_from(distance) else {
                return Err(Error::limit(
                    "distance between code and data",
                    distance.unsigned_abs(),
                    i32::MAX as u64,
                ));
            };
            code[offset as usize..][..4].copy_from_slice(&distance.to_le_bytes());
            Ok(())
        }
        kind => Err(Error::codegen(
            "the text",
            format!("a relocation of kind {kind:?}"),
        )),
    }
}
