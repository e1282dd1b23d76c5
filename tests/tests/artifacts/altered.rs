//! Metadata that was altered by accident: what code relies on is compared with the compiler's
//! rules before an instance is made. On purpose it can be altered so that nothing notices: the
//! digest is for that ([`Component::map_verified`]).

use cwasm::{Component, Linker, Module, Store, StoreContextMut};
use cwasm_format::FormatError;
use cwasm_format::code::{CoreTypeRecord, FuncRefRecord};
use cwasm_format::data::{CHECKED_GUARD_SIZE, GUARD_SIZE, MemoryRecord, RESERVATION_32};
use cwasm_format::exports::LiftRecord;
use cwasm_format::header::{
    CHECKSUM_OFFSET, DIGEST_OFFSET, HEADER_END, HEADER_OFFSET, Header, SectionId, checksum,
};
use cwasm_format::imports::{ImportRecord, LowerRecord};
use cwasm_format::resources::ResourceRecord;
use cwasm_tests::artifact::Workshop;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::common;

/// Calls the host, has a memory, a destructor, and a start function.
const COMPONENT: &str = r#"(component
    (import "log" (func $log (param "n" u32)))
    (core module $dtor (func (export "dtor") (param i32)))
    (core instance $dtor (instantiate $dtor))
    (type $r (resource (rep i32) (dtor (core func $dtor "dtor"))))
    (core func $log (canon lower (func $log)))
    (core func $new (canon resource.new $r))
    (core module $m
        (import "" "log" (func $log (param i32)))
        (import "" "new" (func $new (param i32) (result i32)))
        (memory (export "memory") 1 2)
        (global $address (mut i32) (i32.const 64))
        (func $start (i32.store (global.get $address) (i32.const 7)))
        (start $start)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "shout") (param i32 i32) (result i32)
            (call $log (local.get 1))
            (i32.store (i32.const 16) (local.get 0))
            (i32.store (i32.const 20) (local.get 1))
            (i32.const 16))
        (func (export "post") (param i32))
        (func (export "make") (result i32) (call $new (i32.const 1))))
    (core instance $m (instantiate $m (with "" (instance
        (export "log" (func $log)) (export "new" (func $new))))))
    (export $r2 "r" (type $r))
    (func (export "shout") (param "s" string) (result string)
        (canon lift (core func $m "shout") (memory (core memory $m "memory"))
            (realloc (core func $m "realloc")) (post-return (core func $m "post"))))
    (func (export "make") (result (own $r2)) (canon lift (core func $m "make"))))"#;

/// An open unit: its functions are called by reference.
const MODULE: &str = r#"(module
    (memory (export "memory") 1 3)
    (memory (export "other") i64 1 3)
    (table (export "table") 3 funcref)
    (elem (i32.const 0) $g $h)
    (func $g (export "g") (param i32) (result i32) (local.get 0))
    (func $h (export "h") (param i64) (result i64) (local.get 0)))"#;

/// The records of a section, to be altered.
fn records<T: FromBytes + IntoBytes + KnownLayout + Immutable>(
    artifact: &mut [u8],
    id: SectionId,
) -> &mut [T] {
    let range = Header::read_from_bytes(&artifact[HEADER_OFFSET..HEADER_END]).unwrap();
    let range = range.sections[id as usize];
    let bytes = &mut artifact[range.offset as usize..][..range.size as usize];
    let records = <[T]>::mut_from_bytes(bytes).unwrap();
    assert!(!records.is_empty(), "nothing to alter in {}", id.name());
    records
}

/// Alters the header and its checksum.
fn alter_header(artifact: &mut [u8], alter: impl FnOnce(&mut Header)) {
    alter(Header::mut_from_bytes(&mut artifact[HEADER_OFFSET..HEADER_END]).unwrap());
    let sum = checksum(&artifact[..CHECKSUM_OFFSET]);
    artifact[CHECKSUM_OFFSET..HEADER_END].copy_from_slice(&sum.to_le_bytes());
}

