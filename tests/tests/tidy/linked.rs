//! What our crates link: WASI 0.2 is plain calls of the system, and 0.3 waits by `async-io`, for
//! any executor; so no async runtime is wanted but for HTTP.

use std::process::Command;

use super::root;

/// Async runtimes, what they wait with, and HTTP libraries that bring one.
const RUNTIMES: &[&str] = &[
    "async-executor",
    "async-io",
    "async-std",
    "futures-executor",
    "glommio",
    "h2",
    "hyper",
    "mio",
    "monoio",
    "polling",
    "reqwest",
    "smol",
    "tokio",
];

/// What WASI 0.3 waits with.
const READINESS: &[&str] = &["async-io", "polling"];

/// The packages that a package links, itself among them, as `cargo tree` takes these options.
fn linked(options: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--locked", "--edges", "normal"])
        .args(["--prefix", "none", "--format", "{p}"])
        .args(options)
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// Checks that a package links no async runtime, nor parts of one but these.
fn links_no_runtime(options: &[&str], known: &str, except: &[&str]) {
    let linked = linked(options);
    assert!(linked.iter().any(|name| name == known), "no tree of it");
    for name in linked {
        let is_runtime = RUNTIMES.contains(&&*name) && !except.contains(&&*name);
        assert!(!is_runtime, "{options:?} links {name}");
    }
}

#[test]
fn wasi_links_no_async_runtime() {
    links_no_runtime(&["--package", "cwasm-wasi"], "cap-std", &[]);
}

#[test]
fn the_command_without_default_features_links_no_async_runtime() {
    let options = ["--package", "cwasm-cli", "--no-default-features"];
    links_no_runtime(&options, "clap", READINESS);
}

#[test]
fn the_loader_links_no_async_runtime() {
    links_no_runtime(&["--package", "cwasm"], "memmap2", &[]);
}
