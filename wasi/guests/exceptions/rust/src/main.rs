//! Panics that unwind: caught, resumed, with destructors on the way.

// Assembly is not stable for WebAssembly yet.
#![feature(asm_experimental_arch)]

use std::cell::RefCell;
use std::hint::black_box;
use std::panic::{self, AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::rc::Rc;

// The tag that panics are thrown with. On targets of WASI the standard library leaves it to the
// toolchain for C++, and Debian's has none.
std::arch::global_asm!(
    ".globl __cpp_exception",
    ".tagtype __cpp_exception i32",
    "__cpp_exception:",
);

/// A payload of a type of our own.
#[derive(Debug, PartialEq)]
struct Fault {
    code: u32,
    at: String,
}

/// Writes its name into a list when it is dropped.
struct Guard {
    name: String,
    log: Rc<RefCell<Vec<String>>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let unwinding = if std::thread::panicking() { "!" } else { "" };
        self.log
            .borrow_mut()
            .push(format!("{}{unwinding}", self.name));
    }
}

/// Calls itself `depth` times, with two guards in each frame, and panics in the last.
#[inline(never)]
fn descend(depth: u32, log: &Rc<RefCell<Vec<String>>>) -> u32 {
    let guard = |side: &str| Guard {
        name: format!("{side}{depth}"),
        log: log.clone(),
    };
    let _left = guard("a");
    if black_box(depth) == 0 {
        panic_any(Fault {
            code: 42,
            at: "the bottom".to_owned(),
        });
    }
    let _right = guard("b");
    descend(depth - 1, log) + 1
}

/// Doubles the numbers, and panics at those that do not fit.
#[inline(never)]
fn double(number: u8) -> u8 {
    number
        .checked_mul(2)
        .unwrap_or_else(|| panic!("{number} is too large"))
}

/// The text of a panic's payload.
fn text(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        format!("str {text:?}")
    } else if let Some(text) = payload.downcast_ref::<String>() {
        format!("String {text:?}")
    } else if let Some(fault) = payload.downcast_ref::<Fault>() {
        format!("{fault:?}")
    } else {
        "something else".to_owned()
    }
}

/// Panics again while it is dropped, which a `catch_unwind` of its own contains.
struct Nested;

impl Drop for Nested {
    fn drop(&mut self) {
        let inner = catch_unwind(|| -> () { panic!("inside of a destructor") });
        println!(
            "nested: {}, panicking {}",
            text(&*inner.unwrap_err()),
            std::thread::panicking()
        );
    }
}

fn main() {
    // The hook would write to standard error; what we print says enough.
    panic::set_hook(Box::new(|_| {}));

    // Nothing is thrown.
    println!("quiet: {:?}", catch_unwind(|| black_box(7) + 1).ok());

    // Through frames, with destructors in order.
    let log = Rc::new(RefCell::new(Vec::new()));
    let payload = catch_unwind(AssertUnwindSafe(|| descend(5, &log))).unwrap_err();
    println!("deep: {}", text(&*payload));
    println!("dropped: {}", log.borrow().join(" "));
    println!("left: {}", Rc::strong_count(&log));

    // Through many frames.
    log.borrow_mut().clear();
    let payload = catch_unwind(AssertUnwindSafe(|| descend(2000, &log))).unwrap_err();
    println!(
        "deeper: {}, {} dropped",
        text(&*payload),
        log.borrow().len()
    );

    // Caught, resumed and caught again, with the same payload.
    let outer = catch_unwind(|| {
        let _guard = Nested;
        let payload = catch_unwind(|| double(black_box(200))).unwrap_err();
        println!("caught: {}", text(&*payload));
        resume_unwind(payload)
    });
    let payload: Box<dyn std::any::Any + Send> = outer.map(|(): ()| ()).unwrap_err();
    println!("resumed: {}", text(&*payload));
    println!(
        "downcast: {:?}",
        payload.downcast::<String>().map(|text| text.len()).ok()
    );

    // Panics of the language itself, in a loop.
    let numbers = [1_u8, 2, 3];
    let mut sum = 0;
    let mut caught = Vec::new();
    for index in 0..6 {
        match catch_unwind(|| double(numbers[black_box(index)])) {
            Ok(number) => sum += u32::from(number),
            Err(payload) => caught.push(text(&*payload)),
        }
    }
    println!("sum {sum}, caught {}", caught.len());
    println!("last: {}", caught.last().expect("one is caught"));

    // Many of them: neither memory nor stack leaks.
    let many = (0..20_000_u32)
        .filter(|number| catch_unwind(|| assert!(number % 3 != 0, "{number}")).is_err())
        .count();
    println!("many: {many}");

    // A vector whose elements are dropped while the next is made.
    let log = Rc::new(RefCell::new(Vec::new()));
    let made = catch_unwind(AssertUnwindSafe(|| {
        (0..9)
            .map(|number| {
                assert!(number < 4, "no more");
                Guard {
                    name: format!("v{number}"),
                    log: log.clone(),
                }
            })
            .collect::<Vec<_>>()
    }));
    println!(
        "collected {}, dropped {}",
        made.is_ok(),
        log.borrow().join(" ")
    );
    println!("panicking: {}", std::thread::panicking());
}