fn linker(workshop: &Workshop) -> Linker<()> {
    let mut linker = Linker::new(workshop.engine());
    let log = |_: StoreContextMut<'_, ()>, (_,): (u32,)| Ok(());
    linker.root().func_wrap("log", log).unwrap();
    linker
}

fn instantiate_component(workshop: &Workshop, artifact: &[u8]) -> cwasm::Result<()> {
    let component = workshop.map_component(artifact)?;
    let mut store = Store::new(workshop.engine(), ());
    linker(workshop)
        .instantiate(&mut store, &component)
        .map(drop)
}

fn instantiate_module(workshop: &Workshop, artifact: &[u8]) -> cwasm::Result<()> {
    let module = workshop.map_module(artifact)?;
    let mut store = Store::new(workshop.engine(), ());
    module.instantiate(&mut store, &[]).map(drop)
}

/// Something to alter an artifact with, and the field that the error names.
type Alteration = (&'static str, &'static str, Box<dyn Fn(&mut [u8])>);

/// One that alters the first record of type `T`.
fn first<T: FromBytes + IntoBytes + KnownLayout + Immutable + 'static>(
    id: SectionId,
    field: &'static str,
    alter: impl Fn(&mut T) + 'static,
) -> Alteration {
    let alter = move |artifact: &mut [u8]| alter(&mut records::<T>(artifact, id)[0]);
    (id.name(), field, Box::new(alter))
}

fn header(field: &'static str, alter: impl Fn(&mut Header) + 'static) -> Alteration {
    let alter = move |artifact: &mut [u8]| alter_header(artifact, &alter);
    (SectionId::Text.name(), field, Box::new(alter))
}

/// Each alteration is an error when an instance is made, which names section and field.
fn check(
    text: &str,
    instantiate: fn(&Workshop, &[u8]) -> cwasm::Result<()>,
    alterations: Vec<Alteration>,
) {
    let workshop = Workshop::new();
    let original = workshop.compile(text.as_bytes()).unwrap();
    instantiate(&workshop, &original).unwrap();
    for (number, (name, expected, alter)) in alterations.iter().enumerate() {
        let mut artifact = original.clone();
        alter(&mut artifact);
        assert!(artifact != original, "alteration {number} alters nothing");
        let error = instantiate(&workshop, &artifact).expect_err("an altered artifact is accepted");
        match error.format_error() {
            Some(FormatError::Record { section, field, .. }) => {
                assert_eq!((section, field), (*name, *expected), "alteration {number}");
            }
            _ => panic!("alteration {number}, {name}, {expected}: {error:?}"),
        }
    }
}

/// Reservations and guards are touched by code without a check.
fn of_memories() -> Vec<Alteration> {
    let memory = |field, alter: fn(&mut MemoryRecord)| first(SectionId::Memories, field, alter);
    vec![
        memory("guard_size", |memory| {
            memory.reservation = RESERVATION_32 / 2
        }),
        memory("guard_size", |memory| memory.reservation = 1 << 16),
        memory("guard_size", |memory| memory.reservation += 4096),
        memory("reservation", |memory| memory.reservation += 1),
        memory("reservation", |memory| memory.reservation = 1 << 62),
        memory("guard_size", |memory| memory.guard_size = 0),
        memory("guard_size", |memory| memory.guard_size = GUARD_SIZE / 2),
        memory("guard_size", |memory| memory.guard_size = GUARD_SIZE + 4096),
        memory("guard_size", |memory| {
            memory.guard_size = CHECKED_GUARD_SIZE
        }),
        memory("guard_size", |memory| memory.guard_size += 8),
        memory("guard_size", |memory| memory.is_checked = 1),
        memory("is_checked", |memory| memory.is_checked = 2),
        memory("guard_size", |memory| memory.page_log2 = 12),
        memory("page_log2", |memory| memory.page_log2 = 17),
        memory("is_shared", |memory| memory.is_shared = 2),
        memory("max", |memory| memory.max = 0),
        memory("slot", |memory| memory.slot = 0),
        memory("slot", |memory| memory.slot += 1),
        memory("slot", |memory| memory.slot = u32::MAX - 7),
    ]
}

