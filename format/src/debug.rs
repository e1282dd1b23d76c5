//! Sections for tools and for backtraces, which the header does not name.
//!
//! With `--debug` they are in the artifact; with `--debug=split` in a file of their own beside it,
//! `NAME.cwasm.debug`, whose `.note.gnu.build-id` is that of the artifact.
//!
//! | section | |
//! |---|---|
//! | `.note.gnu.build-id` | which artifact it belongs to |
//! | `.cwasm.names` | the names of functions, see [`crate::names`]; in the artifact the header names it |
//! | `.cwasm.lines` | where machine code comes from, see `lines` |

/// The section of lines.
pub const LINES: &str = ".cwasm.lines";

/// The section of the build id: a note as the GNU toolchain writes it.
pub const BUILD_ID: &str = ".note.gnu.build-id";

/// Bytes of a build id.
pub const BUILD_ID_LEN: usize = 20;

/// The bytes of a note before the id: lengths of name and id, type, name.
const NOTE_LEN: usize = 16;

/// The contents of the section [`BUILD_ID`].
#[cfg(feature = "write")]
pub fn note(id: &[u8; BUILD_ID_LEN]) -> Vec<u8> {
    /// `NT_GNU_BUILD_ID`.
    const NOTE_TYPE: u32 = 3;
    let mut note = Vec::with_capacity(NOTE_LEN + BUILD_ID_LEN);
    for word in [4, BUILD_ID_LEN as u32, NOTE_TYPE] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"GNU\0");
    note.extend(id);
    note
}

/// The build id of an ELF file; `None` if it has none that is ours.
pub fn build_id(file: &[u8]) -> Option<&[u8]> {
    let note = section(file, BUILD_ID)?;
    (note.len() == NOTE_LEN + BUILD_ID_LEN).then_some(&note[NOTE_LEN..])
}

/// The contents of a section of an ELF file of 64 bits, by its name. Any bytes may be given: `None`
/// for what is not such a file, or has no such section.
pub fn section<'f>(file: &'f [u8], name: &str) -> Option<&'f [u8]> {
    if !file.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let headers = usize::try_from(number(file, 0x28, 8)?).ok()?;
    let size = number(file, 0x3a, 2)? as usize;
    let count = number(file, 0x3c, 2)? as usize;
    let names = number(file, 0x3e, 2)? as usize;
    let header = |index: usize| {
        let start = headers.checked_add(index.checked_mul(size)?)?;
        file.get(start..start.checked_add(0x40)?)
    };
    let contents = |header: &[u8]| {
        let start = usize::try_from(number(header, 0x18, 8)?).ok()?;
        let len = usize::try_from(number(header, 0x20, 8)?).ok()?;
        file.get(start..start.checked_add(len)?)
    };
    let names = contents(header(names)?)?;
    let mut found = (0..count).filter_map(header).filter(|header| {
        let start = number(header, 0, 4).unwrap_or(0) as usize;
        let rest = names
            .get(start..)
            .and_then(|names| names.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.first() == Some(&0))
    });
    contents(found.next()?)
}

/// A little-endian number of `len` bytes.
fn number(bytes: &[u8], offset: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(offset..offset.checked_add(len)?)?;
    let digits = bytes.iter().rev();
    Some(digits.fold(0, |value, byte| value << 8 | u64::from(*byte)))
}
