//! A component of libraries in C, linked with each other as `wit-component`'s linker does it: one
//! memory and one table for all, addresses through globals, cycles through the table, and `dlopen`.
//! The libraries are in `dylink/`.

use std::path::Path;

use cwasm::{Instance, Linker, Store, StoreContextMut};
use cwasm_tests::artifact::Workshop;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// The libraries as a component; `libplugin.so` can be opened when it runs.
fn component() -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dylink");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(folder.join("world.wit")).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut linker = wit_component::Linker::default();
    linker.use_built_in_libdl(true).encoder().validate(true);
    for name in [
        "libc.so",
        "libzip.so",
        "libimg.so",
        "libplugin.so",
        "main.so",
    ] {
        let mut module = std::fs::read(folder.join(name)).unwrap();
        if name == "main.so" {
            let utf8 = StringEncoding::UTF8;
            wit_component::embed_component_metadata(&mut module, &resolve, world, utf8, false)
                .unwrap();
        }
        let is_plugin = name == "libplugin.so";
        linker.library(name, &module, is_plugin).unwrap();
    }
    linker.encode().unwrap()
}

/// A host that notes progress.
fn instance(workshop: &Workshop) -> (Store<Vec<u32>>, Instance) {
    let artifact = workshop.compile(&component()).unwrap();
    let component = workshop.map_component(&artifact).unwrap();
    let mut linker = Linker::<Vec<u32>>::new(workshop.engine());
    let progress = |mut store: StoreContextMut<'_, Vec<u32>>, (bytes,): (u32,)| {
        store.data_mut().push(bytes);
        Ok(())
    };
    linker.root().func_wrap("progress", progress).unwrap();
    let mut store = Store::new(workshop.engine(), Vec::new());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn libraries_share_memory_and_table() {
    let (mut store, instance) = instance(&Workshop::new());
    let zip = instance
        .get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, "zip")
        .unwrap();
    let compress = instance
        .get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, "compress")
        .unwrap();
    let counts = instance
        .get_typed_func::<(), ((u32, u32),)>(&mut store, "counts")
        .unwrap();
    let ((zipped, before),) = counts.call(&mut store, ()).unwrap();
    assert_eq!(zipped, 0);

    let found = zip.call(&mut store, (b"aaabb",)).unwrap().0;
    assert_eq!(found, [3, b'a', 2, b'b']);
    // `longest` was set by a constructor.
    let found = zip.call(&mut store, (&[7; 201],)).unwrap().0;
    assert_eq!(found, [200, 7, 1, 7]);
    assert_eq!(*store.data(), [5, 201]);
    // Through the function that libimg puts into libzip's variable, and the one that libzip asks it
    // for.
    let found = compress.call(&mut store, (&[5, 5, 245, 244],)).unwrap().0;
    assert_eq!(found, [2, 250, 1, 0, 1, 11]);
    // Both are as before.
    assert_eq!(zip.call(&mut store, (&[5],)).unwrap().0, [1, 5]);

    // Each call allocates for the arguments (by the adapter) and for the result (by libzip).
    let ((zipped, after),) = counts.call(&mut store, ()).unwrap();
    assert_eq!((zipped, after - before), (5 + 201 + 4 + 1, 8));

    // So much that the memory grows, with all that is in it.
    let long: Vec<u8> = (0..1u64 << 20)
        .map(|index| ((index * index) >> 7) as u8 | 1)
        .collect();
    let found = zip.call(&mut store, (&long,)).unwrap().0;
    let unzipped = found.chunks(2).flat_map(|run| vec![run[1]; run[0].into()]);
    assert!(unzipped.eq(long));
}

#[test]
fn libraries_are_opened_by_name() {
    let (mut store, instance) = instance(&Workshop::new());
    let call = instance
        .get_typed_func::<(&str, u32), (Option<u32>,)>(&mut store, "call")
        .unwrap();
    let zip = instance
        .get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, "zip")
        .unwrap();
    zip.call(&mut store, (&[1; 30],)).unwrap();
    let mut call = |symbol| call.call(&mut store, (symbol, 21)).unwrap().0;
    assert_eq!(call("plugin_twice"), Some(42));
    assert_eq!(call("plugin_zipped"), Some(51));
    assert_eq!(call("plugin_thrice"), None);
}

/// Variables and functions of other libraries in a loop.
#[test]
fn libraries_use_each_other_in_loops() {
    let (mut store, instance) = instance(&Workshop::new());
    let work = instance
        .get_typed_func::<(u32,), (u32,)>(&mut store, "work")
        .unwrap();
    let zip = instance
        .get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, "zip")
        .unwrap();
    zip.call(&mut store, (&[9; 5],)).unwrap();
    let mut table = [0u32; 256];
    let mut expected = 0u32;
    for _ in 0..3 {
        for (value, entry) in (0..).zip(&mut table) {
            *entry += value * value + 5;
            expected += *entry;
        }
    }
    assert_eq!(work.call(&mut store, (3,)).unwrap(), (expected,));
}
