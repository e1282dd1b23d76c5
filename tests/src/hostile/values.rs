//! Random types and values.

use super::vals::text;
use crate::random::Random;
use crate::reference::{Shape, Type, Value, flat_count};

const LEAVES: [Type; 13] = [
    Type::Bool,
    Type::S8,
    Type::U8,
    Type::S16,
    Type::U16,
    Type::S32,
    Type::U32,
    Type::S64,
    Type::U64,
    Type::F32,
    Type::F64,
    Type::Char,
    Type::String,
];

/// The types of keys of maps.
const KEYS: [Type; 6] = [
    Type::Bool,
    Type::U8,
    Type::S16,
    Type::U64,
    Type::Char,
    Type::String,
];

/// A type that is nested at most `depth` deep, with any of these handles in it. A new kind of type
/// is one more arm.
pub(crate) fn random_type(random: &mut Random, depth: usize, handles: &[Type]) -> Type {
    let leaf = |random: &mut Random| {
        if !handles.is_empty() && random.one_in(2) {
            return handles[random.below(handles.len())].clone();
        }
        LEAVES[random.below(LEAVES.len())].clone()
    };
    if depth == 0 || !handles.is_empty() && random.one_in(4) {
        return leaf(random);
    }
    let nested = |random: &mut Random| random_type(random, depth - 1, handles);
    let payload = |random: &mut Random| (!random.one_in(3)).then(|| Box::new(nested(random)));
    let some = |random: &mut Random, max: usize| 1 + random.below(max);
    match random.below(19) {
        0..=2 => leaf(random),
        3 | 4 => [Type::Char, Type::String, Type::String, Type::Bool][random.below(4)].clone(),
        5..=7 => Type::List(Box::new(nested(random))),
        8 => Type::Record((0..some(random, 5)).map(|_| nested(random)).collect()),
        9 => Type::Tuple((0..some(random, 4)).map(|_| nested(random)).collect()),
        10 => {
            let payload = |random: &mut Random| payload(random).map(|ty| *ty);
            Type::Variant((0..some(random, 5)).map(|_| payload(random)).collect())
        }
        11 => Type::Enum(random.pick(&[1, 2, 3, 7, 200, 256, 257])),
        12 | 13 => Type::Option(Box::new(nested(random))),
        14 => Type::Result(payload(random), payload(random)),
        15 | 16 => random_fixed_list(random, depth, handles),
        17 => {
            let key = KEYS[random.below(KEYS.len())].clone();
            // Validation has no handles there.
            let value = random_type(random, depth - 1, &[]);
            Type::Map(Box::new(Type::Tuple(vec![key, value])))
        }
        _ => Type::Flags(random.pick(&[1, 3, 8, 9, 16, 17, 31, 32])),
    }
}

/// A list of fixed length: a long one only of what is small.
fn random_fixed_list(random: &mut Random, depth: usize, handles: &[Type]) -> Type {
    let element = random_type(random, depth - 1, handles);
    let len = match flat_count(std::slice::from_ref(&element)) {
        1 => random.pick(&[1, 2, 3, 4, 7, 8, 16, 17, 33, 40]),
        2..=8 => random.pick(&[1, 2, 3, 4, 9]),
        _ => random.pick(&[1, 2]),
    };
    Type::FixedList(Box::new(element), len)
}

/// The types of a function's parameters: some fit in registers, some do not.
pub(crate) fn random_params(random: &mut Random, handles: &[Type]) -> Vec<Type> {
    let depth = random.below(4);
    let mut params: Vec<Type> = (0..random.below(4))
        .map(|_| random_type(random, depth, handles))
        .collect();
    if random.one_in(4) {
        let wide = LEAVES[random.below(LEAVES.len())].clone();
        let at = random.below(params.len() + 1);
        params.insert(at, Type::Tuple(vec![wide; 9 + random.below(9)]));
    }
    params
}

