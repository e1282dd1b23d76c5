//! Random cases: what host and guests pass in one call.
//!
//! The data that a guest passes are values that the reference lowers into its memory, made wrong in
//! a few places: pointers at and beyond the end, or off by one; lengths at the limits; invalid
//! discriminants, chars and text.

use super::values::random_values;
use super::wat::{Func, Memory, Path};
use crate::random::Random;
use crate::reference::{
    Action, Behaviour, Core, Encoding, Flat, Guest, Handles, Lower, MAX_FLAT_PARAMS,
    MAX_FLAT_RESULTS, Meaning, PAGE, Place, Site, Step, Type, Value, Width, alignment, flat_count,
    size,
};

/// One call.
#[derive(Clone, Debug)]
pub struct Case {
    /// The host's arguments, if it calls.
    pub host_params: Vec<Value>,
    /// The results of the host's function: one value if it has a result. `None` if it fails.
    pub host_result: Option<Vec<Value>>,
    /// How the host's function enters its caller again before it returns: each within the one
    /// before.
    pub visits: Vec<Visit>,
    /// Whether the host goes on as if nothing had been when such a call fails.
    pub swallows: bool,
    /// The caller, if it is a guest.
    pub caller: Option<Setup>,
    /// The callee, if it is a guest.
    pub callee: Option<Setup>,
}

/// A call within a call: the guest gets a resource on loan, lets the host go on, and drops what is
/// said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Visit {
    /// Another handle that it drops first: a type and a handle, which may be invalid.
    pub other: Option<(usize, u32)>,
    /// Whether it drops what it has got.
    pub own: bool,
}

/// A guest before the call.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The contents of its memory.
    pub bytes: Vec<u8>,
    /// Where its `realloc` begins.
    pub next: u64,
    /// The script of its `realloc`: at most 16 steps.
    pub script: Vec<Step>,
    /// The caller's arguments; the last may be the address for the result.
    pub args: Vec<u64>,
    /// The callee's result.
    pub result: u64,
    /// The callee's behaviour.
    pub behaviour: Behaviour,
    /// The behaviour of its post-return.
    pub post_behaviour: Behaviour,
    /// Its handles, and how it came by them.
    pub handles: Handles,
    /// Whether it keeps a borrow that it must drop.
    pub keeps: bool,
}

impl Setup {
    /// A guest that gives and returns nothing.
    pub fn new(bytes: Vec<u8>, next: u64, script: Vec<Step>) -> Setup {
        Setup {
            bytes,
            next,
            script,
            args: Vec::new(),
            result: 0,
            behaviour: Behaviour::Return,
            post_behaviour: Behaviour::Return,
            handles: Handles::default(),
            keeps: false,
        }
    }

    /// The guest, for the reference.
    pub fn guest(&self, memory: Memory) -> Guest {
        let mut guest = Guest::new(
            self.bytes.clone(),
            (memory.max, memory.width),
            self.next,
            self.script.clone(),
        );
        guest.handles = self.handles.clone();
        guest
    }

    /// The flat parameters of a caller, or the flat result of a callee.
    pub(super) fn flat(&self, max_flat: usize, types: &[Type]) -> Vec<u64> {
        let count = flat_count(types);
        let count = if count > max_flat { 1 } else { count };
        if max_flat == MAX_FLAT_PARAMS {
            self.args[..count].to_vec()
        } else {
            vec![self.result; count]
        }
    }

    /// Where a caller wants the result that does not fit.
    pub(super) fn out_pointer(&self, func: &Func) -> Option<u64> {
        let count = flat_count(func.result.as_slice());
        (count > MAX_FLAT_RESULTS).then(|| *self.args.last().expect("an argument"))
    }
}

