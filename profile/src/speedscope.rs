//! The format of speedscope (<https://www.speedscope.app/file-format-schema.json>).
//!
//! Each thread is a profile of events: functions are entered and left at times. A time is the
//! measured time of all samples before, so that each has its weight.

use cwasm::{Profile, ProfileThread};
use serde::Serialize;

use crate::text::{name_of, plain};

/// The file's members.
#[derive(Serialize)]
pub(crate) struct File<'p> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: String,
    shared: Shared,
    profiles: Vec<Thread<'p>>,
}

#[derive(Serialize)]
struct Shared {
    frames: Vec<Frame>,
}

#[derive(Serialize)]
struct Frame {
    name: String,
}

/// The profile of a thread.
#[derive(Serialize)]
struct Thread<'p> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start: u64,
    #[serde(rename = "endValue")]
    end: u64,
    #[serde(serialize_with = "serialize_events")]
    events: Events<'p>,
}

/// The events of a thread, which are more than its samples: they are written one by one.
struct Events<'p> {
    profile: &'p Profile,
    thread: &'p ProfileThread,
}

/// A function is entered (`O`) or left (`C`).
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Event {
    #[serde(rename = "type")]
    kind: char,
    frame: u32,
    at: u64,
}

impl<'p> File<'p> {
    pub(crate) fn new(profile: &'p Profile, program: &str) -> File<'p> {
        let frames = profile.frames.iter().map(|frame| Frame {
            name: plain(&frame.name),
        });
        let threads = profile.threads.iter().map(|thread| Thread {
            kind: "evented",
            name: name_of(thread),
            unit: "nanoseconds",
            start: 0,
            end: thread.samples.iter().map(|sample| sample.weight).sum(),
            events: Events { profile, thread },
        });
        File {
            schema: "https://www.speedscope.app/file-format-schema.json",
            exporter: concat!("cwasm ", env!("CARGO_PKG_VERSION")),
            name: plain(program),
            shared: Shared {
                frames: frames.collect(),
            },
            profiles: threads.collect(),
        }
    }
}

fn serialize_events<S: serde::Serializer>(
    events: &Events<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeSeq as _;

    let mut list = serializer.serialize_seq(None)?;
    events.each(|event| list.serialize_element(&event))?;
    list.end()
}

impl Events<'_> {
    /// Calls `found` with each event, in order.
    fn each<E>(&self, mut found: impl FnMut(Event) -> Result<(), E>) -> Result<(), E> {
        let stacks = &self.profile.stacks;
        // Outermost first.
        let (mut open, mut next): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut at = 0;
        let ends = [None];
        let samples = self.thread.samples.iter().map(Some).chain(ends);
        for sample in samples {
            next.clear();
            let stack = sample.map(|sample| sample.stack);
            next.extend(std::iter::successors(stack, |stack| {
                stacks[*stack as usize].caller
            }));
            next.reverse();
            let same = open.iter().zip(&next).take_while(|(a, b)| a == b).count();
            let event = |kind, stack: u32| Event {
                kind,
                frame: stacks[stack as usize].frame,
                at,
            };
            for stack in open.drain(same..).rev() {
                found(event('C', stack))?;
            }
            for stack in &next[same..] {
                found(event('O', *stack))?;
            }
            std::mem::swap(&mut open, &mut next);
            at += sample.map_or(0, |sample| sample.weight);
        }
        Ok(())
    }
}
