//! x86-64. The machine of its ELF files is said in [`cwasm_format::header`], for the target's
//! number.

use cranelift_codegen::binemit::Reloc;
use cwasm_format::cpu::{CpuLevel, X86_64_FEATURES};
use cwasm_format::header::TARGET_X86_64_LINUX;

use super::Arch;
use crate::error::{Error, Result};

/// `int3`.
const TRAP: u8 = 0xcc;

pub(super) static ARCH: Arch = Arch {
    architecture: target_lexicon::Architecture::X86_64,
    linux: TARGET_X86_64_LINUX,
    // What instruction fetch likes, and vector constants after the code need.
    function_align: 16,
    padding: &[TRAP],
    probe_log2: "12",
    cpu_flags,
    // `pshufb`, of SSSE3.
    has_swizzle: |isa| isa.has_x86_pshufb_lowering(),
    relocate,
};

/// Cranelift's flags for the features of a level.
fn cpu_flags(level: CpuLevel) -> Vec<&'static str> {
    // By bit of the feature.
    const NAMES: [&str; X86_64_FEATURES.len()] = [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_popcnt",
        "has_cmpxchg16b",
        "has_avx",
        "has_avx2",
        "has_bmi1",
        "has_bmi2",
        "has_fma",
        "has_lzcnt",
        "has_avx512f",
        "has_avx512dq",
        "has_avx512vl",
    ];
    let features = level.features();
    let names = NAMES.into_iter().enumerate();
    let enabled = names.filter(|(bit, _)| features & (1 << bit) != 0);
    enabled.map(|(_, name)| name).collect()
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
