//! Rules of the repository that no compiler checks.

mod layers;
mod linked;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

/// Which crates of ours a crate may depend on, tests aside.
const DIRECTION: &[(&str, &[&str])] = &[
    ("format", &[]),
    ("compiler", &["cwasm-format"]),
    ("macros", &[]),
    ("loader", &["cwasm-format", "cwasm-macros"]),
    (
        "cli",
        &[
            "cwasm",
            "cwasm-format",
            "cwasm-compiler",
            "cwasm-wasi",
            "cwasm-profile",
            "cwasm-report",
        ],
    ),
    ("profile", &["cwasm"]),
    ("wasi", &["cwasm"]),
    ("report", &[]),
    (
        "tests",
        &["cwasm", "cwasm-format", "cwasm-compiler", "cwasm-wasi"],
    ),
    ("fuzz", &["cwasm", "cwasm-format", "cwasm-compiler"]),
];

/// The dependencies of the loader besides `format`. It stays small.
const LOADER_NEEDS: &[&str] = &["memmap2", "rustix", "libc", "simdutf8"];
/// Its dependencies under features that are off by default.
const LOADER_OFFERS: &[&str] = &[
    "anyhow",
    "corosensei",
    "framehop",
    "sha2",
    "tracing",
    "wasm-encoder",
    "wasm-wave",
];

/// The files that may contain `unsafe`, tests aside. The compiler and the format have none; outside
/// of the loader it is mapping artifacts.
const UNSAFE_FILES: &[&str] = &[
    "cli/src/allocator.rs",
    "cli/src/load.rs",
    "cli/src/run.rs",
    "fuzz/src/ours.rs",
    "loader/src/artifact/mod.rs",
    "loader/src/artifact/registry.rs",
    "loader/src/artifact/text.rs",
    "loader/src/component.rs",
    "loader/src/concurrent/mod.rs",
    "loader/src/dynamic/copy.rs",
    "loader/src/func/mod.rs",
    "loader/src/func/task.rs",
    "loader/src/func/typed.rs",
    "loader/src/host/concurrent.rs",
    "loader/src/host/dynamic.rs",
    "loader/src/host/mod.rs",
    "loader/src/host/typed.rs",
    "loader/src/host/waiting.rs",
    "loader/src/instance.rs",
    "loader/src/module/exception.rs",
    "loader/src/module/externs.rs",
    "loader/src/module/func.rs",
    "loader/src/module/linked.rs",
    "loader/src/module/mod.rs",
    "loader/src/module/setup.rs",
    "loader/src/module/shared.rs",
    "loader/src/resource/any.rs",
    "loader/src/sys/linux/cpu_number.rs",
    "loader/src/sys/linux/fork.rs",
    "loader/src/sys/linux/memory.rs",
    "loader/src/sys/linux/modules.rs",
    "loader/src/sys/linux/pagemap.rs",
    "loader/src/sys/linux/sampling.rs",
    "loader/src/sys/linux/signals.rs",
    "loader/src/sys/linux/thread.rs",
    "loader/src/sys/x86_64/detour.rs",
    "loader/src/sys/x86_64/frames.rs",
    "loader/src/sys/x86_64/jit.rs",
    "loader/src/sys/x86_64/registers.rs",
    "loader/src/values/context.rs",
    "loader/src/values/lists.rs",
    "loader/src/values/scalars.rs",
    "loader/src/values/strings.rs",
    "loader/src/vm/builtins/mod.rs",
    "loader/src/vm/builtins/strings.rs",
    "loader/src/vm/call.rs",
    "loader/src/vm/canon/mod.rs",
    "loader/src/vm/enter.rs",
    "loader/src/vm/exceptions/collect.rs",
    "loader/src/vm/exceptions/throw.rs",
    "loader/src/vm/fiber.rs",
    "loader/src/vm/handles.rs",
    "loader/src/vm/imports.rs",
    "loader/src/vm/initialize.rs",
    "loader/src/vm/instance.rs",
    "loader/src/vm/items.rs",
    "loader/src/vm/memory.rs",
    "loader/src/vm/recycle/fence.rs",
    "loader/src/vm/recycle/reset.rs",
    "loader/src/vm/slabs.rs",
    "loader/src/vm/slot.rs",
    "loader/src/vm/snapshot.rs",
    "loader/src/vm/stacks.rs",
    "loader/src/vm/store.rs",
    "loader/src/vm/store_context.rs",
    "loader/src/vm/suspend.rs",
    "loader/src/vm/table.rs",
    "loader/src/vm/tasks/mod.rs",
    "loader/src/vm/unwind.rs",
    "tests/src/artifact.rs",
];

