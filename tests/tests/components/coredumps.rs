//! Core dumps: what is in them, read as other tools do.

use cwasm::{
    Component, CoreDump, CoreDumpSize, CoreVal, Engine, Error, Extern, Linker, Module, Store,
};
use cwasm_compiler::Options;
use wasmparser::{
    CoreDumpInstance, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection,
    CoreDumpStackFrame, CoreDumpStackSection, DataKind, MemoryType, Operator, Parser, Payload,
    Validator, WasmFeatures,
};

/// A core dump that was read.
#[derive(Default)]
struct Read {
    name: String,
    modules: Vec<String>,
    instances: Vec<CoreDumpInstance>,
    frames: Vec<CoreDumpStackFrame>,
    memories: Vec<MemoryType>,
    /// Their constants.
    globals: Vec<String>,
    /// Memory, offset and bytes.
    data: Vec<(u32, u64, Vec<u8>)>,
}

impl Read {
    fn new(bytes: &[u8]) -> Read {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        validator.validate_all(bytes).unwrap();
        let mut read = Read::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload.unwrap() {
                Payload::CustomSection(section) => read.custom(section.name(), section.data()),
                Payload::MemorySection(section) => {
                    read.memories = section.into_iter().map(Result::unwrap).collect();
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global.unwrap();
                        assert!(!global.ty.mutable);
                        let value = global.init_expr.get_operators_reader().read().unwrap();
                        read.globals.push(format!("{value:?}"));
                    }
                }
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment.unwrap();
                        let DataKind::Active {
                            memory_index,
                            offset_expr,
                        } = segment.kind
                        else {
                            panic!("a segment that is not active");
                        };
                        let offset = match offset_expr.get_operators_reader().read().unwrap() {
                            Operator::I32Const { value } => u64::from(value as u32),
                            Operator::I64Const { value } => value as u64,
                            other => panic!("{other:?}"),
                        };
                        let bytes = segment.data.to_vec();
                        read.data.push((memory_index, offset, bytes));
                    }
                }
                _ => {}
            }
        }
        read
    }

    fn custom(&mut self, name: &str, data: &[u8]) {
        let reader = || wasmparser::BinaryReader::new(data, 0);
        match name {
            "core" => self.name = CoreDumpSection::new(reader()).unwrap().name.to_owned(),
            "coremodules" => {
                let section = CoreDumpModulesSection::new(reader()).unwrap();
                self.modules = section.modules.iter().map(|name| (*name).into()).collect();
            }
            "coreinstances" => {
                let section = CoreDumpInstancesSection::new(reader()).unwrap();
                self.instances = section.instances;
            }
            "corestack" => {
                let section = CoreDumpStackSection::new(reader()).unwrap();
                assert_eq!(section.name, "main");
                self.frames = section.frames;
            }
            other => panic!("a section `{other}`"),
        }
    }

    /// Instance and function of each frame.
    fn stack(&self) -> Vec<(u32, u32)> {
        let frames = self.frames.iter();
        let frames = frames.map(|frame| (frame.instanceidx, frame.funcidx));
        frames.collect()
    }

    /// The bytes of a memory that are not zero, by offset.
    fn bytes(&self, memory: u32) -> Vec<(u64, u8)> {
        let segments = self.data.iter().filter(|(of, ..)| *of == memory);
        let bytes = segments.flat_map(|(_, offset, bytes)| (*offset..).zip(bytes.iter().copied()));
        bytes.filter(|(_, byte)| *byte != 0).collect()
    }
}

fn compiled(text: &str, debug: bool) -> Vec<u8> {
    let options = Options {
        debug: match debug {
            true => cwasm_compiler::Debug::Inside,
            false => cwasm_compiler::Debug::None,
        },
        ..Options::default()
    };
    let wasm = wat::parse_str(text).unwrap();
    cwasm_compiler::compile(&wasm, &options).unwrap().bytes
}

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn component(engine: &Engine, artifact: &[u8]) -> Component {
    // SAFETY: the artifact comes from this compiler.
    unsafe { Component::from_bytes(engine, artifact) }.unwrap()
}

