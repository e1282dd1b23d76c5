use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::bindings::wasi::clocks::wall_clock::Datetime;

const TIME: NewTimestamp = NewTimestamp::Timestamp(Datetime {
    seconds: 1_000_000,
    nanoseconds: 999_999_999,
});

fn modified(path: &Path) -> SystemTime {
    fs::symlink_metadata(path).unwrap().modified().unwrap()
}

fn time() -> SystemTime {
    UNIX_EPOCH + Duration::new(1_000_000, 999_999_999)
}

/// What gets the time, by a path in the box, with and without following links.
#[test]
fn times_are_set_of_what_is_found() {
    for (path, follows, changed) in [
        ("inner", true, "inner"),
        ("inner", false, "inner"),
        ("sub", false, "sub"),
        ("sub/", false, "sub"),
        ("sub/.", false, "sub"),
        (".", false, "."),
        ("sub/..", true, "."),
        ("sub/../inner", false, "inner"),
        ("to-inner", true, "inner"),
        ("to-inner", false, "to-inner"),
        ("to-sub", true, "sub"),
        ("to-sub", false, "to-sub"),
        ("to-sub/", false, "sub"),
        ("to-sub/file", false, "sub/file"),
        // Links that lead out or nowhere have times of their own.
        ("to-secret", false, "to-secret"),
        ("dangling", false, "dangling"),
        ("loop", false, "loop"),
    ] {
        let mut world = World::free();
        let changed = world.inside().join(changed).canonicalize_parent();
        let before = tree(world.outside.path());
        let root = world.root();
        let flags = match follows {
            true => FOLLOW,
            false => PathFlags::empty(),
        };
        let set = world
            .wasi
            .set_times_at(root, flags, path.into(), TIME, TIME);
        assert_eq!(code(set), Ok(()), "{path} {follows}");
        for (file, (_, seconds, nanoseconds)) in tree(world.outside.path()) {
            match file == changed {
                true => assert_eq!(modified(&file), time(), "{path} {follows}"),
                false => {
                    let (_, before, before_nanoseconds) = before[&file];
                    assert_eq!((seconds, nanoseconds), (before, before_nanoseconds));
                }
            }
        }
    }
}

/// The path without dots, its last part not followed.
trait CanonicalizeParent {
    fn canonicalize_parent(&self) -> PathBuf;
}

impl CanonicalizeParent for PathBuf {
    fn canonicalize_parent(&self) -> PathBuf {
        match (self.parent(), self.file_name()) {
            (Some(parent), Some(name)) => parent.canonicalize().unwrap().join(name),
            _ => self.canonicalize().unwrap(),
        }
    }
}

#[test]
fn times_of_files_that_may_not_be_written_stay() {
    let mut world = World::new(DirPerms::all(), FilePerms::READ);
    let before = tree(&world.inside());
    for path in ["inner", "to-inner", "dangling", "sub/file", "to-sub"] {
        for flags in [PathFlags::empty(), FOLLOW] {
            let is_folder = path == "to-sub" && flags == FOLLOW;
            if is_folder || path == "dangling" && flags == FOLLOW {
                continue;
            }
            let root = world.root();
            let set = world
                .wasi
                .set_times_at(root, flags, path.into(), TIME, TIME);
            assert_eq!(code(set), Err(ErrorCode::NotPermitted), "{path}");
        }
    }
    assert_eq!(tree(&world.inside()), before);
    // Folders may be changed.
    for path in ["sub", "sub/", "sub/deep"] {
        let root = world.root();
        let set = world
            .wasi
            .set_times_at(root, FOLLOW, path.into(), TIME, TIME);
        assert_eq!(code(set), Ok(()), "{path}");
        assert_eq!(modified(&world.inside().join(path)), time());
    }
}

#[test]
fn times_that_there_are_not_are_refused() {
    let mut world = World::free();
    for (seconds, nanoseconds, expected) in [
        (0, 1_000_000_000, ErrorCode::Invalid),
        (0, u32::MAX, ErrorCode::Invalid),
        (u64::MAX, 0, ErrorCode::Overflow),
        (1 << 63, 0, ErrorCode::Overflow),
    ] {
        if guest::is_p3() && i64::try_from(seconds).is_err() {
            // Times of 0.3 end there.
            continue;
        }
        let time = NewTimestamp::Timestamp(Datetime {
            seconds,
            nanoseconds,
        });
        let (root, path) = (world.root(), "inner".to_owned());
        let set = world
            .wasi
            .set_times_at(root, FOLLOW, path, NewTimestamp::NoChange, time);
        assert_eq!(code(set), Err(expected), "{seconds} {nanoseconds}");
    }
    let (root, path) = (world.root(), "inner".to_owned());
    let (keep, before) = (
        NewTimestamp::NoChange,
        modified(&world.inside().join("inner")),
    );
    code(world.wasi.set_times_at(root, FOLLOW, path, TIME, keep)).unwrap();
    let metadata = fs::metadata(world.inside().join("inner")).unwrap();
    assert_eq!(metadata.accessed().unwrap(), time());
    assert_eq!(metadata.modified().unwrap(), before);
}
