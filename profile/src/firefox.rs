//! The processed profile format of the Firefox Profiler.

use cwasm::{FrameKind, Profile, ProfileThread};
use fxprof_processed_profile as fxprof;
use fxprof_processed_profile::{
    CategoryColor, CategoryPairHandle, CpuDelta, FrameFlags, FrameHandle, FrameInfo, ProcessHandle,
    SamplingInterval, StackHandle, ThreadHandle, Timestamp, WeightType,
};

use crate::text::{name_of, plain};

/// The profile in that format.
pub(crate) fn profile(profile: &Profile, program: &str) -> fxprof::Profile {
    let mut out = fxprof::Profile::new(
        &plain(program),
        profile.started.into(),
        SamplingInterval::from_nanos(profile.interval.as_nanos() as u64),
    );
    // There is nothing to be asked of a server.
    out.set_symbolicated(true);
    let categories = Categories::new(&mut out);
    let start = Timestamp::from_nanos_since_reference(0);
    let end = Timestamp::from_nanos_since_reference(profile.duration.as_nanos() as u64);
    let process = out.add_process(&plain(program), std::process::id(), start);
    out.set_process_end_time(process, end);
    for thread in &profile.threads {
        let handle = add_thread(&mut out, process, thread);
        out.set_thread_end_time(handle, end);
        add_samples(&mut out, handle, (profile, thread), &categories);
    }
    out
}

fn add_thread(
    out: &mut fxprof::Profile,
    process: ProcessHandle,
    thread: &ProfileThread,
) -> ThreadHandle {
    let is_main = thread.id == std::process::id();
    let start = Timestamp::from_nanos_since_reference(0);
    let handle = out.add_thread(process, thread.id, start, is_main);
    out.set_thread_name(handle, &name_of(thread));
    out.set_thread_samples_weight_type(handle, WeightType::Samples);
    handle
}

/// Adds the samples of a thread, each with how many intervals it stands for.
fn add_samples(
    out: &mut fxprof::Profile,
    handle: ThreadHandle,
    (profile, thread): (&Profile, &ProfileThread),
    categories: &Categories,
) {
    let mut stacks: Vec<Option<StackHandle>> = vec![None; profile.stacks.len()];
    let interval = (profile.interval.as_nanos() as u64).max(1);
    let mut rest = 0;
    for sample in &thread.samples {
        let stack = stack_of(out, handle, profile, sample.stack, &mut stacks, categories);
        // What is less than an interval is the next one's, so that the sum is right.
        rest += sample.weight;
        let weight = i32::try_from(rest / interval).unwrap_or(i32::MAX);
        rest %= interval;
        let time = Timestamp::from_nanos_since_reference(sample.time);
        let cpu = CpuDelta::from_nanos(sample.weight);
        out.add_sample(handle, time, Some(stack), cpu, weight);
    }
}

/// The stack of this number, in a thread that has some already.
fn stack_of(
    out: &mut fxprof::Profile,
    thread: ThreadHandle,
    profile: &Profile,
    number: u32,
    known: &mut [Option<StackHandle>],
    categories: &Categories,
) -> StackHandle {
    let mut missing = Vec::new();
    let mut next = Some(number);
    let mut caller = None;
    while let Some(number) = next {
        if let Some(stack) = known[number as usize] {
            caller = Some(stack);
            break;
        }
        missing.push(number);
        next = profile.stacks[number as usize].caller;
    }
    let mut stack = caller;
    for number in missing.into_iter().rev() {
        let frame = &profile.frames[profile.stacks[number as usize].frame as usize];
        let frame = frame_of(out, thread, frame, categories);
        let this = out.intern_stack(thread, stack, frame);
        known[number as usize] = Some(this);
        stack = Some(this);
    }
    stack.unwrap_or_else(|| unreachable!("a stack has a frame"))
}

fn frame_of(
    out: &mut fxprof::Profile,
    thread: ThreadHandle,
    frame: &cwasm::ProfileFrame,
    categories: &Categories,
) -> FrameHandle {
    let name = out.intern_string(&plain(&frame.name));
    let info = FrameInfo {
        frame: fxprof::Frame::Label(name),
        category_pair: categories.of(frame.kind),
        flags: FrameFlags::empty(),
    };
    out.intern_frame(thread, info)
}

/// Kinds of frames, with their colours.
struct Categories {
    guest: CategoryPairHandle,
    host: CategoryPairHandle,
    builtin: CategoryPairHandle,
    other: CategoryPairHandle,
}

impl Categories {
    fn new(out: &mut fxprof::Profile) -> Categories {
        Categories {
            guest: out.add_category("Guest", CategoryColor::Blue).into(),
            host: out.add_category("Host", CategoryColor::Orange).into(),
            builtin: out.add_category("Built-in", CategoryColor::Green).into(),
            other: out.add_category("Glue", CategoryColor::Gray).into(),
        }
    }

    fn of(&self, kind: FrameKind) -> CategoryPairHandle {
        match kind {
            FrameKind::Guest => self.guest,
            FrameKind::Host => self.host,
            FrameKind::Builtin => self.builtin,
            _ => self.other,
        }
    }
}
