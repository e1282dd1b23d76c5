//! Programs do as the same source does that is compiled for the host.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{guest, script};
use crate::support::Folder;

/// `tool` as a native program.
fn native() -> &'static Path {
    static NATIVE: OnceLock<PathBuf> = OnceLock::new();
    NATIVE.get_or_init(|| {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native-tool");
        let mut compiler = Command::new(rustc);
        compiler.args(["--edition", "2024", "-C", "debuginfo=0", "-o"]);
        compiler.arg(&program).arg(guest("rust/src/main.rs"));
        assert!(compiler.status().unwrap().success());
        program
    })
}

/// Runs commands of the program, which may use the folder `.`, in both ways: the same output, exit
/// codes and files.
#[track_caller]
fn are_the_same(commands: &str, expect_difference: &[(&str, &str)]) {
    let (guest, host) = (Folder::new(), Folder::new());
    let files = "mkdir -p data/sub/deeper; echo text > data/file; ln -s file data/link; ";
    let native = native().display();
    let ran = |folder: &Folder, program: &str| {
        script(
            folder,
            &format!("{files} tool() {{ {program} \"$@\"; echo $?; }}; {commands}"),
        )
    };
    let expected = ran(&host, &native.to_string());
    let found = ran(&guest, "$run --dir . --env A=1 $tool --");
    let mut text = expected.stdout().to_owned();
    for (native, guest) in expect_difference {
        assert!(text.contains(native), "no `{native}` in:\n{text}");
        text = text.replace(native, guest);
    }
    assert_eq!(found.stdout(), text, "{}", found.stderr());
    assert_ne!(found.stdout(), "");
    let (guest, host) = (guest.0.path(), host.0.path());
    let mut diff = Command::new("diff");
    diff.args(["-r", "--no-dereference"]).arg(guest).arg(host);
    let diff = diff.output().unwrap();
    assert!(
        diff.status.success(),
        "{}",
        String::from_utf8_lossy(&diff.stdout)
    );
}

#[test]
fn folders_are_those_of_the_host() {
    let differences = [
        // The sandbox.
        ("leave: done", "leave: permission denied"),
        // The library has no name for the error of WASI.
        (
            "read a folder: is a directory",
            "read a folder: uncategorized error",
        ),
    ];
    are_the_same("tool folders data; tool tree .", &differences);
    are_the_same("tool folders .; tool tree data/sub", &differences);
}

#[test]
fn links_are_those_of_the_host() {
    are_the_same("tool links data; tool tree .; tool cat data/link", &[]);
    are_the_same("tool append data/link more; tool cat data/file", &[]);
}

#[test]
fn times_are_those_of_the_host() {
    are_the_same("tool times data; tool times data/sub/../sub", &[]);
}

#[test]
fn files_are_written_anywhere() {
    are_the_same("tool random-access data/new", &[]);
    are_the_same("tool random-access data/file; tool cat data/file", &[]);
    are_the_same("tool fill data/new 3; tool copy data/new data/file", &[]);
    are_the_same("tool open-many data 50; tool tree .", &[]);
}

#[test]
fn errors_are_those_of_the_host() {
    are_the_same(
        "tool cat nothing; tool cat data; tool write data text; tool write data/no/file text
         tool copy data/file nothing/file; tool tree data/file; tool tree nothing
         tool write data/file/ text; tool cat data/file/; tool append data/sub/ text
         tool links nothing; tool exit 7; tool exit 300; tool nothing",
        &[],
    );
}

#[test]
fn streams_are_those_of_the_host() {
    are_the_same(
        "printf 'a\\nb' | tool upper; tool cat < data/file; tool both; tool hello; tool args 'a  b'
         A=1 tool env < /dev/null | grep ^A=; tool sleep 1; tool recurse 100; tool allocate 1000",
        &[],
    );
}
