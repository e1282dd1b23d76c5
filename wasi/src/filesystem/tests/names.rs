//! Names that are unusual: with slashes at the end, NUL, bytes that are no text, of any length.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use super::*;

/// Checks that all operations on a path fail with this code, and those named with others.
fn check(path: &str, expected: ErrorCode, others: &[(&str, ErrorCode)]) {
    let operations = FOLLOWING.iter().chain(NOT_FOLLOWING);
    let wrong = operations.filter_map(|(name, operation)| {
        let other = others.iter().find(|(other, _)| other == name);
        let expected = Err(other.map_or(expected, |(_, code)| *code));
        let found = code(operation(&mut World::free(), path));
        (found != expected).then_some((*name, found, expected))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{path:?}: {wrong:?}");
}

#[test]
fn nul_is_in_no_name() {
    for path in ["in\0ner", "\0", "sub/\0", "inner\0"] {
        check(path, ErrorCode::Invalid, &[]);
    }
}

#[test]
fn an_empty_path_is_nothing() {
    check("", ErrorCode::NoEntry, &[]);
}

#[test]
fn a_slash_after_a_file_is_an_error() {
    // As in POSIX: a folder cannot be created by opening it, nor where something is.
    let others = [
        ("create", ErrorCode::IsDirectory),
        ("create only", ErrorCode::IsDirectory),
        ("create a folder", ErrorCode::Exist),
    ];
    check("inner/", ErrorCode::NotDirectory, &others);
    for path in ["inner/.", "inner/..", "inner/x", "inner/../inner"] {
        check(path, ErrorCode::NotDirectory, &[]);
    }
}

#[test]
fn long_names_are_errors() {
    check(&"x".repeat(256), ErrorCode::NameTooLong, &[]);
    check(&"x".repeat(5000), ErrorCode::NameTooLong, &[]);
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
    let entries = world.wasi.read_directory(Resource::new_borrow(sub));
    let found = world.wasi.rest(&mut code(entries).unwrap());
    let errors: Vec<_> = found.iter().filter_map(|it| it.as_ref().err()).collect();
    let mut names: Vec<_> = found.iter().filter_map(|it| it.as_ref().ok()).collect();
    names.sort();
    match guest::is_p3() {
        // The error ends the stream.
        true => assert!(
            names
                .iter()
                .all(|name| ["deep", "file"].contains(&&***name))
        ),
        false => assert_eq!(names, ["deep", "file"]),
    }
    assert_eq!(errors, [&ErrorCode::IllegalByteSequence]);
}

#[test]
fn a_slash_after_a_folder_is_allowed() {
    let succeed = [
        "open",
        "open a folder",
        "stat",
        "hash",
        "set times",
        "stat the link",
    ];
    for name in succeed {
        let mut operations = FOLLOWING.iter().chain(NOT_FOLLOWING);
        let (_, operation) = operations.find(|(other, _)| *other == name).unwrap();
        for path in ["sub/", "sub//", "to-sub/", "sub/.", "./sub/deep/../"] {
            assert_eq!(
                code(operation(&mut World::free(), path)),
                Ok(()),
                "{name} {path}"
            );
        }
    }
    let mut world = World::free();
    let root = || Resource::new_borrow(world.root);
    assert_eq!(
        code(world.wasi.create_directory_at(root(), "new/".into())),
        Ok(())
    );
    assert_eq!(
        code(
            world
                .wasi
                .rename_at(root(), "new/".into(), root(), "other/".into())
        ),
        Ok(())
    );
    assert_eq!(
        code(world.wasi.remove_directory_at(root(), "other/".into())),
        Ok(())
    );
    let unlinked = code(world.wasi.unlink_file_at(root(), "sub/".into()));
    assert_eq!(unlinked, Err(ErrorCode::IsDirectory));
}

#[test]
fn a_file_gets_no_slash() {
    let mut world = World::free();
    let root = || Resource::new_borrow(world.root);
    let renamed = world
        .wasi
        .rename_at(root(), "inner".into(), root(), "new/".into());
    assert_eq!(code(renamed), Err(ErrorCode::NotDirectory));
    assert!(world.inside().join("inner").exists());
}
