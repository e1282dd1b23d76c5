//! Names that are unusual: with slashes at the end, NUL, bytes that are no text, of any length.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;
use crate::bindings::wasi::filesystem::types::HostDirectoryEntryStream;

/// Checks the code of each operation on a path; of those not named, this.
fn check(path: &str, expected: Result<(), ErrorCode>, others: &[(&str, Result<(), ErrorCode>)]) {
    for (name, operation) in FOLLOWING.iter().chain(NOT_FOLLOWING) {
        let other = others.iter().find(|(other, _)| other == name);
        let expected = other.map_or(expected, |(_, code)| *code);
        let mut world = World::free();
        assert_eq!(
            code(operation(&mut world, path)),
            expected,
            "{name} {path:?}"
        );
    }
}

#[test]
fn nul_is_in_no_name() {
    for path in ["in\0ner", "\0", "sub/\0", "inner\0"] {
        check(path, Err(ErrorCode::Invalid), &[]);
    }
}

#[test]
fn an_empty_path_is_nothing() {
    check("", Err(ErrorCode::NoEntry), &[]);
}

#[test]
fn a_slash_after_a_file_is_an_error() {
    for path in ["inner/", "inner/.", "inner/..", "inner/x"] {
        check(path, Err(ErrorCode::NotDirectory), &[]);
    }
}

#[test]
fn long_names_are_errors() {
    check(&"x".repeat(256), Err(ErrorCode::NameTooLong), &[]);
    check(&"x".repeat(5000), Err(ErrorCode::NameTooLong), &[]);
}

#[test]
fn names_that_are_no_text_are_errors_of_one_entry() {
    let mut world = World::free();
    let name = OsStr::from_bytes(b"no\xfftext");
    fs::write(world.inside().join("sub").join(name), "").unwrap();
    symlink(name, world.inside().join("to-no-text")).unwrap();
    let root = world.root();
    let read = code(world.wasi.readlink_at(root, "to-no-text".into()));
    assert_eq!(read, Err(ErrorCode::IllegalByteSequence));
    let sub = world
        .open("sub", OpenFlags::DIRECTORY, DescriptorFlags::READ)
        .unwrap();
    let entries = code(world.wasi.read_directory(Resource::new_borrow(sub)))
        .unwrap()
        .rep();
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    loop {
        match code(
            world
                .wasi
                .read_directory_entry(Resource::new_borrow(entries)),
        ) {
            Ok(Some(entry)) => names.push(entry.name),
            Ok(None) => break,
            Err(code) => errors.push(code),
        }
    }
    names.sort();
    assert_eq!(names, ["deep", "file"]);
    assert_eq!(errors, [ErrorCode::IllegalByteSequence]);
}
