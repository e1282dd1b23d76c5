//! Pollables, and `wasi:io/poll`.

use cwasm::{Error, Resource, ResourceTable, ResourceTableError, Result};
use rustix::event::PollFlags;

use super::output::OutputStream;
use super::wait::{Interest, wait};
use crate::bindings::wasi::io::poll;
use crate::ctx::WasiCtx;

/// Something that a guest can wait for.
#[derive(Debug)]
pub struct Pollable(Kind);

#[derive(Debug)]
enum Kind {
    /// A time of the system's monotonic clock, in nanoseconds.
    Until(u64),
    /// The interest of the value with this number.
    Of { number: u32, interest: InterestOf },
}

type InterestOf = for<'a> fn(&'a ResourceTable, u32) -> Result<Interest<'a>, ResourceTableError>;

/// A value that a guest can wait for.
pub(crate) trait Subscribe: Send + 'static {
    /// The condition on which an operation may do something.
    fn interest(&self) -> Interest<'_>;
}

impl Pollable {
    /// Ready at a time of the system's monotonic clock.
    pub(crate) fn until(nanoseconds: u64) -> Pollable {
        Pollable(Kind::Until(nanoseconds))
    }

    fn of<T: Subscribe>(number: u32) -> Pollable {
        Pollable(Kind::Of {
            number,
            interest: |table, number| {
                let resource = Resource::<T>::new_borrow(number);
                Ok(table.get(&resource)?.interest())
            },
        })
    }

    fn interest<'a>(&self, table: &'a ResourceTable) -> Result<Interest<'a>, ResourceTableError> {
        match self.0 {
            Kind::Until(nanoseconds) => Ok(Interest::Until(nanoseconds)),
            Kind::Of { number, interest } => interest(table, number),
        }
    }
}

impl WasiCtx {
    /// A pollable of a value, which cannot be dropped before.
    pub(crate) fn subscribe_to<T: Subscribe>(
        &mut self,
        value: &Resource<T>,
    ) -> Result<Resource<Pollable>> {
        let pollable = Pollable::of::<T>(value.rep());
        Ok(self.table.push_child(pollable, value)?)
    }

    /// Waits until one of the interests of the guest is there: the places of all that are.
    /// Meanwhile the output that is kept is written: what the guest waits for may be the answer.
    pub(crate) fn wait_for<F>(&mut self, interests: F) -> Result<Vec<u32>>
    where
        F: for<'a> Fn(&'a ResourceTable) -> Result<Vec<Interest<'a>>, ResourceTableError>,
    {
        loop {
            self.write_behind();
            let mut all = interests(&self.table)?;
            let count = all.len();
            all.extend(self.behind.iter().filter_map(|number| {
                let stream = Resource::<OutputStream>::new_borrow(*number);
                self.table.get(&stream).ok()?.kept_interest()
            }));
            let changes = |interest: &Interest<'_>| matches!(interest, Interest::Change(_));
            let signal = all.iter().any(changes).then_some(&self.signal);
            if let Some(signal) = signal {
                let (event, is_new) = signal.event()?;
                if is_new {
                    continue;
                }
                all.push(Interest::Descriptor(event, PollFlags::IN));
            }
            let mut ready = wait(&all, self.deadline)?;
            if let Some(signal) = signal {
                signal.clear();
            }
            ready.retain(|place| (*place as usize) < count);
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
    }

    /// Writes what output streams keep, as far as that goes without waiting.
    fn write_behind(&mut self) {
        let table = &mut self.table;
        self.behind.retain(|number| {
            let stream = Resource::<OutputStream>::new_borrow(*number);
            table
                .get_mut(&stream)
                .is_ok_and(|stream| stream.write_kept())
        });
    }
}

impl poll::Host for WasiCtx {
    fn poll(&mut self, pollables: Vec<Resource<Pollable>>) -> Result<Vec<u32>> {
        if pollables.is_empty() {
            return Err(Error::msg("`poll` is called with an empty list"));
        }
        self.wait_for(|table| {
            let pollables = pollables.iter();
            pollables
                .map(|pollable| table.get(pollable)?.interest(table))
                .collect()
        })
    }
}

impl poll::HostPollable for WasiCtx {
    fn ready(&mut self, pollable: Resource<Pollable>) -> Result<bool> {
        self.write_behind();
        let interest = self.table.get(&pollable)?.interest(&self.table)?;
        // The time that has come already ends the wait at once.
        let ready = wait(&[interest, Interest::Ready], None)?;
        Ok(ready.first() == Some(&0))
    }

    fn block(&mut self, pollable: Resource<Pollable>) -> Result<()> {
        self.wait_for(|table| Ok(vec![table.get(&pollable)?.interest(table)?]))?;
        Ok(())
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> Result<()> {
        self.table.delete(pollable)?;
        Ok(())
    }
}