/// A case for the function.
pub fn random_case(random: &mut Random, path: Path, func: &Func, memories: [Memory; 2]) -> Case {
    let result = func.result.as_slice();
    let host_result = func.as_host_has(random_values(random, result));
    let caller = (path != Path::Export).then(|| {
        let mut setup = random_setup(
            random,
            func.caller,
            &func.params,
            MAX_FLAT_PARAMS,
            memories[0],
        );
        if func.core_types(true, memories[0].width).0.len() > setup.args.len() {
            let out = random_out(random, &setup, result, memories[0].width);
            setup.args.push(out);
        }
        setup.keeps = path == Path::Import && random.one_in(15);
        setup
    });
    let callee = (path != Path::Import).then(|| {
        let mut setup = random_setup(random, func.callee, result, MAX_FLAT_RESULTS, memories[1]);
        setup.result = setup.args.pop().unwrap_or(0);
        setup.keeps = random.one_in(15);
        setup.behaviour = random_behaviour(random);
        setup.post_behaviour = random_behaviour(random);
        if setup.behaviour == Behaviour::Leave {
            setup.behaviour = Behaviour::Return;
        }
        setup
    });
    let mut case = Case {
        host_params: func.as_host_has(random_values(random, &func.params)),
        host_result: (!random.one_in(60)).then_some(host_result),
        visits: match path == Path::Import && func.has_handles() {
            true => random_visits(random),
            false => Vec::new(),
        },
        swallows: path == Path::Import && random.one_in(3),
        caller,
        callee,
    };
    if let (Path::Between, Some(caller)) = (path, &mut case.caller) {
        caller.keeps = random.one_in(15);
    }
    case
}

/// Calls within a call, most of which do what they should.
fn random_visits(random: &mut Random) -> Vec<Visit> {
    let count = random.pick(&[0, 0, 1, 1, 2, 3]);
    let visits = (0..count).map(|_| Visit {
        other: random
            .one_in(3)
            .then(|| (random.below(2), random.below(9) as u32)),
        own: !random.one_in(8),
    });
    visits.collect()
}

fn random_behaviour(random: &mut Random) -> Behaviour {
    match random.below(60) {
        0 => Behaviour::Trap,
        1 => Behaviour::Leave,
        _ => Behaviour::Return,
    }
}

/// Values in a guest's memory.
#[derive(Clone, Debug)]
pub struct Planted {
    /// The contents of the memory.
    pub bytes: Vec<u8>,
    /// The flat values, or a pointer to all.
    pub flat: Vec<Flat>,
    /// All places that say something.
    pub sites: Vec<Site>,
    /// Where the memory is free.
    pub next: u64,
    /// The handles, with those of the values.
    pub handles: Handles,
}

/// The side that gives the values, and their form.
#[derive(Clone, Debug)]
pub struct Giver {
    /// The encoding of strings.
    pub encoding: Encoding,
    /// Whether those in Latin-1+UTF-16 are UTF-16.
    pub always_utf16: bool,
    /// How wide pointers are.
    pub width: Width,
    /// The handles that there are before.
    pub handles: Handles,
}

/// Puts values into a memory, as a guest would: from `start` on. `None` if there is no room.
pub fn plant(
    bytes: &[u8],
    start: usize,
    giver: &Giver,
    (values, types): (&[Value], &[Type]),
    max_flat: usize,
) -> Option<Planted> {
    let mut guest = Guest::new(
        bytes.to_vec(),
        (bytes.len() / PAGE, giver.width),
        start as u64,
        Vec::new(),
    );
    guest.handles = giver.handles.clone();
    let mut lower = Lower::new(&mut guest, giver.encoding);
    lower.always_utf16 = giver.always_utf16;
    lower.lends = true;
    let flat = lower.values(max_flat, values, types, None).ok()?;
    let mut sites = lower.sites().to_vec();
    sites.extend(flat.iter().enumerate().map(|(index, flat)| Site {
        place: Place::Flat(index),
        meaning: flat.meaning,
    }));
    Some(Planted {
        bytes: guest.bytes,
        flat,
        sites,
        next: guest.next,
        handles: guest.handles,
    })
}

