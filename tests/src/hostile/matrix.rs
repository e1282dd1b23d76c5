//! Conditions that must trap, and those that must not, on every path and in every position.
//!
//! ```text
//! Leaf: a value that a guest has      -> Trial: one call, for each Way and Position
//! what is wrong with it, and who asks
//! ```

use cwasm::TrapCode;

use super::case::{Case, Giver, Setup, change, plant};
use super::expect::{End, expect};
use super::run::{Outcome, Ready};
use super::typed::{ROWS, padding};
use super::wat::{Func, Memory, Path, World};
use crate::artifact::Workshop;
use crate::reference::Encoding::{Latin1Utf16, Utf8, Utf16};
use crate::reference::{
    Action, Encoding, Handles, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, Meaning, PAGE, Place, Source,
    Step, Text, Type, Value, Width, flat_count,
};

/// Where the wrong value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Position {
    /// Alone.
    Flat,
    /// Alone, with enough other parameters that all of them are in memory.
    Spilled,
    /// The element of a list.
    List,
    /// The second field of a record or tuple.
    Record,
    /// The payload of a variant.
    Variant,
    /// The payload of an option.
    Option,
    /// The payload of a result.
    Result,
}

const POSITIONS: [Position; 7] = [
    Position::Flat,
    Position::Spilled,
    Position::List,
    Position::Record,
    Position::Variant,
    Position::Option,
    Position::Result,
];

impl Position {
    /// The type with `leaf` in this position.
    fn ty(self, leaf: &Type) -> Type {
        let boxed = Box::new(leaf.clone());
        match self {
            Position::Flat | Position::Spilled => leaf.clone(),
            Position::List => Type::List(boxed),
            Position::Record => Type::Record(vec![Type::U8, leaf.clone()]),
            Position::Variant => Type::Variant(vec![None, Some(leaf.clone()), Some(Type::U64)]),
            Position::Option => Type::Option(boxed),
            Position::Result => Type::Result(Some(boxed), Some(Box::new(Type::U8))),
        }
    }

    fn value(self, leaf: Value) -> Value {
        match self {
            Position::Flat | Position::Spilled => leaf,
            Position::List => Value::List(vec![leaf]),
            Position::Record => Value::Record(vec![Value::Int(7), leaf]),
            Position::Variant | Position::Option => Value::Case(1, Some(Box::new(leaf))),
            Position::Result => Value::Case(0, Some(Box::new(leaf))),
        }
    }
}

/// The sides that lift and lower the wrong value.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Caller and callee.
    pub path: Path,
    /// Whether the host's side is typed.
    pub typed: bool,
    /// Whether it is wrong in the parameter, or in the result.
    pub in_param: bool,
}

const fn way(path: Path, typed: bool, in_param: bool) -> Way {
    Way {
        path,
        typed,
        in_param,
    }
}

/// The ways in which a guest's value is taken.
pub const LIFTING: [Way; 6] = [
    way(Path::Import, true, true),
    way(Path::Import, false, true),
    way(Path::Export, true, false),
    way(Path::Export, false, false),
    way(Path::Between, false, true),
    way(Path::Between, false, false),
];

/// The ways in which a guest is given a value.
pub const LOWERING: [Way; 6] = [
    way(Path::Export, true, true),
    way(Path::Export, false, true),
    way(Path::Import, true, false),
    way(Path::Import, false, false),
    way(Path::Between, false, true),
    way(Path::Between, false, false),
];

/// The required result of a trial.
pub type Want = Result<(), TrapCode>;

/// One call.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The sides that lift and lower.
    pub way: Way,
    /// Where the leaf is.
    pub position: Position,
    func: Func,
    memories: [Memory; 2],
    case: Case,
    want: Want,
}

impl Trial {
    /// Whether the leaf is in registers.
    pub fn is_flat(&self) -> bool {
        let (types, max_flat) = if self.way.in_param {
            (self.func.params.as_slice(), MAX_FLAT_PARAMS)
        } else {
            (self.func.result.as_slice(), MAX_FLAT_RESULTS)
        };
        flat_count(types) <= max_flat && self.position != Position::List
    }
}

/// A value, and its form in a guest.
#[derive(Clone)]
pub struct Leaf {
    ty: Type,
    value: Value,
    /// The encoding of strings.
    pub encoding: Encoding,
    /// Whether Latin-1+UTF-16 is UTF-16.
    pub tagged: bool,
    /// The width of pointers in the guest with the leaf, and in the other one.
    widths: [Width; 2],
}

impl Leaf {
    /// A value that is no string.
    pub fn new(ty: Type, value: Value) -> Leaf {
        Leaf {
            ty,
            value,
            encoding: Utf8,
            tagged: false,
            widths: [Width::W32; 2],
        }
    }

    /// The same in a memory with addresses of another width, or for one.
    #[must_use]
    pub fn wide(self, widths: [Width; 2]) -> Leaf {
        Leaf { widths, ..self }
    }

