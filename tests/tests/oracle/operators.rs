//! The operators that access memory, and what each does with the bytes.

use cwasm_format::TrapCode;

/// The value that operators store, and that atomic ones combine with the bytes; narrower ones use
/// its low part.
pub(crate) const VALUE: u128 = 0xf0e1_d2c3_b4a5_9687_7869_5a4b_3c2d_1e0f;

/// The value that compare-and-exchange writes if the bytes are those of [`VALUE`].
const REPLACEMENT: u64 = 0x1122_3344_5566_7788;

/// The result of an operator, as bits, for the bytes that it accesses, which it may change.
type Effect = dyn Fn(&mut [u8]) -> Result<Option<u128>, TrapCode> + Sync;

/// An operator that accesses memory.
pub(crate) struct Operator {
    pub(crate) name: String,
    /// Bytes that it accesses.
    pub(crate) width: usize,
    /// Whether the address must be a multiple of the width.
    pub(crate) is_atomic: bool,
    /// The type of its result, if it has one.
    pub(crate) result: Option<&'static str>,
    lane: Option<usize>,
    /// The operands after the address.
    operands: String,
    effect: Box<Effect>,
}

impl Operator {
    /// The operator as text, on a memory of this name.
    pub(crate) fn text(&self, memory: &str, offset: u64, address: &str) -> String {
        let Operator { name, operands, .. } = self;
        let lane = self.lane.map_or(String::new(), |lane| lane.to_string());
        format!("({name} {memory} offset={offset} {lane} {address} {operands})")
    }

    /// Applies the operator to the bytes that it accesses; returns the result's bits.
    pub(crate) fn apply(&self, bytes: &mut [u8]) -> Result<Option<u128>, TrapCode> {
        (self.effect)(bytes)
    }

    fn load(
        name: String,
        result: &'static str,
        width: usize,
        value: impl Fn(&[u8]) -> u128 + Sync + 'static,
    ) -> Operator {
        Operator {
            name,
            width,
            is_atomic: false,
            result: Some(result),
            lane: None,
            operands: String::new(),
            effect: Box::new(move |bytes| Ok(Some(value(bytes)))),
        }
    }

    fn store(name: String, ty: &str, width: usize) -> Operator {
        Operator {
            name,
            width,
            is_atomic: false,
            result: None,
            lane: None,
            operands: operand(ty, VALUE),
            effect: Box::new(|bytes| {
                bytes.copy_from_slice(&VALUE.to_le_bytes()[..bytes.len()]);
                Ok(None)
            }),
        }
    }

    /// An atomic operator that replaces the bytes' number and returns the old one.
    fn replace(
        name: String,
        ty: &'static str,
        width: usize,
        operands: String,
        new: impl Fn(u64) -> u64 + Sync + 'static,
    ) -> Operator {
        Operator {
            name,
            width,
            is_atomic: true,
            result: Some(ty),
            lane: None,
            operands,
            effect: Box::new(move |bytes| {
                let old = number(bytes);
                let new = new(old as u64).to_le_bytes();
                bytes.copy_from_slice(&new[..bytes.len()]);
                Ok(Some(old))
            }),
        }
    }
}

/// All of them.
pub(crate) fn operators() -> Vec<Operator> {
    let mut all = Vec::new();
    scalar(&mut all);
    vector(&mut all);
    atomic(&mut all);
    all
}

fn scalar(all: &mut Vec<Operator>) {
    for (ty, width) in [("i32", 4), ("i64", 8), ("f32", 4), ("f64", 8)] {
        all.push(Operator::load(format!("{ty}.load"), ty, width, number));
        all.push(Operator::store(format!("{ty}.store"), ty, width));
    }
    for (ty, size, widths) in [("i32", 4, &[1, 2][..]), ("i64", 8, &[1, 2, 4])] {
        for &width in widths {
            let bits = 8 * width;
            let extend = move |bytes: &[u8]| number(&sign_extended(bytes, size));
            all.push(Operator::load(
                format!("{ty}.load{bits}_u"),
                ty,
                width,
                number,
            ));
            all.push(Operator::load(
                format!("{ty}.load{bits}_s"),
                ty,
                width,
                extend,
            ));
            all.push(Operator::store(format!("{ty}.store{bits}"), ty, width));
        }
    }
}

