//! Large memory images are mapped copy-on-write from the artifact: every instance starts from the
//! same bytes, whatever others write, also when they start at the same time.

use std::fmt::Write as _;

use cwasm::{Component, Engine, Linker, Store};

/// Bytes of the image: enough to be mapped and not copied.
const SIZE: usize = 2 << 20;

/// A component whose memory starts with `SIZE` bytes that are not zero, with a hole in the middle.
fn guest() -> Vec<u8> {
    let mut text = String::from("(component (core module $m (memory 64)\n");
    let mut segment = |at: usize| {
        let bytes: String = (0..SIZE / 2)
            .map(|i| format!("\\{:02x}", (i / 4096 + i) % 251 + 1))
            .collect();
        writeln!(text, "(data (i32.const {at}) \"{bytes}\")").unwrap();
    };
    segment(0);
    segment(SIZE);
    text.push_str(
        r#"(func (export "sum") (param $write i32) (result i64)
             (local $at i32) (local $sum i64)
             (loop $next
               (local.set $sum (i64.add (local.get $sum) (i64.load8_u (local.get $at))))
               (if (local.get $write) (then (i32.store8 (local.get $at) (i32.const 255))))
               (br_if $next (i32.lt_u
                 (local.tee $at (i32.add (local.get $at) (i32.const 1)))
                 (i32.const 4194304))))
             (local.get $sum)))
           (core instance $i (instantiate $m))
           (func (export "sum") (param "write" bool) (result u64)
             (canon lift (core func $i "sum"))))"#,
    );
    let wasm = wat::parse_str(text).unwrap();
    let artifact = cwasm_compiler::compile(&wasm, &Default::default());
    artifact.unwrap().bytes
}

fn sum(component: &Component, write: bool) -> (u64, u64) {
    let linker = Linker::<()>::new(component.engine());
    let mut store = Store::new(component.engine(), ());
    let instance = linker.instantiate(&mut store, component).unwrap();
    let sum = instance
        .get_typed_func::<(bool,), (u64,)>(&mut store, "sum")
        .unwrap();
    let first = sum.call(&mut store, (write,)).unwrap().0;
    (first, sum.call(&mut store, (false,)).unwrap().0)
}

#[test]
#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn instances_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.cwasm");
    let bytes = guest();
    assert!(
        bytes.len() > SIZE && bytes.len() < SIZE + (1 << 20),
        "the image is sparse"
    );
    cwasm_compiler::write_file(&path, &bytes).unwrap();
    // SAFETY: our compiler made it, and nobody changes it.
    let mapped = unsafe { Component::map(&Engine::default(), &path) }.unwrap();
    // SAFETY: as above.
    let copied = unsafe { Component::from_bytes(&Engine::default(), &bytes) }.unwrap();
    std::fs::remove_file(&path).unwrap();
    let expected: u64 = 2
        * (0..SIZE / 2)
            .map(|i| ((i / 4096 + i) % 251 + 1) as u64)
            .sum::<u64>();
    let written = 255 * 2 * SIZE as u64;
    for component in [&mapped, &copied] {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || {
                    for round in 0..3 {
                        let write = (thread + round) % 2 == 0;
                        let after = if write { written } else { expected };
                        assert_eq!(sum(component, write), (expected, after));
                    }
                });
            }
        });
    }
}
