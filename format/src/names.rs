//! Names of functions, written with `--debug`.
//!
//! ```text
//! count: u32 | (offset: u32, length: u32) x count | names, UTF-8
//! ```
//!
//! The k-th pair is the name of the k-th record of `.cwasm.functions`, as a range of bytes from the
//! start of the first name. A function with an empty name is unknown. After the functions come, for
//! each core instance, the names of its component and of its module; then, for each memory, those
//! of the core instance that defines it. Equal names are stored once. Any text may be a name.

/// Encodes names; `None` if they are longer than 4 GiB.
#[cfg(feature = "write")]
pub fn encode<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> Option<Vec<u8>> {
    let mut known = std::collections::HashMap::new();
    let mut text = String::new();
    let mut out = Vec::with_capacity(4 + 8 * names.len());
    out.extend(u32::try_from(names.len()).ok()?.to_le_bytes());
    for name in names {
        let offset = *known.entry(name).or_insert_with(|| {
            text.push_str(name);
            text.len() - name.len()
        });
        out.extend(u32::try_from(offset).ok()?.to_le_bytes());
        out.extend(u32::try_from(name.len()).ok()?.to_le_bytes());
    }
    out.extend(text.as_bytes());
    Some(out)
}

/// How many names there are, of functions and of others; 0 where `bytes` are not names.
pub fn count(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_le_bytes)
}

/// The range of name `index` in `bytes`; `None` where there is none.
pub fn range(bytes: &[u8], index: u32) -> Option<core::ops::Range<usize>> {
    let word = |place: usize| {
        let bytes = bytes.get(place.checked_mul(4)?..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let (count, index) = (word(0)?, index as usize);
    if index >= count {
        return None;
    }
    let pair = index.checked_mul(2)?.checked_add(1)?;
    let (offset, len) = (word(pair)?, word(pair.checked_add(1)?)?);
    let start = count.checked_mul(8)?.checked_add(4)?.checked_add(offset)?;
    let end = start.checked_add(len)?;
    (end <= bytes.len()).then_some(start..end)
}

/// The name of function `index`; `None` where it is unknown or `bytes` are not names.
pub fn lookup(bytes: &[u8], index: u32) -> Option<&str> {
    let name = bytes.get(range(bytes, index)?)?;
    let name = core::str::from_utf8(name).ok()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(all(test, feature = "write"))]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let names = ["main", "", "größe", "a\0b", "main", "\n"];
        let bytes = encode(names.into_iter()).unwrap();
        for (index, name) in (0..).zip(names) {
            let expected = (!name.is_empty()).then_some(name);
            assert_eq!(lookup(&bytes, index), expected);
            let range = range(&bytes, index).unwrap();
            assert_eq!(&bytes[range], name.as_bytes());
        }
        assert_eq!((lookup(&bytes, 6), range(&bytes, 6)), (None, None));
        assert_eq!((count(&bytes), count(&bytes[..3])), (6, 0));
        let text = bytes.len() - (4 + 8 * names.len());
        assert_eq!(text, "maingrößea\0b\n".len(), "equal names are there once");
        for len in 0..bytes.len() {
            assert_ne!(lookup(&bytes[..len], 5), Some("\n"));
        }
    }
}
