//! What tasks wait for, and sets of it.

use super::queues::List;
use super::slab::Id;
use super::{Tasks, Wait};

/// Something that has events.
///
/// **Invariant:** it is in the list of its set's events if it has an event and is in a set.
#[derive(Debug, Default)]
pub(crate) struct Waitable {
    /// Whether there is an event that nobody has seen.
    has_event: bool,
    set: Option<Id>,
    /// The next one and the one before in the list of the set's events.
    next: Option<WaitableRef>,
    previous: Option<WaitableRef>,
    /// A task that waits for it alone.
    pub(crate) waiter: Option<Id>,
}

impl Waitable {
    /// Whether there is an event that nobody has seen.
    pub(crate) fn has_event(&self) -> bool {
        self.has_event
    }

    pub(crate) fn is_in_set(&self) -> bool {
        self.set.is_some()
    }
}

/// Which waitable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitableRef {
    Subtask(Id),
    End(Id),
}

/// A set of waitables.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// How many there are in it.
    members: u32,
    /// How many of them have events, and the list of these: the first and last.
    events: u32,
    first: Option<WaitableRef>,
    last: Option<WaitableRef>,
    /// The tasks that wait for an event.
    waiting: List,
}

impl Set {
    /// Whether there is something in it, or somebody waits for it.
    pub(crate) fn is_in_use(&self) -> bool {
        self.members != 0 || self.waiting.first().is_some()
    }
}

/// An event: its code, the handle of what it is of, and more.
pub(crate) type Event = [u32; 3];

/// The codes of events.
pub(crate) mod event {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const SUBTASK: u32 = 1;
    pub(crate) const STREAM_READ: u32 = 2;
    pub(crate) const STREAM_WRITE: u32 = 3;
    pub(crate) const FUTURE_READ: u32 = 4;
    pub(crate) const FUTURE_WRITE: u32 = 5;
    pub(crate) const TASK_CANCELLED: u32 = 6;
}

impl Tasks {
    pub(crate) fn waitable(&self, of: WaitableRef) -> &Waitable {
        match of {
            WaitableRef::Subtask(id) => &self.subtasks[id].waitable,
            WaitableRef::End(id) => &self.ends[id].waitable,
        }
    }

    pub(crate) fn waitable_mut(&mut self, of: WaitableRef) -> &mut Waitable {
        match of {
            WaitableRef::Subtask(id) => &mut self.subtasks[id].waitable,
            WaitableRef::End(id) => &mut self.ends[id].waitable,
        }
    }

    /// Something has happened to a waitable.
    pub(crate) fn set_event(&mut self, of: WaitableRef) {
        let waitable = self.waitable_mut(of);
        let is_new = !std::mem::replace(&mut waitable.has_event, true);
        let (set, waiter) = (waitable.set, waitable.waiter);
        if let Some(task) = waiter {
            self.enqueue(task);
        }
        if let (Some(set), true) = (set, is_new) {
            self.announce(set, of);
        }
    }

    /// The event of a waitable, if there is one, is not to be seen.
    pub(crate) fn clear_event(&mut self, of: WaitableRef) {
        let waitable = self.waitable_mut(of);
        if !std::mem::take(&mut waitable.has_event) {
            return;
        }
        if let Some(set) = waitable.set {
            self.unlink(set, of);
        }
    }

    /// A member of a set has an event.
    fn announce(&mut self, set: Id, of: WaitableRef) {
        let found = &mut self.sets[set];
        let last = found.last.replace(of);
        found.events += 1;
        match last {
            Some(last) => self.waitable_mut(last).next = Some(of),
            None => found.first = Some(of),
        }
        self.waitable_mut(of).previous = last;
        self.wake_waiting(set);
    }

    /// The first task that waits for a set looks again whether it can go on. When it stops waiting,
    /// the next one does.
    fn wake_waiting(&mut self, set: Id) {
        if let Some(task) = self.sets[set].waiting.first() {
            self.enqueue(task);
        }
    }

    /// Takes a member of a set out of the list of those that have events.
    fn unlink(&mut self, set: Id, of: WaitableRef) {
        let waitable = self.waitable_mut(of);
        let (previous, next) = (waitable.previous.take(), waitable.next.take());
        match previous {
            Some(previous) => self.waitable_mut(previous).next = next,
            None => self.sets[set].first = next,
        }
        match next {
            Some(next) => self.waitable_mut(next).previous = previous,
            None => self.sets[set].last = previous,
        }
        self.sets[set].events -= 1;
    }

