use super::*;
use crate::open_files::OpenFiles;

/// A guest that may have so many files open.
fn world_with(max: usize) -> World {
    let mut world = World::free();
    world.wasi.ctx().open_files = OpenFiles::new(max);
    world
}

const FULL: ErrorCode = ErrorCode::InsufficientMemory;

fn open(world: &mut World, path: &str) -> Result<Resource<Descriptor>, ErrorCode> {
    let opened = world.open(path, OpenFlags::empty(), DescriptorFlags::READ);
    opened.map(Resource::new_own)
}

fn close(world: &mut World, descriptor: Resource<Descriptor>) {
    world.wasi.close(descriptor);
}

#[test]
fn files_and_folders_are_counted() {
    let mut world = world_with(3);
    let mut open_files = vec![open(&mut world, "inner").unwrap()];
    open_files.push(open(&mut world, "sub").unwrap());
    open_files.push(open(&mut world, "inner").unwrap());
    for path in ["inner", "sub", "new"] {
        assert_eq!(open(&mut world, path).unwrap_err(), FULL);
    }
    let created = world.open("new", OpenFlags::CREATE, DescriptorFlags::WRITE);
    assert_eq!(created, Err(FULL));
    assert!(!world.inside().join("new").exists());
    // What opens nothing goes on.
    let stat = world.wasi.stat_at(world.root(), FOLLOW, "inner".into());
    assert!(stat.is_ok());
    // An error takes no place.
    close(&mut world, open_files.pop().unwrap());
    assert_eq!(open(&mut world, "nothing").unwrap_err(), ErrorCode::NoEntry);
    assert_eq!(
        open(&mut world, "to-secret").unwrap_err(),
        ErrorCode::NotPermitted
    );
    let last = open(&mut world, "inner").unwrap();
    assert_eq!(open(&mut world, "inner").unwrap_err(), FULL);
    close(&mut world, last);
    assert!(open(&mut world, "inner").is_ok());
}

#[test]
fn a_file_is_open_as_long_as_its_streams() {
    let mut world = world_with(1);
    let file = open(&mut world, "inner").unwrap();
    let again = Resource::new_borrow(file.rep());
    let mut stream = code(world.wasi.read_stream(again)).unwrap();
    close(&mut world, file);
    assert_eq!(open(&mut world, "inner").unwrap_err(), FULL);
    assert_eq!(world.wasi.read_of(&mut stream), b"inner");
    world.wasi.close_stream(stream);
    assert!(open(&mut world, "inner").is_ok());
}

#[test]
fn listings_are_counted() {
    let mut world = world_with(1);
    let entries = world.wasi.read_directory(world.root());
    let mut entries = code(entries).unwrap();
    let second = world.wasi.read_directory(world.root());
    assert_eq!(code(second.map(drop)), Err(FULL));
    assert_eq!(open(&mut world, "inner").unwrap_err(), FULL);
    let found = world.wasi.rest(&mut entries);
    let mut names: Vec<_> = found.into_iter().map(Result::unwrap).collect();
    names.sort();
    let mut expected: Vec<_> = fs::read_dir(world.inside())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    expected.sort();
    assert_eq!(names, expected);
    world.wasi.close_listing(entries);
    assert!(world.wasi.read_directory(world.root()).is_ok());
}

/// The folders that it was given, as often as it asks for them.
#[test]
fn what_the_host_gives_is_not_counted() {
    let mut world = world_with(0);
    for _ in 0..100 {
        assert_eq!(world.wasi.get_directories().unwrap().len(), 1);
    }
    assert_eq!(open(&mut world, "inner").unwrap_err(), FULL);
    let entries = code(world.wasi.read_directory(world.root()));
    assert_eq!(entries.map(drop), Err(FULL));
}

#[test]
fn a_guest_has_512_at_first() {
    let mut world = World::free();
    let mut count = 0;
    let error = loop {
        match open(&mut world, "inner") {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((count, error), (512, FULL));
}
