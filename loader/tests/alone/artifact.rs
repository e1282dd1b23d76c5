//! The loader alone, on an artifact that is written here by hand: machine code, records and all.
//!
//! The artifacts of the compiler are tested with it; this is for those that it never makes:
//! malformed records, and code whose every instruction is known.
#![allow(unsafe_code, reason = "loads machine code of its own")]

use std::arch::global_asm;

use cwasm::{Component, Engine, Error, Instance, Linker, Store, StoreContextMut, TrapCode};
use cwasm_format::abi::FlatType;
use cwasm_format::code::{EntryRecord, FunctionRecord, function_kind};
use cwasm_format::cpu::CpuLevel;
use cwasm_format::data::{IMAGE_CONTEXT, MemoryRecord};
use cwasm_format::describe::Description;
use cwasm_format::encoding::StringEncoding;
use cwasm_format::exports::{CanonOptions, ExportRecord, LiftRecord, StrRef, kind};
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::header::{
    CHECKSUM_OFFSET, HEADER_END, Kind, NONE, PAGE_SIZE, SectionId, TARGET_X86_64_LINUX, checksum,
};
use cwasm_format::imports::{ImportRecord, LowerRecord};
use cwasm_format::resources::UseRange;
use cwasm_format::traps;
use cwasm_format::types::{FuncType, Types, ValueType};
use cwasm_format::vmctx::flags;
use cwasm_format::write::{Contents, Facts, Images, Strings};

// Core functions, a trampoline to the host, and thunks, as the compiler would make them: all frames
// keep a frame pointer; a thunk saves what its caller owns and its context, and calls one core
// function.
global_asm!(
    r#"
    .pushsection .rodata
loader_test_text:
loader_test_add:
    push rbp
    mov rbp, rsp
    lea eax, [rsi + rdx]
    pop rbp
    ret
loader_test_outer:
    push rbp
    mov rbp, rsp
    sub rsp, 32
    call loader_test_trap
    add rsp, 32
    pop rbp
    ret
loader_test_trap:
    push rbp
    mov rbp, rsp
loader_test_trap_at:
    ud2
loader_test_recurse:
    push rbp
    mov rbp, rsp
    call loader_test_recurse
    pop rbp
    ret
loader_test_load:
    push rbp
    mov rbp, rsp
    mov esi, esi
loader_test_load_at:
    movzx eax, byte ptr [rdi + rsi + 4096]
    pop rbp
    ret
loader_test_trampoline:
    push rbp
    mov rbp, rsp
    push rdi
    push rdi
    mov rcx, rsi
    mov rsi, rdi
    mov rax, [rdi + 64]
    mov rdi, [rdi + 72]
    .byte 0x48, 0x8d, 0x15 # lea rdx, [rip + the record]
loader_test_lower:
    .long 0
    call rax
    test rdx, rdx
    jnz 2f
    add rsp, 16
    pop rbp
    ret
2:  mov rdi, [rsp]
    mov rsi, rdx
    mov rdx, rbp
    mov rax, [rdi]
    mov rax, [rax]
    call [rax]
    ud2
loader_test_thunks:
    .macro loader_test_thunk callee, thunk, returned, handler
\thunk:
    push rbp
    mov rbp, rsp
    push rbx
    push r12
    push r13
    push r14
    push r15
    push rdi
    call \callee
\returned:
    xor edx, edx
3:  add rsp, 8
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
\handler:
    mov rdx, rax
    xor eax, eax
    jmp 3b
    .endm
    loader_test_thunk loader_test_add, loader_test_t0, loader_test_r0, loader_test_h0
    loader_test_thunk loader_test_outer, loader_test_t1, loader_test_r1, loader_test_h1
    loader_test_thunk loader_test_recurse, loader_test_t2, loader_test_r2, loader_test_h2
    loader_test_thunk loader_test_load, loader_test_t3, loader_test_r3, loader_test_h3
    loader_test_thunk loader_test_trampoline, loader_test_t4, loader_test_r4, loader_test_h4
loader_test_end:
    .popsection
    "#
);

