//! Vectors that hosts pass and get; and which bytes vector operators access: those that the
//! operator names and no others, at the end of a memory and beyond, at every CPU level that the
//! machine has.

use crate::common;
use cwasm::{CoreFunc, CoreGlobal, CoreMemory, CoreVal, Extern, FuncType, Module, Store, ValType};
use cwasm_compiler::OptLevel;
use cwasm_format::TrapCode;
use cwasm_tests::artifact::Workshop;

/// Bytes of the memory: one page, with the guard right after it.
const SIZE: u64 = 0x1_0000;
/// The vector that an access starts from, as a constant of the text and as bytes.
const OPERAND: u128 = 0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100;

/// The contents of the memory: no two neighbouring lanes are equal, and lanes of both signs occur.
fn pattern() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 73 % 251) as u8).collect()
}

/// Computes the result of a load from the bytes that it accesses.
type Expected = dyn Fn(&[u8]) -> u128;

/// A vector operator on memory: its name, how many bytes it accesses, and what it gives for them.
struct Load {
    name: String,
    len: usize,
    value: Box<Expected>,
}

fn loads() -> Vec<Load> {
    let mut loads = Vec::new();
    let mut add = |name: String, len: usize, value: Box<Expected>| {
        loads.push(Load { name, len, value });
    };
    add("v128.load".into(), 16, Box::new(number));
    for width in [1, 2, 4] {
        for signed in [true, false] {
            let sign = if signed { "s" } else { "u" };
            let name = format!("v128.load{}x{}_{sign}", 8 * width, 8 / width);
            add(name, 8, Box::new(move |bytes| extend(bytes, width, signed)));
        }
    }
    for width in [1, 2, 4, 8] {
        let bits = 8 * width;
        add(
            format!("v128.load{bits}_splat"),
            width,
            Box::new(move |bytes| number(&bytes.repeat(16 / width))),
        );
        if width >= 4 {
            add(format!("v128.load{bits}_zero"), width, Box::new(number));
        }
    }
    loads
}

/// The little-endian number of at most 16 bytes.
fn number(bytes: &[u8]) -> u128 {
    let mut all = [0; 16];
    all[..bytes.len()].copy_from_slice(bytes);
    u128::from_le_bytes(all)
}

/// Lanes of `width` bytes made twice as wide.
fn extend(bytes: &[u8], width: usize, signed: bool) -> u128 {
    let lanes = bytes.chunks(width).flat_map(|lane| {
        let fill = match signed && lane[width - 1] >= 0x80 {
            true => 0xff,
            false => 0,
        };
        lane.iter().copied().chain(vec![fill; width])
    });
    number(&lanes.collect::<Vec<_>>())
}

/// Constant offsets of accesses.
const OFFSETS: [u64; 4] = [0, 1, 0x7fff_ffff, 0xffff_ffff];

/// Indices around where an access of `len` bytes at `offset` leaves the memory.
fn indices(offset: u64, len: u64) -> Vec<u32> {
    let last = SIZE.saturating_sub(offset + len);
    let mut indices = vec![
        0,
        last,
        last + 1,
        last + len - 1,
        last + len,
        SIZE - 1,
        SIZE,
    ];
    indices.extend([(1 << 31) - 1, 1 << 31, u64::from(u32::MAX)]);
    indices.into_iter().map(|index| index as u32).collect()
}

/// An instance of a module, whose memory holds the pattern.
struct Guest {
    store: Store<()>,
    module: cwasm::ModuleInstance,
    memory: CoreMemory,
}

impl Guest {
    fn new(workshop: &Workshop, funcs: &str) -> Guest {
        let text = format!("(module (memory (export \"memory\") 1 1) {funcs})");
        let artifact = workshop.compile(text.as_bytes()).unwrap();
        let module: Module = workshop.map_module(&artifact).unwrap();
        let mut store = Store::new(workshop.engine(), ());
        let module = module.instantiate(&mut store, &[]).unwrap();
        let Some(Extern::Memory(memory)) = module.get(&store, "memory").unwrap() else {
            panic!("the module exports its memory")
        };
        let mut guest = Guest {
            store,
            module,
            memory,
        };
        guest.reset();
        guest
    }

