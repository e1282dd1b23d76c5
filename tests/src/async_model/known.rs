//! What the host has learned of the handles of an instance: enough to choose those with which an
//! operation makes sense. It knows nothing that it was not told by results and events.

use std::collections::BTreeMap;

use super::program::{End, Kind, Op, Returns};

/// What is known of an instance.
#[derive(Debug)]
pub(crate) struct Known {
    pub items: BTreeMap<u32, Item>,
    pub backpressure: u32,
    /// Where memory was not used yet.
    next_address: u32,
}

/// The first place that is used in a guest's memory, and the size of each place.
const FIRST_ADDRESS: u32 = 16;
pub(crate) const PLACE: u32 = 8;

/// What a handle is.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub what: What,
    pub state: State,
    /// The set that it is in.
    pub set: Option<u32>,
    /// Where its result or its payloads are.
    pub address: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Set,
    Subtask(Returns),
    End(End),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Idle,
    /// Something is under way that has an event when it is over.
    Busy,
    /// Somebody waits for it already.
    Waited,
    /// As `Busy`, and it is cancelled.
    Cancelling,
    Done,
}

impl Known {
    pub(crate) fn new() -> Known {
        Known {
            items: BTreeMap::new(),
            backpressure: 0,
            next_address: FIRST_ADDRESS,
        }
    }

    pub(crate) fn add(&mut self, handle: u32, what: What, state: State, address: u32) {
        let item = Item {
            what,
            state,
            set: None,
            address,
        };
        self.items.insert(handle, item);
    }

    /// A place in memory that nobody has used.
    pub(crate) fn new_address(&mut self) -> u32 {
        self.next_address += PLACE;
        self.next_address - PLACE
    }

    /// One of the places that were used.
    pub(crate) fn old_address(&self, pick: u32) -> u32 {
        let count = (self.next_address - FIRST_ADDRESS) / PLACE;
        FIRST_ADDRESS + PLACE * (pick % count.max(1))
    }

    /// The handles of which this is true.
    pub(crate) fn all(&self, is_one: impl Fn(&Item) -> bool) -> Vec<u32> {
        let items = self.items.iter().filter(|(_, item)| is_one(item));
        items.map(|(handle, _)| *handle).collect()
    }

    /// The `pick`th handle of which this is true.
    pub(crate) fn pick(&self, pick: u32, is_one: impl Fn(&Item) -> bool) -> Option<u32> {
        let all = self.all(is_one);
        let place = pick as usize % all.len().max(1);
        all.get(place).copied()
    }

    /// Whether something may still happen to a member of a set.
    pub(crate) fn is_awaited(&self, set: u32) -> bool {
        self.items
            .values()
            .any(|item| item.set == Some(set) && item.is_under_way())
    }

    fn has_members(&self, set: u32) -> bool {
        self.items.values().any(|item| item.set == Some(set))
    }

    /// A handle for which an operation makes sense.
    pub(crate) fn suitable(&self, op: Op, pick: u32) -> Option<u32> {
        match op {
            Op::SetWait => {
                let sets = self.all(|item| item.what == What::Set);
                let sets: Vec<u32> = sets
                    .into_iter()
                    .filter(|set| self.is_awaited(*set))
                    .collect();
                sets.get(pick as usize % sets.len().max(1)).copied()
            }
            Op::SetDrop => {
                let mut sets = self.all(|item| item.what == What::Set);
                sets.retain(|set| !self.has_members(*set));
                sets.get(pick as usize % sets.len().max(1)).copied()
            }
            _ => self.pick(pick, |item| item.suits(op)),
        }
    }

    /// A handle of the kind that an operation is of, whatever its state.
    pub(crate) fn of_kind(&self, op: Op, pick: u32) -> Option<u32> {
        self.pick(pick, |item| match op {
            Op::SubtaskCancel { .. } | Op::SubtaskDrop => matches!(item.what, What::Subtask(_)),
            Op::SetWait | Op::SetPoll | Op::SetDrop => item.what == What::Set,
            Op::Copy { end, .. } | Op::Cancel { end, .. } | Op::Drop(end) => item.is_end(end),
            Op::Return(Returns::End(kind)) => item.is_end(End::new(kind, true)),
            _ => item.what != What::Set,
        })
    }

    /// A readable end that can be given away.
    pub(crate) fn givable(&self, kind: Kind) -> Option<u32> {
        self.pick(0, |item| item.suits(Op::Return(Returns::End(kind))))
    }

    /// A read or write has come to something: the place of what was read.
    pub(crate) fn copied(&mut self, handle: u32, payload: u32) -> Option<u32> {
        let item = self.items.get_mut(&handle)?;
        let What::End(end) = item.what else {
            return None;
        };
        let is_done = match end.kind {
            Kind::Stream => payload & 15 == 1,
            Kind::Future => payload & 15 != 2,
        };
        item.state = if is_done { State::Done } else { State::Idle };
        end.is_readable.then_some(item.address)
    }

    /// A subtask is in another state: where its result is, and what that is.
    pub(crate) fn progressed(&mut self, handle: u32, state: u32) -> Option<(u32, Returns)> {
        let item = self.items.get_mut(&handle)?;
        let What::Subtask(returns) = item.what else {
            return None;
        };
        if state < 2 {
            return None;
        }
        item.state = State::Done;
        (state == 2 && returns != Returns::Nothing).then_some((item.address, returns))
    }
}

impl Item {
    /// Whether there will be an event, perhaps.
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.state, State::Busy | State::Cancelling)
    }

    fn is_end(&self, end: End) -> bool {
        self.what == What::End(end)
    }

    /// Whether an operation makes sense with it.
    fn suits(&self, op: Op) -> bool {
        let is_subtask = matches!(self.what, What::Subtask(_));
        let is_free = |is_sync: bool| !is_sync || self.set.is_none();
        match op {
            Op::SubtaskCancel { is_sync } => {
                is_subtask && self.state == State::Busy && is_free(is_sync)
            }
            Op::SubtaskDrop => is_subtask && self.state == State::Done,
            Op::SetPoll | Op::SetWait | Op::SetDrop => self.what == What::Set,
            Op::Join => self.what != What::Set && self.state != State::Waited,
            Op::Copy { end, is_sync } => {
                self.is_end(end) && self.state == State::Idle && is_free(is_sync)
            }
            Op::Cancel { end, .. } => self.is_end(end) && self.state == State::Busy,
            Op::Drop(end) => {
                let is_unwritten = end == End::new(Kind::Future, false);
                let is_idle = self.state == State::Idle && !is_unwritten;
                self.is_end(end) && (is_idle || self.state == State::Done)
            }
            Op::Return(Returns::End(kind)) => {
                let end = End::new(kind, true);
                self.is_end(end) && self.state == State::Idle && self.set.is_none()
            }
            _ => false,
        }
    }
}