/// The text offset of a label.
macro_rules! label {
    ($($name:ident),*) => {{
        unsafe extern "C" {
            static loader_test_text: u8;
            $(static $name: u8;)*
        }
        [$((&raw const $name).addr() as u32 - (&raw const loader_test_text).addr() as u32),*]
    }};
}

/// The text offsets of the thunks.
fn thunks() -> [u32; 5] {
    label!(
        loader_test_t0,
        loader_test_t1,
        loader_test_t2,
        loader_test_t3,
        loader_test_t4
    )
}

fn text() -> Vec<u8> {
    unsafe extern "C" {
        static loader_test_text: u8;
    }
    let [end] = label!(loader_test_end);
    // SAFETY: the bytes between the two labels.
    unsafe { std::slice::from_raw_parts(&raw const loader_test_text, end as usize) }.to_vec()
}

/// Bytes of a thunk's frame at its call.
const THUNK_FRAME: u32 = 48;
/// Context offset of the import's slot.
const SLOT: u32 = 64;
/// Context offset of the flags.
const FLAGS: u32 = 80;
/// Context offset of the memory's descriptor.
const MEMORY: u32 = 96;
/// Initial pages of the memory.
const PAGES: u64 = 2;

/// One exported function: name, thunk, parameters, result.
const FUNCS: [(&str, usize, &[ValueType], Option<ValueType>); 5] = [
    (
        "add",
        0,
        &[ValueType::U32, ValueType::U32],
        Some(ValueType::U32),
    ),
    ("host", 4, &[ValueType::U32], Some(ValueType::U32)),
    ("load", 3, &[ValueType::U32], Some(ValueType::U8)),
    ("recurse", 2, &[], None),
    ("trap", 1, &[], None),
];

fn func_hash(params: &[ValueType], result: Option<ValueType>) -> TypeHash {
    let types = Types::new();
    let named = params.iter().map(|ty| (String::new(), *ty)).collect();
    types.func_hash(&FuncType {
        params: named,
        result,
        is_async: false,
    })
}

fn options() -> CanonOptions {
    let (realloc, string_encoding) = (NONE, StringEncoding::Utf8.number());
    CanonOptions {
        memory: MEMORY,
        realloc,
        string_encoding,
        handles: NONE,
        uses: UseRange::default(),
        is_64: 0,
    }
}

fn contents() -> Contents {
    let [thunks_start] = label!(loader_test_thunks);
    let mut contents = Contents::new(Facts {
        target: TARGET_X86_64_LINUX,
        cpu_features: CpuLevel::X86_64.features(),
        kind: Kind::Component,
        context_size: PAGE_SIZE as u32,
        init_thunk: NONE,
        thunks_start,
        type_ids: NONE,
        interrupt_slot: cwasm_format::header::NO_INTERRUPTS,
    });
    let mut strings = Strings::default();
    let thunks = thunks();
    let mut description = Description::default();
    let (mut exports, mut lifts) = (Vec::new(), Vec::new());
    for (index, (name, thunk, params, result)) in FUNCS.into_iter().enumerate() {
        exports.push(ExportRecord {
            name: strings.add(name.as_bytes()),
            kind: kind::FUNC,
            index: index as u32,
            core_type: StrRef::default(),
        });
        lifts.push(LiftRecord {
            hash: func_hash(params, result),
            thunk: thunks[thunk],
            post_return: NONE,
            options: options(),
            flags: FLAGS,
            func_type: index as u32,
            task: 0,
        });
        let params = params.iter().map(|ty| ("x".to_owned(), *ty)).collect();
        description.funcs.push(FuncType {
            params,
            result,
            is_async: false,
        });
    }
    contents.set_exports(&exports, &strings);
    contents.set_records(SectionId::Lifts, &lifts);
    let import = ImportRecord {
        module: StrRef::default(),
        name: strings.add(b"test:host/double#double"),
        kind: kind::FUNC,
        slot: SLOT,
        hash: func_hash(&[ValueType::U32], Some(ValueType::U32)),
        core_type: StrRef::default(),
        index: 1,
        uses: UseRange::default(),
        is_checked: 0,
    };
    contents.set_records(SectionId::Imports, &[import]);
    let lower = LowerRecord {
        import: 0,
        flags: FLAGS,
        options: options(),
    };
    contents.set_records(SectionId::Lowers, &[lower]);
    contents.set(SectionId::Strings, strings.into_bytes());
    contents.set(SectionId::Describe, description.encode());
    set_memory(&mut contents);
    set_code(&mut contents);
    contents
}

