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
//!
//! **Invariant:** what the traits promise is kept by this crate and the derives alone: the traits
//! are sealed (`seal.rs`).

mod arrays;
mod context;
pub mod derive;
mod error_contexts;
pub(crate) mod handles;
mod lists;
mod maps;
mod options;
mod pointers;
mod scalars;
mod seal;
mod strings;
mod transcode;
mod tuples;
mod variants;

#[cfg(test)]
mod tests;

use cwasm_format::abi::{Flat, Layout};
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{Types, ValueType};

use crate::error::Result;
use crate::values::handles::HandleType;

use seal::Seal;

pub(crate) use context::block_size;
pub use context::{LiftContext, LowerContext};
pub use lists::{WasmList, WasmListIter};
pub use strings::WasmStr;

pub(crate) use lists::{elements_extent, reserve};
#[cfg(feature = "async")]
pub(crate) use strings::{copy_string, lift_short_string};
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
/// | `record`, `variant`, `enum` | structs and enums that derive the traits |
/// | `flags` | what [`flags!`](crate::flags) makes |
/// | `own<R>`, `borrow<R>` | [`Resource<T>`](crate::Resource) or [`ResourceAny`](crate::ResourceAny), for one of the two only in [`Own`](crate::Own) or [`Borrow`](crate::Borrow) |
///
/// `&T`, `Box<T>`, `Rc<T>` and `Arc<T>` stand for what `T` does.
///
/// # Derives
///
/// `ComponentType`, [`Lower`] and [`Lift`] are derived for structs with named fields (a `record`)
/// and for enums whose cases have at most one payload: an `enum` if none has one, else a `variant`;
/// `#[component(variant)]` says that it is a `variant` without payloads. Names are the Rust ones in
/// kebab case, or what `#[component(name = "...")]` says. Where Rust lays a record out as the
/// component model does, without padding, lists of it are one copy: `#[repr(C)]` makes sure of the
/// order.
///
/// ```
/// use cwasm::{ComponentType, Lift, Lower};
///
/// #[derive(ComponentType, Lower, Lift)]
/// struct Customer {
///     /// `user-name` in WIT.
///     user_name: String,
///     #[component(name = "AGE")]
///     age: Option<u8>,
/// }
///
/// #[derive(ComponentType, Lower, Lift)]
/// enum Answer {
///     Nothing,
///     Found(Customer),
/// }
///
/// #[derive(ComponentType, Lower, Lift)]
/// enum Color {
///     Red,
///     Green,
/// }
/// ```
///
/// If the crate goes by another name, `#[component(crate = path)]` on the type says so.
///
/// The trait is sealed: it is derived, and not implemented by hand.
// Promises of implementations:
//
// - The constants belong to one component type, and `describe` adds that type.
pub trait ComponentType {
    /// Says that the promises are kept.
    #[doc(hidden)]
    const SEAL: Seal;
    /// The structural hash of the type.
    #[doc(hidden)]
    const HASH: TypeHash;
    /// How values lie in memory.
    #[doc(hidden)]
    const LAYOUT: Layout;
    /// The flat form.
    #[doc(hidden)]
    const FLAT: Flat;
    /// Whether values read the guest's memory when they are used, so that they must be used before
    /// the guest continues.
    #[doc(hidden)]
    const HOLDS_VIEWS: bool = false;
    /// Whether values point to more of the guest's memory or are handles, so that lowering one does
    /// more than write bytes.
    #[doc(hidden)]
    const HAS_POINTERS: bool = false;

    /// How many handles of resources are in the type: of each part as often as it occurs, of
    /// elements of a list once.
    #[doc(hidden)]
    const HANDLES: usize = 0;

    /// Adds what the handles in the type must be: [`HANDLES`](ComponentType::HANDLES) of them, in
    /// the order of the parts.
    #[doc(hidden)]
    fn handles(_found: &mut Vec<HandleType>) {}

    /// Adds the type to `types`, to print it. `None` for `()`, which is no type.
    #[doc(hidden)]
    fn describe(types: &mut Types) -> Option<ValueType>;
}

/// A Rust type whose values can be given to guests.
///
/// The trait is sealed: it is [derived](ComponentType#derives), and not implemented by hand.
// Promises of implementations:
//
// - `lower_flat`, `store` and `write` write all of the value in the form of its `ComponentType`.
// - If `IS_CANONICAL`, the type's size is the size that `LAYOUT` says, and the bytes of a value,
//   none of which is padding, are its form in memory.
pub trait Lower: ComponentType {
    /// Says that the promises are kept.
    #[doc(hidden)]
    const SEAL: Seal;
    /// Whether values lie in Rust's memory as they do in a guest's: lists of them are one copy.
    #[doc(hidden)]
    const IS_CANONICAL: bool = false;

