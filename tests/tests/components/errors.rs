//! Errors of host functions: of any library, returned with `?`, and found again by the caller.

use std::error::Error as StdError;
use std::fmt;

use anyhow::Context as _;
use cwasm::{Error, Instance, Linker, Result, Store, TrapCode};
use cwasm_tests::artifact::Workshop;

const GUEST: &str = r#"(component
  (import "fail" (func $fail (param "how" u32)))
  (core func $fail' (canon lower (func $fail)))
  (core module $m
    (import "" "fail" (func $fail (param i32)))
    (func (export "run") (param i32) (call $fail (local.get 0)))
    (func (export "trap") (unreachable)))
  (core instance $i (instantiate $m (with "" (instance (export "fail" (func $fail'))))))
  (func (export "run") (param "how" u32) (canon lift (core func $i "run")))
  (func (export "trap") (canon lift (core func $i "trap"))))"#;

#[derive(Debug, PartialEq)]
struct Exit(u32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit {}", self.0)
    }
}

impl StdError for Exit {}

fn of_std() -> Result<(), Exit> {
    Err(Exit(0))
}

fn boxed() -> Result<(), Box<dyn StdError + Send + Sync>> {
    Err(Exit(1))?
}

fn of_anyhow() -> anyhow::Result<()> {
    Err(Exit(2).into())
}

fn with_context() -> anyhow::Result<()> {
    Err(Exit(3)).context("while it ran").context("in a plug-in")
}

fn ours() -> Result<()> {
    use cwasm::Context as _;
    boxed().context("while it ran").map_err(|_| Exit(4))?;
    Ok(())
}

fn text() -> Result<(), String> {
    Err("no exit".to_owned())
}

fn instance(workshop: &Workshop, store: &mut Store<()>) -> Instance {
    let artifact = workshop.compile(GUEST.as_bytes()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::new(workshop.engine());
    let fail = |_: cwasm::StoreContextMut<'_, ()>, (how,): (u32,)| {
        match how {
            0 => of_std()?,
            1 => boxed()?,
            2 => of_anyhow()?,
            3 => with_context()?,
            4 => ours()?,
            _ => text()?,
        }
        Ok(())
    };
    linker.root().func_wrap("fail", fail).unwrap();
    linker.instantiate(store, &component).unwrap()
}

#[test]
fn host_functions_return_errors_of_any_library() {
    let workshop = Workshop::new();
    for how in 0..6 {
        let mut store = Store::new(workshop.engine(), ());
        let instance = instance(&workshop, &mut store);
        let run = instance
            .get_typed_func::<(u32,), ()>(&mut store, "run")
            .unwrap();
        let error = run.call(&mut store, (how,)).unwrap_err().context("outer");
        assert_eq!(error.trap().unwrap().code(), TrapCode::HostError);
        if how == 5 {
            assert_eq!(error.root_cause().to_string(), "no exit");
            continue;
        }
        assert_eq!(error.downcast_ref(), Some(&Exit(how)), "{error:?}");
        if how == 3 {
            assert!(format!("{error:#}").ends_with("in a plug-in: while it ran: exit 3"));
        }
        assert_eq!(error.downcast::<Exit>().unwrap(), Exit(how));
    }
}

#[test]
fn errors_of_calls_go_through_other_libraries_and_come_back() {
    let workshop = Workshop::new();
    let mut store = Store::new(workshop.engine(), ());
    let instance = instance(&workshop, &mut store);
    let mut call = || -> anyhow::Result<()> {
        let trap = instance.get_typed_func::<(), ()>(&mut store, "trap")?;
        trap.call(&mut store, ())?;
        Ok(())
    };
    let error = call().context("in a plug-in").unwrap_err();
    let error = Error::from(error).context("outer");
    assert_eq!(error.trap().unwrap().code(), TrapCode::Unreachable);
    assert_eq!(error.chain().nth(1).unwrap().to_string(), "in a plug-in");
    let again = || -> Result<(), Box<dyn StdError>> { Err(error)? };
    assert_eq!(again().unwrap_err().to_string(), "outer");
}
