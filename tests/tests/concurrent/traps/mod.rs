//! Every condition under which the asynchronous canonical ABI traps (`docs/async-traps.md`), in
//! each kind of task, called by the host and by another guest. After each trap: nothing of the
//! component runs again, another instance of the store goes on, and nothing is left behind.

mod cancels;
mod defined;
mod ends;
mod error_contexts;
mod guest;
mod page;
mod payloads;
mod rejected;
mod results;
mod row;
mod tasks;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cwasm::{
    Component, Config, FutureReader, Instance, Lift, Linker, Resource, ResourceType, Store,
    StoreLimits, StreamReader, TrapCode, Val,
};
use cwasm_tests::artifact::Workshop;

use crate::{Host, component, drive, poll_times, wait};
use guest::{Kind, Returns};
use row::{Row, Waits, Within};

/// Who calls the task, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    /// The host, by `call`, which does not wait.
    HostAtOnce,
    /// The host, by `call_async`.
    Host,
    /// The host, by `call_concurrent`.
    HostBeside,
    /// A guest, by a call that waits.
    Guest,
    /// A guest that waits for the subtask.
    GuestWaits,
}

impl Caller {
    const ALL: [Caller; 5] = [
        Caller::HostAtOnce,
        Caller::Host,
        Caller::HostBeside,
        Caller::Guest,
        Caller::GuestWaits,
    ];

    /// The function that is called for a kind of task; `None` if there is none: functions that are
    /// not `async` have no subtasks.
    fn function(self, kind: Kind) -> Option<String> {
        let prefix = match self {
            Caller::HostAtOnce | Caller::Host | Caller::HostBeside => "host",
            Caller::Guest => "guest",
            Caller::GuestWaits if kind == Kind::Sync => return None,
            Caller::GuestWaits => "waits",
        };
        Some(format!("{prefix}-{}", kind.name()))
    }
}

/// The resource that tasks borrow.
struct Lent;

/// How many mappings all instances and stacks of a bench may have. A row takes fewer; what each
/// leaves behind would soon be more.
const MAPPINGS: usize = 400;

/// The component whose functions do what these rows say.
struct Bench<'a, E: 'static> {
    workshop: Workshop,
    linker: Linker<Host>,
    component: Component,
    rows: &'a [Row<E>],
}

/// A number is returned.
const NUMBER: Returns = Returns {
    ty: "u32",
    is_wide: false,
};

impl<'a, E> Bench<'a, E> {
    fn new(rows: &'a [Row<E>], returns: Returns) -> Bench<'a, E> {
        let workshop = Workshop::with_config(Config::new().max_mappings(MAPPINGS));
        let mut linker = Linker::<Host>::new(workshop.engine());
        let mut root = linker.root();
        root.resource("r", ResourceType::host::<Lent>(), |_, _| {
            panic!("what is lent is never dropped")
        })
        .unwrap();
        root.func_wrap_concurrent("wait", wait).unwrap();
        for name in ["take", "take-future", "take-error", "many", "say"] {
            root.func_new_concurrent(name, |_, _, _, _| Box::pin(async { Ok(()) }))
                .unwrap();
        }
        root.func_new_concurrent("hold", |_, _, args, _| {
            assert!(matches!(args, [Val::Resource(_)]));
            Box::pin(std::future::pending())
        })
        .unwrap();
        let component = component(&workshop, &guest::component(returns, rows));
        Bench {
            workshop,
            linker,
            component,
            rows,
        }
    }

    fn store(&self) -> Store<Host> {
        let mut store = Store::new(self.workshop.engine(), Host::default());
        let mut limits = StoreLimits::new();
        limits.handles(2000).tasks(60).async_stacks(100);
        store.set_limits(limits);
        store
    }

    fn instance(&self, store: &mut Store<Host>) -> Instance {
        self.linker.instantiate(store, &self.component).unwrap()
    }

    /// How many bodies there are: as many tasks beside them follow.
    fn bodies(&self) -> usize {
        self.rows.iter().map(|row| row.cases.len()).sum()
    }

    /// A body that does nothing: that of a task beside a row that has none.
    fn nothing(&self) -> u32 {
        let place = self.rows.iter().position(|row| row.beside.is_empty());
        (self.bodies() + place.unwrap()) as u32
    }
}

/// Calls a function for a kind of task: its result, or its trap.
fn call<R: Lift + Send + 'static>(
    store: &mut Store<Host>,
    instance: Instance,
    (caller, kind): (Caller, Kind),
    (row, text): (u32, &str),
) -> Result<R, TrapCode> {
    let name = caller.function(kind).unwrap();
    let func = instance
        .get_typed_func::<(u32, Resource<Lent>, String), (R,)>(&mut *store, &name)
        .unwrap();
    let params = (row, Resource::new_borrow(5), text.to_owned());
    let result = match caller {
        Caller::HostAtOnce => func.call(&mut *store, params),
        Caller::HostBeside => {
            let both =
                store.run_concurrent(async |accessor| func.call_concurrent(accessor, params).await);
            drive(both).0.and_then(|result| result)
        }
        _ => drive(func.call_async(&mut *store, params)).0,
    };
    match result {
        Ok((value,)) => Ok(value),
        Err(error) => match error.trap() {
            Some(trap) => Err(trap.code()),
            None => panic!("no trap: {error:?}"),
        },
    }
}

