//! Sections that stand for more than their size: parts that thousands of others refer to.

use super::module::{Bytes, CODE_LEN, CODE_START, abbreviations, leb, unit, words};

type Sections = Vec<(&'static str, Bytes)>;

/// How many entries share something.
const COUNT: u32 = 30_000;

/// Tags and names of attributes.
const UNIT: u64 = 0x11;
const FUNCTION: u64 = 0x2e;
const VARIABLE: u64 = 0x34;
const LOCATION: u64 = 0x02;
const NAME: u64 = 0x03;
const LINES: u64 = 0x10;
const LOW: u64 = 0x11;
const HIGH: u64 = 0x12;
const FOLDER: u64 = 0x1b;
const ORIGIN: u64 = 0x31;
const FRAME_BASE: u64 = 0x40;
const SPECIFICATION: u64 = 0x47;
const RANGES: u64 = 0x55;
const LINKAGE_NAME: u64 = 0x6e;

/// Forms.
const ADDRESS: u64 = 0x01;
const DATA4: u64 = 0x06;
const STRING: u64 = 0x08;
const STRP: u64 = 0x0e;
const REF4: u64 = 0x13;
const OFFSET: u64 = 0x17;
const EXPRESSION: u64 = 0x18;
const FLAG_PRESENT: u64 = 0x19;

/// The values of LOW and HIGH of the module's function.
fn code() -> Bytes {
    words(&[CODE_START, CODE_LEN])
}

fn many(entry: &[u8]) -> Bytes {
    entry.repeat(COUNT as usize)
}

/// A text of ten bytes for each entry.
fn long_text() -> (&'static str, Bytes) {
    (".debug_str", [many(b"0123456789"), vec![0]].concat())
}

fn sections(abbreviations: Bytes, info: Bytes) -> Sections {
    vec![(".debug_abbrev", abbreviations), (".debug_info", info)]
}

/// A unit with the module's function.
pub(super) fn small() -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let table = abbreviations(&[(1, UNIT, true, &[]), (2, FUNCTION, false, code_of)]);
    sections(table, unit(0, &[&[1, 2][..], &code(), &[0]].concat()))
}

/// Functions that share a name.
pub(super) fn long_names(attribute: u64) -> Sections {
    let function = &[(attribute, STRP), (LOW, ADDRESS), (HIGH, DATA4)];
    let table = abbreviations(&[(1, UNIT, true, &[]), (2, FUNCTION, false, function)]);
    let functions = many(&[&[2, 0, 0, 0, 0][..], &code()].concat());
    let mut all = sections(table, unit(0, &[&[1][..], &functions, &[0]].concat()));
    all.push(long_text());
    all
}

/// Units that share their name and folder, each with the module's function.
pub(super) fn unit_names() -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let names = &[(NAME, STRP), (FOLDER, STRP)];
    let table = abbreviations(&[(1, UNIT, true, names), (2, FUNCTION, false, code_of)]);
    let entries = [&[1][..], &words(&[0, 0]), &[2], &code(), &[0]].concat();
    let mut all = sections(table, many(&unit(0, &entries)));
    all.push(long_text());
    all
}

/// Where local 0 says.
const LOCAL_0: [u8; 4] = [0xed, 0, 0, 0x9f];

/// Variables that share a list of places, each four bytes after the start of the frame.
pub(super) fn locations() -> Sections {
    places(&LOCAL_0, &[0x91, 4])
}

/// The same, in two pieces.
pub(super) fn pieces() -> Sections {
    places(&LOCAL_0, &[0x91, 4, 0x93, 4, 0xed, 0, 0, 0x9f, 0x93, 4])
}

/// The same, on the operand stack.
pub(super) fn operands() -> Sections {
    places(&LOCAL_0, &[0xed, 2, 0, 0x9f])
}

/// Variables in a frame whose start takes a hundred steps.
pub(super) fn long_frame() -> Sections {
    let steps = [0x23, 1].repeat(100);
    places(&[&LOCAL_0[..3], &steps, &[0x9f]].concat(), &[0x91, 4])
}