#[test]
fn altered_memories_are_errors() {
    check(COMPONENT, instantiate_component, of_memories());
    check(MODULE, instantiate_module, of_memories());
    let checked = |field, alter: fn(&mut MemoryRecord)| -> Alteration {
        let id = SectionId::Memories;
        let alter = move |artifact: &mut [u8]| alter(&mut records(artifact, id)[1]);
        (id.name(), field, Box::new(alter))
    };
    let alterations = vec![
        checked("guard_size", |memory| memory.is_checked = 0),
        checked("guard_size", |memory| memory.guard_size = 0),
        checked("guard_size", |memory| memory.guard_size = GUARD_SIZE),
    ];
    check(MODULE, instantiate_module, alterations);
}

/// Code starts where a function does, inside the text.
#[test]
fn altered_places_of_code_are_errors() {
    let mut alterations = Vec::new();
    // Never where a function starts, whatever the function.
    for by in [1, 7, 0x7fff_0001, u32::MAX - 1] {
        let lift = move |field, alter: fn(&mut LiftRecord, u32)| {
            first(SectionId::Lifts, field, move |lift| alter(lift, by))
        };
        alterations.extend([
            header("init_thunk", move |header| {
                header.init_thunk = header.init_thunk.wrapping_add(by);
            }),
            lift("thunk", |lift, by| lift.thunk = lift.thunk.wrapping_add(by)),
            lift("post_return", |lift, by| lift.post_return = by),
            lift("realloc", |lift, by| lift.options.realloc = by),
            first(
                SectionId::Lowers,
                "realloc",
                move |lower: &mut LowerRecord| {
                    lower.options.realloc = by;
                },
            ),
            first(
                SectionId::Resources,
                "dtor",
                move |resource: &mut ResourceRecord| {
                    resource.dtor = by;
                },
            ),
        ]);
    }
    check(COMPONENT, instantiate_component, alterations);
    let mut alterations = Vec::new();
    for by in [1, 7, 0x7fff_0001, u32::MAX - 1] {
        let ty = move |field, alter: fn(&mut CoreTypeRecord, u32)| {
            first(SectionId::CoreTypes, field, move |ty| alter(ty, by))
        };
        alterations.extend([
            first(
                SectionId::FuncRefs,
                "code",
                move |func: &mut FuncRefRecord| {
                    func.code = func.code.wrapping_add(by);
                },
            ),
            ty("array_thunk", |ty, by| ty.array_thunk = by),
            ty("host_trampoline", |ty, by| ty.host_trampoline = by),
        ]);
    }
    alterations.push(first(
        SectionId::FuncRefs,
        "core_type",
        |func: &mut FuncRefRecord| {
            func.core_type = 1 << 20;
        },
    ));
    check(MODULE, instantiate_module, alterations);
}

/// Hashes are what types are compared by: they are those of the descriptions when somebody looks.
#[test]
fn altered_hashes_are_errors() {
    let workshop = Workshop::new();
    let original = workshop.compile(COMPONENT.as_bytes()).unwrap();
    let describe = |artifact: &[u8]| workshop.map_component(artifact)?.describe().map(drop);
    describe(&original).unwrap();
    let alterations = [
        first(SectionId::Lifts, "hash", |lift: &mut LiftRecord| {
            lift.hash.0[0] ^= 1
        }),
        first(SectionId::Lifts, "hash", |lift: &mut LiftRecord| {
            lift.func_type = 1 << 20
        }),
        first(SectionId::Imports, "hash", |import: &mut ImportRecord| {
            import.hash.0[1] ^= 1 << 63
        }),
    ];
    for (name, expected, alter) in alterations {
        let mut artifact = original.clone();
        alter(&mut artifact);
        let error = describe(&artifact).unwrap_err();
        let Some(FormatError::Record { section, field, .. }) = error.format_error() else {
            panic!("{error:?}")
        };
        assert_eq!((section, field), (name, expected));
    }
}

