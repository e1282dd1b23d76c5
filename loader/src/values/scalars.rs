//! `bool`, integers, floats and `char`.
#![allow(unsafe_code, reason = "lists of numbers are one copy")]

use cwasm_format::TrapCode;
use cwasm_format::abi::{Flat, FlatType, Layout};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{Types, ValueType};

use super::seal::Seal;
use super::{ComponentType, Lift, LiftContext, Lower, LowerContext, lists};
use crate::error::{Error, Result};

#[cfg(not(target_endian = "little"))]
compile_error!("numbers are copied to guest memory as they are, which is little-endian");

/// A number that lies in Rust's memory as it does in a guest's.
///
/// # Safety
/// - The type is as long as its canonical form, has no padding, and takes any bytes.
pub(super) unsafe trait Plain: Copy {}

/// The bytes of values.
pub(super) fn bytes_of<T: Lower>(items: &[T]) -> &[u8] {
    assert!(T::IS_CANONICAL);
    // SAFETY: the bytes of the slice, none of which is padding (contract of `Lower`, just checked).
    unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), size_of_val(items)) }
}

/// The values that these bytes are.
pub(super) fn copy_of<T: Lift>(bytes: &[u8]) -> Result<Vec<T>> {
    assert!(T::IS_CANONICAL);
    let len = bytes.len() / size_of::<T>();
    let mut items: Vec<T> = lists::reserve(len)?;
    let byte_len = len * size_of::<T>();
    // SAFETY: at most `bytes.len()` bytes, to a buffer of its own with room for `len` elements.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), items.as_mut_ptr().cast(), byte_len) };
    // SAFETY: `len` elements were written, and any bytes are elements (contract of `Lift`,
    // checked).
    unsafe { items.set_len(len) };
    Ok(items)
}

/// The value that these bytes are.
pub(super) fn value_of<T: Lift>(bytes: &[u8]) -> T {
    assert!(T::IS_CANONICAL && bytes.len() == size_of::<T>());
    // SAFETY: so many bytes are there, and any bytes are a value (contract of `Lift`, checked).
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

/// These bytes as numbers where they lie; `None` if they are not aligned for that.
pub(super) fn cast<T: Plain>(bytes: &[u8]) -> Option<&[T]> {
    // SAFETY: any bytes are elements (contract of `Plain`).
    let (before, items, after) = unsafe { bytes.align_to::<T>() };
    (before.is_empty() && after.is_empty()).then_some(items)
}

/// The first bytes, which are there: `load` is called with the bytes of a whole value.
#[inline(always)]
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    match bytes.first_chunk() {
        Some(bytes) => *bytes,
        None => unreachable!("{} bytes are too few for a value of {N}", bytes.len()),
    }
}

macro_rules! component_type {
    ($rust:ty, $name:ident, $flat:ident) => {
        impl ComponentType for $rust {
            // The constants are those of the component type of this name.
            const SEAL: Seal = Seal::KEPT;

            const HASH: TypeHash = TypeHash::primitive(Tag::$name);
            const LAYOUT: Layout = Layout::scalar(size_of::<$rust>() as u32);
            const FLAT: Flat = Flat::one(FlatType::$flat);

            fn describe(_: &mut Types) -> Option<ValueType> {
                Some(ValueType::$name)
            }
        }
    };
}

macro_rules! number {
    ($rust:ty, $name:ident, $flat:ident, |$value:ident| $to_bits:expr, |$bits:ident| $from_bits:expr) => {
        component_type!($rust, $name, $flat);

        // SAFETY: a number has its canonical size, no padding, and takes any bytes.
        unsafe impl Plain for $rust {}

        impl Lower for $rust {
            // Writes the number, which lies in memory as `Plain` says.
            const SEAL: Seal = Seal::KEPT;

            const IS_CANONICAL: bool = true;

            #[inline(always)]
            fn lower_flat(&self, _: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
                let $value = *self;
                out[0] = $to_bits;
                Ok(())
            }

            #[inline(always)]
            fn write(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }

        impl Lift for $rust {
            // Reads the number, which lies in memory as `Plain` says.
            const SEAL: Seal = Seal::KEPT;

            const IS_CANONICAL: bool = true;

            #[inline(always)]
            fn lift_flat(_: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self> {
                let $bits = flat[0];
                Ok($from_bits)
            }

            #[inline]
            fn load(_: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self> {
                Ok(<$rust>::from_le_bytes(first(bytes)))
            }
        }
    };
}

// Signed numbers of less than 32 bits are sign-extended to 32, and zero-extended from there. The
// high bits of what a guest gives are ignored.
number!(u8, U8, I32, |value| u64::from(value), |bits| bits as u8);
number!(u16, U16, I32, |value| u64::from(value), |bits| bits as u16);
number!(u32, U32, I32, |value| u64::from(value), |bits| bits as u32);
number!(u64, U64, I64, |value| value, |bits| bits);
number!(i8, S8, I32, |value| u64::from(value as u32), |bits| bits
    as i8);
number!(i16, S16, I32, |value| u64::from(value as u32), |bits| bits
    as i16);
number!(i32, S32, I32, |value| u64::from(value as u32), |bits| bits
    as i32);
number!(i64, S64, I64, |value| value as u64, |bits| bits as i64);
number!(f32, F32, F32, |value| u64::from(value.to_bits()), |bits| {
    f32::from_bits(bits as u32)
});
number!(f64, F64, F64, |value| value.to_bits(), |bits| {
    f64::from_bits(bits)
});

component_type!(bool, Bool, I32);
component_type!(char, Char, I32);

impl Lower for bool {
    // Writes 0 or 1, which is how Rust has them.
    const SEAL: Seal = Seal::KEPT;

    const IS_CANONICAL: bool = true;

    #[inline(always)]
    fn lower_flat(&self, _: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        out[0] = u64::from(*self);
        Ok(())
    }

    #[inline(always)]
    fn write(&self, bytes: &mut [u8]) {
        bytes[0] = u8::from(*self);
    }
}

impl Lift for bool {
    // Whatever is not 0 is true.
    const SEAL: Seal = Seal::KEPT;

    #[inline(always)]
    fn lift_flat(_: &mut LiftContext<'_>, flat: &[u64]) -> Result<bool> {
        Ok(flat[0] as u32 != 0)
    }

    #[inline]
    fn load(_: &mut LiftContext<'_>, bytes: &[u8]) -> Result<bool> {
        Ok(bytes[0] != 0)
    }
}

impl Lower for char {
    // Writes the scalar value, which is how Rust has it.
    const SEAL: Seal = Seal::KEPT;

    const IS_CANONICAL: bool = true;

    #[inline(always)]
    fn lower_flat(&self, _: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()> {
        out[0] = u64::from(u32::from(*self));
        Ok(())
    }

    #[inline(always)]
    fn write(&self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&u32::from(*self).to_le_bytes());
    }
}

impl Lift for char {
    // Takes Unicode scalar values only.
    const SEAL: Seal = Seal::KEPT;

    #[inline(always)]
    fn lift_flat(_: &mut LiftContext<'_>, flat: &[u64]) -> Result<char> {
        lift_char(flat[0] as u32)
    }

    #[inline]
    fn load(_: &mut LiftContext<'_>, bytes: &[u8]) -> Result<char> {
        lift_char(u32::from_le_bytes(first(bytes)))
    }
}

#[inline]
fn lift_char(number: u32) -> Result<char> {
    match char::from_u32(number) {
        Some(char) => Ok(char),
        None => Err(Error::trapped(TrapCode::InvalidChar)),
    }
}
