//! Every operation in folders of every permission, and between two folders.

use super::*;

const READ: DirPerms = DirPerms::READ;
const MUTATE: DirPerms = DirPerms::MUTATE;

/// What each operation needs, on a path where it succeeds in a folder that allows everything.
const NEEDS: &[(&str, &str, DirPerms, FilePerms)] = &[
    ("open", "inner", READ, FilePerms::READ),
    ("open", "sub", READ, FilePerms::empty()),
    ("open for writing", "inner", READ, FilePerms::WRITE),
    ("create", "new", DirPerms::all(), FilePerms::WRITE),
    ("truncate", "inner", READ, FilePerms::WRITE),
    ("open a folder", "to-sub", READ, FilePerms::empty()),
    ("stat", "inner", READ, FilePerms::empty()),
    ("hash", "inner", READ, FilePerms::empty()),
    ("set times", "inner", MUTATE, FilePerms::WRITE),
    ("set times", "sub", MUTATE, FilePerms::empty()),
    ("create only", "new", DirPerms::all(), FilePerms::WRITE),
    ("stat the link", "up", READ, FilePerms::empty()),
    ("set times of the link", "up", MUTATE, FilePerms::WRITE),
    ("read the link", "up", READ, FilePerms::empty()),
    ("create a folder", "new", MUTATE, FilePerms::empty()),
    ("remove a folder", "sub/deep", MUTATE, FilePerms::empty()),
    ("unlink", "inner", MUTATE, FilePerms::empty()),
    ("link from", "inner", MUTATE, FilePerms::empty()),
    ("link to", "other", MUTATE, FilePerms::empty()),
    ("rename from", "sub", MUTATE, FilePerms::empty()),
    ("rename to", "other", MUTATE, FilePerms::empty()),
    ("make a link", "other", MUTATE, FilePerms::empty()),
];

#[test]
fn each_operation_needs_its_permissions() {
    for (name, operation) in FOLLOWING.iter().chain(NOT_FOLLOWING) {
        let needs: Vec<_> = NEEDS.iter().filter(|(needed, ..)| needed == name).collect();
        assert!(!needs.is_empty(), "{name} is in the table");
        for (_, path, need_dirs, need_files) in needs {
            for (dirs, files) in all_perms() {
                let mut world = World::new(dirs, files);
                let before = tree(world.outside.path());
                let result = code(operation(&mut world, path));
                let context = format!("{name} {path} {dirs:?} {files:?}");
                if dirs.contains(*need_dirs) && files.contains(*need_files) {
                    assert_eq!(result, Ok(()), "{context}");
                } else {
                    assert_eq!(result, Err(ErrorCode::NotPermitted), "{context}");
                    assert_eq!(tree(world.outside.path()), before, "{context}");
                }
            }
        }
    }
}

#[test]
fn listing_needs_permission() {
    for (dirs, files) in all_perms() {
        let mut world = World::new(dirs, files);
        let root = world.root();
        let listed = code(world.wasi.read_directory(root)).map(drop);
        let expected = match dirs.contains(READ) {
            true => Ok(()),
            false => Err(ErrorCode::NotPermitted),
        };
        assert_eq!(listed, expected, "{dirs:?} {files:?}");
    }
}

#[test]
fn what_is_opened_has_the_permissions_of_its_folder() {
    let mut world = World::new(READ, FilePerms::READ);
    let sub = world
        .open("sub", OpenFlags::DIRECTORY, DescriptorFlags::READ)
        .unwrap();
    let sub = || Resource::new_borrow(sub);
    let made = code(world.wasi.create_directory_at(sub(), "new".into()));
    assert_eq!(made, Err(ErrorCode::NotPermitted));
    let flags = DescriptorFlags::WRITE;
    let opened = world
        .wasi
        .open_at(sub(), FOLLOW, "file".into(), OpenFlags::empty(), flags);
    assert_eq!(code(opened.map(drop)), Err(ErrorCode::NotPermitted));
    let file = world
        .open("inner", OpenFlags::empty(), DescriptorFlags::READ)
        .unwrap();
    let file = || Resource::new_borrow(file);
    let denied = Err(ErrorCode::NotPermitted);
    assert_eq!(code(world.wasi.write(file(), &[1])), denied);
    assert_eq!(code(world.wasi.set_size(file(), 0)), denied);
    for at_end in [false, true] {
        assert_eq!(code(world.wasi.write_stream(file(), at_end)), denied);
    }
    let now = NewTimestamp::Now;
    assert_eq!(code(world.wasi.set_times(file(), now, now)), denied);
    assert_eq!(code(world.wasi.set_times(sub(), now, now)), denied);
    assert_eq!(fs::read(world.inside().join("inner")).unwrap(), b"inner");
}

#[test]
fn files_get_no_more_permissions_in_another_folder() {
    for (old_dirs, old_files) in all_perms() {
        for (new_dirs, new_files) in all_perms() {
            for link in [false, true] {
                let folder = TempDir::new().unwrap();
                let [old, new] = ["old", "new"].map(|name| folder.path().join(name));
                fs::create_dir(&old).unwrap();
                fs::create_dir(&new).unwrap();
                fs::write(old.join("file"), "file").unwrap();
                let wasi = WasiCtxBuilder::new()
                    .preopened_dir(&old, "/old", old_dirs, old_files)
                    .unwrap()
                    .preopened_dir(&new, "/new", new_dirs, new_files)
                    .unwrap()
                    .build();
                let mut wasi = Guest::new(wasi);
                let folders = wasi.get_directories().unwrap();
                let [from, to] =
                    [0, 1].map(|place: usize| Resource::new_borrow(folders[place].0.rep()));
                let result = code(match link {
                    true => {
                        wasi.link_at(from, PathFlags::empty(), "file".into(), to, "moved".into())
                    }
                    false => wasi.rename_at(from, "file".into(), to, "moved".into()),
                });
                let is_allowed = old_dirs.contains(MUTATE)
                    && new_dirs.contains(MUTATE)
                    && old_dirs.contains(new_dirs)
                    && old_files.contains(new_files);
                let context =
                    format!("{old_dirs:?} {old_files:?} {new_dirs:?} {new_files:?} {link}");
                let expected = if is_allowed {
                    Ok(())
                } else {
                    Err(ErrorCode::NotPermitted)
                };
                assert_eq!(result, expected, "{context}");
                assert_eq!(new.join("moved").exists(), is_allowed, "{context}");
                assert_eq!(old.join("file").exists(), !is_allowed || link, "{context}");
            }
        }
    }
}
