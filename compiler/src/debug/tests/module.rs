//! A small core module with debug information of any kind.

pub(super) type Bytes = Vec<u8>;

/// Instructions of the module's only function before it traps.
const STORES: usize = 100;

/// Where the body of the function starts in the code section, and its bytes.
pub(super) const CODE_START: u32 = 3;
pub(super) const CODE_LEN: u32 = (3 + 4 * STORES + 2) as u32;

/// A module with one function and these custom sections.
pub(super) fn module(sections: &[(&str, Bytes)]) -> Bytes {
    let mut body = vec![1, 1, 0x7f];
    for _ in 0..STORES {
        // i32.const 1, local.set 0
        body.extend([0x41, 1, 0x21, 0]);
    }
    // unreachable, end
    body.extend([0x00, 0x0b]);
    assert_eq!(body.len(), CODE_LEN as usize);
    let code = [&[1][..], &leb(body.len() as u64), &body].concat();
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    for (id, contents) in [
        (1, &[1, 0x60, 0, 0][..]),
        (3, &[1, 0]),
        (5, &[1, 0, 1]),
        (7, &[1, 1, b'f', 0, 0]),
        (10, &code),
    ] {
        section(&mut module, id, contents);
    }
    for (name, contents) in sections {
        let contents = [&leb(name.len() as u64), name.as_bytes(), contents].concat();
        section(&mut module, 0, &contents);
    }
    module
}

fn section(module: &mut Bytes, id: u8, contents: &[u8]) {
    module.push(id);
    module.extend(leb(contents.len() as u64));
    module.extend(contents);
}

pub(super) fn leb(mut value: u64) -> Bytes {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

pub(super) fn words(words: &[u32]) -> Bytes {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// An abbreviation: its number, the tag, whether it has children, names and forms of attributes.
pub(super) type Abbreviation<'a> = (u64, u64, bool, &'a [(u64, u64)]);

pub(super) fn abbreviations(all: &[Abbreviation<'_>]) -> Bytes {
    let mut out = Vec::new();
    for (number, tag, has_children, attributes) in all {
        out.extend([leb(*number), leb(*tag)].concat());
        out.push(u8::from(*has_children));
        for (name, form) in *attributes {
            out.extend([leb(*name), leb(*form)].concat());
        }
        out.extend([0, 0]);
    }
    out.push(0);
    out
}

/// A unit of version 4 whose abbreviations are at this offset.
pub(super) fn unit(abbreviations: u32, entries: &[u8]) -> Bytes {
    let contents = [&[4, 0][..], &words(&[abbreviations]), &[4], entries].concat();
    [words(&[contents.len() as u32]), contents].concat()
}
