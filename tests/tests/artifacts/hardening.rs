//! Bad input: whatever the bytes, the answer is a typed error that says what was found and
//! expected. A panic or a signal fails the test.

use crate::common;
use cwasm::{Component, Linker, Store, StoreContextMut};
use cwasm_compiler::ErrorKind;
use cwasm_format::header::{
    CHECKSUM_OFFSET, HEADER_END, HEADER_OFFSET, Header, Kind, SectionId, checksum,
};
use cwasm_format::{Artifact, FormatError};
use cwasm_tests::artifact::Workshop;
use cwasm_tests::random::Random;
use zerocopy::FromBytes as _;

/// Offsets of header fields that tests change.
const ABI_VERSION: usize = HEADER_OFFSET + std::mem::offset_of!(Header, abi_version);
const TARGET: usize = HEADER_OFFSET + std::mem::offset_of!(Header, target);
const CPU_FEATURES: usize = HEADER_OFFSET + std::mem::offset_of!(Header, cpu_features);
const FILE_SIZE: usize = HEADER_OFFSET + std::mem::offset_of!(Header, file_size);
const KIND: usize = HEADER_OFFSET + std::mem::offset_of!(Header, kind);

/// The artifact of `greet.wasm`.
fn greet(workshop: &Workshop) -> Vec<u8> {
    workshop.compile(&common::greet()).unwrap()
}

fn header(artifact: &[u8]) -> Header {
    Header::read_from_bytes(&artifact[HEADER_OFFSET..HEADER_END]).unwrap()
}

/// Makes the checksum right again, as somebody would who changes a header on purpose.
fn seal(artifact: &mut [u8]) {
    let sum = checksum(&artifact[..CHECKSUM_OFFSET]);
    artifact[CHECKSUM_OFFSET..HEADER_END].copy_from_slice(&sum.to_le_bytes());
}

/// The format error that mapping these bytes gives.
#[track_caller]
fn refused(workshop: &Workshop, artifact: &[u8]) -> FormatError {
    match workshop.map_component(artifact) {
        Ok(_) => panic!("the artifact is accepted"),
        Err(error) => match error.format_error() {
            Some(found) => found,
            None => panic!("not a format error: {error:?}"),
        },
    }
}

/// Goes through all that an artifact's records say, up to an instance; calls none of its functions.
fn look_at_everything(component: &Component) {
    let _ = component.describe();
    for (name, _) in component.imports().chain(component.exports()) {
        std::hint::black_box(name);
    }
    let mut linker = Linker::<()>::new(component.engine());
    let log = |_: StoreContextMut<'_, ()>, (_,): (String,)| Ok(());
    linker.root().func_wrap("log", log).unwrap();
    if let Ok(ready) = linker.instantiate_pre(component) {
        let mut store = Store::new(component.engine(), ());
        let _ = ready.instantiate(&mut store);
    }
}

#[test]
fn every_truncation_of_a_component() {
    let workshop = Workshop::new();
    let greet = common::greet();
    let mut accepted = Vec::new();
    for len in 0..greet.len() {
        match workshop.compile(&greet[..len]) {
            // A component may end after any section.
            Ok(_) => accepted.push(len),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Invalid { .. }),
                "{len} bytes: {error}"
            ),
        }
    }
    assert!(accepted.len() < 40, "{accepted:?}");
}

