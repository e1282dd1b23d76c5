//! The queues of tasks: of those that can perhaps go on, and of those that wait for the same.
//!
//! Nothing here takes longer the more tasks there are, and no queue is much longer than there are
//! tasks, whatever guests call and cancel.

use std::collections::VecDeque;

use super::slab::{Id, Slab};
use super::{Task, Tasks, Wait};
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

    /// Leaves the tasks of instances for which that is so.
    fn retain(&mut self, mut so: impl FnMut(Id, Id) -> bool) {
        for (instance, queue) in (0..).zip(&mut self.of) {
            queue.retain(|id| so(Id(instance), *id));
        }
        self.len = self.of.iter().map(VecDeque::len).sum();
        self.forget_idle_turns();
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

/// A list of tasks that wait for the same, through themselves: each waits for one thing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct List {
    first: Option<Id>,
    last: Option<Id>,
}

impl List {
    pub(crate) fn first(self) -> Option<Id> {
        self.first
    }

    /// Adds a task, which is in no list.
    pub(crate) fn push(&mut self, tasks: &mut Slab<Task>, id: Id) {
        let last = self.last.replace(id);
        match last {
            Some(last) => tasks[last].next_waiting = Some(id),
            None => self.first = Some(id),
        }
        tasks[id].previous_waiting = last;
    }

    /// Removes a task, if it is there and not in another list.
    pub(crate) fn remove(&mut self, tasks: &mut Slab<Task>, id: Id) {
        let task = &mut tasks[id];
        if self.first != Some(id) && task.previous_waiting.is_none() {
            return;
        }
        let (previous, next) = (task.previous_waiting.take(), task.next_waiting.take());
        match previous {
            Some(previous) => tasks[previous].next_waiting = next,
            None => self.first = next,
        }
        match next {
            Some(next) => tasks[next].previous_waiting = previous,
            None => self.last = previous,
        }
    }
}

/// Tasks of an instance that have not begun.
#[derive(Clone, Copy, Default)]
pub(crate) struct Entering {
    /// Those of which only one runs at a time.
    exclusive: List,
    others: List,
}

impl Entering {
    pub(crate) fn is_empty(&self) -> bool {
        self.exclusive.first.is_none() && self.others.first.is_none()
    }

    fn list(&mut self, is_exclusive: bool) -> &mut List {
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
        entering.list(is_exclusive).push(&mut self.tasks, id);
    }

    /// A task waits no more until it can begin.
    pub(crate) fn stop_entering(&mut self, id: Id) {
        let task = &mut self.tasks[id];
        task.wait = Wait::Nothing;
        let (instance, is_exclusive) = (task.instance, task.needs_exclusive());
        let entering = &mut self.instances[instance.index()].entering;
        entering.list(is_exclusive).remove(&mut self.tasks, id);
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

    /// Puts a task in the queue of those that can perhaps go on.
    pub(crate) fn enqueue(&mut self, id: Id) {
        if let Some(task) = self.tasks.get_mut(id)
            && !task.is_queued
        {
            task.is_queued = true;
            self.ready.push(task.instance, id);
            if self.ready.len > 2 * self.tasks.len() + IDLE_TURNS {
                self.forget_ended();
            }
        }
    }

    /// Takes tasks that are over out of the queue: a guest may make and cancel any number of them
    /// while nobody takes turns.
    fn forget_ended(&mut self) {
        let tasks = &mut self.tasks;
        self.ready.retain(|instance, id| {
            let task = tasks.get_mut(id);
            let task = task.filter(|task| task.instance == instance);
            // Each once: another one may have its number now.
            task.is_some_and(|task| std::mem::take(&mut task.is_queued))
        });
        for id in self.ready.of.iter().flatten() {
            tasks[*id].is_queued = true;
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
        let Entering { exclusive, others } = self.instances[id.index()].entering;
        for task in [exclusive.first, others.first].into_iter().flatten() {
            self.enqueue(task);
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
    use super::super::Caller;
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

    /// A task whose record nobody reads.
    fn task() -> Task {
        Task::new(Id(0), std::ptr::NonNull::dangling(), Caller::Nobody)
    }

    #[test]
    fn tasks_that_are_over_do_not_pile_up() {
        let mut tasks = Tasks::default();
        let waits = tasks.tasks.add(task());
        tasks.enqueue(waits);
        for _ in 0..100_000 {
            // All have the same number.
            let id = tasks.tasks.add(task());
            tasks.enqueue(id);
            tasks.tasks.remove(id);
            assert!(tasks.ready.len <= 4 + IDLE_TURNS + 1);
            assert!(tasks.ready.turns.len() <= 3 * (4 + IDLE_TURNS));
        }
        let last = tasks.tasks.add(task());
        tasks.enqueue(last);
        tasks.forget_ended();
        assert_eq!(tasks.ready.pop(None), Some(waits));
        assert_eq!(tasks.ready.pop(None), Some(last));
        assert_eq!(tasks.ready.pop(None), None);
    }

    #[test]
    fn a_list_is_in_order_whatever_is_removed() {
        let (mut tasks, mut list) = (Slab::default(), List::default());
        let mut random = Random::new(1);
        let mut expected: Vec<Id> = Vec::new();
        for _ in 0..10_000 {
            match expected.len() {
                len if len > 0 && random.below(2) == 0 => {
                    let id = expected.remove(random.below(len));
                    list.remove(&mut tasks, id);
                    // What is in no list stays so.
                    list.remove(&mut tasks, id);
                    tasks.remove(id);
                }
                _ => {
                    let id = tasks.add(task());
                    list.push(&mut tasks, id);
                    expected.push(id);
                }
            }
            let mut next = list.first();
            for id in &expected {
                assert_eq!(next, Some(*id));
                next = tasks[*id].next_waiting;
            }
            assert_eq!((next, list.last), (None, expected.last().copied()));
        }
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