#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn module(engine: &Engine, text: &str) -> Module {
    // SAFETY: the artifact comes from this compiler.
    unsafe { Module::from_bytes(engine, &compiled(text, true)) }.unwrap()
}

/// The dump of a store, with the stack of a trap.
fn dump(store: &Store<()>, error: Option<&Error>) -> Read {
    let mut dump = CoreDump::new(store);
    if let Some(error) = error {
        dump.trap(error.trap().unwrap()).unwrap();
    }
    dump.name("the guest");
    let mut bytes = Vec::new();
    let size = dump.write(&mut bytes).unwrap();
    assert_eq!(size.bytes, bytes.len() as u64);
    assert_eq!(size.left_out, 0);
    let read = Read::new(&bytes);
    assert_eq!(read.name, "the guest");
    read
}

/// Calls `run`, which traps, of a component without imports.
fn run(engine: &Engine, artifact: &[u8], store: &mut Store<()>) -> Error {
    let component = component(engine, artifact);
    let instance = Linker::new(engine).instantiate(&mut *store, &component);
    let run = instance
        .unwrap()
        .get_typed_func::<(), ()>(&mut *store, "run");
    run.unwrap().call(&mut *store, ()).unwrap_err()
}

/// Two core instances of different modules, which share a memory and a global.
const TWO: &str = r#"(component
  (core module $libc
    (memory (export "memory") 2)
    (global (export "sp") (mut i32) (i32.const 1000))
    (global (export "answer") i64 (i64.const 42)))
  (core module $main
    (import "libc" "memory" (memory 1))
    (import "libc" "sp" (global $sp (mut i32)))
    (import "libc" "answer" (global i64))
    (global $half (mut f32) (f32.const 0.5))
    (global (mut f64) (f64.const -1))
    (global v128 (v128.const i64x2 1 2))
    (global (mut funcref) (ref.null func))
    (func $leaf
      (global.set $sp (i32.const 984))
      (global.set $half (f32.const 0.25))
      (i32.store (i32.const 70000) (i32.const 0x01020304))
      (i32.store8 (i32.const 131071) (i32.const 9))
      unreachable)
    (func $middle (call $leaf))
    (func (export "run") (call $middle)))
  (core instance $libc (instantiate $libc))
  (core instance $main (instantiate $main (with "libc" (instance $libc))))
  (func (export "run") (canon lift (core func $main "run"))))"#;

#[test]
fn a_trap_has_instances_memories_globals_and_a_stack() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let error = run(&engine, &compiled(TWO, true), &mut store);
    let read = dump(&store, Some(&error));
    assert_eq!(read.modules, ["libc", "main"]);
    let [libc, main] = &read.instances[..] else {
        panic!("{:?}", read.instances);
    };
    assert_eq!((libc.module_index, main.module_index), (0, 1));
    assert_eq!(
        (&libc.memories[..], &main.memories[..]),
        (&[0][..], &[0][..])
    );
    assert_eq!(read.memories.len(), 1);
    assert_eq!(
        (read.memories[0].initial, read.memories[0].maximum),
        (2, None)
    );
    let expected = [(70000, 4), (70001, 3), (70002, 2), (70003, 1), (131_071, 9)];
    assert_eq!(read.bytes(0), expected);
    // Only what is not zero, by words.
    let pages: Vec<_> = read
        .data
        .iter()
        .map(|(_, at, bytes)| (*at, bytes.len()))
        .collect();
    assert_eq!(pages, [(70000, 8), (131_064, 8)]);

    // The stack pointer is one global, whoever names it.
    assert_eq!((libc.globals.len(), main.globals.len()), (2, 6));
    assert_eq!(libc.globals[0], main.globals[0]);
    let value = |global: u32| read.globals[global as usize].as_str();
    let values: Vec<_> = main.globals.iter().map(|global| value(*global)).collect();
    assert_eq!(values[0], "I32Const { value: 984 }");
    assert_eq!(values[1], "I64Const { value: 42 }");
    assert_eq!(value(libc.globals[1]), values[1]);
    assert_eq!(
        values[2],
        format!("F32Const {{ value: Ieee32({}) }}", 0.25f32.to_bits())
    );
    assert_eq!(
        values[3],
        format!("F64Const {{ value: Ieee64({}) }}", (-1f64).to_bits())
    );
    assert!(values[4].starts_with("V128Const { value: V128([1, 0, 0, 0, 0, 0, 0, 0, 2,"));
    assert!(values[5].starts_with("RefNull"), "{}", values[5]);

    assert_eq!(read.stack(), [(1, 0), (1, 1), (1, 2)]);
    let frames = error.trap().unwrap().frames();
    let named: Vec<_> = frames.iter().map(|frame| frame.func_index).collect();
    assert_eq!(named, [0, 1, 2]);
}