fn set_memory(contents: &mut Contents) {
    let memory = MemoryRecord {
        slot: MEMORY,
        page_log2: 16,
        is_checked: 0,
        is_shared: 0,
        min: PAGES,
        max: 10,
        guard_size: 1 << 25,
        reservation: 1 << 32,
    };
    contents.set_records(SectionId::Memories, &[memory]);
    let mut images = Images::default();
    let mut context = vec![0; 128];
    context[FLAGS as usize] = flags::INITIAL as u8;
    images.copy(IMAGE_CONTEXT, 0, &context);
    images.copy(0, 0, b"short");
    images.map(0, PAGE_SIZE * 4, &[7; 20 * PAGE_SIZE as usize]);
    let (bytes, runs) = images.finish();
    contents.set(SectionId::Images, bytes);
    contents.set_records(SectionId::ImageRuns, &runs);
}

fn set_code(contents: &mut Contents) {
    let returns = label!(
        loader_test_r0,
        loader_test_r1,
        loader_test_r2,
        loader_test_r3,
        loader_test_r4
    );
    let handlers = label!(
        loader_test_h0,
        loader_test_h1,
        loader_test_h2,
        loader_test_h3,
        loader_test_h4
    );
    let entries = returns
        .iter()
        .zip(handlers)
        .map(|(return_offset, handler_offset)| {
            let return_offset = *return_offset;
            EntryRecord {
                return_offset,
                handler_offset,
                frame_size: THUNK_FRAME,
                context_offset: 0,
            }
        });
    contents.set_records(SectionId::Entries, &entries.collect::<Vec<_>>());
    let starts = label!(
        loader_test_add,
        loader_test_outer,
        loader_test_trap,
        loader_test_recurse,
        loader_test_load
    );
    let mut functions: Vec<_> = (0..)
        .zip(starts)
        .map(|(index, start)| FunctionRecord {
            start,
            kind: function_kind::CORE | 3 << 8,
            index,
        })
        .collect();
    let [trampoline] = label!(loader_test_trampoline);
    functions.push(FunctionRecord {
        start: trampoline,
        kind: function_kind::TRAMPOLINE,
        index: 0,
    });
    let thunks = thunks();
    functions.extend((0..).zip(thunks).map(|(index, start)| FunctionRecord {
        start,
        kind: function_kind::THUNK,
        index,
    }));
    contents.set_records(SectionId::Functions, &functions);
    let [trap, load] = label!(loader_test_trap_at, loader_test_load_at);
    let listed = [
        (trap, TrapCode::Unreachable),
        (load, TrapCode::MemoryOutOfBounds),
    ];
    let (blocks, bytes) = traps::encode(listed.into_iter());
    contents.set_records(SectionId::TrapBlocks, &blocks);
    contents.set(SectionId::TrapBytes, bytes);

    // The one relocation: the address of the record of the lowered function.
    contents.set(SectionId::Text, text());
    let places = contents.place();
    let [field] = label!(loader_test_lower);
    let text_start = places[SectionId::Text as usize].offset as i64;
    let record = places[SectionId::Lowers as usize].offset as i64;
    let distance = record - (text_start + i64::from(field) + 4);
    let mut text = text();
    text[field as usize..][..4].copy_from_slice(&(distance as i32).to_le_bytes());
    contents.set(SectionId::Text, text);
}

fn linker(engine: &Engine) -> Linker<u32> {
    let mut linker = Linker::new(engine);
    let double = |mut store: StoreContextMut<'_, u32>, (x,): (u32,)| {
        *store.data_mut() += 1;
        match x {
            0 => Err(Error::msg("zero cannot be doubled")),
            1 => panic!("one neither"),
            x => Ok((x * 2,)),
        }
    };
    linker
        .instance("test:host/double")
        .unwrap()
        .func_wrap("double", double)
        .unwrap();
    linker
}

