//! Golden artifacts: files that older versions of the compiler wrote still load and answer the
//! same, or are refused for their ABI version.
//!
//! `tests/golden/vN.cwasm` was compiled from `tests/golden/answer.wat` when the ABI version was N.
//! When the version rises, the new file is added with `cwasm compile tests/golden/answer.wat --cpu
//! x86-64 -o tests/golden/vN.cwasm` and the old ones stay.

use std::path::PathBuf;

use cwasm::{Component, Engine, Linker, Store};
use cwasm_format::header::{ABI_VERSION, ABI_VERSION_MIN};

fn golden(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/v{version}.cwasm"))
}

#[allow(unsafe_code, reason = "maps artifacts of this repository")]
fn map(path: PathBuf) -> cwasm::Result<Component> {
    // SAFETY: the file was written by our compiler and is never changed.
    unsafe { Component::map(&Engine::default(), path) }
}

#[test]
fn every_version_loads_or_is_refused() {
    for version in 1..=ABI_VERSION {
        let component = map(golden(version));
        if version < ABI_VERSION_MIN {
            let error = component.unwrap_err();
            assert!(
                matches!(
                    error.format_error(),
                    Some(cwasm_format::FormatError::AbiVersion { found, .. }) if found == version
                ),
                "{error}"
            );
            continue;
        }
        let component = component.unwrap();
        let mut linker = Linker::<u32>::new(component.engine());
        linker
            .root()
            .func_wrap(
                "offset",
                |store: cwasm::StoreContextMut<'_, u32>, (): ()| Ok((*store.data(),)),
            )
            .unwrap();
        let mut store = Store::new(component.engine(), 2);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let answer = instance
            .get_typed_func::<(&str,), (String,)>(&mut store, "answer")
            .unwrap();
        let (answer,) = answer.call(&mut store, ("?",)).unwrap();
        assert_eq!(answer, "42?", "version {version}");
    }
}
