//! What tasks wait for, and sets of it.

use std::collections::VecDeque;

use super::slab::Id;
use super::{Tasks, Wait};

/// Something that has events.
#[derive(Debug, Default)]
pub(crate) struct Waitable {
    /// Whether there is an event that nobody has seen.
    pub(crate) has_event: bool,
    pub(crate) set: Option<Id>,
    /// A task that waits for it alone.
    pub(crate) waiter: Option<Id>,
}

impl Waitable {
    pub(crate) fn is_pending(&self) -> bool {
        self.has_event
    }
}

/// Which waitable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitableRef {
    Subtask(Id),
    End(Id),
}

/// How many events that somebody has seen, or of waitables that have left, are in a set's queue at
/// most, beside two for each member: guests can make as many as they like.
const SEEN: usize = 8;

/// A set of waitables.
#[derive(Debug, Default)]
pub(crate) struct Set {
    /// How many there are in it.
    pub(crate) members: u32,
    /// Those that have had events: perhaps they have left, or somebody has seen the event.
    pub(crate) events: VecDeque<WaitableRef>,
    /// Tasks that wait for an event.
    pub(crate) waiting: Vec<Id>,
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
        waitable.has_event = true;
        let (set, waiter) = (waitable.set, waitable.waiter);
        if let Some(task) = waiter {
            self.enqueue(task);
        }
        if let Some(set) = set {
            self.announce(set, of);
        }
    }

    /// A member of a set has an event.
    fn announce(&mut self, set: Id, of: WaitableRef) {
        let found = &self.sets[set];
        if found.events.len() > 2 * found.members as usize + SEEN {
            self.forget_seen(set);
        }
        let set = &mut self.sets[set];
        set.events.push_back(of);
        let waiting = set.waiting.clone();
        for task in waiting {
            self.enqueue(task);
        }
    }

    /// Keeps of a set's queue what is an event still, once.
    fn forget_seen(&mut self, set: Id) {
        let mut events = std::mem::take(&mut self.sets[set].events);
        events.retain(|of| {
            let is_event = self.is_event_of(set, *of);
            if is_event {
                self.waitable_mut(*of).has_event = false;
            }
            is_event
        });
        for of in &events {
            self.waitable_mut(*of).has_event = true;
        }
        self.sets[set].events = events;
    }

    /// Puts a waitable into a set, or none.
    pub(crate) fn join(&mut self, of: WaitableRef, set: Option<Id>) {
        let waitable = self.waitable_mut(of);
        let (before, has_event) = (waitable.set, waitable.has_event);
        waitable.set = set;
        if let Some(before) = before {
            self.sets[before].members -= 1;
        }
        if let Some(set) = set {
            self.sets[set].members += 1;
            if has_event {
                self.announce(set, of);
            }
        }
    }

    /// The first member of a set that has an event.
    fn first_event(&mut self, id: Id) -> Option<WaitableRef> {
        while let Some(of) = self.sets[id].events.front().copied() {
            if self.is_event_of(id, of) {
                return Some(of);
            }
            self.sets[id].events.pop_front();
        }
        None
    }

    fn is_event_of(&self, set: Id, of: WaitableRef) -> bool {
        let waitable = match of {
            WaitableRef::Subtask(id) => self.subtasks.get(id).map(|found| &found.waitable),
            WaitableRef::End(id) => self.ends.get(id).map(|found| &found.waitable),
        };
        waitable.is_some_and(|waitable| waitable.has_event && waitable.set == Some(set))
    }

    /// Whether a member of a set has an event.
    pub(crate) fn has_event(&self, id: Id) -> bool {
        let set = &self.sets[id];
        set.events.iter().any(|of| self.is_event_of(id, *of))
    }

    /// The member of a set whose event is next; it is out of the set's queue.
    pub(crate) fn take_event(&mut self, id: Id) -> Option<WaitableRef> {
        if let Some(random) = &mut self.random {
            let set = &mut self.sets[id];
            if !set.events.is_empty() {
                let turns = random.below(set.events.len());
                set.events.rotate_left(turns);
            }
        }
        let of = self.first_event(id)?;
        self.sets[id].events.pop_front();
        Some(of)
    }

    /// Takes the event of a waitable, which has one.
    pub(crate) fn deliver(&mut self, of: WaitableRef) -> Event {
        let waitable = self.waitable_mut(of);
        waitable.has_event = false;
        if let Some(set) = waitable.set {
            // Of a read or write that is over at once.
            self.sets[set].events.pop_back_if(|last| *last == of);
        }
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

    /// A task waits for an event of a set.
    pub(crate) fn wait_for_set(&mut self, task: Id, set: Id, wait: Wait) {
        self.tasks[task].wait = wait;
        self.sets[set].waiting.push(task);
    }

    /// A task waits for an event of a set no more.
    pub(crate) fn stop_waiting(&mut self, task: Id, set: Id) {
        let waiting = &mut self.sets[set].waiting;
        if let Some(place) = waiting.iter().position(|waiting| *waiting == task) {
            waiting.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams::End;
    use super::*;

    /// A set with these many members, ends of streams that are not there.
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

    #[test]
    fn events_that_are_seen_at_once_do_not_pile_up() {
        let mut tasks = Tasks::default();
        let (set, ends) = set_of(&mut tasks, 2);
        for _ in 0..1000 {
            tasks.set_event(ends[0]);
            tasks.deliver(ends[0]);
        }
        assert!(tasks.sets[set].events.is_empty());
        // Behind an event that nobody sees.
        tasks.set_event(ends[1]);
        for _ in 0..1000 {
            tasks.set_event(ends[0]);
            tasks.deliver(ends[0]);
        }
        assert_eq!(tasks.take_event(set), Some(ends[1]));
    }

    #[test]
    fn waitables_that_come_and_go_do_not_pile_up() {
        let mut tasks = Tasks::default();
        let (set, ends) = set_of(&mut tasks, 3);
        tasks.set_event(ends[2]);
        for _ in 0..1000 {
            for of in &ends[..2] {
                tasks.set_event(*of);
                tasks.join(*of, None);
                tasks.join(*of, Some(set));
            }
            assert!(tasks.sets[set].events.len() <= 2 * ends.len() + SEEN + 1);
        }
        // None is lost, and none is there twice.
        let mut seen = Vec::new();
        while let Some(of) = tasks.take_event(set) {
            tasks.deliver(of);
            seen.push(of);
        }
        assert_eq!(seen.len(), 3);
        assert!(ends.iter().all(|of| seen.contains(of)));
    }
}
