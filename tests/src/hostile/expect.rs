//! Computes the expected behaviour of a case by the reference.

use cwasm::TrapCode;

use super::case::{Case, Setup, Visit};
use super::wat::{Func, Memory, Path};
use crate::reference::{
    Action, Behaviour, Encoding, Flat, Guest, Handles, Lift, Lower, MAX_FLAT_PARAMS,
    MAX_FLAT_RESULTS, Value,
};

/// How a call ends.
#[derive(Clone, Debug)]
pub enum End {
    /// It returns; the result is what the host gets.
    Returns(Option<Value>),
    /// It traps with one of these; the first one is the specification's.
    Traps(Vec<TrapCode>),
    /// The host's function fails.
    HostFails,
    /// It traps or returns: a guest read back what it was not told.
    Unsure,
}

/// The expected behaviour of a case.
#[derive(Clone, Debug)]
pub struct Expected {
    /// How the call ends.
    pub end: End,
    /// The arguments of the host's function.
    pub received: Option<Vec<Value>>,
    /// The caller's state afterwards, if it is a guest.
    pub caller: Option<After>,
    /// The callee's state afterwards, if it is a guest.
    pub callee: Option<After>,
}

/// A guest after a call that returned.
#[derive(Clone, Debug)]
pub struct After {
    /// Its memory, and the calls of its `realloc`.
    pub guest: Guest,
    /// The arguments of a callee.
    pub args: Vec<Flat>,
    /// The result that a caller got.
    pub result: Option<Flat>,
    /// The argument of post-return, if it was called and takes one.
    pub post_arg: Option<u64>,
    /// How often post-return was called.
    pub posts: u32,
    /// The handles that it drops before it returns, with their types.
    pub drops: Vec<(usize, u32)>,
}

impl After {
    /// Drops what is borrowed, as `setup` says: whether nothing is left.
    fn drop_borrows(&mut self, setup: &Setup) -> bool {
        let borrows = self.guest.handles.borrows().into_iter();
        self.drops = borrows.map(|(handle, found)| (found.ty, handle)).collect();
        let keeps = setup.keeps && self.drops.pop().is_some();
        for (ty, handle) in &self.drops {
            self.guest.handles.drop(*ty, *handle);
        }
        !keeps
    }
}

/// The representation of the resource that is lent to the caller.
pub const LENT: u32 = 900;

/// The same, for calls within the call.
pub const VISITOR: u32 = 901;

/// Why a call ended early.
enum Stop {
    Trap(Vec<TrapCode>),
    HostFails,
    Unsure,
}

impl From<TrapCode> for Stop {
    fn from(code: TrapCode) -> Stop {
        Stop::Trap(vec![code])
    }
}

/// Computes the expected behaviour of the case.
pub fn expect(path: Path, func: &Func, case: &Case, memories: [Memory; 2]) -> Expected {
    let after = |setup: &Option<Setup>, memory: Memory| {
        setup.as_ref().map(|setup| After {
            guest: setup.guest(memory),
            args: Vec::new(),
            result: None,
            post_arg: None,
            posts: 0,
            drops: Vec::new(),
        })
    };
    let mut expected = Expected {
        end: End::Unsure,
        received: None,
        caller: after(&case.caller, memories[0]),
        callee: after(&case.callee, memories[1]),
    };
    let end = match path {
        Path::Export => export(func, case, &mut expected),
        Path::Import => import(func, case, &mut expected).map(|()| None),
        Path::Between => between(func, case, &mut expected).map(|()| None),
    };
    expected.end = match end {
        Ok(result) => End::Returns(result),
        Err(Stop::Trap(codes)) => End::Traps(codes),
        Err(Stop::HostFails) => End::HostFails,
        Err(Stop::Unsure) => End::Unsure,
    };
    expected
}

/// The host calls a guest.
fn export(func: &Func, case: &Case, expected: &mut Expected) -> Result<Option<Value>, Stop> {
    let (Some(setup), Some(after)) = (&case.callee, &mut expected.callee) else {
        panic!("the callee is a guest");
    };
    let values = &case.host_params;
    let lower = &mut Lower::new(&mut after.guest, func.callee);
    after.args = lower.values(MAX_FLAT_PARAMS, values, &func.params, None)?;
    let (results, trap) = called(func, setup, after)?;
    if let Some(code) = trap {
        return Err(code.into());
    }
    post_return(func, setup, after)?;
    Ok(func.as_host_has(results).pop())
}

/// Lends the caller a resource, so that it has one that it does not own.
fn lend(func: &Func, caller: &mut After) {
    if func.has_handles() {
        caller.guest.handles.add(0, LENT, false);
    }
}

/// A guest calls the host.
fn import(func: &Func, case: &Case, expected: &mut Expected) -> Result<(), Stop> {
    let (Some(setup), Some(after)) = (&case.caller, &mut expected.caller) else {
        panic!("the caller is a guest");
    };
    lend(func, after);
    let (values, trap) = lift(
        &mut after.guest,
        func.caller,
        MAX_FLAT_PARAMS,
        setup,
        &func.params,
    )?;
    if let Some(code) = trap {
        return Err(code.into());
    }
    expected.received = Some(func.as_host_has(values));
    if let Err(code) = visit(&mut after.guest.handles, &case.visits) {
        return Err(match (case.swallows, &case.host_result) {
            (false, _) => code.into(),
            // The host goes on, and fails itself.
            (true, None) => Stop::HostFails,
            // It returns to a guest that may not go on.
            (true, Some(_)) => TrapCode::CannotEnter.into(),
        });
    }
    let Some(result) = &case.host_result else {
        return Err(Stop::HostFails);
    };
    let types = func.result.as_slice();
    let out = setup.out_pointer(func);
    let lower = &mut Lower::new(&mut after.guest, func.caller);
    let flat = lower.values(MAX_FLAT_RESULTS, result, types, out)?;
    after.result = flat.first().copied();
    after.guest.handles.release();
    match after.drop_borrows(setup) {
        true => Ok(()),
        false => Err(TrapCode::BorrowsRemain.into()),
    }
}