/// Variables that share a list of places, all of them the same, in a frame that starts somewhere.
fn places(frame: &[u8], place: &[u8]) -> Sections {
    let function = &[(LOW, ADDRESS), (HIGH, DATA4), (FRAME_BASE, EXPRESSION)];
    let table = abbreviations(&[
        (1, UNIT, true, &[(LOW, ADDRESS)]),
        (2, FUNCTION, true, function),
        (3, VARIABLE, false, &[(LOCATION, OFFSET)]),
    ]);
    let frame = [&leb(frame.len() as u64), frame].concat();
    let variables = many(&[3, 0, 0, 0, 0]);
    let function = [&[2][..], &code(), &frame, &variables, &[0]].concat();
    let info = unit(0, &[&[1, 0, 0, 0, 0][..], &function, &[0]].concat());
    let range = words(&[CODE_START, CODE_START + CODE_LEN]);
    let len = [place.len() as u8, 0];
    let list = many(&[&range[..], &len, place].concat());
    let mut all = sections(table, info);
    all.push((".debug_loc", [list, vec![0; 8]].concat()));
    all
}

/// Entries with this tag that share a list of ranges.
pub(super) fn ranges(tag: u64) -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let table = abbreviations(&[
        (1, UNIT, true, &[(LOW, ADDRESS)]),
        (2, FUNCTION, true, code_of),
        (3, tag, false, &[(RANGES, OFFSET)]),
    ]);
    let inside = many(&[3, 0, 0, 0, 0]);
    let function = [&[2][..], &code(), &inside, &[0]].concat();
    let info = unit(0, &[&[1, 0, 0, 0, 0][..], &function, &[0]].concat());
    let range = words(&[CODE_START, CODE_START + CODE_LEN]);
    let mut all = sections(table, info);
    all.push((".debug_ranges", [many(&range), vec![0; 8]].concat()));
    all
}

/// A line program of version 4 with so many files in its folder 1, and so many rows.
fn line_program(folder: &[u8], files: usize, rows: usize) -> Bytes {
    let operands = [0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1];
    let tables = [folder, &[0, 0], &b"f\0\x01\0\0".repeat(files), &[0]].concat();
    let header = [&[1, 1, 1, 0xfb, 14, 13][..], &operands, &tables].concat();
    // Sets the address; rows, each an address further; the end.
    let program = [
        &[0, 5, 2][..],
        &words(&[CODE_START]),
        &vec![0x21; rows],
        &[0, 1, 1],
    ]
    .concat();
    let contents = [
        &[4, 0][..],
        &words(&[header.len() as u32]),
        &header,
        &program,
    ]
    .concat();
    [words(&[contents.len() as u32]), contents].concat()
}

/// Files that share the name of a folder.
pub(super) fn folders() -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let unit_of = &[(LINES, OFFSET), (FOLDER, STRP)];
    let table = abbreviations(&[(1, UNIT, true, unit_of), (2, FUNCTION, false, code_of)]);
    let entries = [&[1][..], &words(&[0, 0]), &[2], &code(), &[0]].concat();
    let mut all = sections(table, unit(0, &entries));
    all.push(long_text());
    all.push((".debug_line", line_program(b"src", COUNT as usize, 10)));
    all
}

/// Line programs that begin inside of each other: each is a header, and ends as the one before.
pub(super) fn line_programs() -> Sections {
    let header = line_program(b"", 0, 0);
    let header = &header[..header.len() - 10];
    let count = COUNT as usize / header.len();
    let rest = vec![0x21; COUNT as usize];
    let mut lines = Vec::new();
    for number in 0..count {
        // To the end of the section, as the rest of the header is 8 bytes after the length.
        let after = (count - number) * header.len() + rest.len() - 4;
        lines.extend(words(&[after as u32]));
        lines.extend(&header[4..]);
    }
    lines.extend(rest);
    let table = abbreviations(&[(1, UNIT, false, &[(LINES, OFFSET)])]);
    let units = (0..count).flat_map(|number| {
        let offset = (number * header.len()) as u32;
        unit(0, &[&[1][..], &words(&[offset])].concat())
    });
    let mut all = sections(table, units.collect());
    all.push((".debug_line", lines));
    all
}