/// Where operating systems may differ.
const OS_FOLDER: &str = "loader/src/sys/";

/// Where architectures may differ in the loader, and the file that chooses between them.
const ARCH_PLACES: &[&str] = &["loader/src/sys/x86_64/", "loader/src/sys/mod.rs"];

/// Where architectures may differ in the compiler.
const COMPILER_ARCH_FOLDER: &str = "compiler/src/isa/";

/// Files outside of [`OS_FOLDER`] that may ask for the operating system, with the reason.
const OS_FILES: &[(&str, &str)] = &[(
    "compiler/src/output.rs",
    "permissions of files exist on Unix only",
)];

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// All files of the repository with one of these extensions, by path from the root.
fn files(extensions: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(root(), extensions, &mut found);
    found.sort();
    let texts = found.into_iter().map(|path| {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        (name, fs::read_to_string(&path).unwrap())
    });
    texts.collect()
}

fn collect(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(&path, extensions, found);
            }
        } else if extensions.iter().any(|extension| name.ends_with(extension)) {
            found.push(path);
        }
    }
}

/// The names in a table of a `Cargo.toml`.
fn dependencies(manifest: &str, table: &str) -> Vec<String> {
    let lines = manifest
        .lines()
        .skip_while(|line| line.trim() != format!("[{table}]"))
        .skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split(['.', ' ', '=']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn crates_point_one_way() {
    for (folder, allowed) in DIRECTION {
        let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let found = dependencies(&manifest, "dependencies");
        assert!(!found.is_empty(), "{folder}: no dependencies were read");
        for name in found.iter().filter(|name| name.starts_with("cwasm")) {
            assert!(
                allowed.contains(&name.as_str()),
                "{folder} may not depend on {name}"
            );
        }
        if *folder == "loader" {
            for name in found.iter().filter(|name| !name.starts_with("cwasm")) {
                let is_optional = manifest.lines().any(|line| {
                    line.starts_with(&format!("{name} =")) && line.contains("optional = true")
                });
                // Not by the default features, whatever their names.
                let enabled = format!("\"dep:{name}\"");
                for feature in manifest.lines().filter(|line| line.contains(&enabled)) {
                    let feature = feature.split(' ').next().unwrap();
                    let default = manifest.lines().find(|line| line.starts_with("default ="));
                    assert!(
                        !default.unwrap().contains(&format!("\"{feature}\"")),
                        "{name}"
                    );
                }
                assert!(
                    LOADER_NEEDS.contains(&name.as_str())
                        || is_optional && LOADER_OFFERS.contains(&name.as_str()),
                    "the loader may not link {name}"
                );
            }
        }
    }
}

/// Workspaces of their own (`bench`, some examples) have locks of their own, which say what our
/// crates depend on: builds with `--locked` stop at one that was forgotten.
#[test]
fn every_lock_knows_the_dependencies_of_our_crates() {
    let mut seen = 0;
    for (name, lock) in files(&["Cargo.lock"]) {
        for package in lock.split("[[package]]") {
            let field = |field: &str| {
                let mut lines = package.lines();
                lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(" = "))
            };
            let found = field("name").map(|name| name.trim_matches('"'));
            let Some(folder) = found.and_then(folder_of) else {
                continue;
            };
            let manifest = fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
            for needed in dependencies(&manifest, "dependencies") {
                let is_optional = manifest
                    .lines()
                    .any(|line| line.starts_with(&needed) && line.contains("optional = true"));
                let is_listed = package.lines().any(|line| {
                    let line = line.trim().trim_start_matches('"');
                    line.split(['"', ' ']).next() == Some(needed.as_str())
                });
                assert!(
                    is_optional || is_listed,
                    "{name}: {folder} depends on {needed}: `cargo metadata` in that folder adds it"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "the locks have our crates");
}

/// The folder of a crate of ours.
fn folder_of(name: &str) -> Option<&'static str> {
    let mut folders = DIRECTION.iter().map(|(folder, _)| *folder);
    folders.find(|folder| match *folder {
        "loader" => name == "cwasm",
        folder => name.strip_prefix("cwasm-") == Some(folder),
    })
}

#[test]
fn unsafe_code_stays_where_it_is() {
    let mut found: Vec<String> = files(&[".rs"])
        .into_iter()
        .filter(|(name, _)| !name.contains("/tests/") && !name.starts_with("examples/"))
        .filter(|(name, _)| !name.starts_with("bench/"))
        .filter(|(_, text)| allows_unsafe(text))
        .map(|(name, _)| name)
        .collect();
    found.sort();
    assert_eq!(
        found, UNSAFE_FILES,
        "the files that allow `unsafe` are listed in this test"
    );
}

/// Whether the file has an attribute that allows `unsafe_code`, outside of its tests.
fn allows_unsafe(text: &str) -> bool {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let attributes = text.match_indices("allow(").map(|(at, _)| &text[at..]);
    attributes.into_iter().any(|rest| {
        rest.split(')')
            .next()
            .is_some_and(|attribute| attribute.contains("unsafe_code"))
    })
}

#[test]
fn operating_systems_differ_in_one_folder() {
    // Put together, so that this file does not contain them.
    let words = ["target_os", "target_family", "cfg(unix", "cfg(windows"].map(|word| {
        if word.starts_with("cfg") {
            format!("{word})")
        } else {
            format!("{word} =")
        }
    });
    for (name, text) in files(&[".rs"]) {
        let excused = OS_FILES.iter().any(|(file, _)| *file == name);
        let is_foreign = name.starts_with("bench/") || name.starts_with("wasi/guests/");
        if name.starts_with(OS_FOLDER) || is_foreign || excused {
            continue;
        }
        for word in &words {
            assert!(
                !text.contains(word.as_str()),
                "{name} asks for the operating system: {word}"
            );
        }
    }
}

#[test]
fn architectures_differ_in_one_folder() {
    let words = [
        "target_arch",
        "asm!",
        "libc::REG_",
        "std::arch",
        "feature_detected!",
    ];
    let mut seen = 0;
    for (name, text) in files(&[".rs"]) {
        let found = words.iter().find(|word| text.contains(**word));
        if ARCH_PLACES.iter().any(|place| name.starts_with(place)) {
            seen += usize::from(found.is_some());
        } else if name.starts_with("loader/src/") {
            assert!(found.is_none(), "{name} is for one architecture: {found:?}");
        }
    }
    assert!(seen != 0, "the words are not what such code has");
}

/// An operand that may be in any register may be in the one for frame pointers, although nobody can
/// ask for it (Rust reference, "Register operands"): code that sets that register first would read
/// something else.
#[test]
fn code_that_sets_the_frame_pointer_names_its_registers() {
    let mut seen = 0;
    for (name, text) in files(&[".rs"]) {
        if !name.starts_with("loader/src/") {
            continue;
        }
        let blocks = text.split("asm!(").skip(1);
        let blocks = blocks.filter_map(|rest| rest.split("\n    }\n").next());
        for block in blocks.filter(|block| block.contains("\"mov rbp,")) {
            seen += 1;
            assert!(!block.contains("in(reg)"), "{name}: {block}");
        }
    }
    assert_eq!(seen, 2, "the code that sets it is not recognised");
}

#[test]
fn the_compiler_has_a_file_for_each_architecture() {
    let words = ["x86", "X86", "x64", "Arm64", "aarch64"];
    let mut seen = 0;
    for (name, text) in files(&[".rs"]) {
        if !name.starts_with("compiler/src/") || name.ends_with("/tests.rs") {
            continue;
        }
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = code.lines().filter(|line| {
            let line = line.trim_start();
            // The target that is the default has a name.
            !line.starts_with("//") && !line.starts_with("pub const DEFAULT_TARGET")
        });
        let found = lines.filter(|line| words.iter().any(|word| line.contains(word)));
        let found: Vec<&str> = found.collect();
        if name.starts_with(COMPILER_ARCH_FOLDER) {
            seen += found.len();
        } else {
            assert!(
                found.is_empty(),
                "{name} is for one architecture: {found:?}"
            );
        }
    }
    assert!(seen != 0, "the words are not what such code has");
}
