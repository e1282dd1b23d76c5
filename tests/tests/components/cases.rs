//! Our own scripts: everything below `cases/`.

use std::path::Path;

use crate::common;
use cwasm_tests::suite;

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    common::run_all(suite::of_path(&folder).unwrap());
}
