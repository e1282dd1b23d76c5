//! The reasons why bytes are not a usable artifact.

/// The fault of an artifact. Small and `Copy`; its text says what was found and what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum FormatError {
    /// Fewer bytes than the header has.
    TooShort {
        /// Bytes found.
        found: u64,
        /// Bytes that a header needs.
        expected: u64,
    },
    /// Not an ELF file at all.
    NotElf {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// WebAssembly where an artifact is expected: it must be compiled first.
    IsWasm,
    /// An ELF file without the artifact's magic.
    NotArtifact {
        /// The eight bytes found in the magic's place.
        found: [u8; 8],
    },
    /// Made for another version of the ABI between artifact and loader.
    AbiVersion {
        /// The artifact's version.
        found: u32,
        /// The lowest version this loader takes.
        min: u32,
        /// The highest version this loader takes.
        max: u32,
    },
    /// Made for another target.
    Target {
        /// The artifact's target number.
        found: u32,
        /// This machine's target number.
        expected: u32,
    },
    /// Needs CPU features that this machine lacks.
    CpuFeatures {
        /// Bits that are needed and missing; see [`crate::cpu`].
        missing: u64,
    },
    /// Truncated or extended: the file's size differs from the one in the header.
    FileSize {
        /// Bytes found.
        found: u64,
        /// Bytes according to the header.
        expected: u64,
    },
    /// The header's own checksum does not match.
    HeaderChecksum {
        /// The checksum of the bytes found.
        found: u64,
        /// The checksum in the header.
        expected: u64,
    },
    /// The digest over the whole file does not match.
    Digest,
    /// The kind field is no known kind.
    Kind {
        /// The number found.
        found: u32,
    },
    /// A component where a core module is expected, or the reverse.
    WrongKind {
        /// The artifact's kind.
        found: crate::header::Kind,
        /// The kind that the caller wants.
        expected: crate::header::Kind,
    },
    /// A section is not inside the file, or has the wrong size or alignment.
    Section {
        /// The section's name.
        name: &'static str,
        /// Its offset in the file.
        offset: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// A record refers to something that does not exist.
    Record {
        /// The record's section.
        section: &'static str,
        /// The record's place in the section.
        index: u32,
        /// The field's name.
        field: &'static str,
        /// The field's value.
        found: u64,
    },
    /// The descriptions cannot be decoded.
    Describe,
    /// The tables of lines cannot be decoded.
    #[cfg(feature = "lines")]
    Lines,
}

impl core::fmt::Display for FormatError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            FormatError::TooShort { found, expected } => {
                write!(
                    f,
                    "truncated artifact: found {found} bytes, expected at least {expected}"
                )
            }
            FormatError::NotElf { found } => write!(
                f,
                "not an artifact: found the bytes {found:02x?} at offset 0, expected an ELF file"
            ),
            FormatError::IsWasm => f.write_str(
                "not an artifact: found WebAssembly, expected the output of `cwasm compile`",
            ),
            FormatError::NotArtifact { found } => write!(
                f,
                "not an artifact: found the bytes {found:02x?} at offset {:#x} of an ELF file, \
                 expected the magic {:02x?}",
                crate::header::HEADER_OFFSET,
                crate::header::MAGIC
            ),
            FormatError::AbiVersion { found, min, max } => write!(
                f,
                "the artifact has ABI version {found}, this loader accepts {min} to {max}: \
                 compile it again"
            ),
            FormatError::Target { found, expected } => write!(
                f,
                "the artifact is for {}, this machine is {}",
                crate::header::target_name(found),
                crate::header::target_name(expected)
            ),
            FormatError::CpuFeatures { missing } => {
                f.write_str("the artifact needs CPU features that this machine lacks:")?;
                let known = crate::cpu::X86_64_FEATURES
                    .iter()
                    .fold(0, |all, (_, bit)| all | bit);
                for name in crate::cpu::feature_names(missing) {
                    write!(f, " {name}")?;
                }
                if missing & !known != 0 {
                    write!(f, " unknown bits {:#x}", missing & !known)?;
                }
                Ok(())
            }
            FormatError::FileSize { found, expected } => write!(
                f,
                "the artifact has {found} bytes, its header says {expected}: it was truncated or \
                 extended"
            ),
            FormatError::HeaderChecksum { found, expected } => write!(
                f,
                "the artifact's header is damaged: found checksum {found:#018x}, expected \
                 {expected:#018x}"
            ),
            FormatError::Digest => {
                f.write_str("the artifact's digest does not match its bytes: it is damaged")
            }
            FormatError::Kind { found } => {
                write!(
                    f,
                    "the artifact is of kind {found}, expected 1 (component) or 2 (module)"
                )
            }
            FormatError::WrongKind { found, expected } => {
                write!(f, "the artifact is a {found}, expected a {expected}")
            }
            FormatError::Section { name, offset, size } => write!(
                f,
                "malformed artifact: section {name} of {size} bytes at offset {offset:#x} is not \
                 well placed"
            ),
            FormatError::Record {
                section,
                index,
                field,
                found,
            } => write!(
                f,
                "malformed artifact: record {index} of section {section} has {field} {found}, \
                 which names nothing"
            ),
            FormatError::Describe => {
                f.write_str("malformed artifact: its descriptions cannot be decoded")
            }
            #[cfg(feature = "lines")]
            FormatError::Lines => {
                f.write_str("malformed debug information: its lines cannot be decoded")
            }
        }
    }
}

impl core::error::Error for FormatError {}
