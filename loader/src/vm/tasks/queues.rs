//! The queues of tasks: of those that can perhaps go on, and of those that have not begun.
//!
//! What is removed in the middle stays in a queue until its turn comes: nothing here takes longer
//! the more tasks there are.

use std::collections::VecDeque;

use super::slab::Id;
use super::{Tasks, Wait};
use crate::vm::random::Random;

/// Tasks that can perhaps go on, each in the queue of its instance.
#[derive(Default)]
pub(crate) struct Ready {
    /// For each turn the instance whose first task has it. Those of tasks that went on out of turn
    /// stay.
    turns: VecDeque<Id>,
    of: Vec<VecDeque<Id>>,
    len: usize,
}

/// Turns that may be there without a task, before they are counted anew.
const IDLE_TURNS: usize = 64;

impl Ready {
    /// Adds a task of an instance.
    fn push(&mut self, instance: Id, task: Id) {
        if self.of.len() <= instance.index() {
            self.of.resize_with(instance.index() + 1, VecDeque::new);
        }
        self.of[instance.index()].push_back(task);
        self.turns.push_back(instance);
        self.len += 1;
        if self.turns.len() > 2 * self.len + IDLE_TURNS {
            self.forget_idle_turns();
        }
    }

    /// Takes the task whose turn it is.
    fn pop(&mut self, random: Option<&mut Random>) -> Option<Id> {
        if let Some(random) = random {
            // Its turn stays.
            let mut place = random.below(self.len.max(1));
            for queue in &mut self.of {
                match place.checked_sub(queue.len()) {
                    Some(rest) => place = rest,
                    None => {
                        self.len -= 1;
                        return queue.remove(place);
                    }
                }
            }
            return None;
        }
        loop {
            let instance = self.turns.pop_front()?;
            if let Some(task) = self.pop_of(instance) {
                return Some(task);
            }
        }
    }

    /// Takes the next task of an instance.
    fn pop_of(&mut self, instance: Id) -> Option<Id> {
        let task = self.of.get_mut(instance.index())?.pop_front()?;
        self.len -= 1;
        Some(task)
    }

    /// Takes the first task of an instance for which that is so.
    fn pop_first(&mut self, instance: Id, so: impl Fn(Id) -> bool) -> Option<Id> {
        let queue = self.of.get_mut(instance.index())?;
        let place = queue.iter().position(|id| so(*id))?;
        self.len -= 1;
        queue.remove(place)
    }

    /// Leaves each instance as many turns as it has tasks.
    fn forget_idle_turns(&mut self) {
        let mut left: Vec<usize> = self.of.iter().map(VecDeque::len).collect();
        self.turns.retain(|instance| {
            let left = &mut left[instance.index()];
            let has_task = *left > 0;
            *left = left.saturating_sub(1);
            has_task
        });
    }
}

/// Tasks of an instance that have not begun.
#[derive(Default)]
pub(crate) struct Entering {
    /// Those of which only one runs at a time.
    exclusive: VecDeque<Id>,
    others: VecDeque<Id>,
    len: usize,
}

impl Entering {
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn queue(&mut self, is_exclusive: bool) -> &mut VecDeque<Id> {
        match is_exclusive {
            true => &mut self.exclusive,
            false => &mut self.others,
        }
    }
}

impl Tasks {
    /// Lets a task wait until it can begin.
    pub(crate) fn wait_to_enter(&mut self, id: Id) {
        let task = &mut self.tasks[id];
        task.wait = Wait::Entry;
        let (instance, is_exclusive) = (task.instance, task.needs_exclusive());
        let entering = &mut self.instances[instance.index()].entering;
        entering.queue(is_exclusive).push_back(id);
        entering.len += 1;
    }

    /// A task waits no more until it can begin.
    pub(crate) fn stop_entering(&mut self, id: Id) {
        let task = &mut self.tasks[id];
        task.wait = Wait::Nothing;
        let (instance, is_exclusive) = (task.instance, task.needs_exclusive());
        let entering = &mut self.instances[instance.index()].entering;
        entering.len -= 1;
        let queue = entering.queue(is_exclusive);
        if queue.front() == Some(&id) {
            queue.pop_front();
        }
    }

    /// A task waits for nothing any more.
    pub(crate) fn stop(&mut self, id: Id) {
        match self.tasks[id].wait {
            Wait::Entry => self.stop_entering(id),
            Wait::Event(set) | Wait::EventOnFiber(set) => self.stop_waiting(id, set),
            Wait::Nothing | Wait::Yield | Wait::Turn | Wait::Waitable(_) => {}
        }
        self.tasks[id].wait = Wait::Nothing;
    }

    /// The first task of a queue of those that have not begun.
    fn first_entering(&mut self, instance: Id, is_exclusive: bool) -> Option<Id> {
        let entering = &mut self.instances[instance.index()].entering;
        let queue = entering.queue(is_exclusive);
        while let Some(id) = queue.front() {
            let waits = self.tasks.get(*id).is_some_and(|task| {
                task.wait == Wait::Entry
                    && task.instance == instance
                    && task.needs_exclusive() == is_exclusive
            });
            if waits {
                return Some(*id);
            }
            queue.pop_front();
        }
        None
    }

    /// Puts a task in the queue of those that can perhaps go on.
    pub(crate) fn enqueue(&mut self, id: Id) {
        if let Some(task) = self.tasks.get_mut(id)
            && !task.is_queued
        {
            task.is_queued = true;
            self.ready.push(task.instance, id);
        }
    }

