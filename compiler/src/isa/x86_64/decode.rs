//! Finds where instructions end, of those that Cranelift emits.

/// What is known of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that does not depend on where it is.
    Other,
    /// One after which no other is executed, and which does not depend on where it is.
    End,
    /// `jmp` to a register or memory: no other is executed after it. A table may follow.
    Indirect,
    /// A direct jump, with its condition, if it has one.
    Branch {
        condition: Option<u8>,
        distance: i32,
    },
    /// A direct call.
    Call,
    /// One with an operand whose address is relative to the end of the instruction. The distance is
    /// so many bytes before that end.
    Relative { distance: i32, from_end: u8 },
    /// Arithmetic with a constant of 32 bits that fits in 8.
    Arithmetic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoded {
    pub(super) len: usize,
    pub(super) kind: Kind,
}

/// The length of a constant operand.
enum Operand {
    None,
    Bytes(usize),
    /// 32 bits; 16 with the prefix for it.
    Full,
}

/// The instruction at the start of `code`; `None` if it is not one that is known.
pub(super) fn decode(code: &[u8]) -> Option<Decoded> {
    let mut at = 0;
    let mut is_16_bits = false;
    while let 0x66 | 0xf0 | 0xf2 | 0xf3 = code.get(at)? {
        is_16_bits |= code[at] == 0x66;
        at += 1;
    }
    let mut is_64_bits = false;
    let mut byte = *code.get(at)?;
    if byte & 0xf0 == 0x40 {
        is_64_bits = byte & 8 != 0;
        at += 1;
        byte = *code.get(at)?;
    }
    at += 1;
    let rest = |at: usize| code.get(at).copied();
    let (has_modrm, operand) = match byte {
        0x0f => {
            let opcode = rest(at)?;
            at += 1;
            match opcode {
                0x80..=0x8f => {
                    let distance = i32_at(code, at)?;
                    let condition = Some(opcode & 0xf);
                    let kind = Kind::Branch {
                        condition,
                        distance,
                    };
                    return Some(Decoded { len: at + 4, kind });
                }
                0x0b => {
                    let kind = Kind::End;
                    return Some(Decoded { len: at, kind });
                }
                0x38 => {
                    at += 1;
                    (true, Operand::None)
                }
                0x3a => {
                    at += 1;
                    (true, Operand::Bytes(1))
                }
                0xc8..=0xcf => (false, Operand::None),
                opcode => (true, operand_of_0f(opcode)?),
            }
        }
        // VEX and EVEX.
        0xc5 => {
            at += 1;
            let opcode = rest(at)?;
            at += 1;
            vector(1, opcode)?
        }
        0xc4 => {
            let map = rest(at)? & 0x1f;
            at += 2;
            let opcode = rest(at)?;
            at += 1;
            vector(map, opcode)?
        }
        0x62 => {
            let map = rest(at)? & 0x7;
            at += 3;
            let opcode = rest(at)?;
            at += 1;
            vector(map, opcode)?
        }
        0x00..=0x3f => match byte & 7 {
            0..=3 => (true, Operand::None),
            4 => (false, Operand::Bytes(1)),
            5 => (false, Operand::Full),
            _ => return None,
        },
        0x50..=0x5f | 0x90 | 0x98 | 0x99 => (false, Operand::None),
        0x63 | 0x84..=0x8b | 0x8d | 0xd0..=0xd3 | 0xfe => (true, Operand::None),
        0x68 => (false, Operand::Full),
        0x69 | 0x81 | 0xc7 => (true, Operand::Full),
        0x6a | 0xa8 | 0xb0..=0xb7 => (false, Operand::Bytes(1)),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => (true, Operand::Bytes(1)),
        0xa9 => (false, Operand::Full),
        0xb8..=0xbf if is_64_bits => (false, Operand::Bytes(8)),
        0xb8..=0xbf => (false, Operand::Full),
        0xc2 | 0xc3 | 0xcc => {
            let len = match byte {
                0xc2 => at + 2,
                _ => at,
            };
            let kind = Kind::End;
            return Some(Decoded { len, kind });
        }
        0xe8 => {
            let kind = Kind::Call;
            return Some(Decoded { len: at + 4, kind });
        }
        0xe9 => {
            let kind = Kind::Branch {
                condition: None,
                distance: i32_at(code, at)?,
            };
            return Some(Decoded { len: at + 4, kind });
        }
        0xf6 | 0xf7 => match (rest(at)? >> 3 & 7, byte) {
            (0 | 1, 0xf6) => (true, Operand::Bytes(1)),
            (0 | 1, _) => (true, Operand::Full),
            _ => (true, Operand::None),
        },
        0xff if rest(at)? >> 3 & 7 == 4 => {
            let len = at + modrm(code, at)?.len;
            let kind = Kind::Indirect;
            return Some(Decoded { len, kind });
        }
        0xff => (true, Operand::None),
        _ => return None,
    };
    let operand_len = match operand {
        Operand::None => 0,
        Operand::Bytes(len) => len,
        Operand::Full if is_16_bits => 2,
        Operand::Full => 4,
    };
    let mut relative = None;
    if has_modrm {
        let place = modrm(code, at)?;
        at += place.len;
        relative = place.is_relative.then(|| i32_at(code, at - 4)).flatten();
    }
    let len = at + operand_len;
    let kind = match relative {
        Some(distance) => Kind::Relative {
            distance,
            from_end: operand_len as u8 + 4,
        },
        None if is_short_arithmetic(code, (byte, at), operand_len) => Kind::Arithmetic,
        None => Kind::Other,
    };
    (len <= code.len()).then_some(Decoded { len, kind })
}