#[test]
fn an_artifact_without_debug_data_has_memories_and_a_stack() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let error = run(&engine, &compiled(TWO, false), &mut store);
    let read = dump(&store, Some(&error));
    assert_eq!(read.bytes(0).len(), 5);
    assert!(read.globals.is_empty());
    // Only the second one has functions. Whose the memory is, nobody knows.
    let [main] = &read.instances[..] else {
        panic!("{:?}", read.instances);
    };
    assert!(main.memories.is_empty() && main.globals.is_empty());
    assert_eq!(read.stack(), [(0, 0), (0, 1), (0, 2)]);
}

#[test]
#[allow(unsafe_code, reason = "maps an artifact that the test just compiled")]
fn debug_data_may_be_in_a_file_beside_the_artifact() {
    let options = Options {
        debug: cwasm_compiler::Debug::Split,
        ..Options::default()
    };
    let output = cwasm_compiler::compile(&wat::parse_str(TWO).unwrap(), &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.cwasm");
    let trap_with = |debug: Option<&[u8]>| {
        // A new file: the one before is mapped.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &output.bytes).unwrap();
        let beside = folder.path().join("two.cwasm.debug");
        match debug {
            Some(debug) => std::fs::write(&beside, debug).unwrap(),
            None => _ = std::fs::remove_file(&beside),
        }
        let engine = Engine::default();
        // SAFETY: the artifact comes from this compiler.
        let component = unsafe { Component::map(&engine, &path) }.unwrap();
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component);
        let run = instance
            .unwrap()
            .get_typed_func::<(), ()>(&mut store, "run");
        let error = run.unwrap().call(&mut store, ()).unwrap_err();
        (store, error)
    };
    let debug = output.debug.unwrap();
    let (store, error) = trap_with(Some(&debug));
    let read = dump(&store, Some(&error));
    assert_eq!(read.modules, ["libc", "main"]);
    let globals: Vec<_> = read.instances.iter().map(|at| at.globals.len()).collect();
    assert_eq!(globals, [2, 6]);
    let (store, error) = trap_with(None);
    assert!(dump(&store, Some(&error)).globals.is_empty());
    // Altered places of state are no harm there, either.
    let state = cwasm_format::debug::section(&debug, cwasm_format::state::SECTION).unwrap();
    let place = state.as_ptr().addr() - debug.as_ptr().addr();
    for at in (place..place + state.len()).step_by(4) {
        for byte in [0, 1, 0x7f, 0xff] {
            let mut damaged = debug.clone();
            damaged[at..at + 4].fill(byte);
            let (store, error) = trap_with(Some(&damaged));
            let mut dump = CoreDump::new(&store);
            dump.trap(error.trap().unwrap()).unwrap();
            dump.write(std::io::sink()).unwrap();
        }
    }
}

