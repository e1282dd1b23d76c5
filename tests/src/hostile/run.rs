//! Runs cases for real, and compares.

use cwasm::{
    AsContextMut, Error, Instance, InstancePre, Linker, Resource, ResourceType, Store,
    StoreContextMut, TrapCode, Val,
};

use super::case::{Case, Setup, Visit};
use super::expect::{After, End, Expected, LENT, VISITOR};
use super::typed::{R0, R1, ROWS};
use super::vals::{of_val, to_val};
use super::wat::{Func, Path, World, component, control};
use crate::artifact::Workshop;
use crate::reference::{Flat, HandleStep, Handles, State, Value};

/// The state of the host's functions.
#[derive(Debug, Default)]
pub struct Host {
    /// The arguments that the function got.
    received: Option<Vec<Value>>,
    /// Its results; it fails if there are none.
    result: Option<Vec<Value>>,
    /// The resources that were dropped: types, and what they stood for.
    dropped: Vec<(usize, u32)>,
    /// The guest, the calls within the call that are still to be made, the last one first, and
    /// whether their failures are swallowed.
    visits: Option<(Instance, Vec<Visit>, bool)>,
}

/// Why the host's function failed.
const REFUSAL: &str = "the host refuses";

/// The body of each host function: keeps its arguments, makes a call within the call, if one is
/// left, and has the result.
pub(crate) fn exchange(
    mut store: StoreContextMut<'_, Host>,
    params: Vec<Value>,
) -> cwasm::Result<Option<Value>> {
    store.data_mut().received = Some(params);
    visit(store.as_context_mut())?;
    let result = store.data_mut().result.take();
    Ok(result.ok_or_else(|| Error::msg(REFUSAL))?.pop())
}

/// A world that is compiled and linked.
pub struct Ready {
    /// The world.
    pub world: World,
    ready: InstancePre<Host>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It returned.
    Returned(Option<Value>),
    /// It trapped.
    Trapped(TrapCode),
    /// The host's function failed.
    HostFailed,
}

impl Ready {
    /// Compiles, maps and links a world.
    ///
    /// # Errors
    /// Compiles and instantiates a world. The error is the failure and the world's text.
    pub fn new(workshop: &Workshop, world: World) -> Result<Ready, String> {
        let text = component(&world);
        let failed = |error: &dyn std::fmt::Display| format!("{error}\nin {text}");
        let artifact = workshop
            .compile(text.as_bytes())
            .map_err(|error| failed(&error))?;
        let component = workshop
            .map_component(&artifact)
            .map_err(|error| failed(&error))?;
        let mut linker = Linker::new(workshop.engine());
        define(&mut linker, &world).map_err(|error| failed(&error))?;
        let ready = linker
            .instantiate_pre(&component)
            .map_err(|error| failed(&error))?;
        Ok(Ready { world, ready })
    }

    /// Runs a case of the function of this index and compares: how it ended.
    ///
    /// # Errors
    /// Runs a case. The error says what is not as expected.
    pub fn check(&self, func: usize, case: &Case, expected: &Expected) -> Result<Outcome, String> {
        let host = Host {
            received: None,
            result: case.host_result.clone(),
            dropped: Vec::new(),
            visits: None,
        };
        let mut store = Store::new(self.ready.component().engine(), host);
        let instance = self.instantiate(&mut store)?;
        let afters = || [&expected.caller, &expected.callee].into_iter().flatten();
        for ((prefix, setup), after) in self.guests(case).zip(afters()) {
            reset(&mut store, instance, prefix, (setup, &after.drops))?;
            make_handles(&mut store, instance, prefix, &setup.handles)?;
        }
        store.data_mut().dropped.clear();
        let visits = case.visits.iter().rev().copied().collect();
        store.data_mut().visits = Some((instance, visits, case.swallows));
        let has_handles = self.world.funcs[func].has_handles();
        let result = match self.world.path {
            Path::Export => self.call_export(&mut store, instance, func, case),
            Path::Import => run(&mut store, instance, &format!("run{func}"), has_handles),
            Path::Between => run(&mut store, instance, &format!("d#run{func}"), has_handles),
        };
        let outcome = match result {
            Ok(result) => Outcome::Returned(result),
            Err(error) => outcome_of(&error)?,
        };
        check_end(&expected.end, &outcome)?;
        let is_sure = !matches!(expected.end, End::Unsure);
        if is_sure && expected.received != store.data().received {
            let (found, expected) = (&store.data().received, &expected.received);
            return Err(format!(
                "the host was given {found:?}, expected {expected:?}"
            ));
        }
        if let Outcome::Returned(_) = outcome {
            for ((prefix, setup), after) in self.guests(case).zip(afters()) {
                let report = report(&mut store, instance, prefix)?;
                if is_sure {
                    check_guest(&report, after, setup, &self.world.funcs[func])
                        .map_err(|message| format!("guest `{prefix}`: {message}"))?;
                    if has_handles {
                        check_handles(&mut store, instance, prefix, &after.guest.handles)?;
                    }
                }
            }
        } else {
            self.check_poisoned(&mut store, instance, case)?;
        }
        Ok(outcome)
    }

