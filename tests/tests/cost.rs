//! The compiler's work grows as the input does, whatever its shape: functions that are hard for the
//! register allocator are found by measures of theirs, never by time, and their code is right.
//!
//! Processor time is that of the process, so that the tests here run one after the other.
#![allow(unsafe_code, reason = "the processor time of the process is asked for")]

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use Instruction::{
    Block, BrIf, BrTable, Call, Else, End, I32Add, I32Const, I32GtS, I32Load, I32LtU, I32Mul,
    I32Store, I32Sub, I32WrapI64, I32x4Add, I32x4ExtractLane, I64Const, If, LocalGet, LocalSet,
    LocalTee, Loop, Rethrow, Try, TryTable, V128Const,
};
use cwasm::{CoreVal, Extern, Store};
use cwasm_compiler::{Emit, Features, Options, Output, compile_with};
use cwasm_tests::artifact::Workshop;
use wasm_encoder::{
    BlockType, Catch as Clause, CodeSection, ExportKind, ExportSection, Function, FunctionSection,
    Instruction, MemArg, MemArgTarget, MemorySection, MemoryType, TagKind, TagSection, TagType,
    TypeSection, ValType,
};

type Body = Vec<Instruction<'static>>;

/// How many tags there are.
const TAGS: u32 = 100;

/// Held by each test.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles as a build does, on one thread.
fn compile(module: &[u8], emit: Emit) -> Output {
    let mut features = Features::default();
    features.set("legacy-exceptions", true).unwrap();
    let options = Options {
        jobs: std::num::NonZeroUsize::new(1),
        features,
        ..Options::default()
    };
    compile_with(module, &options, emit, &|_| {}).unwrap()
}

/// A module with a function `f` of this body, from an `i32` to another, with `locals` more locals.
fn module(locals: u32, body: &[Instruction<'_>]) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    types.ty().function([], []);
    let mut tags = TagSection::new();
    for _ in 0..TAGS {
        tags.tag(TagType {
            kind: TagKind::Exception,
            func_type_idx: 1,
        });
    }
    let mut funcs = FunctionSection::new();
    funcs.function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 16,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("f", ExportKind::Func, 0);
    let mut func = Function::new([(locals, ValType::I32)]);
    for instruction in body {
        func.instruction(instruction);
    }
    func.instruction(&End);
    let mut code = CodeSection::new();
    code.function(&func);
    let mut module = wasm_encoder::Module::new();
    module
        .section(&types)
        .section(&funcs)
        .section(&memories)
        .section(&tags)
        .section(&exports)
        .section(&code);
    module.finish()
}

fn address(place: u32) -> MemArg {
    MemArg {
        offset: u64::from(place) * 4,
        align: 2,
        target: MemArgTarget::Memory(0),
        ordering: None,
    }
}

/// `f` of a module, called.
fn call(module: &[u8], param: i32) -> i32 {
    let workshop = Workshop::new();
    let artifact = workshop.compile(module).unwrap();
    let module = workshop.map_module(&artifact).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[]).unwrap();
    let Some(Extern::Func(func)) = instance.get(&store, "f").unwrap() else {
        panic!("the module exports a function")
    };
    let results = func.call(&mut store, &[CoreVal::I32(param)]).unwrap();
    let [CoreVal::I32(result)] = results[..] else {
        panic!("the function has a result")
    };
    result
}

/// `n` loops around sums of `n` locals, which the innermost makes `param` times.
fn nested_loops(n: u32) -> (u32, Body) {
    let local = |index: u32| 1 + index % n;
    let mut body = Body::new();
    for index in 0..n {
        body.extend([I32Const(index as i32 + 1), LocalSet(local(index))]);
    }
    body.extend((0..n).map(|_| Loop(BlockType::Empty)));
    for index in 0..n {
        let sum = [LocalGet(local(index)), LocalGet(local(index + 7)), I32Add];
        body.extend(sum);
        body.push(LocalSet(local(index)));
    }
    for _ in 0..n {
        body.extend([LocalGet(0), I32Const(1), I32Sub, LocalTee(0)]);
        body.extend([I32Const(0), I32GtS, BrIf(0), End]);
    }
    body.push(LocalGet(1));
    (n, body)
}

/// The result of [`nested_loops`].
fn nested_sum(n: usize, times: usize) -> i32 {
    let mut locals: Vec<i32> = (1..=n as i32).collect();
    for _ in 0..times {
        for index in 0..n {
            locals[index] = locals[index].wrapping_add(locals[(index + 7) % n]);
        }
    }
    locals[0]
}