/// Units whose tables of abbreviations begin inside of others.
pub(super) fn overlapping_abbreviations() -> Sections {
    // Each has another number than those after it.
    let mut table = Vec::new();
    let mut starts = Vec::new();
    for number in 0..COUNT {
        starts.push(table.len() as u32);
        table.extend([leb(1 + u64::from(number)), leb(UNIT), vec![0, 0, 0]].concat());
    }
    table.push(0);
    let units = starts
        .iter()
        .zip(1..)
        .flat_map(|(start, number)| unit(*start, &leb(number)));
    let info = units.collect();
    sections(table, info)
}

/// Entries of one byte with many attributes.
pub(super) fn attributes() -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let flags = vec![(0x3c, FLAG_PRESENT); 10_000];
    let table = abbreviations(&[
        (1, UNIT, true, &[]),
        (2, FUNCTION, true, code_of),
        (3, VARIABLE, false, &flags),
    ]);
    let function = [&[2][..], &code(), &many(&[3]), &[0]].concat();
    sections(table, unit(0, &[&[1][..], &function, &[0]].concat()))
}

/// The same with attributes of different names, in few entries.
pub(super) fn attribute_names() -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let flags: Vec<(u64, u64)> = (0x2000..0xa000).map(|name| (name, FLAG_PRESENT)).collect();
    let table = abbreviations(&[
        (1, UNIT, true, &[]),
        (2, FUNCTION, true, code_of),
        (3, VARIABLE, false, &flags),
    ]);
    let function = [&[2][..], &code(), &[3; 50], &[0]].concat();
    sections(table, unit(0, &[&[1][..], &function, &[0]].concat()))
}

/// Variables with short names.
pub(super) fn entries() -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let table = abbreviations(&[
        (1, UNIT, true, &[]),
        (2, FUNCTION, true, code_of),
        (3, VARIABLE, false, &[(NAME, STRING)]),
    ]);
    let function = [&[2][..], &code(), &many(b"\x03name\0"), &[0]].concat();
    sections(table, unit(0, &[&[1][..], &function, &[0]].concat()))
}

/// Functions that share a name as C++ encodes it.
pub(super) fn encoded_names() -> Sections {
    let mut all = long_names(LINKAGE_NAME);
    all[2].1 = b"_Z1fSt4pairIS_IS_IS_IiiEiEiEiE\0".to_vec();
    all
}

/// Entries with this tag inside of each other.
pub(super) fn nested(tag: u64) -> Sections {
    let code_of = &[(LOW, ADDRESS), (HIGH, DATA4)];
    let table = abbreviations(&[
        (1, UNIT, true, &[]),
        (2, FUNCTION, true, code_of),
        (3, tag, true, code_of),
    ]);
    let nested = many(&[&[3][..], &code()].concat());
    sections(table, unit(0, &[&[1, 2][..], &code(), &nested].concat()))
}

/// Functions each of which is the next one's, and the last one the first one's.
pub(super) fn circles() -> Sections {
    let function = &[
        (ORIGIN, REF4),
        (SPECIFICATION, REF4),
        (LOW, ADDRESS),
        (HIGH, DATA4),
    ];
    let table = abbreviations(&[(1, UNIT, true, &[]), (2, FUNCTION, false, function)]);
    // After the unit's header and its first entry.
    let place = |number: u32| 12 + 17 * (number % COUNT);
    let functions = (0..COUNT).flat_map(|number| {
        let references = words(&[place(number), place(number + 1)]);
        [&[2][..], &references, &code()].concat()
    });
    let entries = [1].into_iter().chain(functions).chain([0]);
    sections(table, unit(0, &entries.collect::<Bytes>()))
}

/// Functions whose names are where there is no entry, or the middle of one.
pub(super) fn nowhere() -> Sections {
    let function = &[(ORIGIN, REF4), (LOW, ADDRESS), (HIGH, DATA4)];
    let table = abbreviations(&[(1, UNIT, true, &[]), (2, FUNCTION, false, function)]);
    let functions = [0, 3, 24, u32::MAX].map(|place| {
        let reference = words(&[place]);
        [&[2][..], &reference, &code()].concat()
    });
    sections(
        table,
        unit(0, &[&[1][..], &functions.concat(), &[0]].concat()),
    )
}

/// Units that all say that the module's function is theirs.
pub(super) fn same_function() -> Sections {
    let all = small();
    let units = all[1].1.repeat(1000);
    sections(all[0].1.clone(), units)
}