/// A guest calls another one.
fn between(func: &Func, case: &Case, expected: &mut Expected) -> Result<(), Stop> {
    let (Some(caller_setup), Some(caller)) = (&case.caller, &mut expected.caller) else {
        panic!("the caller is a guest");
    };
    let (Some(callee_setup), Some(callee)) = (&case.callee, &mut expected.callee) else {
        panic!("the callee is a guest");
    };
    lend(func, caller);
    let types = &func.params;
    let lifted = lift(
        &mut caller.guest,
        func.caller,
        MAX_FLAT_PARAMS,
        caller_setup,
        types,
    )?;
    let lower = &mut Lower::new(&mut callee.guest, func.callee);
    callee.args = fused(lifted, callee_setup, |values| {
        lower.values(MAX_FLAT_PARAMS, values, types, None)
    })?;
    let lifted = called(func, callee_setup, callee)?;
    let types = func.result.as_slice();
    let out = caller_setup.out_pointer(func);
    let lower = &mut Lower::new(&mut caller.guest, func.caller);
    let flat = fused(lifted, caller_setup, |values| {
        lower.values(MAX_FLAT_RESULTS, values, types, out)
    })?;
    caller.result = flat.first().copied();
    caller.guest.handles.release();
    let is_clean = caller.drop_borrows(caller_setup);
    post_return(func, callee_setup, callee)?;
    match is_clean {
        true => Ok(()),
        false => Err(TrapCode::BorrowsRemain.into()),
    }
}

/// The guest is entered again, by calls each of which waits for the next one.
fn visit(handles: &mut Handles, visits: &[Visit]) -> Result<(), TrapCode> {
    let Some((first, rest)) = visits.split_first() else {
        return Ok(());
    };
    handles.begin();
    let lent = handles.add(0, VISITOR, false);
    visit(handles, rest)?;
    if let Some((ty, handle)) = first.other {
        handles.try_drop(ty, handle)?;
    }
    if first.own {
        handles.try_drop(0, lent)?;
    }
    handles.end()
}

type Lifted = (Vec<Value>, Option<TrapCode>);

/// Lifts parameters or results from what a guest passes.
fn lift(
    guest: &mut Guest,
    encoding: Encoding,
    max_flat: usize,
    setup: &Setup,
    types: &[crate::reference::Type],
) -> Result<Lifted, Stop> {
    let flat = setup.flat(max_flat, types);
    let lifted = Lift::new(guest, encoding).values(max_flat, &flat, types);
    if guest.unsure {
        Err(Stop::Unsure)
    } else {
        Ok(lifted)
    }
}

/// Runs the callee, which has its arguments, and lifts its result.
fn called(func: &Func, setup: &Setup, after: &mut After) -> Result<Lifted, Stop> {
    if setup.behaviour != Behaviour::Return {
        return Err(TrapCode::Unreachable.into());
    }
    let is_clean = after.drop_borrows(setup);
    let types = func.result.as_slice();
    let lifted = lift(
        &mut after.guest,
        func.callee,
        MAX_FLAT_RESULTS,
        setup,
        types,
    )?;
    if is_clean {
        return Ok(lifted);
    }
    // The specification lifts the result first.
    let mut codes = Vec::from_iter(lifted.1);
    codes.push(TrapCode::BorrowsRemain);
    Err(Stop::Trap(codes))
}

/// Lowers what was lifted. If something of it was wrong, both the specification's order and that of
/// an adapter, which may lower what comes before, are right.
fn fused(
    (values, trap): Lifted,
    setup: &Setup,
    lower: impl FnOnce(&[Value]) -> Result<Vec<Flat>, TrapCode>,
) -> Result<Vec<Flat>, Stop> {
    let Some(code) = trap else {
        return Ok(lower(&values)?);
    };
    let mut codes = vec![code];
    if !values.is_empty() {
        let Err(other) = lower(&values) else {
            panic!("{values:?} is lowered");
        };
        codes.push(other);
        // Strings are checked while they are copied, to memory that was given before.
        if other == TrapCode::InvalidStringEncoding {
            codes.push(TrapCode::StringOutOfBounds);
            codes.push(TrapCode::MemoryOutOfBounds);
            codes.extend(setup.script.iter().filter_map(|step| match step.action {
                Action::Trap => Some(TrapCode::Unreachable),
                Action::Recurse => Some(TrapCode::StackOverflow),
                Action::Leave => Some(TrapCode::CannotLeave),
                Action::Return | Action::AtEnd | Action::Off | Action::InPlace => {
                    Some(TrapCode::UnalignedPointer)
                }
                _ => None,
            }));
        }
    }
    Err(Stop::Trap(codes))
}

fn post_return(func: &Func, setup: &Setup, after: &mut After) -> Result<(), Stop> {
    if !func.post_return {
        return Ok(());
    }
    match setup.post_behaviour {
        Behaviour::Return => {
            after.posts = 1;
            after.post_arg = func.result.as_ref().map(|_| setup.result);
            Ok(())
        }
        Behaviour::Trap => Err(TrapCode::Unreachable.into()),
        Behaviour::Leave => Err(TrapCode::CannotLeave.into()),
    }
}
