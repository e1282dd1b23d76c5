//! Handles of which a function's type says whether they are owned.

use std::ops::Deref;

use super::handle::Handle;
use super::{Resource, ResourceAny};
use crate::error::Result;
use crate::values::handles::HandleType;
use crate::values::{LiftContext, LowerContext};

/// `R`, which is a [`Resource<T>`](Resource) or a [`ResourceAny`], where a
/// function has `own<..>`.
///
/// `R` itself stands for `borrow<..>` too, so that giving a borrowed resource to a function that
/// takes an owned one is an error of the call. With this, a function that borrows is refused when
/// it is looked up or linked.
///
/// ```
/// use cwasm::{Borrow, Engine, Linker, Own, Resource, ResourceType};
///
/// struct File;
/// let mut linker = Linker::<()>::new(&Engine::default());
/// let mut files = linker.instance("example:host/files")?;
/// files.resource("file", ResourceType::host::<File>(), |_, _rep| Ok(()))?;
/// // `open: func() -> own<file>`, `size: func(file: borrow<file>) -> u32`,
/// // `close: func(file: own<file>)`
/// files.func_wrap("open", |_, (): ()| Ok((Own(Resource::<File>::new_own(1)),)))?;
/// files.func_wrap("size", |_, (file,): (Borrow<Resource<File>>,)| Ok((file.rep(),)))?;
/// files.func_wrap("close", |_, (file,): (Own<Resource<File>>,)| {
///     assert!(file.owned());
///     Ok(())
/// })?;
/// # Ok::<(), cwasm::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Own<R>(pub R);

/// `R`, which is a [`Resource<T>`](Resource) or a [`ResourceAny`], where a
/// function has `borrow<..>`: see [`Own`].
///
/// An owned resource can be lent: `Borrow(file)` of an owned `file` is given as borrowed, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Borrow<R>(pub R);

macro_rules! ownership {
    ($($name:ident: $is_borrow:expr;)*) => {$(
        impl<R> $name<R> {
            /// The resource, of which the type does not say whether it is owned.
            pub fn into_inner(self) -> R {
                self.0
            }
        }

        impl<R> Deref for $name<R> {
            type Target = R;

            fn deref(&self) -> &R {
                &self.0
            }
        }

        impl<R> From<R> for $name<R> {
            fn from(resource: R) -> $name<R> {
                $name(resource)
            }
        }

        impl<T> From<$name<Resource<T>>> for Resource<T> {
            fn from(handle: $name<Resource<T>>) -> Resource<T> {
                handle.0
            }
        }

        impl From<$name<ResourceAny>> for ResourceAny {
            fn from(handle: $name<ResourceAny>) -> ResourceAny {
                handle.0
            }
        }

        impl<R: Handle> Handle for $name<R> {
            fn handle() -> HandleType {
                R::handle().expect($is_borrow)
            }

            fn lower(&self, cx: &mut LowerContext<'_>) -> Result<u32> {
                self.0.lower(cx)
            }

            fn lift(cx: &mut LiftContext<'_>, handle: u32) -> Result<$name<R>> {
                R::lift(cx, handle).map($name)
            }
        }
    )*};
}

ownership! {
    Own: false;
    Borrow: true;
}