/// A value of the type. `budget` is how many parts it may have, more or less.
pub(crate) fn random_value(random: &mut Random, ty: &Type, budget: &mut usize) -> Value {
    *budget = budget.saturating_sub(1);
    match ty.shape() {
        Shape::Bool => Value::Bool(random.one_in(2)),
        Shape::Int { bytes, signed } => Value::Int(random_int(random, bytes, signed)),
        Shape::Float { bytes: 4 } => {
            let bits = random.pick(&[0, 0x8000_0000, 0x3f80_0000, 0x7f80_0000, 0x7fc0_0000, 1]);
            Value::F32(bits)
        }
        Shape::Float { .. } => {
            let one = 1f64.to_bits();
            Value::F64(random.pick(&[0, 1 << 63, one, 0x7ff0 << 48, 0x7ff8 << 48, 1]))
        }
        Shape::Char => Value::Char(random_char(random, 4)),
        Shape::String => text(random_text(random, budget)),
        Shape::List(element) => {
            let plain = !matches!(element.shape(), Shape::List(_) | Shape::Record(_));
            let max = if plain && random.one_in(6) { 80 } else { 5 };
            let len = random.below(max).min(*budget);
            let items = (0..len).map(|_| random_value(random, element, budget));
            Value::List(items.collect())
        }
        Shape::Record(fields) => {
            let fields = fields.into_iter();
            Value::Record(fields.map(|ty| random_value(random, ty, budget)).collect())
        }
        Shape::Variant(cases) => {
            let case = random.below(cases.len());
            let payload = cases[case].map(|ty| Box::new(random_value(random, ty, budget)));
            Value::Case(case, payload)
        }
        Shape::Flags(count) => {
            let all = u32::MAX >> (32 - count);
            Value::Flags(random.next_u64() as u32 & all)
        }
        Shape::Own(_) | Shape::Borrow(_) => Value::Resource(random.next_u64() as u32),
    }
}

/// Values of the types.
pub(crate) fn random_values(random: &mut Random, types: &[Type]) -> Vec<Value> {
    let mut budget = 200;
    let values = types.iter().map(|ty| random_value(random, ty, &mut budget));
    values.collect()
}

fn random_int(random: &mut Random, bytes: usize, signed: bool) -> i128 {
    let modulus = 1i128 << (8 * bytes);
    let max = if signed { modulus / 2 } else { modulus };
    let any = i128::from(random.next_u64()) % modulus;
    let any = if any >= max { any - modulus } else { any };
    random.pick(&[0, 1, max - 1, max - modulus, any])
}

/// A char of one of the first `classes`: ASCII, Latin-1, two bytes in UTF-16, four bytes there.
fn random_char(random: &mut Random, classes: usize) -> char {
    let chars: &[char] = match random.below(classes) {
        0 => &['a', 'Z', ' ', '\0', '\u{7f}'],
        1 => &['\u{80}', 'é', '\u{ff}'],
        2 => &[
            '\u{100}', '\u{7ff}', '\u{800}', '☃', '\u{d7ff}', '\u{e000}', '\u{ffff}',
        ],
        _ => &['\u{10000}', '🍰', '\u{10ffff}'],
    };
    let any = char::from_u32(random.next_u64() as u32 % 0x11_0000);
    let any = any.filter(|_| classes == 4 && random.one_in(4));
    any.unwrap_or_else(|| random.pick(chars))
}

fn random_text(random: &mut Random, budget: &mut usize) -> String {
    let max = random.pick(&[3, 10, 40, 40, 150]);
    let len = random.below(max);
    *budget = budget.saturating_sub(len / 8);
    let classes = 1 + random.below(4);
    // Mostly chars of the first class, so that others come late.
    let late = random.pick(&[1, 2, 30]);
    let chars = (0..len).map(|_| {
        let classes = if random.one_in(late) { classes } else { 1 };
        random_char(random, classes)
    });
    chars.collect()
}