/// A guest that passes values of these types.
fn random_setup(
    random: &mut Random,
    encoding: Encoding,
    types: &[Type],
    max_flat: usize,
    memory: Memory,
) -> Setup {
    let bytes = background(random, memory.min * PAGE);
    let values = random_values(random, types);
    let giver = Giver {
        encoding,
        always_utf16: random.one_in(2),
        width: memory.width,
        handles: match types.iter().any(Type::has_handles) {
            true => random_handles(random),
            false => Handles::default(),
        },
    };
    let plant = |start| plant(&bytes, start, &giver, (&values, types), max_flat);
    let start = 16 * (1 + random.below(100)) + random.below(2) * random.below(16);
    let mut planted = plant(start);
    if let Some(low) = &planted
        && random.one_in(4)
    {
        // As near to the end as it fits.
        let end = bytes.len() - (low.next as usize - start);
        let high = plant(end).or_else(|| plant(end & !7));
        planted = high.map(|high| Planted { next: 64, ..high }).or(planted);
    }
    let script = random_script(random);
    let Some(Planted {
        mut bytes,
        flat,
        sites,
        next,
        handles,
    }) = planted
    else {
        // The memory is too small.
        let count = flat_count(types);
        let count = if count > max_flat { 1 } else { count };
        let args = (0..count).map(|_| u64::from(random.next_u64() as u32 >> 15));
        return Setup {
            args: args.collect(),
            ..Setup::new(bytes, 64, script)
        };
    };
    let mut args: Vec<u64> = flat.iter().map(|flat| flat.bits).collect();
    for _ in 0..random.pick(&[0, 0, 0, 1, 1, 1, 2, 3]) {
        if !sites.is_empty() {
            let site = sites[random.below(sites.len())];
            damage(random, &mut bytes, &mut args, site);
        }
    }
    for (arg, flat) in args.iter_mut().zip(&flat) {
        if matches!(flat.core, Core::I32 | Core::F32) {
            *arg &= 0xffff_ffff;
        }
    }
    Setup {
        args,
        handles,
        ..Setup::new(bytes, next, script)
    }
}

/// A few handles, and free places among them.
fn random_handles(random: &mut Random) -> Handles {
    let mut handles = Handles::default();
    for _ in 0..random.below(5) {
        let ty = random.below(2);
        let handle = handles.add(ty, random.next_u64() as u32, true);
        if random.one_in(3) {
            handles.drop(ty, handle);
        }
    }
    handles
}

/// The bytes of a memory where nothing was put.
fn background(random: &mut Random, len: usize) -> Vec<u8> {
    match random.below(4) {
        0 => vec![0; len],
        1 => vec![0xee; len],
        2 => vec![1; len],
        _ => {
            let words = (0..len / 8).flat_map(|_| random.next_u64().to_le_bytes());
            words.collect()
        }
    }
}

/// Where a caller wants its result.
fn random_out(random: &mut Random, setup: &Setup, result: &[Type], width: Width) -> u64 {
    let tuple = Type::Tuple(result.to_vec());
    let (align, size) = (alignment(&tuple, width), size(&tuple, width));
    let end = setup.bytes.len();
    let good = setup.next.next_multiple_of(align as u64) + 8192;
    let pointer = match random.below(8) {
        0 => pointer_near(random, good, size, align, end),
        1 => (end.saturating_sub(size) / align * align) as u64,
        _ => good,
    };
    pointer & width.mask()
}

/// A pointer that may be wrong.
fn pointer_near(random: &mut Random, pointer: u64, size: usize, align: usize, end: usize) -> u64 {
    let (size, align, end) = (size as u64, align as u64, end as u64);
    let flipped = pointer ^ 1 << random.below(64);
    let flipped_low = pointer ^ 1 << random.below(20);
    random.pick(&[
        0,
        pointer.wrapping_add(1),
        pointer.wrapping_add(align / 2),
        flipped,
        flipped_low,
        end,
        end.wrapping_add(align),
        end.wrapping_sub(size),
        end.wrapping_sub(size).wrapping_add(1),
        end.wrapping_sub(size).wrapping_add(align),
        0u64.wrapping_sub(align),
        0u64.wrapping_sub(size),
        u64::MAX,
        u32::MAX.into(),
        1 << 31,
        1 << 32 | pointer,
        1 << 63 | pointer,
    ])
}

/// Makes one place say something else, which may be as good.
fn damage(random: &mut Random, bytes: &mut [u8], args: &mut [u64], site: Site) {
    if site.meaning == Meaning::Text {
        let Place::Memory(at, len) = site.place else {
            return;
        };
        if len > 0 {
            let at = at + random.below(len);
            bytes[at] = random.pick(&[0x80, 0xbf, 0xc0, 0xc3, 0xd8, 0xdc, 0xe0, 0xed, 0xf4, 0xff]);
        }
        return;
    }
    let end = bytes.len();
    change(bytes, args, site.place, |old| {
        damaged(random, old, site.meaning, end)
    });
}