    /// A string.
    pub fn text(text: &str, encoding: Encoding, tagged: bool) -> Leaf {
        let value = Value::String(Text {
            text: text.to_owned(),
            source: Source::Utf8,
        });
        Leaf {
            encoding,
            tagged,
            ..Leaf::new(Type::String, value)
        }
    }

    fn giver(&self, encoding: Encoding, width: Width) -> Giver {
        Giver {
            encoding,
            always_utf16: self.tagged,
            width,
            handles: Handles::default(),
        }
    }

    /// A list of `items` threes.
    pub fn list(element: Type, items: usize) -> Leaf {
        Leaf::new(
            Type::List(Box::new(element)),
            Value::List(vec![Value::Int(3); items]),
        )
    }

    /// The three forms of a string that a guest can have, and the fourth.
    pub fn texts(text: &str) -> [Leaf; 4] {
        [
            Leaf::text(text, Utf8, false),
            Leaf::text(text, Utf16, false),
            Leaf::text(text, Latin1Utf16, false),
            Leaf::text(text, Latin1Utf16, true),
        ]
    }
}

/// A case in which nothing is wrong: a function that takes and returns the leaf in this position.
/// `other` is the encoding of the side without the leaf. `None` if there is no such function.
fn right(
    leaf: &Leaf,
    other: Encoding,
    way: Way,
    position: Position,
) -> Option<(Func, [Memory; 2], Case)> {
    if position == Position::Spilled && !way.in_param {
        // A result of more than one flat value is in memory: all other positions are.
        return None;
    }
    let ty = position.ty(&leaf.ty);
    let typed = if way.typed {
        // Some types do not exist in each position.
        Some(ROWS.iter().position(|row| (row.ty)() == ty)?)
    } else {
        None
    };
    let (mut params, mut values) = (vec![ty.clone()], vec![position.value(leaf.value.clone())]);
    let result = values.clone();
    if position == Position::Spilled {
        params.push(padding());
        values.push(Value::Record(vec![Value::Int(5); 16]));
    }
    let (mut encodings, mut widths) = ([leaf.encoding, other], leaf.widths);
    if !way.in_param {
        encodings.reverse();
        widths.reverse();
    }
    let [caller, callee] = encodings;
    let memories = widths.map(|width| Memory {
        min: 1,
        max: 2,
        width,
    });
    let func = Func {
        params,
        result: Some(ty),
        caller,
        callee,
        post_return: true,
        typed,
    };
    let guest = |types: &[Type], values: &[Value], (encoding, width), max_flat| {
        let giver = leaf.giver(encoding, width);
        let planted = plant(&[0xee; PAGE], 1024, &giver, (values, types), max_flat);
        let planted = planted.expect("a page is enough");
        let args = planted.flat.iter().map(|flat| flat.bits).collect();
        Setup {
            args,
            ..Setup::new(planted.bytes, planted.next, vec![behave(); 16])
        }
    };
    let caller = (way.path != Path::Export).then(|| {
        let mut caller = guest(&func.params, &values, (caller, widths[0]), MAX_FLAT_PARAMS);
        if func.core_types(true, widths[0]).0.len() > caller.args.len() {
            caller.args.push(0x8000);
        }
        caller
    });
    let callee = (way.path != Path::Import).then(|| {
        let types = func.result.as_slice();
        let mut callee = guest(types, &result, (callee, widths[1]), MAX_FLAT_RESULTS);
        callee.result = callee.args.pop().expect("a result");
        callee
    });
    let case = Case {
        visits: Vec::new(),
        swallows: false,
        host_params: values,
        host_result: Some(result),
        caller,
        callee,
    };
    Some((func, memories, case))
}

fn behave() -> Step {
    step(Action::Bump, 0)
}

pub fn step(action: Action, value: u64) -> Step {
    Step { action, value }
}

/// The trials, each made from what is right by `make`, which may say that there is none.
pub fn trials(
    ways: &[Way],
    leaf: &Leaf,
    other: Encoding,
    want: Want,
    make: impl Fn(Way, Position, &Func, &mut Case) -> bool,
) -> Vec<Trial> {
    let mut trials = Vec::new();
    for way in ways {
        for position in POSITIONS {
            let Some((func, memories, mut case)) = right(leaf, other, *way, position) else {
                continue;
            };
            if make(*way, position, &func, &mut case) {
                trials.push(Trial {
                    way: *way,
                    position,
                    func,
                    memories,
                    case,
                    want,
                });
            }
        }
    }
    trials
}

/// The guest that gives what is lifted: its values, their types, and how many fit.
pub fn giver<'a>(
    way: Way,
    func: &'a Func,
    case: &'a mut Case,
) -> (&'a mut Setup, &'a [Type], usize) {
    let (guest, types, max_flat) = if way.in_param {
        (&mut case.caller, func.params.as_slice(), MAX_FLAT_PARAMS)
    } else {
        (&mut case.callee, func.result.as_slice(), MAX_FLAT_RESULTS)
    };
    (
        guest.as_mut().expect("a guest gives the value"),
        types,
        max_flat,
    )
}