/// The digest is of all: no altered bit runs, and what is mapped does not change with its file.
#[test]
fn verified_artifacts_are_the_ones_of_the_digest() {
    let workshop = Workshop::new();
    let original = workshop.compile(&common::greet()).unwrap();
    let component = workshop.map_component(&original).unwrap();
    let digest = component.artifact().header().digest;
    let path = workshop.write(&original);
    let map = |digest: &[u8; 32]| Component::map_verified(workshop.engine(), &path, digest);
    let greet = |component: &Component| {
        let mut store = Store::new(workshop.engine(), ());
        let mut linker = Linker::<()>::new(workshop.engine());
        let log = |_: StoreContextMut<'_, ()>, (_,): (String,)| Ok(());
        linker.root().func_wrap("log", log).unwrap();
        let instance = linker.instantiate(&mut store, component).unwrap();
        let greet = instance
            .get_typed_func::<(&str,), (String,)>(&mut store, "greet")
            .unwrap();
        greet.call(&mut store, ("world",)).unwrap().0
    };
    let verified = map(&digest).unwrap();
    assert_eq!(greet(&verified), "Hello, world!");
    // In place, as nobody should do with a file that is mapped.
    std::fs::write(&path, vec![0; original.len()]).unwrap();
    assert_eq!(greet(&verified), "Hello, world!");

    let not_of_the_digest = |bytes: &[u8], digest: &[u8; 32], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = map(digest).expect_err(what);
        assert_eq!(
            error.format_error(),
            Some(FormatError::Digest),
            "{what}: {error:?}"
        );
    };
    let mut other = digest;
    other[31] ^= 1;
    not_of_the_digest(&original, &other, "another digest");
    not_of_the_digest(&[], &digest, "nothing");
    not_of_the_digest(&original[..original.len() - 1], &digest, "a byte less");
    let longer = [&original[..], b"x"].concat();
    not_of_the_digest(&longer, &digest, "a byte more");
    for at in (0..original.len()).step_by(509) {
        let mut altered = original.clone();
        altered[at] ^= 0x10;
        // The checksum is no part of what is hashed, and has an error of its own.
        if !(CHECKSUM_OFFSET..HEADER_END).contains(&at) {
            not_of_the_digest(&altered, &digest, &format!("byte {at}"));
        }
    }
    // Somebody who alters the code and says another digest has not the one that is trusted.
    let mut forged = original.clone();
    *forged.last_mut().unwrap() ^= 1;
    let forge = |digest: [u8; 32], forged: &mut [u8]| {
        alter_header(forged, |header| header.digest = digest);
    };
    let hash = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[DIGEST_OFFSET..HEADER_END].fill(0);
        cwasm_format::write::sha256(&[&bytes])
    };
    let forged_digest = hash(&forged);
    forge(forged_digest, &mut forged);
    not_of_the_digest(&forged, &digest, "a forged file");
    let mut says_ours = forged.clone();
    forge(digest, &mut says_ours);
    not_of_the_digest(&says_ours, &digest, "a forged file that says our digest");
    not_of_the_digest(
        &says_ours,
        &forged_digest,
        "a file that says another digest",
    );
    // What was altered is what was asked for: it is whole.
    std::fs::write(&path, &forged).unwrap();
    assert!(map(&forged_digest).is_ok());

    // A module is no component, whatever its digest.
    let module = workshop.compile(MODULE.as_bytes()).unwrap();
    let digest = workshop
        .map_module(&module)
        .unwrap()
        .artifact()
        .header()
        .digest;
    std::fs::write(&path, &module).unwrap();
    let error = map(&digest).unwrap_err();
    assert!(
        matches!(error.format_error(), Some(FormatError::WrongKind { .. })),
        "{error:?}"
    );
    assert!(Module::map_verified(workshop.engine(), &path, &digest).is_ok());
}