    fn instantiate(&self, store: &mut Store<Host>) -> Result<Instance, String> {
        let instance = self.ready.instantiate(store);
        instance.map_err(|error| format!("cannot be instantiated: {error:?}"))
    }

    /// For each guest, the prefix of its functions' names and its state before the call.
    fn guests<'c>(&self, case: &'c Case) -> impl Iterator<Item = (&'static str, &'c Setup)> {
        let between = self.world.path == Path::Between;
        let (caller, callee) = if between { ("d#", "c#") } else { ("", "") };
        let caller = case.caller.as_ref().map(|setup| (caller, setup));
        caller
            .into_iter()
            .chain(case.callee.as_ref().map(|setup| (callee, setup)))
    }

    fn call_export(
        &self,
        store: &mut Store<Host>,
        instance: Instance,
        index: usize,
        case: &Case,
    ) -> cwasm::Result<Option<Value>> {
        let (func, name) = (&self.world.funcs[index], format!("f{index}"));
        let params = &case.host_params;
        if let Some(row) = func.typed {
            let call = ROWS[row].call[params.len() - 1];
            return call(store, instance, &name, params).map(Some);
        }
        let Some(callee) = instance.get_func(&mut *store, &name) else {
            return Err(Error::msg("the function is missing"));
        };
        let params = func.params.iter().zip(params);
        let params = params.map(|(ty, value)| to_val(&mut store.as_context_mut(), ty, value));
        let params: Vec<Val> = params.collect();
        let mut results = vec![Val::Bool(false); usize::from(func.result.is_some())];
        callee.call(&mut *store, &params, &mut results)?;
        let Some(ty) = &func.result else {
            return Ok(None);
        };
        let result = of_val(&mut store.as_context_mut(), ty, &results[0]);
        let wrong = || Error::msg(format!("{results:?} are not of the type {ty:?}"));
        Ok(Some(result.ok_or_else(wrong)?))
    }

    /// After a trap: none of the guests can be entered, and another instance can.
    fn check_poisoned(
        &self,
        store: &mut Store<Host>,
        instance: Instance,
        case: &Case,
    ) -> Result<(), String> {
        for (prefix, _) in self.guests(case) {
            match call_report(store, instance, prefix) {
                Err(error) if trap_of(&error) == Some(TrapCode::CannotEnter) => {}
                found => return Err(format!("guest `{prefix}` is entered again: {found:?}")),
            }
        }
        let other = self.instantiate(store)?;
        for (prefix, setup) in self.guests(case) {
            reset(store, other, prefix, (setup, &[]))?;
            let report = report(store, other, prefix)?;
            if report[control::MEMORY..] != setup.bytes {
                return Err(format!(
                    "guest `{prefix}` of another instance has other bytes"
                ));
            }
        }
        Ok(())
    }
}