fn load(engine: &Engine, bytes: &[u8]) -> cwasm::Result<Component> {
    // SAFETY: the code is ours; tests that change records do not run it.
    unsafe { Component::from_bytes(engine, bytes) }
}

fn instantiate() -> (Store<u32>, Instance) {
    let engine = Engine::default();
    let component = load(&engine, &contents().write()).unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker(&engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn functions_are_called() {
    let (mut store, instance) = instantiate();
    let add = instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut store, "add")
        .unwrap();
    assert_eq!(add.call(&mut store, (2, 3)).unwrap(), (5,));
    let host = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "host")
        .unwrap();
    assert_eq!(host.call(&mut store, (21,)).unwrap(), (42,));
    assert_eq!(*store.data(), 1);
    let load = instance
        .get_typed_func::<(u32,), (u8,)>(&mut store, "load")
        .unwrap();
    let at = |store: &mut Store<u32>, address| load.call(store, (address,)).unwrap().0;
    assert_eq!((at(&mut store, 0), at(&mut store, 5)), (b's', 0));
    let run = 4 * PAGE_SIZE as u32..24 * PAGE_SIZE as u32;
    assert_eq!(
        (at(&mut store, run.start - 1), at(&mut store, run.start)),
        (0, 7)
    );
    assert_eq!(
        (at(&mut store, run.end - 1), at(&mut store, run.end)),
        (7, 0)
    );
    assert_eq!(at(&mut store, (PAGES << 16) as u32 - 1), 0);
    let error = load.call(&mut store, ((PAGES << 16) as u32,)).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::MemoryOutOfBounds);
    assert_eq!(error.trap().unwrap().frames()[0].func_index, 4);
    let error = add.call(&mut store, (1, 1)).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
}

#[test]
fn traps_have_their_frames() {
    let (mut store, instance) = instantiate();
    let trap = instance
        .get_typed_func::<(), ()>(&mut store, "trap")
        .unwrap();
    let error = trap.call(&mut store, ()).unwrap_err();
    let trap = error.trap().unwrap();
    assert_eq!(trap.code(), TrapCode::Unreachable);
    let frames: Vec<_> = trap
        .frames()
        .iter()
        .map(|frame| (frame.core_instance, frame.func_index))
        .collect();
    assert_eq!(frames, [(3, 2), (3, 1)]);
}

#[test]
fn stacks_of_all_sizes_can_be_exhausted() {
    for size in [64 << 10, 1 << 20, 8 << 20] {
        let run = || {
            let (mut store, instance) = instantiate();
            let recurse = instance
                .get_typed_func::<(), ()>(&mut store, "recurse")
                .unwrap();
            let error = recurse.call(&mut store, ()).unwrap_err();
            assert_eq!(error.trap().unwrap().code(), TrapCode::StackOverflow);
            assert_eq!(error.trap().unwrap().frames().len(), 64);
        };
        std::thread::Builder::new()
            .stack_size(size)
            .spawn(run)
            .unwrap()
            .join()
            .unwrap();
    }
}

#[test]
fn host_functions_fail() {
    let (mut store, instance) = instantiate();
    let host = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "host")
        .unwrap();
    let error = host.call(&mut store, (0,)).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::HostError);
    assert_eq!(
        error.chain().last().unwrap().to_string(),
        "zero cannot be doubled"
    );

    let (mut store, instance) = instantiate();
    let host = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "host")
        .unwrap();
    let call = std::panic::AssertUnwindSafe(|| host.call(&mut store, (1,)).map(drop));
    let payload = std::panic::catch_unwind(call).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"one neither"));
    let error = host.call(&mut store, (2,)).unwrap_err();
    assert_eq!(error.trap().unwrap().code(), TrapCode::CannotEnter);
}