/// Changes a place that says something.
pub fn change(bytes: &mut [u8], args: &mut [u64], place: Place, new: impl FnOnce(u64) -> u64) {
    match place {
        Place::Flat(index) => args[index] = new(args[index]),
        Place::Memory(at, len) => {
            let mut word = [0; 8];
            word[..len].copy_from_slice(&bytes[at..at + len]);
            let new = new(u64::from_le_bytes(word));
            bytes[at..at + len].copy_from_slice(&new.to_le_bytes()[..len]);
        }
    }
}

fn damaged(random: &mut Random, old: u64, meaning: Meaning, end: usize) -> u64 {
    let any = random.next_u64();
    // What joined payloads are too wide for is ignored.
    let high = if random.one_in(4) { any << 32 } else { 0 };
    let len = |element: u64| {
        let limit = (1 << 28) - 1;
        let most = limit / element;
        [
            0,
            old.wrapping_add(1),
            old.wrapping_sub(1),
            most,
            most + 1,
            limit,
            limit + 1,
            1 << 31,
            0xffff_ffff,
            1 << 32 | old,
            (u64::MAX / element).wrapping_add(1),
            u64::MAX,
        ]
    };
    match meaning {
        Meaning::Int(_) | Meaning::Unused => any,
        Meaning::Bool => high | random.pick(&[2, 0x80, 0xff, 0x100, 0x8000_0000]),
        Meaning::Float(4) => high | random.pick(&[0x7f80_0001, 0xffff_ffff, 0x7fc0_0001]),
        Meaning::Float(_) => random.pick(&[0x7ff0_0000_0000_0001, u64::MAX, any]),
        Meaning::Char => {
            let edges = [
                0xd7ff,
                0xd800,
                0xdfff,
                0xe000,
                0x10_ffff,
                0x11_0000,
                0xffff_ffff,
            ];
            high | random.pick(&edges)
        }
        Meaning::Discriminant(count) => {
            let count = count as u64;
            random.pick(&[
                count,
                count - 1,
                count + 1,
                0xff,
                0x100 | old,
                0x8000_0000,
                0xffff_ffff,
            ])
        }
        Meaning::Flags(count) => high | old | 1u64 << (count % 32) | any & 0xffff_0000,
        Meaning::Pointer { size, align } => {
            let pointer = pointer_near(random, old, size, align, end);
            pointer ^ high
        }
        Meaning::Length(element) => high ^ random.pick(&len(element as u64)),
        Meaning::Units => {
            let tag = random.pick(&[1 << 31, 1 << 63]);
            let unit_size = random.pick(&[1, 2]);
            let most = random.pick(&len(unit_size));
            high ^ random.pick(&[most, old ^ tag, most ^ tag])
        }
        Meaning::Handle => {
            let near = random.below(8) as u64;
            high ^ random.pick(&[0, near, near, near, old + 1, 15, 16, 0xffff_ffff])
        }
        Meaning::Text => old,
    }
}

/// A random script of `realloc`: mostly correct behaviour.
fn random_script(random: &mut Random) -> Vec<Step> {
    let behave = Step {
        action: Action::Bump,
        value: 0,
    };
    let mut script = vec![behave; 16];
    for _ in 0..random.pick(&[0, 0, 0, 1, 1, 2]) {
        let at = random.pick(&[0, 0, 1, 1, 2, 3, 5, 9]);
        script[at] = random_step(random);
    }
    script
}

fn random_step(random: &mut Random) -> Step {
    let near_end = (PAGE - random.below(64)) as u64;
    let place = 16 * random.below(200) as u64;
    let (action, value) = match random.below(16) {
        0 => (
            Action::Return,
            random.pick(&[0, 1, 2, 3, 4, u64::MAX, 1 << 31, 1 << 32, 1 << 63, 8]),
        ),
        1 => (Action::Return, near_end),
        2 => (Action::Return, place),
        3 | 4 => (Action::Grow, 0),
        5 => (Action::Scribble, place),
        6 => (Action::Scribble, near_end),
        7 => (Action::Trap, 0),
        8 if random.one_in(4) => (Action::Recurse, 0),
        8 | 9 => (Action::InPlace, 0),
        10 => (Action::NoCopy, 0),
        11 | 12 => (Action::Off, random.pick(&[1, 2, 4])),
        13 | 14 => (Action::AtEnd, random.pick(&[0, 0, 1, 2, 4, 8])),
        _ => (Action::Leave, 0),
    };
    Step { action, value }
}