/// One case of a row on one path.
struct Trial {
    store: Store<Host>,
    instance: Instance,
    /// A function of another instance, which has been called, and waits.
    pause: crate::Func,
    /// What is called for it: the number of its body, and a text.
    call: (u32, &'static str),
    /// The path and the body, for messages.
    name: String,
}

impl<E> Bench<'_, E> {
    /// Gets ready what a case of a row needs: by numbers of the row and the case.
    fn trial(&self, (row_number, place): (usize, usize), path: (Caller, Kind)) -> Trial {
        let row = &self.rows[row_number];
        let before: usize = self.rows[..row_number]
            .iter()
            .map(|row| row.cases.len())
            .sum();
        let name = format!(
            "{} {path:?} {:?}: {}",
            row.id, row.within, row.cases[place].0
        );
        let (body, nothing) = ((before + place) as u32, self.nothing());

        let mut store = self.store();
        let neighbour = self.instance(&mut store);
        let pause = func(&mut store, neighbour, "pause");
        poll_once(pause.call_async(&mut store, (3,)));
        let instance = self.instance(&mut store);
        if !row.beside.is_empty() {
            let beside = func(&mut store, instance, "beside");
            let number = (self.bodies() + row_number) as u32;
            poll_once(beside.call_async(&mut store, (number,)));
        }
        let (armed, call) = match row.within {
            Within::Function => (None, (body, "")),
            Within::Realloc => (Some((body, u32::MAX)), (nothing, "x")),
            Within::PostReturn => (Some((u32::MAX, body)), (nothing, "")),
        };
        if let Some(armed) = armed {
            let arm = instance.get_typed_func::<(u32, u32), ()>(&mut store, "arm");
            arm.unwrap().call(&mut store, armed).unwrap();
        }
        Trial {
            store,
            instance,
            pause,
            call,
            name,
        }
    }

    /// All cases of all rows that a caller can have: numbers of the row and the case.
    fn trials(&self, caller: Caller, mut each: impl FnMut((usize, usize), (Caller, Kind))) {
        for (number, row) in self.rows.iter().enumerate() {
            for &kind in row.kinds {
                let can_call = match row.waits {
                    Waits::Nothing => true,
                    Waits::Host => caller != Caller::HostAtOnce,
                    Waits::Never => !matches!(caller, Caller::HostAtOnce | Caller::HostBeside),
                };
                if can_call && caller.function(kind).is_some() {
                    (0..row.cases.len()).for_each(|place| each((number, place), (caller, kind)));
                }
            }
        }
    }
}

/// Checks that rows of functions that return an `R` trap, for a caller, and what is left then.
fn check_traps<R>(rows: &[Row], returns: Returns, caller: Caller)
where
    R: Lift + Send + 'static,
{
    let bench = Bench::new(rows, returns);
    let nothing = bench.nothing();
    bench.trials(caller, |which, path| {
        let Trial {
            mut store,
            instance,
            pause,
            call: what,
            name,
        } = bench.trial(which, path);
        let live = Arc::clone(&store.data().live);
        let (_, expected) = rows[which.0].cases[which.1];
        let result = call::<R>(&mut store, instance, path, what);
        assert_eq!(result.map(drop), Err(expected), "{name}");

        // Nothing of it runs again, unless it only waits for what nobody does.
        let (kind, again) = match expected {
            TrapCode::Deadlock => (Kind::Sync, Ok(())),
            _ => (Kind::Stackful, Err(TrapCode::CannotEnter)),
        };
        for caller in [
            Caller::HostAtOnce,
            Caller::Host,
            Caller::HostBeside,
            Caller::Guest,
        ] {
            let result = call::<R>(&mut store, instance, (caller, kind), (nothing, ""));
            assert_eq!(result.map(drop), again, "{name}: {caller:?}");
        }
        // The other one goes on.
        let result = drive(pause.call_async(&mut store, (4,))).0;
        assert_eq!(result.unwrap(), (8,), "{name}");
        // Nothing that the host has begun for it is left.
        assert_eq!(live.load(Ordering::Relaxed), 0, "{name}");
        drop(store);
        assert_eq!(live.load(Ordering::Relaxed), 0, "{name}");
    });
}

fn func(store: &mut Store<Host>, instance: Instance, name: &str) -> crate::Func {
    instance.get_typed_func(store, name).unwrap()
}

/// Polls what waits, and leaves it alone after that.
fn poll_once<F: Future>(future: F) {
    poll_times(Box::pin(future).as_mut(), 1);
}

/// Checks the rows of tasks that return a number.
fn check_tasks(caller: Caller) {
    for rows in [tasks::ROWS, ends::ROWS, error_contexts::ROWS] {
        check_traps::<u32>(rows, NUMBER, caller);
    }
}

#[test]
fn rows_of_tasks_that_the_host_calls_without_waiting() {
    check_tasks(Caller::HostAtOnce);
}

#[test]
fn rows_of_tasks_that_the_host_calls() {
    check_tasks(Caller::Host);
}

#[test]
fn rows_of_tasks_that_the_host_calls_beside_others() {
    check_tasks(Caller::HostBeside);
}

#[test]
fn rows_of_tasks_that_a_guest_calls_and_waits_for() {
    check_tasks(Caller::Guest);
}

#[test]
fn rows_of_tasks_that_are_subtasks_of_a_guest() {
    check_tasks(Caller::GuestWaits);
}

#[test]
fn rows_of_results_and_reallocs() {
    type Texts = (
        String,
        String,
        String,
        String,
        String,
        String,
        String,
        String,
        Vec<u32>,
    );
    for caller in Caller::ALL {
        check_traps::<StreamReader<u8>>(results::STREAM_ROWS, results::STREAM, caller);
        check_traps::<FutureReader<u8>>(results::FUTURE_ROWS, results::FUTURE, caller);
        check_traps::<char>(results::CHAR_ROWS, results::CHAR, caller);
        check_traps::<Texts>(results::TEXTS_ROWS, results::TEXTS, caller);
        check_traps::<u32>(results::REALLOC_ROWS, NUMBER, caller);
    }
}