/// Artifacts without `--debug` have nothing for dumps.
#[test]
fn places_of_state_are_debug_data() {
    let name = cwasm_format::state::SECTION.as_bytes();
    let has_section = |bytes: &[u8]| bytes.windows(name.len()).any(|window| window == name);
    assert!(has_section(&compiled(TWO, true)));
    assert!(!has_section(&compiled(TWO, false)));
}

#[test]
fn frames_are_those_of_the_instance_that_was_entered() {
    let text = r#"(component
      (core module $m
        (global $count (mut i32) (i32.const 0))
        (func (export "add") (global.set $count (i32.add (global.get $count) (i32.const 1))))
        (func (export "run") unreachable))
      (core instance $i (instantiate $m))
      (func (export "add") (canon lift (core func $i "add")))
      (func (export "run") (canon lift (core func $i "run"))))"#;
    let engine = Engine::default();
    let component = component(&engine, &compiled(text, true));
    let linker = Linker::new(&engine);
    for trapping in 0..3 {
        let mut store = Store::new(&engine, ());
        let instances = [0, 1, 2].map(|_| linker.instantiate(&mut store, &component).unwrap());
        let func = |store: &mut Store<()>, index: usize, name: &str| {
            let func = instances[index].get_typed_func::<(), ()>(&mut *store, name);
            func.unwrap()
        };
        func(&mut store, trapping, "add")
            .call(&mut store, ())
            .unwrap();
        let error = func(&mut store, trapping, "run")
            .call(&mut store, ())
            .unwrap_err();
        let read = dump(&store, Some(&error));
        assert_eq!(read.modules.len(), 1, "instances share the module");
        assert_eq!(read.stack(), [(trapping as u32, 1)]);
        let values: Vec<_> = (0..3)
            .map(|index| {
                let global = read.instances[index].globals[0];
                read.globals[global as usize].contains("value: 1")
            })
            .collect();
        let expected: Vec<_> = (0..3).map(|index| index == trapping).collect();
        assert_eq!(values, expected);
    }
}

#[test]
fn a_store_without_a_trap_has_no_stack() {
    let text = r#"(component
      (core module (memory 1) (data (i32.const 5) "abc"))
      (core instance (instantiate 0)))"#;
    let engine = Engine::default();
    let component = component(&engine, &compiled(text, true));
    let mut store = Store::new(&engine, ());
    assert!(dump(&store, None).instances.is_empty());
    Linker::new(&engine)
        .instantiate(&mut store, &component)
        .unwrap();
    let read = dump(&store, None);
    assert!(read.frames.is_empty());
    assert_eq!(read.bytes(0), [(5, b'a'), (6, b'b'), (7, b'c')]);
    assert_eq!(read.modules, ["module[0]"], "it has no name");
}

#[test]
fn what_a_start_function_had_is_there_if_the_host_wants_it() {
    let text = r#"(component
      (core module $m
        (memory 1)
        (func $start (i32.store8 (i32.const 3) (i32.const 7)) unreachable)
        (start $start))
      (core instance (instantiate $m)))"#;
    let engine = Engine::default();
    let component = component(&engine, &compiled(text, true));
    let linker = Linker::new(&engine);
    for keep in [false, true] {
        let mut store = Store::new(&engine, ());
        store.keep_failed_instances(keep);
        let error = linker.instantiate(&mut store, &component).unwrap_err();
        // One that takes its place is another one.
        let read = dump(&store, Some(&error));
        assert_eq!(read.frames.len(), 1);
        let instance = &read.instances[read.frames[0].instanceidx as usize];
        match keep {
            true => assert_eq!(read.bytes(instance.memories[0]), [(3, 7)]),
            false => assert!(instance.memories.is_empty() && read.memories.is_empty()),
        }
    }
}