    /// Puts a waitable into a set, or none.
    pub(crate) fn join(&mut self, of: WaitableRef, set: Option<Id>) {
        let waitable = self.waitable_mut(of);
        let (before, has_event) = (waitable.set, waitable.has_event);
        waitable.set = set;
        if let Some(before) = before {
            self.sets[before].members -= 1;
            if has_event {
                self.unlink(before, of);
            }
        }
        if let Some(set) = set {
            self.sets[set].members += 1;
            if has_event {
                self.announce(set, of);
            }
        }
    }

    /// Whether a member of a set has an event.
    pub(crate) fn has_event(&self, set: Id) -> bool {
        self.sets[set].first.is_some()
    }

    /// The member of a set whose event is next, if there is one.
    pub(crate) fn next_event(&mut self, set: Id) -> Option<WaitableRef> {
        let found = &self.sets[set];
        let mut of = found.first?;
        let skipped = self
            .random
            .as_mut()
            .map_or(0, |random| random.below(found.events as usize));
        for _ in 0..skipped {
            of = self.waitable(of).next?;
        }
        Some(of)
    }

    /// Takes the event of a waitable, which has one.
    pub(crate) fn deliver(&mut self, of: WaitableRef) -> Event {
        self.clear_event(of);
        match of {
            WaitableRef::Subtask(id) => {
                let subtask = &self.subtasks[id];
                let (handle, state) = (subtask.handle, subtask.state);
                [event::SUBTASK, handle, state as u32]
            }
            WaitableRef::End(id) => {
                let end = &mut self.ends[id];
                let (event, reclaims) = end.deliver();
                if reclaims {
                    // Its buffer is not used any more.
                    self.streams[end.shared].pending = None;
                }
                event
            }
        }
    }

    /// A task waits for an event of a set, in this way.
    pub(crate) fn wait_for_set(&mut self, id: Id, set: Id, wait: Wait) {
        self.tasks[id].wait = wait;
        self.sets[set].waiting.push(&mut self.tasks, id);
        if self.has_event(set) {
            self.enqueue(id);
        }
    }

    /// A task waits for an event of a set no more, if it still does.
    pub(crate) fn stop_waiting(&mut self, id: Id, set: Id) {
        self.sets[set].waiting.remove(&mut self.tasks, id);
        if self.has_event(set) {
            self.wake_waiting(set);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams::End;
    use super::*;

    /// A set with so many members, ends of streams that are not there.
    fn set_of(tasks: &mut Tasks, members: usize) -> (Id, Vec<WaitableRef>) {
        let set = tasks.sets.add(Set::default());
        let ends = (0..members).map(|_| {
            let of = WaitableRef::End(tasks.ends.add(End::new(Id(0), false, true)));
            tasks.join(of, Some(set));
            of
        });
        let ends = ends.collect();
        (set, ends)
    }

    /// Takes all events, in their order.
    fn drain(tasks: &mut Tasks, set: Id) -> Vec<WaitableRef> {
        std::iter::from_fn(|| {
            let of = tasks.next_event(set)?;
            tasks.deliver(of);
            Some(of)
        })
        .collect()
    }

    #[test]
    fn events_are_in_the_order_in_which_they_came() {
        let mut tasks = Tasks::default();
        let (set, ends) = set_of(&mut tasks, 4);
        for place in [2, 0, 3, 1] {
            tasks.set_event(ends[place]);
            // Once more is still one event.
            tasks.set_event(ends[2]);
        }
        let expected = [2, 0, 3, 1].map(|place| ends[place]);
        assert_eq!(drain(&mut tasks, set), expected);
        assert!(!tasks.has_event(set));
    }

    #[test]
    fn what_is_seen_leaves_or_comes_is_in_the_list_once() {
        let mut tasks = Tasks::default();
        let (set, ends) = set_of(&mut tasks, 3);
        let other = tasks.sets.add(Set::default());
        tasks.set_event(ends[2]);
        for _ in 0..1000 {
            tasks.set_event(ends[0]);
            tasks.deliver(ends[0]);
            tasks.set_event(ends[1]);
            tasks.join(ends[1], Some(other));
            tasks.join(ends[1], Some(set));
            tasks.set_event(ends[0]);
            assert_eq!(tasks.sets[set].events, 3);
            tasks.clear_event(ends[1]);
            assert_eq!(tasks.sets[set].events, 2);
        }
        assert_eq!(drain(&mut tasks, set), [ends[2], ends[0]]);
        assert_eq!((tasks.sets[set].members, tasks.sets[other].members), (3, 0));
        assert!(tasks.sets[other].first.is_none() && tasks.sets[other].last.is_none());
    }
}
