//! What has happened in a run, in its order.

use std::fmt;

use cwasm::TrapCode;

use super::program::Action;

/// Something that the host has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The host calls the function of this task.
    HostCall { task: u32 },
    /// Such a call has returned.
    HostResult { task: u32, value: u32 },
    /// The function of a task begins, with this as its second argument, if it has one.
    Begin { task: u32, instance: u32, arg: u32 },
    /// The callback of a task begins, with an event.
    Event { task: u32, event: [u32; 3] },
    /// A task does something.
    Act { task: u32, action: Action },
    /// What it has returned.
    Result { task: u32, value: u64 },
    /// Nothing goes on any more, or something has trapped.
    End { trap: Option<TrapCode> },
}

impl Entry {
    /// The task whose code runs.
    pub fn task(&self) -> Option<u32> {
        match *self {
            Entry::Begin { task, .. }
            | Entry::Event { task, .. }
            | Entry::Act { task, .. }
            | Entry::Result { task, .. } => Some(task),
            Entry::HostCall { .. } | Entry::HostResult { .. } | Entry::End { .. } => None,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::HostCall { task } => write!(f, "the host calls {task}"),
            Entry::HostResult { task, value } => write!(f, "the host has of {task}: {value}"),
            Entry::Begin {
                task,
                instance,
                arg,
            } => {
                write!(f, "{task} begins in instance {instance}, with {arg}")
            }
            Entry::Event {
                task,
                event: [code, handle, payload],
            } => {
                write!(f, "{task} is called back with {code} {handle} {payload:#x}")
            }
            Entry::Act {
                task,
                action:
                    Action {
                        op,
                        args: [a, b, c],
                    },
            } => {
                write!(f, "{task} does {op} {a} {b} {c}")
            }
            Entry::Result { task, value } => write!(f, "{task} has {value:#x}"),
            Entry::End { trap: None } => write!(f, "nothing goes on"),
            Entry::End { trap: Some(code) } => write!(f, "trap: {code:?}"),
        }
    }
}