/// Whether this is `add`, `or`, `adc`, `sbb`, `and`, `sub`, `xor` or `cmp` with a constant, at
/// `at`, that is as long as it need not be.
fn is_short_arithmetic(code: &[u8], (opcode, at): (u8, usize), operand_len: usize) -> bool {
    let is_arithmetic = opcode == 0x81 || opcode < 0x40 && opcode & 7 == 5;
    let constant = i32_at(code, at);
    is_arithmetic && operand_len == 4 && constant.is_some_and(|it| i8::try_from(it).is_ok())
}

/// Operands after the opcode of the instructions of the map `0f`, which have a modrm byte.
fn operand_of_0f(opcode: u8) -> Option<Operand> {
    match opcode {
        0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => Some(Operand::Bytes(1)),
        0x0d
        | 0x10..=0x18
        | 0x1f
        | 0x28..=0x2f
        | 0x40..=0x6f
        | 0x74..=0x76
        | 0x7c..=0x7f
        | 0x90..=0x9f
        | 0xa3
        | 0xa5
        | 0xab
        | 0xad..=0xaf
        | 0xb0
        | 0xb1
        | 0xb3
        | 0xb6..=0xb8
        | 0xbb..=0xbf
        | 0xc0
        | 0xc1
        | 0xc3
        | 0xc7
        | 0xd0..=0xfe => Some(Operand::None),
        _ => None,
    }
}

/// Whether an instruction with a VEX or EVEX prefix has a modrm byte, and its constant operand.
fn vector(map: u8, opcode: u8) -> Option<(bool, Operand)> {
    let operand = match (map, opcode) {
        (1, 0x77) => return Some((false, Operand::None)),
        (1, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6) | (3, _) => Operand::Bytes(1),
        (1 | 2, _) => Operand::None,
        _ => return None,
    };
    Some((true, operand))
}

/// A modrm byte with what belongs to it.
struct Modrm {
    len: usize,
    is_relative: bool,
}

fn modrm(code: &[u8], at: usize) -> Option<Modrm> {
    let byte = *code.get(at)?;
    let (mode, rm) = (byte >> 6, byte & 7);
    if mode == 3 {
        return Some(Modrm {
            len: 1,
            is_relative: false,
        });
    }
    let mut len = 1;
    let mut base = rm;
    if rm == 4 {
        base = *code.get(at + 1)? & 7;
        len += 1;
    }
    let is_relative = mode == 0 && rm == 5;
    len += match mode {
        0 if base == 5 => 4,
        0 => 0,
        1 => 1,
        _ => 4,
    };
    Some(Modrm { len, is_relative })
}

fn i32_at(code: &[u8], at: usize) -> Option<i32> {
    let bytes = code.get(at..)?.first_chunk::<4>()?;
    Some(i32::from_le_bytes(*bytes))
}