/// `n` numbers that are loaded, then subtracted from each other from the last to the first.
fn live_values(n: u32) -> (u32, Body) {
    let mut body = vec![Loop(BlockType::Empty)];
    body.extend([LocalGet(1), I32Const(4), I32Mul]);
    body.extend([LocalGet(1), LocalGet(1), I32Mul, LocalGet(0), I32Add]);
    body.push(I32Store(address(0)));
    body.extend([LocalGet(1), I32Const(1), I32Add, LocalTee(1)]);
    body.extend([I32Const(n as i32), I32LtU, BrIf(0), End]);
    for place in 0..n {
        body.extend([I32Const(0), I32Load(address(place))]);
    }
    body.extend((1..n).map(|_| I32Sub));
    (1, body)
}

/// The result of [`live_values`].
fn live_difference(n: i32, param: i32) -> i32 {
    let values = (0..n)
        .rev()
        .map(|place| place.wrapping_mul(place).wrapping_add(param));
    values.reduce(|sum, value| value.wrapping_sub(sum)).unwrap()
}

/// A table of `n` targets, each of which adds a number of its own and goes on to the next.
fn table(n: u32) -> (u32, Body) {
    let mut body: Body = (0..=n).map(|_| Block(BlockType::Empty)).collect();
    let targets: Vec<u32> = (0..n).collect();
    body.extend([LocalGet(0), BrTable(targets.into(), n), End]);
    for target in 0..n {
        body.extend([
            LocalGet(1),
            I32Const(target as i32 + 1),
            I32Add,
            LocalSet(1),
            End,
        ]);
    }
    body.push(LocalGet(1));
    (1, body)
}

/// The result of [`table`].
fn table_sum(n: u32, selector: u32) -> i32 {
    (selector.min(n)..n)
        .map(|target| target as i32 + 1)
        .fold(0, i32::wrapping_add)
}

/// `n` times `if`, after each other, each of which changes one of 50 locals.
fn ifs(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for index in 0..n {
        let local = 1 + index % 50;
        body.extend([
            LocalGet(0),
            I32Const(index as i32),
            I32LtU,
            If(BlockType::Empty),
        ]);
        body.extend([
            LocalGet(local),
            I32Const(index as i32),
            I32Add,
            LocalSet(local),
            End,
        ]);
    }
    body.push(LocalGet(1));
    (50, body)
}

/// `n` times `if` in each other, with something else in the other case.
fn nested_ifs(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for index in 0..n {
        let local = 1 + index % 50;
        body.extend([LocalGet(local), If(BlockType::Empty)]);
        body.extend([
            LocalGet(local),
            I32Const(index as i32),
            I32Add,
            LocalSet(local),
        ]);
    }
    for index in 0..n {
        body.extend([
            Else,
            I32Const(index as i32),
            LocalSet(1 + index * 3 % 50),
            End,
        ]);
    }
    body.push(LocalGet(1));
    (50, body)
}

/// `n` blocks in each other, and a branch out of half of those that are left at the end of each.
fn blocks(n: u32) -> (u32, Body) {
    let mut body: Body = (0..n).map(|_| Block(BlockType::Empty)).collect();
    for index in 0..n {
        body.extend([LocalGet(1), I32Const(index as i32), I32Add, LocalTee(1)]);
        body.extend([BrIf((n - index) / 2), End]);
    }
    body.push(LocalGet(1));
    (1, body)
}

fn straight(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for index in 0..n {
        body.extend([
            LocalGet(0),
            I32Const(index as i32 * 7919),
            I32Add,
            LocalSet(0),
        ]);
        body.extend([LocalGet(0), LocalGet(1), I32Mul, LocalSet(1)]);
    }
    body.push(LocalGet(1));
    (1, body)
}

fn constants(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for index in 0..n {
        let constant = 0x0123_4567_89ab_cdef_i64.wrapping_mul(index.into());
        body.extend([
            I64Const(constant),
            I32WrapI64,
            LocalGet(0),
            I32Add,
            LocalSet(0),
        ]);
    }
    body.push(LocalGet(0));
    (0, body)
}

/// Calls of itself, with results that live until all are made.
fn calls(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for index in 0..n {
        body.extend([LocalGet(0), Call(0), LocalSet(1 + index)]);
    }
    body.push(LocalGet(0));
    for index in 0..n {
        body.extend([LocalGet(1 + index), I32Sub]);
    }
    (n, body)
}

/// `try_table`s in each other, with a call in each.
fn nested_tries(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for index in 0..n {
        let tag = index % TAGS;
        let catches = vec![Clause::One { tag, label: 0 }];
        body.extend([
            Block(BlockType::Empty),
            TryTable(BlockType::Empty, catches.into()),
            LocalGet(0),
            Call(0),
            LocalSet(0),
        ]);
    }
    body.extend(vec![End; 2 * n as usize]);
    body.push(LocalGet(0));
    (0, body)
}

