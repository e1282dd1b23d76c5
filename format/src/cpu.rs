//! CPU levels and the feature bits that an artifact asks for.
//!
//! The x86-64 levels are those of the psABI ("x86-64-ABI", section 3.1.1), the same names that
//! compilers take for `-march`.

/// Features of x86-64 CPUs as bits of [`Header::cpu_features`](crate::header::Header).
pub const X86_64_FEATURES: &[(&str, u64)] = &[
    ("sse3", 1 << 0),
    ("ssse3", 1 << 1),
    ("sse4.1", 1 << 2),
    ("sse4.2", 1 << 3),
    ("popcnt", 1 << 4),
    ("cx16", 1 << 5),
    ("avx", 1 << 6),
    ("avx2", 1 << 7),
    ("bmi1", 1 << 8),
    ("bmi2", 1 << 9),
    ("fma", 1 << 10),
    ("lzcnt", 1 << 11),
    ("avx512f", 1 << 12),
    ("avx512dq", 1 << 13),
    ("avx512vl", 1 << 14),
];

/// A named set of CPU features that code is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CpuLevel {
    /// The baseline: SSE2.
    X86_64,
    /// SSE4.2, POPCNT, CMPXCHG16B.
    X86_64V2,
    /// AVX2, BMI, FMA, LZCNT: the default.
    #[default]
    X86_64V3,
    /// AVX-512 F, DQ, VL.
    X86_64V4,
}

impl CpuLevel {
    /// All levels, lowest first.
    pub const ALL: &'static [CpuLevel] = &[
        CpuLevel::X86_64,
        CpuLevel::X86_64V2,
        CpuLevel::X86_64V3,
        CpuLevel::X86_64V4,
    ];

    /// The level's name.
    pub const fn name(self) -> &'static str {
        match self {
            CpuLevel::X86_64 => "x86-64",
            CpuLevel::X86_64V2 => "x86-64-v2",
            CpuLevel::X86_64V3 => "x86-64-v3",
            CpuLevel::X86_64V4 => "x86-64-v4",
        }
    }

    /// The level of this name, if there is one.
    pub fn from_name(name: &str) -> Option<CpuLevel> {
        Self::ALL.iter().copied().find(|level| level.name() == name)
    }

    /// The bits of [`X86_64_FEATURES`] that code of this level may use.
    pub const fn features(self) -> u64 {
        match self {
            CpuLevel::X86_64 => 0,
            CpuLevel::X86_64V2 => (1 << 6) - 1,
            CpuLevel::X86_64V3 => (1 << 12) - 1,
            CpuLevel::X86_64V4 => (1 << 15) - 1,
        }
    }
}

/// The names of the features in `bits`, for messages.
pub fn feature_names(bits: u64) -> impl Iterator<Item = &'static str> {
    X86_64_FEATURES
        .iter()
        .filter(move |(_, bit)| bits & bit != 0)
        .map(|(name, _)| *name)
}
