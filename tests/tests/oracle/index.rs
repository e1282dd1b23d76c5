//! The indices of accesses, and the ways in which code comes to them.

use cwasm::CoreVal;
use cwasm_format::data::GUARD_SIZE;

/// A large number to add, of which 32-bit code takes the low half.
const LARGE: u64 = 0x9000_0000_9000_0001;

/// How code computes an index from its only argument.
#[derive(Clone, Copy, Debug)]
pub(crate) enum How {
    /// It is the argument.
    Argument,
    /// It is known to the compiler.
    Constant(u64),
    /// Twice the argument, whose highest bit is lost.
    ShiftLeft,
    /// The high bits of the argument.
    ShiftRight,
    /// The argument plus this, which may wrap.
    Add(u64),
    /// The argument as a number of the other width.
    Convert,
    /// The argument sign-extended.
    Extend,
    /// It is kept during a call of another function, with more other values than there are
    /// registers.
    Spilled,
}

/// All but constants.
const COMPUTED: [How; 8] = [
    How::Argument,
    How::ShiftLeft,
    How::ShiftRight,
    How::Add(16),
    How::Add(LARGE),
    How::Convert,
    How::Extend,
    How::Spilled,
];

/// All ways, for accesses of `width` bytes at `offset` to a memory of `size` bytes.
pub(crate) fn all(size: u64, offset: u64, width: u64, is_64: bool) -> Vec<How> {
    let end = size.wrapping_sub(offset);
    let constants = [
        0,
        end.wrapping_sub(width),
        end.wrapping_sub(width - 1),
        size,
        1 << 31,
        !0,
    ];
    let constants =
        constants.map(|index| How::Constant(if is_64 { index } else { index & MAX_32 }));
    COMPUTED.into_iter().chain(constants).collect()
}

const MAX_32: u64 = u32::MAX as u64;

/// The constant offsets of accesses: around powers of two, and what decides whether an access to a
/// memory with a guard is compared.
pub(crate) fn offsets(is_64: bool) -> Vec<u64> {
    let mut offsets = vec![0, 1, 7, 8, GUARD_SIZE - 4, GUARD_SIZE, GUARD_SIZE + 1];
    offsets.extend([(1 << 31) - 1, (1 << 31) + 1, MAX_32]);
    if is_64 {
        offsets.extend([1 << 32, 1 << 63, !0 - 8, !0]);
    }
    offsets
}

/// The indices of accesses at `offset` to a memory of `size` bytes: around its end, around powers
/// of two, and where their sum with the offset is more than the index type holds.
pub(crate) fn indices(size: u64, offset: u64, is_64: bool) -> Vec<u64> {
    let mut indices = vec![0, MAX_32];
    let mut around = |middle: u64, distance: u64| {
        indices.extend((0..=2 * distance).map(|i| middle.wrapping_sub(distance).wrapping_add(i)));
    };
    around(size, 16);
    around(size.wrapping_sub(offset), 16);
    around(size / 2, 1);
    around(1 << 31, 1);
    let end = if is_64 { 0 } else { 1 << 32 };
    around(0u64.wrapping_sub(offset).wrapping_add(end), 1);
    around(
        size.wrapping_sub(offset).wrapping_add(end).wrapping_sub(8),
        1,
    );
    if is_64 {
        around(1 << 32, 1);
        around(1 << 63, 1);
        around(!0 - 8, 8);
    } else {
        indices.retain(|index| *index <= MAX_32);
    }
    indices.sort_unstable();
    indices.dedup();
    indices
}

impl How {
    /// The type of the argument.
    pub(crate) fn parameter(self, is_64: bool) -> &'static str {
        let is_wide = match self {
            How::Convert | How::Extend if is_64 => false,
            How::ShiftRight | How::Convert | How::Spilled => true,
            _ => is_64,
        };
        index_type(is_wide)
    }

    /// The body of a function: what `access` makes of the index.
    pub(crate) fn body(self, is_64: bool, access: impl Fn(&str) -> String) -> String {
        let ty = index_type(is_64);
        let index = match self {
            How::Argument => "(local.get 0)".to_owned(),
            How::Constant(index) => format!("({ty}.const {index})"),
            How::ShiftLeft => format!("({ty}.shl (local.get 0) ({ty}.const 1))"),
            How::ShiftRight if is_64 => "(i64.shr_u (local.get 0) (i64.const 3))".to_owned(),
            How::ShiftRight => "(i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32)))".to_owned(),
            How::Add(number) => {
                let number = if is_64 { number } else { number & MAX_32 };
                format!("({ty}.add (local.get 0) ({ty}.const {number}))")
            }
            How::Convert if is_64 => "(i64.extend_i32_u (local.get 0))".to_owned(),
            How::Convert => "(i32.wrap_i64 (local.get 0))".to_owned(),
            How::Extend if is_64 => "(i64.extend_i32_s (local.get 0))".to_owned(),
            How::Extend => "(i32.extend16_s (local.get 0))".to_owned(),
            How::Spilled => return spilled(is_64, &access("(local.get 1)")),
        };
        access(&index)
    }

    /// The argument for an index, if the index can be computed in this way. Bits that do not matter
    /// are set.
    pub(crate) fn argument(self, is_64: bool, index: u64) -> Option<CoreVal> {
        let bits = match self {
            How::Constant(_) => 0,
            How::Argument => index,
            How::Spilled if is_64 => index,
            How::ShiftLeft if index.is_multiple_of(2) => {
                index >> 1 | 1 << if is_64 { 63 } else { 31 }
            }
            How::ShiftRight if !is_64 => index << 32 | 0xdead_beef,
            How::ShiftRight if index >> 61 == 0 => index << 3 | 5,
            How::Add(number) => index.wrapping_sub(number),
            How::Convert if is_64 && index <= MAX_32 => index,
            How::Convert | How::Spilled if !is_64 => index | 0xffff_0001 << 32,
            How::Extend if is_64 && index as i32 as u64 == index => index,
            How::Extend if !is_64 && u64::from(index as i16 as u32) == index => index,
            How::ShiftLeft | How::ShiftRight | How::Convert | How::Extend | How::Spilled => {
                return None;
            }
        };
        Some(value(self.parameter(is_64) == "i64", bits))
    }
}

fn index_type(is_64: bool) -> &'static str {
    if is_64 { "i64" } else { "i32" }
}

fn value(is_64: bool, bits: u64) -> CoreVal {
    match is_64 {
        true => CoreVal::I64(bits as i64),
        false => CoreVal::I32(bits as i32),
    }
}

/// A function body with the index in local 1 while others are live across a call.
fn spilled(is_64: bool, access: &str) -> String {
    const FIRST: usize = 2;
    const COUNT: usize = 20;
    let ty = index_type(is_64);
    let index = if is_64 {
        "(local.get 0)"
    } else {
        "(i32.wrap_i64 (local.get 0))"
    };
    let mut text = format!("(local {ty}{}) (local.set 1 {index})", " i64".repeat(COUNT));
    for local in FIRST..FIRST + COUNT {
        text += &format!(
            "(local.set {local} (i64.mul (local.get 0) (i64.const {})))",
            2 * local + 1
        );
    }
    text += "(call $other (i32.const 1))";
    for local in FIRST..FIRST + COUNT {
        text += &format!("(global.set $sink (i64.xor (global.get $sink) (local.get {local})))");
    }
    text + access
}
