//! Values between Rust and guests: which Rust types stand for which component types, and how they
//! are lowered and lifted.
//!
//! ```text
//! Rust value -- lower_flat --> u64 each in a window      (parameters and results in registers)
//!            -- store -------> guest memory at an offset (what is in memory: spilled, in lists)
//! u64s of a window -- lift_flat --> Rust value
//! guest memory     -- load -------> Rust value
//! ```
//!
//! A flat value is one `u64`: 32-bit values zero-extended, floats as their bits. So the joined
//! payloads of variants need no conversion: whatever core type the payloads join to, the bits of
//! the narrower one are the low bits of the wider one.
//!
//! **Invariant:** nothing here decides at run time what is known from the type: layouts, flat
//! forms and hashes are constants, and one comparison of hashes tells whether a function's type is
//! the one that Rust asks for.
#![allow(unsafe_code, reason = "the traits are unsafe to implement")]

mod arrays;
mod context;
mod lists;
mod maps;
mod options;
mod pointers;
mod scalars;
mod strings;
mod transcode;
mod tuples;

#[cfg(test)]
mod tests;

use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{Types, ValueType};

use crate::error::Result;

pub use context::{LiftContext, LowerContext};
pub use lists::{WasmList, WasmListIter};
pub use strings::WasmStr;

pub(crate) use lists::{elements_extent, reserve};
pub(crate) use strings::{pair_of_bytes, pair_of_flat, pair_to_flat, pair_to_memory};

/// A Rust type that stands for a component type.
///
/// | component | Rust |
/// |---|---|
/// | `bool`, integers, floats, `char` | the same |
/// | `string` | `String`, `&str`, `Box<str>`, [`WasmStr`] |
/// | `list<T>` | `Vec<T>`, `&[T]`, `Box<[T]>`, [`WasmList<T>`] |
/// | `list<T, N>` | `[T; N]` |
/// | `map<K, V>` | `HashMap<K, V>`, `BTreeMap<K, V>` |
/// | `option<T>`, `result<T, E>` | `Option<T>`, `Result<T, E>`; `()` for an absent side |
/// | `tuple<A, B>` | `(A, B)`, up to 16 |
///
/// `&T`, `Box<T>`, `Rc<T>` and `Arc<T>` stand for what `T` does.
///
/// # Safety
/// - The constants belong to one component type, and [`describe`](ComponentType::describe) adds
///   that type.
pub unsafe trait ComponentType {
    /// The structural hash of the type.
    const HASH: TypeHash;
    /// How values lie in memory.
    const LAYOUT: Layout;
    /// The flat form.
    const FLAT: Flat;
    /// Whether values read the guest's memory when they are used, so that they must be used before
    /// the guest goes on.
    const HOLDS_VIEWS: bool = false;

    /// Adds the type to `types`, to print it. `None` for `()`, which is no type.
    fn describe(types: &mut Types) -> Option<ValueType>;
}

/// A Rust type whose values can be given to guests.
///
/// # Safety
/// - [`lower_flat`](Lower::lower_flat) and [`store`](Lower::store) write all of the value in the
///   form of its [`ComponentType`].
pub unsafe trait Lower: ComponentType {
    /// Writes the flat form to `out`, which has `FLAT.count()` elements. Only called where the flat
    /// form [fits](Flat::fits).
    ///
    /// # Errors
    /// If the guest's `realloc` fails, or the value is too large for any guest.
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()>;

    /// Writes the value to the guest's memory. As many bytes at `offset` as `LAYOUT` says for the
    /// memory's pointers are inside of it, and `offset` is aligned.
    ///
    /// # Errors
    /// As [`Lower::lower_flat`].
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()>;

    /// Writes the elements of a list. All bytes of them at `offset` are inside the memory.
    ///
    /// # Errors
    /// As [`Lower::lower_flat`].
    fn store_list(items: &[Self], cx: &mut LowerContext<'_>, offset: usize) -> Result<()>
    where
        Self: Sized,
    {
        let size = Self::LAYOUT.at(cx.width()).size as usize;
        for (index, item) in items.iter().enumerate() {
            item.store(cx, offset + index * size)?;
        }
        Ok(())
    }
}

/// A Rust type whose values can be taken from guests.
///
/// # Safety
/// - [`lift_flat`](Lift::lift_flat) and [`load`](Lift::load) read the form of the
///   [`ComponentType`], whatever the bytes are, and refuse what is not a value of it.
pub unsafe trait Lift: ComponentType + Sized {
    /// Reads the flat form: `FLAT.count()` elements. Only called where the flat form
    /// [fits](Flat::fits).
    ///
    /// # Errors
    /// A [`Trap`](crate::Trap) that says what is wrong with the guest's value.
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self>;

    /// Reads a value in memory: as many bytes as `LAYOUT` says for the memory's pointers.
    ///
    /// # Errors
    /// As [`Lift::lift_flat`].
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self>;

    /// Reads the elements of a list: a multiple of a value's bytes.
    ///
    /// # Errors
    /// As [`Lift::lift_flat`].
    fn load_list(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Vec<Self>> {
        let size = Self::LAYOUT.at(cx.width()).size.max(1) as usize;
        let mut items = lists::reserve(bytes.len() / size)?;
        for bytes in bytes.chunks_exact(size) {
            items.push(Self::load(cx, bytes)?);
        }
        Ok(items)
    }

    /// Reads the elements of a list of fixed length: `N` times a value's bytes.
    ///
    /// # Errors
    /// As [`Lift::lift_flat`].
    fn load_array<const N: usize>(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<[Self; N]> {
        let size = Self::LAYOUT.at(cx.width()).size as usize;
        arrays::try_from_fn(|index| Self::load(cx, &bytes[index * size..][..size]))
    }
}

/// The parameters or the results of a function: a tuple, `(A, B)`, `(A,)` or `()`.
///
/// A function has at most one result: `(R,)` or `()`.
///
/// # Safety
/// - The constants belong to the parts of the tuple.
pub unsafe trait ComponentNamedList: ComponentType {
    /// How many there are.
    const LEN: usize;
    /// The hash of these as the parameters of a function.
    const PARAMS_HASH: TypeHash;
    /// The hash of this as the result of a function. That of no type, where there are more.
    const RESULT_HASH: TypeHash;

    /// Adds the parts' types to `types`.
    fn describe_list(types: &mut Types) -> Vec<ValueType>;
}