    /// Takes the next task from the queue that is of this instance, if one is given, and can go on.
    pub(crate) fn next(&mut self, of: Option<Id>) -> Option<Id> {
        loop {
            let id = match of {
                Some(instance) => self.ready.pop_of(instance)?,
                None => self.ready.pop(self.random.as_mut())?,
            };
            if self.can_go_on(id, of) {
                return Some(id);
            }
        }
    }

    /// Takes the next task of an instance that can go on while a call of it cannot wait: it has
    /// begun, and is not the exclusive one, whose code must not go on in the middle of another's.
    pub(crate) fn next_beside(&mut self, instance: Id) -> Option<Id> {
        let exclusive = self.instances[instance.index()].exclusive;
        loop {
            let tasks = &self.tasks;
            let id = self.ready.pop_first(instance, |id| {
                let task = tasks.get(id);
                task.is_none_or(|task| task.wait != Wait::Entry && exclusive != Some(id))
            })?;
            if self.can_go_on(id, Some(instance)) {
                return Some(id);
            }
        }
    }

    /// Whether a task, which was taken from the queue, is of this instance, if one is given, and
    /// can go on.
    fn can_go_on(&mut self, id: Id, of: Option<Id>) -> bool {
        // It may be over, and its number another one's.
        let Some(task) = self.tasks.get_mut(id).filter(|task| task.is_queued) else {
            return false;
        };
        if of.is_some_and(|instance| task.instance != instance) {
            return false;
        }
        task.is_queued = false;
        let instance = task.instance;
        match self.verdict(id) {
            Verdict::Ready => return true,
            Verdict::Locked => self.lock(id),
            // Another one can perhaps go on in its place.
            Verdict::Waits => self.wake_locked(instance),
        }
        false
    }

    /// Whether a task can go on.
    fn verdict(&self, id: Id) -> Verdict {
        let task = &self.tasks[id];
        let instance = &self.instances[task.instance.index()];
        let is_free = instance.exclusive.is_none();
        match task.wait {
            Wait::Nothing => Verdict::Waits,
            Wait::Entry => match self.has_backpressure(task) {
                false => Verdict::Ready,
                true => Verdict::Waits,
            },
            Wait::Yield if is_free => Verdict::Ready,
            Wait::Event(set) if self.has_event(set) && is_free => Verdict::Ready,
            Wait::Yield => Verdict::Locked,
            Wait::Event(set) if self.has_event(set) => Verdict::Locked,
            Wait::Turn => Verdict::Ready,
            Wait::EventOnFiber(set) if self.has_event(set) => Verdict::Ready,
            Wait::Waitable(waitable) if self.waitable(waitable).has_event() => Verdict::Ready,
            Wait::Event(_) | Wait::EventOnFiber(_) | Wait::Waitable(_) => Verdict::Waits,
        }
    }

    /// The next task of an instance looks again whether it can go on, if it could but for the
    /// exclusive task.
    fn wake_locked(&mut self, id: Id) {
        let instance = &mut self.instances[id.index()];
        if instance.exclusive.is_none()
            && let Some(id) = instance.locked.pop_front()
            && let Some(task) = self.tasks.get_mut(id)
        {
            task.is_locked = false;
            self.enqueue(id);
        }
    }

    /// A task could go on but for the exclusive task of its instance.
    fn lock(&mut self, id: Id) {
        let task = &mut self.tasks[id];
        let next = task.next_waiting;
        if !task.is_locked {
            task.is_locked = true;
            self.instances[task.instance.index()].locked.push_back(id);
        }
        // It may be one that can go on beside the exclusive task, with the event that is there.
        if let Some(next) = next {
            self.enqueue(next);
        }
    }

    /// The next tasks of an instance look again whether they can go on or begin: the exclusive task
    /// has stopped, one has begun, or there is no backpressure.
    pub(crate) fn wake_instance(&mut self, id: Id) {
        self.wake_locked(id);
        for is_exclusive in [true, false] {
            if let Some(task) = self.first_entering(id, is_exclusive) {
                self.enqueue(task);
            }
        }
    }
}

/// Whether a task can go on.
enum Verdict {
    Ready,
    /// As soon as another one of its instance stops.
    Locked,
    /// Not until something happens.
    Waits,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes all: those that came in this order go in it.
    fn drain(ready: &mut Ready) -> Vec<u32> {
        std::iter::from_fn(|| ready.pop(None))
            .map(|id| id.0)
            .collect()
    }

    #[test]
    fn turns_are_in_order_of_all_instances() {
        let mut ready = Ready::default();
        for task in 0..10 {
            ready.push(Id(task % 3), Id(task));
        }
        assert_eq!(drain(&mut ready), (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn turns_of_what_went_on_out_of_turn_are_forgotten() {
        let mut ready = Ready::default();
        ready.push(Id(1), Id(0));
        for task in 1..100_000 {
            ready.push(Id(0), Id(task));
            assert_eq!(ready.pop_of(Id(0)), Some(Id(task)));
            assert!(ready.turns.len() <= 4 + IDLE_TURNS);
        }
        assert_eq!(ready.pop_of(Id(0)), None);
        assert_eq!(drain(&mut ready), [0]);
        assert_eq!(ready.len, 0);
    }

    #[test]
    fn each_task_has_a_turn_with_a_seed() {
        for seed in 0..20 {
            let (mut ready, mut random) = (Ready::default(), Random::new(seed));
            for task in 0..10 {
                ready.push(Id(task % 3), Id(task));
            }
            let mut found = Vec::new();
            while let Some(task) = ready.pop(Some(&mut random)) {
                found.push(task.0);
            }
            found.sort_unstable();
            assert_eq!(found, (0..10).collect::<Vec<_>>());
        }
    }
}