/// The guest that takes what is lowered.
pub fn taker(way: Way, case: &mut Case) -> &mut Setup {
    let guest = if way.in_param {
        &mut case.callee
    } else {
        &mut case.caller
    };
    guest.as_mut().expect("a guest takes the value")
}

/// Trials in which the guest's data are made wrong: the last place with such a meaning is changed.
pub fn lifting(
    leaf: &Leaf,
    want: Want,
    says: impl Fn(Meaning) -> bool,
    new: impl Fn(u64) -> u64,
) -> Vec<Trial> {
    trials(
        &LIFTING,
        leaf,
        leaf.encoding,
        want,
        |way, position, func, case| {
            let values = position.value(leaf.value.clone());
            let mut values = vec![values];
            if position == Position::Spilled {
                values.push(Value::Record(vec![Value::Int(5); 16]));
            }
            let (guest, types, max_flat) = giver(way, func, case);
            let giver = leaf.giver(leaf.encoding, leaf.widths[0]);
            let planted = plant(&[0xee; PAGE], 1024, &giver, (&values, types), max_flat);
            let sites = planted.expect("as before").sites;
            let said = |place: fn(&Place) -> bool| {
                let mut sites = sites.iter().rev();
                sites
                    .find(|site| place(&site.place) && says(site.meaning))
                    .copied()
            };
            let in_memory = said(|place| matches!(place, Place::Memory(..)));
            let Some(site) = in_memory.or_else(|| said(|_| true)) else {
                panic!("{position:?} of {:?} has no such place", leaf.ty);
            };
            if let Place::Memory(at, len @ 9..) = site.place {
                panic!("{len} bytes at {at}");
            }
            let args = if way.in_param {
                &mut guest.args[..]
            } else {
                std::slice::from_mut(&mut guest.result)
            };
            change(&mut guest.bytes, args, site.place, &new);
            true
        },
    )
}

/// Which call of `realloc` is the first one for the leaf.
fn first_call(way: Way, position: Position) -> usize {
    usize::from(position == Position::List || position == Position::Spilled && way.in_param)
}

/// A call of the taker's `realloc` for the leaf does this; `other` is the taker's encoding.
pub fn lowering(leaf: &Leaf, other: Encoding, call: usize, step: Step, want: Want) -> Vec<Trial> {
    trials(&LOWERING, leaf, other, want, |way, position, _, case| {
        // The host's strings are UTF-8.
        if way.path != Path::Between && leaf.encoding != Utf8 {
            return false;
        }
        let guest = taker(way, case);
        let mut step = step;
        if step.action == Action::Scribble {
            // Where it has given memory before.
            step.value += guest.next;
        }
        guest.script[first_call(way, position) + call] = step;
        true
    })
}

/// The trials of a value that Rust has a type for: typed ones, dynamic ones, and those from guest
/// to guest, each in all positions.
pub const ALL: usize = 3 * BETWEEN;

/// The trials from guest to guest: 7 positions in parameters, and 6 in results.
pub const BETWEEN: usize = 7 + 6;

/// Runs the trials, of which there are `count`.
#[track_caller]
pub fn check(count: usize, mut trials: Vec<Trial>) {
    let workshop = Workshop::new();
    assert_eq!(trials.len(), count, "the number of trials of this row");
    while let Some(first) = trials.first() {
        let (path, memories) = (first.way.path, first.memories);
        let is_same = |trial: &Trial| trial.way.path == path && trial.memories == memories;
        let (same, rest) = trials.into_iter().partition(is_same);
        trials = rest;
        check_world(&workshop, path, memories, same);
    }
}

/// Runs trials of one path, between guests with these memories.
#[track_caller]
fn check_world(workshop: &Workshop, path: Path, memories: [Memory; 2], trials: Vec<Trial>) {
    let mut funcs: Vec<Func> = Vec::new();
    for trial in &trials {
        if !funcs.contains(&trial.func) {
            funcs.push(trial.func.clone());
        }
    }
    let [caller, callee] = memories;
    let world = World {
        path,
        is_async: false,
        funcs,
        caller,
        callee,
    };
    let ready = Ready::new(workshop, world).unwrap();
    for trial in trials {
        let (func, case, want) = (&trial.func, &trial.case, trial.want);
        let name = format!("{:?} {:?}", trial.way, trial.position);
        let mut expected = expect(path, func, case, memories);
        match (&expected.end, want) {
            (End::Returns(_), Ok(())) => {}
            (End::Traps(codes), Err(code)) if codes[0] == code => {
                expected.end = End::Traps(vec![code]);
            }
            (end, want) => panic!("{name}: the reference says {end:?}, expected {want:?}"),
        }
        let index = ready.world.funcs.iter().position(|other| other == func);
        let index = index.expect("the function is in its world");
        match (ready.check(index, case, &expected), want) {
            (Ok(Outcome::Returned(_)), Ok(())) => {}
            (Ok(Outcome::Trapped(found)), Err(code)) if found == code => {}
            (found, want) => panic!("{name}: {found:?}, expected {want:?}\n{func:?}"),
        }
    }
}
