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
//! | `.debug_info` and the like | with `--dwarf`: DWARF of the machine code |
//! | `.cwasm.addresses` | with `--dwarf`: where addresses are in these |
//!
//! Addresses in DWARF are offsets in the artifact. `.cwasm.addresses` is for who maps the artifact
//! and knows where; all numbers are LEB128:
//!
//! ```text
//! for each section: bytes of its name, the name; count; offset of each address from the last one
//! ```

/// The section of lines.
pub const LINES: &str = ".cwasm.lines";

/// The section of the places of addresses.
pub const ADDRESSES: &str = ".cwasm.addresses";

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
    let id = note.get(NOTE_LEN..)?;
    (id.len() == BUILD_ID_LEN).then_some(id)
}

/// Whether an artifact has anything for tools. Costs next to nothing where it has not: there, the
/// last section but that of the sections' names is one of the header.
pub fn is_debuggable(file: &[u8]) -> bool {
    /// `SHT_STRTAB`, of the names of symbols, and `SHT_NOTE`.
    const TYPES: [u64; 2] = [3, 7];
    let last = || {
        let headers = usize::try_from(number(file, 0x28, 8)?).ok()?;
        let last = (number(file, 0x3e, 2)? as usize).checked_sub(1)?;
        number(file, headers.checked_add(last * 0x40 + 4)?, 4)
    };
    last().is_some_and(|kind| TYPES.contains(&kind))
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

/// The contents of the section [`ADDRESSES`]: of each section, the offsets of addresses in it.
#[cfg(feature = "write")]
pub fn encode_addresses(sections: &[(&str, Vec<u32>)]) -> Vec<u8> {
    let mut out = Vec::new();
    let number = |out: &mut Vec<u8>, mut value: u32| {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    };
    for (name, offsets) in sections.iter().filter(|(_, offsets)| !offsets.is_empty()) {
        number(&mut out, name.len() as u32);
        out.extend(name.as_bytes());
        number(&mut out, offsets.len() as u32);
        let mut last = 0;
        for offset in offsets {
            number(&mut out, offset - last);
            last = *offset;
        }
    }
    out
}

/// Calls `each` with a section's name and an offset in it for each address in DWARF. `None` if the
/// section [`ADDRESSES`] is not as [`encode_addresses`] writes it, after those before the fault.
pub fn addresses(mut bytes: &[u8], mut each: impl FnMut(&str, u32)) -> Option<()> {
    while !bytes.is_empty() {
        let len = leb128(&mut bytes)? as usize;
        let (name, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        let name = core::str::from_utf8(name).ok()?;
        let mut offset = 0u32;
        for _ in 0..leb128(&mut bytes)? {
            offset = offset.checked_add(leb128(&mut bytes)?)?;
            each(name, offset);
        }
    }
    Some(())
}

fn leb128(bytes: &mut &[u8]) -> Option<u32> {
    let (mut value, mut shift) = (0u32, 0);
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}

#[cfg(all(test, feature = "write"))]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back() {
        let sections = [
            (".debug_info", vec![3, 300, 70_000]),
            (".debug_line", vec![]),
            (".debug_loc", vec![0]),
        ];
        let bytes = encode_addresses(&sections);
        let mut found = Vec::new();
        let read = addresses(&bytes, |name, offset| found.push((name.to_owned(), offset)));
        assert_eq!(read, Some(()));
        let expected = sections.iter().flat_map(|(name, offsets)| {
            let offsets = offsets.iter();
            offsets.map(|offset| ((*name).to_owned(), *offset))
        });
        assert_eq!(found, expected.collect::<Vec<_>>());
        for len in 0..bytes.len() {
            addresses(&bytes[..len], |_, _| {});
        }
        assert_eq!(addresses(&[0xff; 40], |_, _| {}), None);
    }

    #[test]
    fn build_ids_have_one_length() {
        for len in 0..60 {
            // Two sections after the header: the note, and the names of sections.
            let mut file = vec![0u8; 0xc0];
            file[..6].copy_from_slice(b"\x7fELF\x02\x01");
            for (place, byte) in [(0x28, 0x40), (0x3a, 0x40), (0x3c, 2), (0x3e, 1)] {
                file[place] = byte;
            }
            let name = [BUILD_ID.as_bytes(), b"\0"].concat();
            (file[0x40 + 0x18], file[0x40 + 0x20]) = (0xc0, len);
            (file[0x80 + 0x18], file[0x80 + 0x20]) = (0xc0 + len, name.len() as u8);
            file.extend((0..len).chain(name));
            let id: Vec<u8> = (16..36).collect();
            assert_eq!(build_id(&file), (len == 36).then_some(&id[..]), "{len}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let mut file = vec![0u8; 0x80];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(section(&file, LINES), None);
        for place in 0x28..0x40 {
            for byte in [1, 0x40, 0x7f, 0xff] {
                let mut file = file.clone();
                file[place] = byte;
                file[place + 1] = byte;
                assert_eq!(section(&file, LINES), None);
                assert_eq!(build_id(&file), None);
            }
        }
    }
}