/// `try_table`s without clauses in each other, and calls in the innermost one.
fn empty_tries(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for _ in 0..n {
        body.push(TryTable(BlockType::Empty, [].as_slice().into()));
    }
    for _ in 0..n / 10 {
        body.extend([LocalGet(0), Call(0), LocalSet(0)]);
    }
    body.extend(vec![End; n as usize]);
    body.push(LocalGet(0));
    (0, body)
}

/// A `try_table` with many clauses and many calls.
fn wide_try(n: u32) -> (u32, Body) {
    let catches = (0..n).map(|index| Clause::One {
        tag: index % TAGS,
        label: 0,
    });
    let catches: Vec<Clause> = catches.collect();
    let mut body = vec![
        Block(BlockType::Empty),
        TryTable(BlockType::Empty, catches.into()),
    ];
    for _ in 0..n {
        body.extend([LocalGet(0), Call(0), LocalSet(0)]);
    }
    body.extend([End, End, LocalGet(0)]);
    (0, body)
}

/// The same in the legacy form, each with a clause that calls and throws again.
fn legacy_tries(n: u32) -> (u32, Body) {
    let mut body = Body::new();
    for _ in 0..n {
        body.extend([Try(BlockType::Empty), LocalGet(0), Call(0), LocalSet(0)]);
    }
    for index in 0..n {
        body.extend([
            Instruction::Catch(index % TAGS),
            LocalGet(0),
            Call(0),
            LocalSet(0),
            Rethrow(0),
            End,
        ]);
    }
    body.push(LocalGet(0));
    (0, body)
}

fn vectors(n: u32) -> (u32, Body) {
    let mut body = vec![V128Const(1)];
    for index in 0..n {
        body.extend([V128Const(i128::from(index) << 64 | 0x55aa), I32x4Add]);
    }
    body.push(I32x4ExtractLane(2));
    (0, body)
}

#[test]
fn functions_beyond_a_budget_give_the_right_values() {
    let _alone = alone();
    for (n, in_frame) in [(20, false), (150, true)] {
        let (locals, body) = nested_loops(n);
        let module = module(locals, &body);
        let clif = compile(&module, Emit::Clif).bytes;
        let clif = String::from_utf8(clif).unwrap();
        // The function of the module comes first; thunks have slots of their own.
        let func = clif.split("\n; 1: ").next().unwrap();
        assert_eq!(func.contains("explicit_slot"), in_frame, "{n} loops");
        for times in [1, 5] {
            let expected = nested_sum(n as usize, times);
            assert_eq!(call(&module, times as i32), expected, "{n} loops");
        }
    }
    for (n, single_pass) in [(50, 0), (6_000, 1)] {
        let (locals, body) = live_values(n);
        let module = module(locals, &body);
        let found = compile(&module, Emit::Artifact).stats.single_pass;
        assert_eq!(found, single_pass, "{n} values");
        let expected = live_difference(n as i32, 9);
        assert_eq!(call(&module, 9), expected, "{n} values");
    }
    for n in [1_000, 1_024, 1_025, 1_280, 5_000] {
        let (locals, body) = table(n);
        let module = module(locals, &body);
        for selector in [
            0,
            255,
            256,
            1_023,
            1_024,
            n - 1,
            n,
            n + 1,
            n + 256,
            u32::MAX,
        ] {
            let expected = table_sum(n, selector);
            assert_eq!(
                call(&module, selector as i32),
                expected,
                "{selector} of {n}"
            );
        }
    }
}

/// The processor time that this process has taken.
fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be written to.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A function of a shape: number of locals, and body, by size.
type Shape = fn(u32) -> (u32, Body);

#[test]
fn work_grows_as_the_input_does() {
    let _alone = alone();
    let shapes: [(&str, Shape, u32); 15] = [
        ("nested loops", nested_loops, 200),
        ("live values", live_values, 6_000),
        ("a table", table, 6_000),
        ("a wide table", table, 24_000),
        ("ifs", ifs, 1_000),
        ("nested ifs", nested_ifs, 2_000),
        ("blocks", blocks, 4_000),
        ("straight", straight, 5_000),
        ("constants", constants, 5_000),
        ("calls", calls, 4_000),
        ("vectors", vectors, 4_000),
        ("nested tries", nested_tries, 1_000),
        ("empty tries", empty_tries, 50_000),
        ("a wide try", wide_try, 1_000),
        ("legacy tries", legacy_tries, 1_000),
    ];
    for (name, shape, n) in shapes {
        let time = |n: u32| {
            let (locals, body) = shape(n);
            let module = module(locals, &body);
            let start = processor_time();
            compile(&module, Emit::Artifact);
            processor_time() - start
        };
        let (once, twice) = (time(n), time(2 * n));
        // What is quadratic takes four times as long, the next power eight times.
        let most = once * 3 + Duration::from_millis(300);
        assert!(
            twice < most,
            "{name}: {once:?} for {n}, {twice:?} for twice as much"
        );
    }
}
