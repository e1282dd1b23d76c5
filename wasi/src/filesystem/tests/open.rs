//! Every combination of flags of `open-at`, permissions and what is there.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Target {
    Missing,
    File,
    Folder,
}

/// What the interface says of a call.
fn expected(
    (dirs, files): (DirPerms, FilePerms),
    target: Target,
    open: OpenFlags,
    flags: DescriptorFlags,
) -> Result<(), ErrorCode> {
    let [create, directory, exclusive, truncate] = [
        OpenFlags::CREATE,
        OpenFlags::DIRECTORY,
        OpenFlags::EXCLUSIVE,
        OpenFlags::TRUNCATE,
    ]
    .map(|flag| open.contains(flag));
    let [read, write, mutate] = [
        DescriptorFlags::READ,
        DescriptorFlags::WRITE,
        DescriptorFlags::MUTATE_DIRECTORY,
    ]
    .map(|flag| flags.contains(flag));
    if !dirs.contains(DirPerms::READ) {
        return Err(ErrorCode::NotPermitted);
    }
    if directory && (create || exclusive || truncate) {
        return Err(ErrorCode::Invalid);
    }
    let is_changed = create || truncate;
    if (create || mutate) && !dirs.contains(DirPerms::MUTATE)
        || (write || truncate) && !files.contains(FilePerms::WRITE)
        || read && !files.contains(FilePerms::READ) && is_changed
    {
        return Err(ErrorCode::NotPermitted);
    }
    match target {
        Target::Missing if create => Ok(()),
        Target::Missing => Err(ErrorCode::NoEntry),
        Target::File | Target::Folder if create && exclusive => Err(ErrorCode::Exist),
        Target::Folder if is_changed || write => Err(ErrorCode::IsDirectory),
        Target::Folder => Ok(()),
        Target::File if directory => Err(ErrorCode::NotDirectory),
        Target::File if read && !files.contains(FilePerms::READ) => Err(ErrorCode::NotPermitted),
        Target::File => Ok(()),
    }
}

/// The flags of what is opened: in 0.3 they say what can be done with it, if that was not said.
fn implied(files: FilePerms, open: OpenFlags, mut flags: DescriptorFlags) -> DescriptorFlags {
    if !guest::is_p3() {
        return flags;
    }
    let writes = open.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE);
    if !flags.contains(DescriptorFlags::WRITE) && files.contains(FilePerms::READ) {
        flags |= DescriptorFlags::READ;
    }
    if writes && files.contains(FilePerms::WRITE) {
        flags |= DescriptorFlags::WRITE;
    }
    flags
}

/// All combinations of some of these flags.
fn sets<F: Copy + std::ops::BitOr<Output = F>>(none: F, flags: &[F]) -> Vec<F> {
    flags.iter().fold(vec![none], |sets, flag| {
        sets.iter().flat_map(|set| [*set, *set | *flag]).collect()
    })
}

#[test]
fn flags_and_permissions() {
    let opens = sets(
        OpenFlags::empty(),
        &[
            OpenFlags::CREATE,
            OpenFlags::DIRECTORY,
            OpenFlags::EXCLUSIVE,
            OpenFlags::TRUNCATE,
        ],
    );
    let all_flags = sets(
        DescriptorFlags::empty(),
        &[
            DescriptorFlags::READ,
            DescriptorFlags::WRITE,
            DescriptorFlags::MUTATE_DIRECTORY,
        ],
    );
    for perms in all_perms() {
        let mut world = World::new(perms.0, perms.1);
        for open in &opens {
            for flags in &all_flags {
                for (target, path) in [
                    (Target::Missing, "new"),
                    (Target::File, "inner"),
                    (Target::Folder, "sub"),
                ] {
                    let context = format!("{perms:?} {target:?} {open:?} {flags:?}");
                    let _ = fs::remove_file(world.inside().join("new"));
                    fs::write(world.inside().join("inner"), "inner").unwrap();
                    let before = tree(world.outside.path());
                    let opened = world.open(path, *open, *flags);
                    assert_eq!(
                        opened.map(drop),
                        expected(perms, target, *open, *flags),
                        "{context}"
                    );
                    match opened {
                        Err(_) => assert_eq!(tree(world.outside.path()), before, "{context}"),
                        Ok(opened) => {
                            let flags = implied(perms.1, *open, *flags);
                            check_opened(&mut world, opened, target, *open, flags, &context);
                        }
                    }
                }
            }
        }
    }
}

/// Checks what an open descriptor allows.
fn check_opened(
    world: &mut World,
    opened: u32,
    target: Target,
    open: OpenFlags,
    flags: DescriptorFlags,
    context: &str,
) {
    let descriptor = || Resource::new_borrow(opened);
    assert_eq!(
        code(world.wasi.get_flags(descriptor())),
        Ok(flags),
        "{context}"
    );
    let read = code(world.wasi.read(descriptor(), 100));
    let written = code(world.wasi.write(descriptor(), b"IN"));
    if target == Target::Folder {
        assert_eq!(read, Err(ErrorCode::IsDirectory), "{context}");
        assert_eq!(written, Err(ErrorCode::IsDirectory), "{context}");
        return;
    }
    // What the folder forbids could not be opened like that.
    let is_empty = target == Target::Missing || open.contains(OpenFlags::TRUNCATE);
    let contents: &[u8] = if is_empty { b"" } else { b"inner" };
    let denied = |error: Result<Vec<u8>, ErrorCode>| {
        matches!(
            error,
            Err(ErrorCode::BadDescriptor | ErrorCode::NotPermitted)
        )
    };
    match flags.contains(DescriptorFlags::READ) {
        true => assert_eq!(read.as_deref(), Ok(contents), "{context}"),
        false => assert!(denied(read), "{context}"),
    }
    match flags.contains(DescriptorFlags::WRITE) {
        true => assert_eq!(written, Ok(()), "{context}"),
        false => assert!(denied(written.map(|_| Vec::new())), "{context}"),
    }
    code(world.wasi.sync(descriptor())).unwrap();
    world.wasi.close(Resource::new_own(opened));
}