    /// Writes the flat form to `out`, which has `FLAT.count()` elements. Only called where the flat
    /// form [fits](Flat::fits).
    ///
    /// # Errors
    /// If the guest's `realloc` fails, or the value is too large for any guest.
    #[doc(hidden)]
    fn lower_flat(&self, cx: &mut LowerContext<'_>, out: &mut [u64]) -> Result<()>;

    /// Writes the value to the guest's memory. As many bytes at `offset` as `LAYOUT` says for the
    /// memory's pointers are inside of it, and `offset` is aligned.
    ///
    /// # Errors
    /// As [`Lower::lower_flat`].
    #[doc(hidden)]
    #[inline]
    fn store(&self, cx: &mut LowerContext<'_>, offset: usize) -> Result<()> {
        self.write(cx.bytes_mut(offset, Self::LAYOUT.plain().size as usize));
        Ok(())
    }

    /// Writes the value to as many bytes as `LAYOUT` says of the guest's memory. Only called of
    /// types without [pointers](ComponentType::HAS_POINTERS).
    #[doc(hidden)]
    fn write(&self, bytes: &mut [u8]) {
        unreachable!(
            "a value with pointers is stored, not written to {} bytes",
            bytes.len()
        );
    }

    /// Writes the elements of a list. All bytes of them at `offset` are inside the memory.
    ///
    /// # Errors
    /// As [`Lower::lower_flat`].
    #[doc(hidden)]
    fn store_list(items: &[Self], cx: &mut LowerContext<'_>, offset: usize) -> Result<()>
    where
        Self: Sized,
    {
        let size = Self::LAYOUT.at(cx.width()).size as usize;
        if Self::IS_CANONICAL {
            cx.write(offset, scalars::bytes_of(items));
        } else if !Self::HAS_POINTERS && size != 0 {
            let places = cx
                .bytes_mut(offset, items.len() * size)
                .chunks_exact_mut(size);
            items
                .iter()
                .zip(places)
                .for_each(|(item, place)| item.write(place));
        } else {
            for (index, item) in items.iter().enumerate() {
                item.store(cx, offset + index * size)?;
            }
        }
        Ok(())
    }
}

/// A Rust type whose values can be taken from guests.
///
/// The trait is sealed: it is [derived](ComponentType#derives), and not implemented by hand.
// Promises of implementations:
//
// - `lift_flat` and `load` read the form of the `ComponentType`, whatever the bytes are, and refuse
//   bytes that are not a value of it.
// - If `IS_CANONICAL`, the type's size is the size that `LAYOUT` says, and any bytes of a guest's
//   memory are the value that they stand for.
pub trait Lift: ComponentType + Sized {
    /// Says that the promises are kept.
    #[doc(hidden)]
    const SEAL: Seal;
    /// Whether values lie in Rust's memory as they do in a guest's, and any bytes are one: lists of
    /// them are one copy.
    #[doc(hidden)]
    const IS_CANONICAL: bool = false;

    /// Reads the flat form: `FLAT.count()` elements. Only called where the flat form
    /// [fits](Flat::fits).
    ///
    /// # Errors
    /// A [`Trap`](crate::Trap) that says what is wrong with the guest's value.
    #[doc(hidden)]
    fn lift_flat(cx: &mut LiftContext<'_>, flat: &[u64]) -> Result<Self>;

    /// Reads a value in memory: as many bytes as `LAYOUT` says for the memory's pointers.
    ///
    /// # Errors
    /// As [`Lift::lift_flat`].
    #[doc(hidden)]
    fn load(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Self>;

    /// Reads the elements of a list: a multiple of a value's bytes.
    ///
    /// # Errors
    /// As [`Lift::lift_flat`].
    #[doc(hidden)]
    fn load_list(cx: &mut LiftContext<'_>, bytes: &[u8]) -> Result<Vec<Self>> {
        if Self::IS_CANONICAL {
            return scalars::copy_of(bytes);
        }
        let size = Self::LAYOUT.at(cx.width()).size.max(1) as usize;
        let mut items = lists::reserve(bytes.len() / size)?;
        for bytes in bytes.chunks_exact(size) {
            items.push(Self::load(cx, bytes)?);
        }
        Ok(items)
    }
}

/// The parameters or the results of a function: a tuple, `(A, B)`, `(A,)` or `()`.
///
/// A function has at most one result: `(R,)` or `()`.
///
/// The trait is sealed: it is implemented for tuples.
// Promise of implementations: the constants belong to the parts of the tuple.
pub trait ComponentNamedList: ComponentType {
    /// Says that the promises are kept.
    #[doc(hidden)]
    const SEAL: Seal;
    /// How many there are.
    #[doc(hidden)]
    const LEN: usize;
    /// The hash of these as the parameters of a function.
    #[doc(hidden)]
    const PARAMS_HASH: TypeHash;
    /// The hash of this as the result of a function. That of no type, where there are more.
    #[doc(hidden)]
    const RESULT_HASH: TypeHash;

    /// Adds the parts' types to `types`.
    #[doc(hidden)]
    fn describe_list(types: &mut Types) -> Vec<ValueType>;
}