#[test]
fn random_bytes_are_not_compiled() {
    let workshop = Workshop::new();
    let mut random = Random::new(0x1234_5678_9abc_def1);
    let starts: [&[u8]; 4] = [b"", b"\0asm", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"];
    for round in 0..2000 {
        let mut bytes = starts[round % starts.len()].to_vec();
        let len = 1 + random.below(200);
        bytes.extend((0..len).map(|_| random.next_u64() as u8));
        let error = workshop.compile(&bytes).map(drop).unwrap_err();
        assert!(
            matches!(
                error.kind(),
                ErrorKind::Invalid { .. } | ErrorKind::Unsupported { .. }
            ),
            "{error}: {bytes:02x?}"
        );
    }
}

#[test]
fn damaged_components_do_not_break_the_compiler() {
    let workshop = Workshop::new();
    let greet = common::greet();
    let mut random = Random::new(0x0dd0_5eed_1234_5678);
    for _ in 0..500 {
        let mut bytes = greet.clone();
        for _ in 0..1 + random.below(3) {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        if let Err(error) = workshop.compile(&bytes) {
            assert!(
                !matches!(error.kind(), ErrorKind::Codegen { .. }),
                "{error}"
            );
        }
    }
}

/// A core module with one function of this code, which `end` follows.
fn module_of(code: &[u8]) -> Vec<u8> {
    let body = [&[0], code, &[0x0b]].concat();
    let mut module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
    let entry = [leb128(body.len()), body].concat();
    module.push(10);
    module.extend(leb128(entry.len() + 1));
    module.push(1);
    module.extend(entry);
    module
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Nesting and long lists must cost neither the compiler's stack nor quadratic time.
#[test]
fn functions_of_extreme_shapes_compile() {
    let workshop = Workshop::new();
    let blocks = [b"\x02\x40".repeat(50_000), b"\x0b".repeat(50_000)].concat();
    let ifs = [b"\x41\x01\x04\x40".repeat(5_000), b"\x0b".repeat(5_000)].concat();
    let adds = [
        b"\x41\x01".repeat(20_000),
        b"\x6a".repeat(19_999),
        vec![0x1a],
    ]
    .concat();
    let targets = 50_000;
    let br_table = [
        &b"\x02\x40\x41\0\x0e"[..],
        &leb128(targets),
        &vec![0; targets + 1],
        b"\x0b",
    ];
    for code in [blocks, ifs, adds, br_table.concat()] {
        let artifact = workshop.compile(&module_of(&code)).unwrap();
        workshop.map_module(&artifact).unwrap();
    }
}

#[test]
fn components_that_multiply_are_refused() {
    let workshop = Workshop::new();
    // Each component instantiates the one before twice: 2^40 instances.
    let mut text = String::from(
        "(component (component $c0 (core module $m) (core instance (instantiate $m)))",
    );
    for level in 1..=40 {
        text += &format!(
            "(component $c{level} (alias outer 1 $c{} (component $c)) (instance (instantiate $c)) \
             (instance (instantiate $c)))",
            level - 1
        );
    }
    text += "(instance (instantiate $c40)))";
    let error = workshop.compile(text.as_bytes()).unwrap_err();
    let limit = matches!(error.kind(), ErrorKind::Limit { found, limit, .. } if found > limit);
    assert!(limit, "{error}");
    assert!(error.to_string().contains("component instances"), "{error}");

    let mut text = String::from("(component (type $t0 (list u8))");
    for level in 1..10_000 {
        text += &format!("(type $t{level} (list $t{}))", level - 1);
    }
    text += "(import \"f\" (func (param \"x\" $t9999))))";
    let error = workshop.compile(text.as_bytes()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid { .. }), "{error}");
}

/// Data far from the start of a memory or table cost no more than data near it.
#[test]
fn sparse_images_stay_small() {
    let workshop = Workshop::new();
    let text = r#"(component
        (core module $m
          (memory 65536)
          (data (i32.const 0xffff_ffff) "x")
          (func (export "last") (result i32) (i32.load8_u (i32.const 0xffff_ffff))))
        (core instance $i (instantiate $m))
        (func (export "last") (result u32) (canon lift (core func $i "last"))))"#;
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    assert!(artifact.len() < 64 << 10, "{} bytes", artifact.len());
    let component = workshop.map_component(&artifact).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = Linker::new(workshop.engine())
        .instantiate(&mut store, &component)
        .unwrap();
    let last = instance
        .get_typed_func::<(), (u32,)>(&mut store, "last")
        .unwrap();
    assert_eq!(last.call(&mut store, ()).unwrap(), (u32::from(b'x'),));
}

#[test]
fn components_and_core_modules_are_told_apart() {
    let workshop = Workshop::new();
    let module = workshop.compile(b"(module (func (export \"f\")))").unwrap();
    let (component, core) = (Kind::Component, Kind::Module);
    assert_eq!(
        refused(&workshop, &module),
        FormatError::WrongKind {
            found: core,
            expected: component
        }
    );
    let error = workshop.map_module(&greet(&workshop)).unwrap_err();
    assert_eq!(
        error.format_error(),
        Some(FormatError::WrongKind {
            found: component,
            expected: core
        })
    );
    let message = error
        .chain()
        .map(|cause| cause.to_string())
        .collect::<Vec<_>>()
        .join(": ");
    assert!(
        message.contains("component") && message.contains("core module"),
        "{message}"
    );
    assert_eq!(refused(&workshop, &common::greet()), FormatError::IsWasm);
}

#[test]
fn every_truncation_of_an_artifact() {
    let workshop = Workshop::new();
    let artifact = greet(&workshop);
    let mut lens: Vec<usize> = (0..4096.min(artifact.len())).collect();
    for range in header(&artifact).sections {
        let (start, end) = (range.offset as usize, (range.offset + range.size) as usize);
        lens.extend([
            start.saturating_sub(1),
            start,
            start + 1,
            end - 1,
            end,
            end + 1,
        ]);
    }
    lens.push(artifact.len() - 1);
    for len in lens.into_iter().filter(|len| *len < artifact.len()) {
        let error = refused(&workshop, &artifact[..len]);
        let expected = match len {
            0..HEADER_END => {
                matches!(error, FormatError::TooShort { found, .. } if found == len as u64)
            }
            _ => {
                let (found, expected) = (len as u64, artifact.len() as u64);
                error == FormatError::FileSize { found, expected }
            }
        };
        assert!(expected, "{len} bytes: {error:?}");
    }
    let mut longer = artifact.clone();
    longer.push(0);
    assert!(matches!(
        refused(&workshop, &longer),
        FormatError::FileSize { .. }
    ));
}

#[test]
fn every_flipped_bit_of_the_header() {
    let workshop = Workshop::new();
    let mut artifact = greet(&workshop);
    for at in HEADER_OFFSET..HEADER_END {
        for bit in 0..8 {
            artifact[at] ^= 1 << bit;
            let error = refused(&workshop, &artifact);
            match at - HEADER_OFFSET {
                0..8 => assert!(
                    matches!(error, FormatError::NotArtifact { .. }),
                    "{error:?}"
                ),
                // Other versions that are read have another checksum.
                8..12 => assert!(
                    matches!(
                        error,
                        FormatError::AbiVersion { .. } | FormatError::HeaderChecksum { .. }
                    ),
                    "{error:?}"
                ),
                _ => assert!(!error.to_string().is_empty()),
            }
            artifact[at] ^= 1 << bit;
        }
    }
    // What is before it is covered by its checksum.
    for at in 0..HEADER_OFFSET {
        artifact[at] ^= 0x10;
        let error = refused(&workshop, &artifact);
        let expected = match at {
            0..4 => matches!(error, FormatError::NotElf { .. }),
            _ => matches!(error, FormatError::HeaderChecksum { .. }),
        };
        assert!(expected, "byte {at}: {error:?}");
        artifact[at] ^= 0x10;
    }
    assert!(workshop.map_component(&artifact).is_ok());
}

/// The same with a checksum that fits: what the header says is checked for its own sake.
#[test]
fn every_flipped_bit_of_the_header_sealed() {
    let workshop = Workshop::new();
    let original = greet(&workshop);
    for at in HEADER_OFFSET..CHECKSUM_OFFSET {
        for bit in 0..8 {
            let mut artifact = original.clone();
            artifact[at] ^= 1 << bit;
            seal(&mut artifact);
            match workshop.map_component(&artifact) {
                Ok(component) => look_at_everything(&component),
                Err(error) => assert!(error.format_error().is_some(), "{error:?}"),
            }
        }
    }
}

/// No checksum covers the records: they are checked when they are used.
#[test]
fn flipped_bits_of_records() {
    let workshop = Workshop::new();
    let original = greet(&workshop);
    let mut random = Random::new(0xfeed_beef_0bad_cafe);
    for id in SectionId::ALL {
        if matches!(id, SectionId::Text | SectionId::Images | SectionId::Data) {
            continue;
        }
        let range = header(&original).sections[*id as usize];
        for at in range.offset as usize..(range.offset + range.size) as usize {
            let mut artifact = original.clone();
            artifact[at] ^= 1 << random.below(8);
            match workshop.map_component(&artifact) {
                Ok(component) => look_at_everything(&component),
                Err(error) => assert!(error.format_error().is_some(), "{error:?}"),
            }
        }
    }
}

#[test]
fn mismatches_say_found_and_expected() {
    let workshop = Workshop::new();
    let original = greet(&workshop);
    let patched = |at: usize, bytes: &[u8]| {
        let mut artifact = original.clone();
        artifact[at..at + bytes.len()].copy_from_slice(bytes);
        seal(&mut artifact);
        let error = refused(&workshop, &artifact);
        (error, error.to_string())
    };

    let (error, message) = patched(ABI_VERSION, &77u32.to_le_bytes());
    assert!(
        matches!(error, FormatError::AbiVersion { found: 77, .. }),
        "{error:?}"
    );
    assert!(message.contains("77"), "{message}");

    let (error, message) = patched(TARGET, &9u32.to_le_bytes());
    assert!(
        matches!(error, FormatError::Target { found: 9, .. }),
        "{error:?}"
    );
    assert!(
        message.contains("this machine is x86_64-unknown-linux-gnu"),
        "{message}"
    );

    let (error, _) = patched(CPU_FEATURES, &(1u64 << 63).to_le_bytes());
    assert_eq!(error, FormatError::CpuFeatures { missing: 1 << 63 });

    let (error, _) = patched(FILE_SIZE, &5u64.to_le_bytes());
    let found = original.len() as u64;
    assert_eq!(error, FormatError::FileSize { found, expected: 5 });

    let (error, _) = patched(KIND, &3u32.to_le_bytes());
    assert_eq!(error, FormatError::Kind { found: 3 });
}

#[test]
fn the_digest_covers_everything() {
    let workshop = Workshop::new();
    let mut bytes = greet(&workshop);
    let verify = |bytes: &[u8]| {
        // Artifacts are read where they lie, which must be aligned.
        let component = workshop.map_component(bytes)?;
        let artifact: Artifact<'_> = component.artifact();
        artifact
            .verify_digest(cwasm_format::write::sha256)
            .map_err(cwasm::Error::from)
    };
    verify(&bytes).unwrap();
    for at in (HEADER_END..bytes.len()).step_by(997) {
        bytes[at] ^= 1;
        let error = verify(&bytes).unwrap_err();
        assert_eq!(error.format_error(), Some(FormatError::Digest), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn rust_signatures_must_match() {
    let workshop = Workshop::new();
    let component = workshop.map_component(&greet(&workshop)).unwrap();
    let mut linker = Linker::<()>::new(workshop.engine());

    // An import that is missing, and one of another type.
    let error = linker.instantiate_pre(&component).map(drop).unwrap_err();
    assert!(format!("{error:?}").contains("log"), "{error:?}");
    linker
        .root()
        .func_wrap("log", |_, (_,): (u32,)| Ok(()))
        .unwrap();
    let error = format!(
        "{:?}",
        linker.instantiate_pre(&component).map(drop).unwrap_err()
    );
    assert!(
        error.contains("log") && error.contains("string") && error.contains("u32"),
        "{error}"
    );

    let mut linker = Linker::<()>::new(workshop.engine());
    linker
        .root()
        .func_wrap("log", |_, (_,): (String,)| Ok(()))
        .unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let error = instance
        .get_typed_func::<(u32,), (String,)>(&mut store, "greet")
        .unwrap_err();
    let error = format!("{error:?}");
    assert!(
        error.contains("u32") && error.contains("func(name: string) -> string"),
        "{error}"
    );
    assert!(
        instance
            .get_typed_func::<(&str,), ()>(&mut store, "greet")
            .is_err()
    );
    assert!(
        instance
            .get_typed_func::<(&str, &str), (String,)>(&mut store, "greet")
            .is_err()
    );
    assert!(
        instance
            .get_typed_func::<(&str,), (String,)>(&mut store, "salute")
            .is_err()
    );
    let greet = instance
        .get_typed_func::<(&str,), (String,)>(&mut store, "greet")
        .unwrap();
    assert_eq!(greet.call(&mut store, ("you",)).unwrap().0, "Hello, you!");

    // A function of another store.
    let mut other = Store::new(workshop.engine(), ());
    assert!(greet.call(&mut other, ("you",)).is_err());
}
