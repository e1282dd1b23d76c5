//! Paths that lead out of the folder, as such and by links.

use super::*;

/// Tries operations on a path, each in a world of its own: the code of each. Nothing outside may
/// have changed, and inside nothing if the operation has failed.
fn attempt(path: &str, operations: &[(&str, Operation)]) -> Vec<(String, Result<(), ErrorCode>)> {
    let attempts = operations.iter().map(|(name, operation)| {
        let mut world = World::free();
        let before = tree(world.outside.path());
        let result = code(operation(&mut world, path));
        let mut after = tree(world.outside.path());
        let inside = world.inside();
        if result.is_ok() {
            // Its own entry is there in both: the folder's time is that of the operation.
            after.retain(|path, _| !path.starts_with(&inside));
        }
        for (path, state) in &after {
            assert_eq!(before.get(path), Some(state), "{name}: {path:?}");
        }
        let outside = |path: &&PathBuf| result.is_err() || !path.starts_with(&inside);
        let lost = before
            .keys()
            .filter(outside)
            .find(|path| !after.contains_key(*path));
        assert_eq!(lost, None, "{name}");
        (format!("{name} `{path}`"), result)
    });
    attempts.collect()
}

/// Checks that all operations on a path fail with this code, and those named with others.
fn check(
    path: &str,
    operations: &[(&str, Operation)],
    expected: ErrorCode,
    others: &[(&str, ErrorCode)],
) {
    for (name, result) in attempt(path, operations) {
        let other = others
            .iter()
            .find(|(other, _)| name.starts_with(&format!("{other} `")));
        let expected = other.map_or(expected, |(_, code)| *code);
        assert_eq!(result, Err(expected), "{name}");
    }
}

#[test]
fn paths_do_not_lead_out() {
    let paths = [
        "..",
        "../secret",
        "../vault",
        "../new",
        "./../secret",
        "sub/../../secret",
        "sub/../../box/inner",
        "sub/deep/../../../secret",
        "../../../../../../../../etc/passwd",
        "/",
        "/etc/passwd",
        "/inner",
        "//inner",
        "/proc/self/root/etc/passwd",
    ];
    for path in paths {
        check(path, FOLLOWING, ErrorCode::NotPermitted, &[]);
        check(path, NOT_FOLLOWING, ErrorCode::NotPermitted, &[]);
    }
}

#[test]
fn links_on_the_way_do_not_lead_out() {
    let paths = [
        "up/secret",
        "up/new",
        "up/vault",
        "to-sub/../up/secret",
        "etc/passwd",
        "process/etc/passwd",
        "here/Cargo.toml",
    ];
    for path in paths {
        check(path, FOLLOWING, ErrorCode::NotPermitted, &[]);
        check(path, NOT_FOLLOWING, ErrorCode::NotPermitted, &[]);
    }
}

#[test]
fn links_at_the_end_do_not_lead_out() {
    for path in [
        "up",
        "to-secret",
        "first",
        "second",
        "etc",
        "process",
        "here",
        "absolute",
    ] {
        check(path, FOLLOWING, ErrorCode::NotPermitted, &[]);
    }
}

#[test]
fn loops_end() {
    for path in ["loop", "loop/inner", "pool"] {
        check(path, FOLLOWING, ErrorCode::Loop, &[]);
    }
    check("loop/inner", NOT_FOLLOWING, ErrorCode::Loop, &[]);
}

#[test]
fn links_themselves_can_be_handled() {
    for (link, target) in [("up", ".."), ("to-secret", "../secret")] {
        let mut world = World::free();
        let root = world.root();
        assert_eq!(
            code(world.wasi.readlink_at(root, link.into())),
            Ok(target.into())
        );
        let (old, new) = (world.root(), world.root());
        assert_eq!(
            code(world.wasi.rename_at(old, link.into(), new, "moved".into())),
            Ok(())
        );
        let root = world.root();
        assert_eq!(
            code(world.wasi.unlink_file_at(root, "moved".into())),
            Ok(())
        );
        assert_eq!(
            fs::read(world.outside.path().join("secret")).unwrap(),
            b"secret"
        );
    }
    for absolute in ["etc", "process", "absolute"] {
        let mut world = World::free();
        let root = world.root();
        let read = code(world.wasi.readlink_at(root, absolute.into()));
        assert_eq!(read, Err(ErrorCode::NotPermitted), "{absolute}");
    }
}

#[test]
fn links_that_a_guest_makes_do_not_lead_out() {
    let mut world = World::free();
    for target in ["/etc/passwd", "/", "//x"] {
        let root = world.root();
        let made = code(world.wasi.symlink_at(root, target.into(), "made".into()));
        assert_eq!(made, Err(ErrorCode::NotPermitted), "{target}");
    }
    for (number, target) in ["..", "../secret", "sub/../../secret"]
        .into_iter()
        .enumerate()
    {
        let (root, name) = (world.root(), format!("made{number}"));
        // Where it leads is looked at when it is followed.
        assert_eq!(
            code(world.wasi.symlink_at(root, target.into(), name.clone())),
            Ok(())
        );
        let opened = world.open(&name, OpenFlags::empty(), DescriptorFlags::READ);
        assert_eq!(opened, Err(ErrorCode::NotPermitted), "{target}");
    }
}

#[test]
fn a_folder_that_was_opened_is_no_way_out() {
    let mut world = World::free();
    let sub = world
        .open("sub", OpenFlags::DIRECTORY, DescriptorFlags::READ)
        .unwrap();
    for path in ["..", "../inner", "../../secret", "deep/../../inner"] {
        let sub = Resource::new_borrow(sub);
        let found = code(world.wasi.stat_at(sub, FOLLOW, path.into()).map(drop));
        assert_eq!(found, Err(ErrorCode::NotPermitted), "{path}");
    }
}

#[test]
fn magic_links_are_not_followed() {
    let mut world = World::free();
    let builder = WasiCtxBuilder::new();
    let (dirs, files) = (DirPerms::all(), FilePerms::all());
    let builder = builder.preopened_dir("/proc/self", "/", dirs, files);
    world.wasi = Guest::new(builder.unwrap().build());
    world.root = world.wasi.get_directories().unwrap()[0].0.rep();
    for path in ["root", "root/etc/passwd", "cwd", "fd/0", "exe"] {
        let opened = world.open(path, OpenFlags::empty(), DescriptorFlags::READ);
        assert!(opened.is_err(), "{path}");
    }
    assert!(
        world
            .open("status", OpenFlags::empty(), DescriptorFlags::READ)
            .is_ok()
    );
}
