//! Makes artifacts known to gdb, by the interface that it has for compilers at run time
//! (<https://sourceware.org/gdb/current/onlinedocs/gdb.html/JIT-Interface.html>).
//!
//! gdb wants an ELF file in memory, with the addresses where things are now. So a file is made of
//! the parts of the artifact, or of the file beside it, that are for debuggers; the others are
//! there in name only.

use cwasm_format::debug::{ADDRESSES, addresses, is_debuggable, section};

use super::debug::beside;
use crate::fork;
use crate::sys::jit::Registered;

/// Bytes of the header of an ELF file, and of that of a section.
const FILE_HEADER: usize = 0x40;
const SECTION_HEADER: usize = 0x40;
/// Bytes of a symbol.
const SYMBOL: usize = 24;

/// Types of sections, and a flag of those that are mapped.
const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u64 = 2;

/// An artifact that gdb knows, until this is dropped.
pub(super) struct Known(Option<Registered>);

impl Drop for Known {
    fn drop(&mut self) {
        let _held = fork::hold();
        drop(self.0.take());
    }
}

/// Makes an artifact known that is mapped where its bytes are. `None` if it has nothing for
/// debuggers.
pub(super) fn register(artifact: &[u8]) -> Option<Known> {
    if !is_debuggable(artifact) {
        return None;
    }
    let base = artifact.as_ptr().addr() as u64;
    let image = match section(artifact, ".symtab") {
        Some(_) => image(artifact, base)?,
        None => image(&beside(artifact)?, base)?,
    };
    let _held = fork::hold();
    Some(Known(Some(Registered::new(image.into()))))
}

/// The file for gdb: `None` if `file` is not such a file.
fn image(file: &[u8], base: u64) -> Option<Vec<u8>> {
    let mut image = file.get(..FILE_HEADER)?.to_vec();
    let start = usize::try_from(word(file, 0x28)?).ok()?;
    let count = usize::from(u16::from_le_bytes(*file.get(0x3c..)?.first_chunk()?));
    let headers = file.get(start..start.checked_add(count * SECTION_HEADER)?)?;
    let mut headers: Vec<[u8; SECTION_HEADER]> = headers.as_chunks().0.to_vec();
    // Where sections are in the image, by the place that they have in the file.
    let mut places = Vec::new();
    for header in &mut headers {
        let kind = u32::from_le_bytes(*header[4..].first_chunk()?);
        let (flags, address) = (word(header, 0x08)?, word(header, 0x10)?);
        let (offset, size) = (word(header, 0x18)?, word(header, 0x20)?);
        if flags & SHF_ALLOC != 0 {
            put(header, 0x04, &SHT_NOBITS.to_le_bytes());
            put(header, 0x10, &base.wrapping_add(address).to_le_bytes());
            put(header, 0x18, &0u64.to_le_bytes());
            continue;
        }
        let start = usize::try_from(offset).ok()?;
        let bytes = file.get(start..start.checked_add(usize::try_from(size).ok()?)?);
        let is_wanted = matches!(kind, SHT_PROGBITS | SHT_SYMTAB | SHT_STRTAB);
        let Some(bytes) = bytes.filter(|_| is_wanted) else {
            // A section that there is not is all zeros.
            header.fill(0);
            continue;
        };
        image.resize(image.len().next_multiple_of(8), 0);
        let place = image.len();
        image.extend_from_slice(bytes);
        put(header, 0x18, &(place as u64).to_le_bytes());
        places.push((start, place));
        if kind == SHT_SYMTAB {
            for symbol in image[place..].as_chunks_mut::<SYMBOL>().0 {
                relocate(symbol, 8, base);
            }
        }
    }
    // An offset in a section of the file is as far from its start in the image.
    if let Some(known) = section(file, ADDRESSES) {
        let mut at = None;
        addresses(known, |name, offset| {
            let last = at.take().filter(|(known, _): &(String, _)| known == name);
            let place = last.map(|(_, place)| place).or_else(|| {
                let start = section(file, name)?.as_ptr().addr() - file.as_ptr().addr();
                places
                    .iter()
                    .find(|(from, _)| *from == start)
                    .map(|(_, to)| *to)
            });
            if let Some(place) = place {
                relocate(&mut image, place.saturating_add(offset as usize), base);
                at = Some((name.to_owned(), place));
            }
        })?;
    }
    let start = image.len().next_multiple_of(8);
    image.resize(start, 0);
    image.extend(headers.as_flattened());
    put(&mut image, 0x28, &(start as u64).to_le_bytes());
    // No program headers.
    put(&mut image, 0x20, &0u64.to_le_bytes());
    put(&mut image, 0x38, &0u16.to_le_bytes());
    Some(image)
}

fn word(bytes: &[u8], offset: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(offset..)?.first_chunk()?))
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    let place = bytes
        .get_mut(offset..)
        .and_then(|bytes| bytes.get_mut(..value.len()));
    if let Some(place) = place {
        place.copy_from_slice(value);
    }
}

/// Adds to the address at an offset.
fn relocate(bytes: &mut [u8], offset: usize, base: u64) {
    if let Some(address) = word(bytes, offset) {
        put(bytes, offset, &base.wrapping_add(address).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_taken() {
        assert_eq!(image(&[], 0), None);
        let mut file = vec![0xffu8; 0x200];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        assert_eq!(image(&file, 1 << 40), None);
        file[0x28..0x30].copy_from_slice(&0x40u64.to_le_bytes());
        for count in [0u16, 1, 5, 7, 8] {
            file[0x3c..0x3e].copy_from_slice(&count.to_le_bytes());
            for byte in [0, 1, 2, 3, 8, 0xff] {
                file[0x40..].fill(byte);
                image(&file, 1 << 40);
            }
        }
    }
}