#[test]
fn imports_are_checked() {
    let engine = Engine::default();
    let component = load(&engine, &contents().write()).unwrap();
    let error = Linker::<u32>::new(&engine)
        .instantiate_pre(&component)
        .map(drop)
        .unwrap_err();
    assert!(error.is::<cwasm::LinkError>());
    assert!(
        error
            .to_string()
            .contains("unknown import `test:host/double#double`"),
        "{error}"
    );
    let mut linker = Linker::<u32>::new(&engine);
    let other = |_: StoreContextMut<'_, u32>, (x,): (u64,)| Ok((x,));
    linker
        .instance("test:host/double")
        .unwrap()
        .func_wrap("double", other)
        .unwrap();
    let error = linker.instantiate_pre(&component).map(drop).unwrap_err();
    assert!(error.to_string().contains("u64"), "{error}");
    let other_engine = Engine::default();
    assert!(
        self::linker(&other_engine)
            .instantiate_pre(&component)
            .is_err()
    );
}

#[test]
fn instances_of_another_store_are_refused() {
    let (mut store, instance) = instantiate();
    let add = instance
        .get_typed_func::<(u32, u32), (u32,)>(&mut store, "add")
        .unwrap();
    let (mut other, _) = instantiate();
    assert!(add.call(&mut other, (1, 2)).is_err());
    assert!(instance.get_func(&mut other, "add").is_none());
    assert!(
        instance
            .get_typed_func::<(u32, u32), (u32,)>(&mut other, "add")
            .is_err()
    );
    assert_eq!(add.call(&mut store, (1, 2)).unwrap(), (3,));
}

/// Whatever records say, loading and instantiating gives a value or an error.
#[test]
fn malformed_records_are_errors() {
    let engine = Engine::default();
    let bytes = contents().write();
    let linker = linker(&engine);
    let places = contents().place();
    let sections = SectionId::ALL.iter().filter(|id| **id != SectionId::Text);
    let (mut fine, mut refused) = (0, 0);
    for id in sections {
        let place = places[*id as usize];
        let size = place.size.min(512);
        for at in place.offset..place.offset + size {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at as usize] ^= change;
                match try_all(&engine, &linker, &bytes) {
                    Ok(()) => fine += 1,
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(
        fine > 100 && refused > 100,
        "{fine} fine, {refused} refused"
    );
}

/// Header fields, with a checksum that fits.
#[test]
fn malformed_headers_are_errors() {
    let engine = Engine::default();
    let bytes = contents().write();
    let linker = linker(&engine);
    for at in cwasm_format::header::HEADER_OFFSET..CHECKSUM_OFFSET {
        for change in [0x01, 0x10, 0x80, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= change;
            let sum = checksum(&bytes[..CHECKSUM_OFFSET]);
            bytes[CHECKSUM_OFFSET..HEADER_END].copy_from_slice(&sum.to_le_bytes());
            // The thunk that runs at instantiation is in the header: stop before.
            if let Ok(component) = load(&engine, &bytes) {
                let _ = linker.instantiate_pre(&component);
            }
        }
    }
}

fn try_all(engine: &Engine, linker: &Linker<u32>, bytes: &[u8]) -> cwasm::Result<()> {
    let component = load(engine, bytes)?;
    component
        .describe()
        .map(drop)
        .or_else(|error| match error.format_error() {
            Some(_) => Ok(()),
            None => Err(error),
        })?;
    let mut store = Store::new(engine, 0);
    let instance = linker.instantiate(&mut store, &component)?;
    for (name, ..) in FUNCS {
        let _ = instance.get_func(&mut store, name);
        let _ = instance.get_typed_func::<(u32,), (u32,)>(&mut store, name);
    }
    Ok(())
}

#[test]
fn the_hand_written_hashes_are_those_of_rust() {
    let u32 = TypeHash::primitive(Tag::U32);
    assert_eq!(
        func_hash(&[ValueType::U32], Some(ValueType::U32)),
        TypeHash::func(&[u32], u32, false)
    );
    assert_eq!(
        Types::new().abi(ValueType::U32).flat.types(),
        Some(&[FlatType::I32][..])
    );
}
