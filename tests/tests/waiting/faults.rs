//! Traps, panics, overflows and interruption of calls that have waited, on their own stacks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use cwasm::{Config, TrapCode};

use crate::{After, Bench, child, drive};

#[test]
fn traps_have_their_frames() {
    let bench = Bench::new();
    let (mut store, trap) = bench.func("trap");
    let error = drive(trap.call_async(&mut store, (2,))).0.unwrap_err();
    let trap = error.trap().unwrap();
    assert_eq!(trap.code(), TrapCode::Unreachable);
    assert_eq!(trap.frames().len(), 1);
    assert_eq!(trap.frames()[0].func_index, 8, "{trap}");
}

#[test]
fn errors_of_the_host_come_through() {
    #[derive(Debug)]
    struct Refused(u32);
    impl std::fmt::Display for Refused {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "refused {}", self.0)
        }
    }
    impl std::error::Error for Refused {}
    let bench = Bench::new().replacing(|linker| {
        linker.root().func_wrap_async("wait", |_, (n,): (u32,)| {
            Box::new(async move {
                After(2).await;
                Err::<(u32,), _>(cwasm::Error::new(Refused(n)))
            })
        })
    });
    let (mut store, sum) = bench.func("sum");
    let (result, pending) = drive(sum.call_async(&mut store, (5,)));
    let error = result.unwrap_err();
    assert_eq!(error.downcast_ref::<Refused>().unwrap().0, 5);
    assert_eq!(
        (error.trap().unwrap().code(), pending),
        (TrapCode::HostError, 2)
    );
    assert!(drive(sum.call_async(&mut store, (0,))).0.is_err());
}

#[test]
fn panics_of_the_host_come_through() {
    for times in 0..3 {
        let bench = Bench::new().replacing(|linker| {
            linker
                .root()
                .func_wrap_async("wait", move |_, (n,): (u32,)| {
                    Box::new(async move {
                        After(times).await;
                        if n > 0 {
                            panic!("of the host")
                        }
                        Ok((n,))
                    })
                })
        });
        let (mut store, sum) = bench.func("sum");
        let call = AssertUnwindSafe(|| drive(sum.call_async(&mut store, (5,))));
        let payload = catch_unwind(call).unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the host"));
        let error = drive(sum.call_async(&mut store, (0,))).0.unwrap_err();
        assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
    }
}

#[test]
fn stacks_overflow_where_they_end() {
    // The least that guests need, less than the host leaves, as much as guests may use, more.
    let sizes = [64 << 10, 256 << 10, 1 << 20, 2 << 20, 16 << 20];
    for size in sizes {
        let bench = Bench::configured(Config::new().async_stack_size(size));
        for _ in 0..3 {
            let (mut store, recurse) = bench.func("recurse");
            let error = drive(recurse.call_async(&mut store, (2,))).0.unwrap_err();
            assert_eq!(
                error.trap().unwrap().code(),
                TrapCode::StackOverflow,
                "{size}"
            );
            // The thread's own stack is as it was.
            let instance = bench
                .linker
                .instantiate(&mut store, &bench.component)
                .unwrap();
            let plain = instance
                .get_typed_func::<(u32,), (u32,)>(&mut store, "plain")
                .unwrap();
            assert_eq!(plain.call(&mut store, (1,)).unwrap(), (1,));
        }
    }
}

#[test]
fn how_deep_guests_go_depends_on_the_stack() {
    let depth = |config: &mut Config| {
        let bench = Bench::configured(config);
        let (mut low, mut high) = (0, 1 << 20);
        while high - low > 256 {
            let middle = (low + high) / 2;
            let (mut store, deep) = bench.func("deep");
            match drive(deep.call_async(&mut store, (middle,))).0 {
                Ok(_) => low = middle,
                Err(error) => {
                    assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow);
                    high = middle;
                }
            }
        }
        low
    };
    let usual = depth(&mut Config::new());
    let large = depth(Config::new().max_wasm_stack(4 << 20));
    assert!(
        (3.5..4.5).contains(&(f64::from(large) / f64::from(usual))),
        "{usual} {large}"
    );
    let small = depth(Config::new().async_stack_size(512 << 10));
    assert!(small < usual / 2 && small > usual / 8, "{small} {usual}");
}

#[test]
fn guests_are_stopped_on_any_stack() {
    let bench = Bench::interruptible();
    let (mut store, spin) = bench.func("spin");
    let handle = store.interrupt_handle();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        handle.interrupt().unwrap();
    });
    let error = drive(spin.call_async(&mut store, (3,))).0.unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt);
    stopper.join().unwrap();
    // By a deadline that passes while it waits.
    let (mut store, spin) = bench.func("spin");
    store
        .set_deadline(Some(Instant::now() + Duration::from_millis(20)))
        .unwrap();
    let mut call = Box::pin(spin.call_async(&mut store, (1000,)));
    crate::poll_times(&mut call, 5);
    std::thread::sleep(Duration::from_millis(40));
    let error = drive(call).0.unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::Interrupt);
}

#[test]
fn recursion_of_the_host_on_a_stack_of_a_call_is_noticed() {
    // A host function without end faults at the guard, which is no trap: as on other stacks, the
    // process ends, and does not write elsewhere.
    fn endless(n: u64) -> u64 {
        let array = std::hint::black_box([n; 64]);
        if array[0] == u64::MAX {
            return 0;
        }
        array[(n % 64) as usize] + endless(std::hint::black_box(n + 1))
    }
    let output = child::run(
        module_path!(),
        "recursion_of_the_host_on_a_stack_of_a_call_is_noticed",
        || {
            let bench = Bench::new().replacing(|linker| {
                linker.root().func_wrap_async("wait", |_, (n,): (u32,)| {
                    Box::new(async move {
                        After(1).await;
                        Ok((endless(n.into()) as u32,))
                    })
                })
            });
            let (mut store, sum) = bench.func("sum");
            let _ = drive(sum.call_async(&mut store, (5,)));
        },
    );
    if let Some(output) = output {
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
    }
}