#[test]
fn memories_of_all_kinds() {
    let text = r#"(component
      (core module $m
        (memory $plain 1)
        (memory $wide i64 1 70000)
        (memory $bytes 13 (pagesize 1))
        (memory $grown 0 9)
        (memory $shared 1 2 shared)
        (func (export "run")
          (i32.store8 $plain (i32.const 65535) (i32.const 1))
          (drop (memory.grow $wide (i64.const 69999)))
          (i32.store8 $wide (i64.const 0x1_1000_0007) (i32.const 2))
          (i32.store8 $bytes (i32.const 12) (i32.const 3))
          (drop (memory.grow $grown (i32.const 4)))
          (i32.store8 $grown (i32.const 262143) (i32.const 4))
          (i32.store8 $shared (i32.const 0) (i32.const 5))
          unreachable))
      (core instance $i (instantiate $m))
      (func (export "run") (canon lift (core func $i "run"))))"#;
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let artifact = compiled(text, true);
    let error = run(&engine, &artifact, &mut store);
    let read = dump(&store, Some(&error));
    let memory = |index: usize| read.instances[0].memories[index];
    let ty = |index: usize| read.memories[memory(index) as usize];
    let bytes = |index| read.bytes(memory(index));
    assert_eq!(bytes(0), [(65535, 1)]);
    assert_eq!(bytes(1), [(0x1_1000_0007, 2)]);
    assert!(ty(1).memory64 && (ty(1).initial, ty(1).maximum) == (70_000, Some(70_000)));
    assert_eq!(bytes(2), [(12, 3)]);
    assert_eq!((ty(2).initial, ty(2).page_size_log2), (13, Some(0)));
    assert_eq!(bytes(3), [(262_143, 4)]);
    assert_eq!((ty(3).initial, ty(3).maximum), (4, Some(9)));
    assert_eq!(bytes(4), [(0, 5)]);
    assert!(ty(4).shared);
    let size: usize = read.data.iter().map(|(.., bytes)| bytes.len()).sum();
    assert_eq!(size, 4 * 8 + 5);
}

/// A guest that writes to each second page of `pages`.
fn writes_to_pages(pages: u32) -> String {
    format!(
        r#"(component
          (core module $m
            (memory {})
            (func (export "run") (local $at i32)
              (loop $l
                (i32.store8 (local.get $at) (i32.const 1))
                (local.set $at (i32.add (local.get $at) (i32.const 8192)))
                (br_if $l (i32.lt_u (local.get $at) (i32.const {}))))
              unreachable))
          (core instance $i (instantiate $m))
          (func (export "run") (canon lift (core func $i "run"))))"#,
        pages.div_ceil(16),
        pages * 4096,
    )
}

#[test]
fn memories_are_limited() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let _ = run(&engine, &compiled(&writes_to_pages(64), true), &mut store);
    let mut dump = CoreDump::new(&store);
    for (max, expected) in [
        (u64::MAX, 32),
        (32 * 4096, 32),
        (32 * 4096 - 1, 31),
        (4096, 1),
        (4095, 0),
    ] {
        let mut bytes = Vec::new();
        let CoreDumpSize {
            memory, left_out, ..
        } = dump.max_memory(max).write(&mut bytes).unwrap();
        assert_eq!((memory, left_out), (expected * 8, (32 - expected) * 4096));
        let read = Read::new(&bytes);
        assert_eq!(read.data.len() as u64, expected);
        let first = read.bytes(0).into_iter().map(|(at, _)| at);
        assert!(first.eq((0..expected).map(|page| page * 8192)));
    }
}

/// Fails after so many bytes, as a full disk does.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        match count {
            0 => Err(std::io::ErrorKind::StorageFull.into()),
            count => Ok(count),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let _ = run(&engine, &compiled(&writes_to_pages(16), true), &mut store);
    let dump = CoreDump::new(&store);
    let size = dump.write(std::io::sink()).unwrap().bytes as usize;
    for room in [0, 1, 50, size / 2, size - 1] {
        let error = dump.write(Full(room)).unwrap_err().to_string();
        assert!(error.contains("cannot write the core dump"), "{error}");
    }
    assert_eq!(dump.write(Full(size)).unwrap().bytes as usize, size);
}

