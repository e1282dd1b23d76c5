//! Programs that throw, as compilers of C, C++ and Rust make them, in both forms of the
//! instructions.

use super::guest;
use crate::support::{Folder, cwasm};

/// Each writes the text that it writes when it is compiled for the machine itself.
#[test]
fn programs_throw_and_catch() {
    let folder = Folder::new();
    for name in ["jump", "throw", "unwind"] {
        let expected = guest(&format!("exceptions/{name}.txt"));
        let expected = std::fs::read_to_string(expected).unwrap();
        for form in ["", "-legacy"] {
            let wasm = guest(&format!("exceptions/{name}{form}.wasm"));
            let wasm = wasm.to_str().unwrap();
            cwasm(&["run", wasm]).prints(&expected);
            let artifact = folder.path("unoptimised.cwasm");
            cwasm(&["compile", wasm, "-O", "none", "-o", &artifact]).prints("");
            cwasm(&["run", &artifact]).prints(&expected);
        }
    }
}