/// Defines what a world imports.
fn define(linker: &mut Linker<Host>, world: &World) -> cwasm::Result<()> {
    let mut root = linker.root();
    root.func_wrap("tick", |store: StoreContextMut<'_, Host>, (): ()| {
        visit(store)
    })?;
    if world.has_handles() {
        root.resource("r0", ResourceType::host::<R0>(), |mut store, rep| {
            store.data_mut().dropped.push((0, rep));
            Ok(())
        })?;
        root.resource("r1", ResourceType::host::<R1>(), |mut store, rep| {
            store.data_mut().dropped.push((1, rep));
            Ok(())
        })?;
        root.func_wrap("make0", |_: StoreContextMut<'_, Host>, (rep,): (u32,)| {
            Ok((Resource::<R0>::new_own(rep),))
        })?;
        root.func_wrap("make1", |_: StoreContextMut<'_, Host>, (rep,): (u32,)| {
            Ok((Resource::<R1>::new_own(rep),))
        })?;
    }
    if world.path != Path::Import {
        return Ok(());
    }
    for (index, func) in world.funcs.iter().enumerate() {
        let name = format!("f{index}");
        if let Some(row) = func.typed {
            (ROWS[row].define[func.params.len() - 1])(&mut root, &name)?;
            continue;
        }
        let Func { params, result, .. } = func.clone();
        root.func_new(&name, move |mut store, _, given, results| {
            let given = params.iter().zip(given);
            let given = given.map(|(ty, val)| of_val(&mut store, ty, val));
            let given = given.collect::<Option<Vec<Value>>>();
            let given = given.ok_or_else(|| Error::msg("parameters of other types"))?;
            let value = exchange(store.as_context_mut(), given)?;
            if let (Some(ty), Some(value), [place]) = (&result, value, results) {
                *place = to_val(&mut store, ty, &value);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Enters the guest that waits for the host, if there is a call within the call to be made.
fn visit(mut store: StoreContextMut<'_, Host>) -> cwasm::Result<()> {
    let Some((instance, visits, swallows)) = &mut store.data_mut().visits else {
        return Ok(());
    };
    let (instance, swallows) = (*instance, *swallows);
    let Some(Visit { other, own }) = visits.pop() else {
        return Ok(());
    };
    let (ty, handle) = other.unwrap_or((0, u32::MAX));
    let lent = Resource::<R0>::new_borrow(VISITOR);
    let name = "visit";
    let func = instance.get_typed_func::<(Resource<R0>, u32, u32, bool), ()>(&mut store, name)?;
    match func.call(store, (lent, ty as u32, handle, own)) {
        Err(_) if swallows => Ok(()),
        result => result,
    }
}

/// Runs a caller, which is lent a resource if it has to do with any.
fn run(
    store: &mut Store<Host>,
    instance: Instance,
    name: &str,
    has_handles: bool,
) -> cwasm::Result<Option<Value>> {
    if has_handles {
        let run = instance.get_typed_func::<(Resource<R0>,), ()>(&mut *store, name)?;
        return run.call(store, (Resource::new_own(LENT),)).map(|()| None);
    }
    let run = instance.get_typed_func::<(), ()>(&mut *store, name)?;
    run.call(store, ()).map(|()| None)
}

fn trap_of(error: &Error) -> Option<TrapCode> {
    error.trap().map(|trap| trap.code())
}

/// The trap that the call ended with: the host passes on what calls within it ended with.
fn outcome_of(error: &Error) -> Result<Outcome, String> {
    if error.chain().any(|cause| cause.to_string() == REFUSAL) {
        return Ok(Outcome::HostFailed);
    }
    let code = |cause: String| {
        let reason = cause.lines().next()?.strip_prefix("wasm trap: ")?;
        let mut codes = TrapCode::ALL.iter();
        codes.find(|code| code.message() == reason).copied()
    };
    let causes = error.chain().map(ToString::to_string);
    match causes.filter_map(code).last() {
        Some(code) => Ok(Outcome::Trapped(code)),
        None => Err(format!("failed: {error:?}")),
    }
}

/// Tells a guest what to do.
fn reset(
    store: &mut Store<Host>,
    instance: Instance,
    prefix: &str,
    (setup, drops): (&Setup, &[(usize, u32)]),
) -> Result<(), String> {
    let mut state = vec![0; control::HEAD_SIZE];
    let mut word = |at: usize, value: u64| {
        state[at..at + 8].copy_from_slice(&value.to_le_bytes());
    };
    word(control::NEXT, setup.next);
    word(control::BEHAVIOUR, setup.behaviour as u64);
    word(control::POST_BEHAVIOUR, setup.post_behaviour as u64);
    for (index, step) in setup.script.iter().enumerate() {
        word(control::SCRIPT + 16 * index, step.action as u64);
        word(control::SCRIPT + 16 * index + 8, step.value);
    }
    for (index, arg) in setup.args.iter().enumerate() {
        word(control::ARGS + 8 * index, *arg);
    }
    word(control::RESULT, setup.result);
    assert!(drops.len() <= control::MAX_DROPS);
    word(control::DROPS, drops.len() as u64);
    for (index, (ty, handle)) in drops.iter().enumerate() {
        let at = control::DROPPED + 8 * index;
        word(at, *ty as u64 | u64::from(*handle) << 32);
    }
    state.extend(&setup.bytes);
    let name = format!("{prefix}reset");
    let call = instance
        .get_typed_func::<(&[u8],), ()>(&mut *store, &name)
        .and_then(|reset| reset.call(store, (&state,)));
    call.map_err(|error| format!("`{name}` fails: {error:?}"))
}

/// Makes and drops handles as was done to a table.
fn make_handles(
    store: &mut Store<Host>,
    instance: Instance,
    prefix: &str,
    handles: &Handles,
) -> Result<(), String> {
    for step in &handles.steps {
        let result = match *step {
            HandleStep::Make(ty, rep) => make(store, instance, prefix, (ty, rep)).map(drop),
            HandleStep::Drop(ty, handle) => drop_handle(store, instance, prefix, (ty, handle)),
        };
        result.map_err(|error| format!("guest `{prefix}`: {step:?} fails: {error:?}"))?;
    }
    Ok(())
}

fn make(
    store: &mut Store<Host>,
    instance: Instance,
    prefix: &str,
    (ty, rep): (usize, u32),
) -> cwasm::Result<u32> {
    let name = format!("{prefix}make");
    let make = instance.get_typed_func::<(u32, u32), (u32,)>(&mut *store, &name)?;
    Ok(make.call(store, (ty as u32, rep))?.0)
}

fn drop_handle(
    store: &mut Store<Host>,
    instance: Instance,
    prefix: &str,
    (ty, handle): (usize, u32),
) -> cwasm::Result<()> {
    let name = format!("{prefix}drop");
    let drop = instance.get_typed_func::<(u32, u32), ()>(&mut *store, &name)?;
    drop.call(store, (ty as u32, handle))
}

/// Compares a guest's handles with what is expected, by dropping them all and making another.
fn check_handles(
    store: &mut Store<Host>,
    instance: Instance,
    prefix: &str,
    expected: &Handles,
) -> Result<(), String> {
    let failed = |error: cwasm::Error| format!("guest `{prefix}` of {expected:?}: {error:?}");
    let mut left = expected.clone();
    for (index, handle) in expected.all() {
        store.data_mut().dropped.clear();
        drop_handle(store, instance, prefix, (handle.ty, index)).map_err(failed)?;
        let (found, expected) = (&store.data().dropped, (handle.ty, handle.rep));
        if *found != [expected] {
            return Err(format!(
                "guest `{prefix}`: handle {index} was {found:?}, expected {expected:?}"
            ));
        }
        left.drop(handle.ty, index);
    }
    let found = make(store, instance, prefix, (0, 1)).map_err(failed)?;
    let expected = left.add(0, 1, true);
    if found != expected {
        return Err(format!(
            "guest `{prefix}`: the next handle is {found}, expected {expected}"
        ));
    }
    Ok(())
}

fn call_report(
    store: &mut Store<Host>,
    instance: Instance,
    prefix: &str,
) -> cwasm::Result<Vec<u8>> {
    let report = instance.get_typed_func::<(), (Vec<u8>,)>(&mut *store, &format!("{prefix}report"));
    Ok(report?.call(store, ())?.0)
}

/// A guest's report: the data that it has seen, and its memory.
fn report(store: &mut Store<Host>, instance: Instance, prefix: &str) -> Result<Vec<u8>, String> {
    let report = call_report(store, instance, prefix);
    report.map_err(|error| format!("`{prefix}report` fails: {error:?}"))
}

fn check_end(expected: &End, found: &Outcome) -> Result<(), String> {
    let is_expected = match (expected, found) {
        (End::Returns(expected), Outcome::Returned(found)) => expected == found,
        (End::Traps(codes), Outcome::Trapped(code)) => codes.contains(code),
        (End::HostFails, Outcome::HostFailed) | (End::Unsure, _) => true,
        _ => false,
    };
    if is_expected {
        return Ok(());
    }
    Err(format!(
        "the call ended with {found:?}, expected {expected:?}"
    ))
}

/// Compares a guest's report with what is expected of it.
fn check_guest(report: &[u8], after: &After, setup: &Setup, func: &Func) -> Result<(), String> {
    let word = |at: usize| u32::from_le_bytes(report[at..at + 4].try_into().expect("4 bytes"));
    let long = |at: usize| u64::from_le_bytes(report[at..at + 8].try_into().expect("8 bytes"));
    let calls = &after.guest.calls;
    let found: Vec<[u64; 4]> = (0..control::LOG_LEN.min(word(control::CALLS) as usize))
        .map(|call| [0, 8, 16, 24].map(|at| long(control::LOG + 32 * call + at)))
        .collect();
    if word(control::CALLS) as usize != calls.len() || !calls.starts_with(&found) {
        return Err(format!(
            "`realloc` was called with {found:?}, expected {calls:?}"
        ));
    }
    for (index, expected) in after.args.iter().enumerate() {
        check_flat(expected, long(control::ARGS + 8 * index))
            .map_err(|message| format!("argument {index} of {}: {message}", after.args.len()))?;
    }
    if let Some(expected) = &after.result {
        check_flat(expected, long(control::RESULT))
            .map_err(|message| format!("result: {message}"))?;
    }
    let posts = word(control::POSTS);
    if posts != after.posts {
        return Err(format!(
            "post-return was called {posts} times, expected {}",
            after.posts
        ));
    }
    if let Some(expected) = after.post_arg.filter(|_| func.post_return) {
        let found = long(control::POST_ARG);
        if found != expected {
            return Err(format!(
                "post-return was given {found:#x}, expected {expected:#x}"
            ));
        }
    }
    check_memory(&report[control::MEMORY..], after, setup)
}

fn check_flat(expected: &Flat, found: u64) -> Result<(), String> {
    let is_expected = match expected.nan {
        0 => found == expected.bits,
        4 => found >> 32 == 0 && f32::from_bits(found as u32).is_nan(),
        _ => f64::from_bits(found).is_nan(),
    };
    if is_expected {
        return Ok(());
    }
    Err(format!("found {found:#x}, expected {expected:x?}"))
}

fn check_memory(found: &[u8], after: &After, setup: &Setup) -> Result<(), String> {
    let (expected, states) = (&after.guest.bytes, &after.guest.states);
    if found.len() != expected.len() {
        return Err(format!(
            "{} bytes of memory, expected {}",
            found.len(),
            expected.len()
        ));
    }
    let differs = |at: &usize| found[*at] != expected[*at] && states[*at] == State::Exact;
    if let Some(at) = (0..found.len()).find(differs) {
        let shown = at..(at + 16).min(found.len());
        let before = setup.bytes.get(shown.clone()).unwrap_or(&[]);
        return Err(format!(
            "memory at {at:#x}: found {:02x?}, expected {:02x?}, before {before:02x?}",
            &found[shown.clone()],
            &expected[shown]
        ));
    }
    for (at, len) in after.guest.nans.iter().copied() {
        let range = at..at + len;
        // One that something else was written to is not looked at.
        let is_whole = states[range.clone()]
            .iter()
            .all(|state| *state == State::Nan);
        if is_whole && !is_nan(&found[range.clone()]) {
            let found = &found[range];
            return Err(format!(
                "memory at {at:#x}: found {found:02x?}, expected a NaN"
            ));
        }
    }
    Ok(())
}

/// Whether these bytes are a NaN.
fn is_nan(bytes: &[u8]) -> bool {
    match bytes.len() {
        4 => f32::from_le_bytes(bytes.try_into().expect("4 bytes")).is_nan(),
        _ => f64::from_le_bytes(bytes.try_into().expect("8 bytes")).is_nan(),
    }
}