#[test]
fn traps_of_other_stores_are_refused() {
    let engine = Engine::default();
    let artifact = compiled(TWO, true);
    let (mut first, mut second) = (Store::new(&engine, ()), Store::new(&engine, ()));
    let error = run(&engine, &artifact, &mut first);
    let _ = run(&engine, &artifact, &mut second);
    let trap = error.trap().unwrap();
    let refused = CoreDump::new(&second).trap(trap).unwrap_err();
    assert!(refused.to_string().contains("another store"), "{refused}");
    assert!(CoreDump::new(&first).trap(trap).is_ok());
}

/// A module that is linked twice: its frames could be of either instance.
#[test]
fn linked_modules_have_instances_of_their_own() {
    let engine = Engine::default();
    let callee = module(
        &engine,
        r#"(module $callee
          (memory (export "memory") 1)
          (global (export "g") (mut i64) (i64.const 7))
          (func (export "f") (i32.store8 (i32.const 1) (i32.const 2)) unreachable))"#,
    );
    let caller = module(
        &engine,
        r#"(module $caller
          (import "a" "f" (func $f))
          (import "a" "memory" (memory 1))
          (import "a" "g" (global (mut i64)))
          (func (export "run") (call $f)))"#,
    );
    for twice in [false, true] {
        let mut store = Store::new(&engine, ());
        let linked = callee.instantiate(&mut store, &[]).unwrap();
        if twice {
            callee.instantiate(&mut store, &[]).unwrap();
        }
        let imports = ["f", "memory", "g"].map(|name| linked.get(&store, name).unwrap().unwrap());
        let instance = caller.instantiate(&mut store, &imports).unwrap();
        let Some(Extern::Func(run)) = instance.get(&store, "run").unwrap() else {
            panic!("no function");
        };
        let error = run.call(&mut store, &[]).unwrap_err();
        let read = dump(&store, Some(&error));
        assert_eq!(read.modules, ["callee", "caller"]);
        let [inner, outer] =
            [0, 1].map(|frame| &read.instances[read.frames[frame].instanceidx as usize]);
        assert_eq!((inner.module_index, outer.module_index), (0, 1));
        assert_eq!(
            (&outer.memories[..], &outer.globals[..]),
            (&[0][..], &[0][..])
        );
        assert_eq!(read.bytes(0), [(1, 2)]);
        assert_eq!(
            inner.memories.is_empty(),
            twice,
            "it cannot be told from the other one"
        );
        assert_eq!(read.globals[0], "I64Const { value: 7 }");
        let Extern::Global(global) = imports[2] else {
            panic!("no global");
        };
        global.set(&mut store, CoreVal::I64(-8)).unwrap();
        assert_eq!(dump_globals(&store)[0], "I64Const { value: -8 }");
    }
}

fn dump_globals(store: &Store<()>) -> Vec<String> {
    dump(store, None).globals
}

/// What an artifact says of the places of state is checked, although it must be trusted otherwise.
#[test]
fn altered_places_are_no_harm() {
    use object::{Object as _, ObjectSection as _};
    let artifact = compiled(TWO, true);
    let file = object::File::parse(&*artifact).unwrap();
    let section = file.section_by_name(cwasm_format::state::SECTION).unwrap();
    let (start, size) = section.file_range().unwrap();
    let engine = Engine::default();
    for at in start..start + size {
        for value in [0x00, 0x01, 0x80, 0xff] {
            let mut altered = artifact.clone();
            altered[at as usize] = value;
            let mut store = Store::new(&engine, ());
            let error = run(&engine, &altered, &mut store);
            let mut dump = CoreDump::new(&store);
            dump.trap(error.trap().unwrap()).unwrap();
            dump.write(std::io::sink()).unwrap();
        }
    }
}