fn vector(all: &mut Vec<Operator>) {
    const TYPE: &str = "v128";
    all.push(Operator::load("v128.load".into(), TYPE, 16, number));
    all.push(Operator::store("v128.store".into(), TYPE, 16));
    for width in [1, 2, 4] {
        let name = format!("v128.load{}x{}", 8 * width, 8 / width);
        let wider = move |bytes: &[u8], extend: fn(&[u8], usize) -> Vec<u8>| {
            let lanes = bytes.chunks(width).flat_map(|lane| extend(lane, 2 * width));
            number(&lanes.collect::<Vec<u8>>())
        };
        let (signed, unsigned) = (
            move |bytes: &[u8]| wider(bytes, sign_extended),
            move |bytes: &[u8]| wider(bytes, zero_extended),
        );
        all.push(Operator::load(format!("{name}_s"), TYPE, 8, signed));
        all.push(Operator::load(format!("{name}_u"), TYPE, 8, unsigned));
    }
    for width in [1, 2, 4, 8] {
        let bits = 8 * width;
        let splat = move |bytes: &[u8]| number(&bytes.repeat(16 / width));
        all.push(Operator::load(
            format!("v128.load{bits}_splat"),
            TYPE,
            width,
            splat,
        ));
        if width >= 4 {
            all.push(Operator::load(
                format!("v128.load{bits}_zero"),
                TYPE,
                width,
                number,
            ));
        }
        for lane in [0, 16 / width - 1] {
            let place = lane * width..(lane + 1) * width;
            let stored = place.clone();
            let load = move |bytes: &[u8]| {
                let mut lanes = VALUE.to_le_bytes();
                lanes[place.clone()].copy_from_slice(bytes);
                number(&lanes)
            };
            all.push(Operator {
                lane: Some(lane),
                operands: operand(TYPE, VALUE),
                ..Operator::load(format!("v128.load{bits}_lane"), TYPE, width, load)
            });
            all.push(Operator {
                lane: Some(lane),
                effect: Box::new(move |bytes| {
                    bytes.copy_from_slice(&VALUE.to_le_bytes()[stored.clone()]);
                    Ok(None)
                }),
                ..Operator::store(format!("v128.store{bits}_lane"), TYPE, width)
            });
        }
    }
}

fn atomic(all: &mut Vec<Operator>) {
    type Combine = fn(u64, u64) -> u64;
    const CHANGES: [(&str, Combine); 6] = [
        ("add", u64::wrapping_add),
        ("sub", u64::wrapping_sub),
        ("and", |old, value| old & value),
        ("or", |old, value| old | value),
        ("xor", |old, value| old ^ value),
        ("xchg", |_, value| value),
    ];
    for (ty, size, widths) in [("i32", 4, &[1, 2, 4][..]), ("i64", 8, &[1, 2, 4, 8])] {
        for &width in widths {
            let (bits, suffix) = match width == size {
                true => (String::new(), ""),
                false => ((8 * width).to_string(), "_u"),
            };
            let load = format!("{ty}.atomic.load{bits}{suffix}");
            let store = format!("{ty}.atomic.store{bits}");
            let is_atomic = true;
            all.extend([
                Operator {
                    is_atomic,
                    ..Operator::load(load, ty, width, number)
                },
                Operator {
                    is_atomic,
                    ..Operator::store(store, ty, width)
                },
            ]);
            let rmw = format!("{ty}.atomic.rmw{bits}");
            for (change, combine) in CHANGES {
                let name = format!("{rmw}.{change}{suffix}");
                let new = move |old| combine(old, VALUE as u64);
                all.push(Operator::replace(name, ty, width, operand(ty, VALUE), new));
            }
            // What is expected may have more bits than are compared.
            let mask = u64::MAX >> (64 - 8 * width);
            let expected = VALUE as u64 & mask;
            let operands = [expected.into(), REPLACEMENT.into()].map(|bits| operand(ty, bits));
            all.push(Operator::replace(
                format!("{rmw}.cmpxchg{suffix}"),
                ty,
                width,
                operands.concat(),
                move |old| if old == expected { REPLACEMENT } else { old },
            ));
        }
    }
    // No memory here is shared: nobody waits, and nobody can.
    let count = operand("i32", 1);
    let mut notify = Operator::replace("memory.atomic.notify".into(), "i32", 4, count, |old| old);
    notify.effect = Box::new(|_| Ok(Some(0)));
    all.push(notify);
    for (ty, width) in [("i32", 4), ("i64", 8)] {
        let name = format!("memory.atomic.wait{}", 8 * width);
        let operands = operand(ty, VALUE) + &operand("i64", 0);
        let mut wait = Operator::replace(name, "i32", width, operands, |old| old);
        wait.effect = Box::new(|_| Err(TrapCode::ExpectedSharedMemory));
        all.push(wait);
    }
}

/// A constant of this type with the low bits of `bits`.
pub(crate) fn operand(ty: &str, bits: u128) -> String {
    let [low, high] = [bits as u64, (bits >> 64) as u64];
    match ty {
        "i32" => format!("(i32.const {})", low as u32),
        "i64" => format!("(i64.const {low})"),
        "f32" => format!("(f32.reinterpret_i32 (i32.const {}))", low as u32),
        "f64" => format!("(f64.reinterpret_i64 (i64.const {low}))"),
        "v128" => format!("(v128.const i64x2 {low} {high})"),
        ty => unreachable!("no operator takes {ty}"),
    }
}

/// The little-endian number of at most 16 bytes.
fn number(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, byte| number << 8 | u128::from(*byte))
}

fn zero_extended(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut wider = bytes.to_vec();
    wider.resize(size, 0);
    wider
}

fn sign_extended(bytes: &[u8], size: usize) -> Vec<u8> {
    let is_negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let mut wider = bytes.to_vec();
    wider.resize(size, if is_negative { 0xff } else { 0 });
    wider
}