    fn reset(&mut self) {
        let data = self.memory.data_mut(&mut self.store).unwrap();
        data.copy_from_slice(&pattern());
    }

    fn func(&self, name: &str) -> CoreFunc {
        match self.module.get(&self.store, name).unwrap() {
            Some(Extern::Func(func)) => func,
            _ => panic!("no function `{name}`"),
        }
    }

    /// As [`Guest::call`], of a function that returns a vector.
    fn vector(&mut self, func: CoreFunc, index: u32) -> Option<u128> {
        match self.call(func, index)?[..] {
            [CoreVal::V128(bits)] => Some(bits),
            _ => panic!("a vector is returned"),
        }
    }

    /// The results of a call; `None` if it goes out of the memory's bounds.
    fn call(&mut self, func: CoreFunc, index: u32) -> Option<Vec<CoreVal>> {
        match func.call(&mut self.store, &[CoreVal::I32(index as i32)]) {
            Ok(results) => Some(results),
            Err(error) => {
                assert_eq!(
                    error.trap().map(|trap| trap.code()),
                    Some(TrapCode::MemoryOutOfBounds),
                    "{error}"
                );
                None
            }
        }
    }
}

fn for_each_level(check: impl Fn(&Workshop, &str)) {
    for cpu in common::cpu_levels() {
        for opt in [OptLevel::None, OptLevel::Speed] {
            check(
                &Workshop::for_target(cpu, opt),
                &format!("{} -O {opt:?}", cpu.name()),
            );
        }
    }
}

#[test]
fn loads_read_their_bytes_and_no_others() {
    let loads = loads();
    let mut funcs = String::new();
    for Load { name, .. } in &loads {
        for offset in OFFSETS {
            funcs.push_str(&format!(
                "(func (export \"{name} {offset}\") (param i32) (result v128)
                    ({name} offset={offset} (local.get 0)))"
            ));
        }
    }
    for_each_level(|workshop, level| {
        let mut guest = Guest::new(workshop, &funcs);
        let memory = pattern();
        for load in &loads {
            for offset in OFFSETS {
                let func = guest.func(&format!("{} {offset}", load.name));
                for index in indices(offset, load.len as u64) {
                    let start = (u64::from(index) + offset) as usize;
                    let expected = memory.get(start..start + load.len).map(&load.value);
                    let found = guest.vector(func, index);
                    let name = &load.name;
                    assert_eq!(found, expected, "{level}: {name} {offset} at {index}");
                }
            }
        }
    });
}

#[test]
fn lanes_are_loaded_and_stored_alone() {
    let operand = OPERAND.to_le_bytes();
    let constant = format!("(v128.const i64x2 {} {})", OPERAND as u64, OPERAND >> 64);
    let mut funcs = String::new();
    let lanes = [1, 2, 4, 8].into_iter().flat_map(|width| {
        let lanes = [0, 16 / width / 2, 16 / width - 1];
        lanes.map(|lane| (width, lane))
    });
    let mut lanes: Vec<(usize, usize)> = lanes.collect();
    lanes.dedup();
    for (width, lane) in &lanes {
        let bits = width * 8;
        funcs.push_str(&format!(
            "(func (export \"load{bits} {lane}\") (param i32) (result v128)
                (v128.load{bits}_lane {lane} (local.get 0) {constant}))
             (func (export \"store{bits} {lane}\") (param i32)
                (v128.store{bits}_lane {lane} (local.get 0) {constant}))"
        ));
    }
    for_each_level(|workshop, level| {
        let mut guest = Guest::new(workshop, &funcs);
        let memory = pattern();
        for &(width, lane) in &lanes {
            let bits = 8 * width;
            let load = guest.func(&format!("load{bits} {lane}"));
            let store = guest.func(&format!("store{bits} {lane}"));
            let place = lane * width..(lane + 1) * width;
            for index in indices(0, width as u64) {
                let range = index as usize..index as usize + width;
                let loaded = memory.get(range.clone()).map(|bytes| {
                    let mut lanes = operand;
                    lanes[place.clone()].copy_from_slice(bytes);
                    u128::from_le_bytes(lanes)
                });
                let found = guest.vector(load, index);
                assert_eq!(found, loaded, "{level}: load{bits}_lane {lane} at {index}");

                let mut stored = memory.clone();
                if let Some(bytes) = stored.get_mut(range) {
                    bytes.copy_from_slice(&operand[place.clone()]);
                }
                let done = guest.call(store, index).is_some();
                let found = guest.memory.data(&guest.store).unwrap();
                let name = format!("{level}: store{bits}_lane {lane} at {index}");
                assert_eq!(done, loaded.is_some(), "{name}");
                assert!(found == stored, "{name}");
                guest.reset();
            }
        }
    });
}

