//! Names of functions, written with `--debug`.
//!
//! ```text
//! count: u32 | end offset of each name: u32 x count | names, UTF-8
//! ```
//!
//! The k-th name is that of the k-th record of `.cwasm.functions`; an empty one is unknown.

/// Encodes names.
pub fn encode<'a>(names: impl ExactSizeIterator<Item = &'a str> + Clone) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend((names.len() as u32).to_le_bytes());
    let mut end = 0u32;
    for name in names.clone() {
        end += name.len() as u32;
        out.extend(end.to_le_bytes());
    }
    names.for_each(|name| out.extend(name.as_bytes()));
    out
}

/// The name of function `index`; `None` where it is unknown or `bytes` are not names.
pub fn lookup(bytes: &[u8], index: u32) -> Option<&str> {
    let word = |place: usize| {
        let bytes = bytes.get(place.checked_mul(4)?..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let (count, index) = (word(0)?, index as usize);
    if index >= count {
        return None;
    }
    let start = if index == 0 { 0 } else { word(index)? };
    let names = bytes.get(count.checked_add(1)?.checked_mul(4)?..)?;
    let name = core::str::from_utf8(names.get(start..word(index + 1)?)?).ok()?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        let bytes = encode(["main", "", "größe"].into_iter());
        assert_eq!(lookup(&bytes, 0), Some("main"));
        assert_eq!(lookup(&bytes, 1), None);
        assert_eq!(lookup(&bytes, 2), Some("größe"));
        assert_eq!(lookup(&bytes, 3), None);
        for len in 0..bytes.len() {
            assert_ne!(lookup(&bytes[..len], 2), Some("größe"));
        }
    }
}
