//! References that are counted for each CPU.
//!
//! Threads that clone and drop the same `Arc` take its count from each other each time, which costs
//! more than the work that they share it for. Clones of a [`Spread`] that are made on different
//! CPUs count apart:
//!
//! ```text
//! the first Spread -> Leaf -> Arc<T>
//!                      |-> leaf of CPU 0 -> the same Arc<T>
//!                      |-> leaf of CPU 1 -> the same Arc<T>
//! clone on CPU 1 -----------^
//! ```
//!
//! So clones made on many CPUs are cheap as long as the first one is there; a clone's clones count
//! with it. Without the feature `recycle` they are plain references: a host that saves its code
//! makes few instances.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

#[cfg(feature = "recycle")]
use crate::fork::Once;
#[cfg(feature = "recycle")]
use crate::sys::cpu_number;

/// A shared reference to a `T`, whose clones on different CPUs share no count.
pub(crate) struct Spread<T>(Arc<Leaf<T>>);

/// Aligned so that no two counts share a cache line, nor a pair of lines that is fetched together.
#[repr(align(128))]
struct Leaf<T> {
    value: Arc<T>,
    /// Of the first one: what its clones refer to, by CPU.
    #[cfg(feature = "recycle")]
    clones: Option<Once<ByCpu<Arc<Leaf<T>>>>>,
}

/// Values for each CPU, made when they are needed.
#[cfg(feature = "recycle")]
#[derive(Debug)]
pub(crate) struct ByCpu<T>(Box<[Once<T>]>);

#[cfg(feature = "recycle")]
impl<T> ByCpu<T> {
    /// A value for each CPU.
    pub(crate) fn new() -> ByCpu<T> {
        ByCpu((0..cpu_number::count()).map(|_| Once::new()).collect())
    }

    /// The value of the CPU that this runs on, made by `new` if there is none.
    #[inline]
    pub(crate) fn current(&self, new: impl FnOnce() -> T) -> &T {
        self.0[cpu_number::current()].get_or_init(new)
    }

    /// All values that were made.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(Once::get)
    }
}

impl<T> Spread<T> {
    /// The first reference.
    pub(crate) fn new(value: T) -> Spread<T> {
        Spread(Arc::new(Leaf {
            value: Arc::new(value),
            #[cfg(feature = "recycle")]
            clones: Some(Once::new()),
        }))
    }

    /// Whether both refer to the same value.
    #[inline]
    pub(crate) fn same(&self, other: &Spread<T>) -> bool {
        Arc::ptr_eq(&self.0.value, &other.0.value)
    }
}

impl<T> Clone for Spread<T> {
    #[inline]
    fn clone(&self) -> Spread<T> {
        Spread(Arc::clone(self.leaf()))
    }
}

#[cfg(not(feature = "recycle"))]
impl<T> Spread<T> {
    /// What a clone refers to.
    fn leaf(&self) -> &Arc<Leaf<T>> {
        &self.0
    }
}

#[cfg(feature = "recycle")]
impl<T> Spread<T> {
    /// What a clone refers to that is made on this CPU.
    #[inline]
    fn leaf(&self) -> &Arc<Leaf<T>> {
        let Some(clones) = &self.0.clones else {
            return &self.0;
        };
        clones.get_or_init(ByCpu::new).current(|| {
            Arc::new(Leaf {
                value: Arc::clone(&self.0.value),
                clones: None,
            })
        })
    }
}

impl<T> Deref for Spread<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// A value whose clones share it until one of them is changed. Without the feature `recycle`, a
/// clone is a copy.
#[cfg(feature = "recycle")]
#[derive(Clone, Debug)]
pub(crate) struct CopyOnWrite<T>(Spread<T>);

#[cfg(not(feature = "recycle"))]
#[derive(Clone, Debug)]
pub(crate) struct CopyOnWrite<T>(T);

#[cfg(feature = "recycle")]
impl<T: Clone> CopyOnWrite<T> {
    pub(crate) fn new(value: T) -> CopyOnWrite<T> {
        CopyOnWrite(Spread::new(value))
    }

    /// The value, to be changed: a copy of its own, if it was ever cloned.
    pub(crate) fn to_mut(&mut self) -> &mut T {
        let is_alone =
            Arc::get_mut(&mut self.0.0).is_some() && Arc::strong_count(&self.0.0.value) == 1;
        if !is_alone {
            self.0 = Spread::new(T::clone(&self.0));
        }
        let leaf = Arc::get_mut(&mut self.0.0);
        match leaf.and_then(|leaf| Arc::get_mut(&mut leaf.value)) {
            Some(value) => value,
            None => unreachable!("nobody else refers to it"),
        }
    }
}

#[cfg(not(feature = "recycle"))]
impl<T> CopyOnWrite<T> {
    pub(crate) fn new(value: T) -> CopyOnWrite<T> {
        CopyOnWrite(value)
    }

    /// The value, to be changed.
    pub(crate) fn to_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> Deref for CopyOnWrite<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Spread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(all(test, feature = "recycle"))]
mod tests {
    use super::*;

    #[test]
    fn the_value_lives_as_long_as_any_clone() {
        let value = Arc::new(5);
        let first = Spread::new(Arc::clone(&value));
        let clone = first.clone();
        let clones: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| clone.clone())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(
            clones
                .iter()
                .all(|clone| clone.same(&first) && ***clone == 5)
        );
        assert!(!first.same(&Spread::new(Arc::clone(&value))));
        drop(first);
        drop(clone);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(clones);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_change_is_not_seen_by_clones() {
        let mut first = CopyOnWrite::new(vec![1]);
        let address = first.as_ptr();
        first.to_mut()[0] = 2;
        assert_eq!(first.as_ptr(), address, "nobody shares it");
        let mut second = first.clone();
        assert_eq!(second.as_ptr(), address);
        second.to_mut().push(3);
        first.to_mut().push(4);
        assert_eq!((&first[..], &second[..]), (&[2, 4][..], &[2, 3][..]));
        drop(first);
        let address = second.as_ptr();
        second.to_mut()[0] = 5;
        assert_eq!(second.as_ptr(), address);
    }
}