#[test]
fn hosts_pass_and_get_vectors() {
    const TEXT: &str = r#"(module
        (import "" "host" (func $host (param i32 v128 f32 v128) (result v128 i64 v128)))
        (import "" "constant" (global $constant v128))
        (import "" "variable" (global $variable (mut v128)))
        (global (export "copy") v128 (global.get $constant))
        (global i32 (i32.const 1))
        (global (export "own") (mut v128) (v128.const i64x2 7 8))
        (func (export "run") (param v128 i32 v128) (result v128 v128)
            (call $host (local.get 1) (local.get 0) (f32.const 1.5) (local.get 2))
            (global.set $variable)
            drop
            (global.get $constant)))"#;
    const A: u128 = OPERAND;
    const B: u128 = u128::MAX / 3;
    const C: u128 = 3 << 64 | 4;
    for_each_level(|workshop, level| {
        let artifact = workshop.compile(TEXT.as_bytes()).unwrap();
        let module = workshop.map_module(&artifact).unwrap();
        let mut store = Store::new(workshop.engine(), ());
        let (params, results) = (
            [ValType::I32, ValType::V128, ValType::F32, ValType::V128],
            [ValType::V128, ValType::I64, ValType::V128],
        );
        let host = CoreFunc::new(&mut store, FuncType::new(params, results), |args| {
            let [
                CoreVal::I32(5),
                CoreVal::V128(a),
                CoreVal::F32(_),
                CoreVal::V128(b),
            ] = *args
            else {
                panic!("the arguments are {args:?}")
            };
            Ok(vec![
                CoreVal::V128(a.swap_bytes()),
                CoreVal::I64(6),
                CoreVal::V128(a ^ b),
            ])
        });
        let mut global = |mutable, value| {
            let value = CoreVal::V128(value);
            CoreGlobal::new(&mut store, ValType::V128, mutable, value).unwrap()
        };
        let (constant, variable) = (global(false, C), global(true, 0));
        let imports = [
            Extern::Func(host),
            Extern::Global(constant),
            Extern::Global(variable),
        ];
        let instance = module.instantiate(&mut store, &imports).unwrap();
        let Some(Extern::Func(run)) = instance.get(&store, "run").unwrap() else {
            panic!("the module exports a function")
        };
        let args = [CoreVal::V128(A), CoreVal::I32(5), CoreVal::V128(B)];
        let results = run.call(&mut store, &args).unwrap();
        let bits = |value: &CoreVal| match value {
            CoreVal::V128(bits) => *bits,
            _ => panic!("the value is {value:?}"),
        };
        let results: Vec<u128> = results.iter().map(bits).collect();
        assert_eq!(results, [A.swap_bytes(), C], "{level}");
        assert_eq!(bits(&variable.get(&store).unwrap()), A ^ B, "{level}");
        for (name, expected) in [("copy", C), ("own", 8 << 64 | 7)] {
            let Some(Extern::Global(found)) = instance.get(&store, name).unwrap() else {
                panic!("the module exports the global `{name}`")
            };
            assert_eq!(
                bits(&found.get(&store).unwrap()),
                expected,
                "{level}: {name}"
            );
        }
    });
}
