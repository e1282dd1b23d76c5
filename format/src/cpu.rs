//! CPU levels, and the feature bits that an artifact requires.
//!
//! The x86-64 levels are those of the psABI ("x86-64-ABI", section 3.1.1), under the names that
//! compilers accept for `-march`.

macro_rules! cpu_levels {
    ($($(#[$meta:meta])* $level:ident = $name:literal: $($feature:literal)*;)*) => {
        /// A named set of CPU features that code is compiled for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        pub enum CpuLevel { $($(#[$meta])* $level,)* }

        impl CpuLevel {
            /// All levels, lowest first.
            pub const ALL: &'static [CpuLevel] = &[$(CpuLevel::$level,)*];

            /// The level's name.
            pub const fn name(self) -> &'static str {
                match self { $(CpuLevel::$level => $name,)* }
            }
        }

        /// Each feature, and the lowest level that has it. A feature's place is its bit.
        const FEATURES: &[(&str, CpuLevel)] = &[$($(($feature, CpuLevel::$level),)*)*];
    };
}

// Each level with the features that it adds to those of the lines before it. Bits are part of the
// artifact's ABI: new features come last.
cpu_levels! {
    /// The baseline: SSE2.
    X86_64 = "x86-64":;
    /// SSE4.2, POPCNT, CMPXCHG16B.
    X86_64V2 = "x86-64-v2": "sse3" "ssse3" "sse4.1" "sse4.2" "popcnt" "cx16";
    /// AVX2, BMI, FMA, LZCNT: the default.
    #[default]
    X86_64V3 = "x86-64-v3": "avx" "avx2" "bmi1" "bmi2" "fma" "lzcnt";
    /// AVX-512 F, DQ, VL.
    X86_64V4 = "x86-64-v4": "avx512f" "avx512dq" "avx512vl";
}

/// Features of x86-64 CPUs as bits of [`Header::cpu_features`](crate::header::Header).
pub const X86_64_FEATURES: &[(&str, u64)] = &{
    let mut features = [("", 0); FEATURES.len()];
    let mut bit = 0;
    while bit < FEATURES.len() {
        features[bit] = (FEATURES[bit].0, 1 << bit);
        bit += 1;
    }
    features
};

impl CpuLevel {
    /// The level of this name, if there is one.
    pub fn from_name(name: &str) -> Option<CpuLevel> {
        Self::ALL.iter().copied().find(|level| level.name() == name)
    }

    /// The bits of [`X86_64_FEATURES`] that code of this level may use.
    pub const fn features(self) -> u64 {
        let (mut bits, mut bit) = (0, 0);
        while bit < FEATURES.len() {
            if FEATURES[bit].1 as u8 <= self as u8 {
                bits |= 1 << bit;
            }
            bit += 1;
        }
        bits
    }
}

/// The names of the features in `bits`, for messages.
pub fn feature_names(bits: u64) -> impl Iterator<Item = &'static str> {
    X86_64_FEATURES
        .iter()
        .filter(move |(_, bit)| bits & bit != 0)
        .map(|(name, _)| *name)
}
