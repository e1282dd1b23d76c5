//! Inputs and outputs that are no plain files: pipes, standard input and output, mount points.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin;

use crate::support::{Folder, Ran, cwasm, greet};

/// Runs a script, in which `cwasm` is the command and `greet` the component.
fn bash(folder: &Folder, script: &str) -> Ran {
    let output = Command::new("bash")
        .current_dir(folder.0.path())
        .args(["-c", script])
        .env("cwasm", cargo_bin("cwasm"))
        .env("greet", greet())
        .output()
        .unwrap();
    Ran(output)
}

/// As [`bash`], as root of a namespace that may mount what it likes.
fn with_mounts(folder: &Folder, script: &str) -> Ran {
    let output = Command::new("unshare")
        .current_dir(folder.0.path())
        .args(["--map-root-user", "--mount", "bash", "-ec", script])
        .env("cwasm", cargo_bin("cwasm"))
        .env("greet", greet())
        .output()
        .expect("`unshare` is there");
    Ran(output)
}

#[test]
fn run_reads_its_input_once() {
    let folder = Folder::new();
    let artifact = folder.compiled();
    let text = folder.file("id.wat", ID);
    let call = r#"--invoke 'greet("pipe")'"#;
    for script in [
        format!("cat $greet | $cwasm run /dev/stdin {call}"),
        format!("cat $greet | $cwasm run - {call}"),
        format!("$cwasm run - {call} < $greet"),
        format!("$cwasm run <(cat $greet) {call}"),
        format!("$cwasm run <(cat {artifact}) {call}"),
        format!("cat {artifact} | $cwasm run - {call}"),
        format!("$cwasm run - {call} < {artifact}"),
        format!("$cwasm run /dev/stdin {call} < {artifact}"),
        // A byte at a time.
        format!(
            "dd if=$greet bs=1 count=5 2>/dev/null > start; (cat start; sleep 0.1; tail -c +6 $greet) | $cwasm run - {call}"
        ),
    ] {
        let ran = bash(&folder, &script);
        assert_eq!(
            ran.stdout(),
            "\"Hello, pipe!\"\n",
            "{script}: {}",
            ran.stderr()
        );
    }
    let ran = bash(
        &folder,
        &format!("cat {text} | $cwasm run - --invoke \"id('x')\""),
    );
    ran.prints("'x'\n");
}

const ID: &str = r#"(component
  (core module $m (func (export "id") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func (export "id") (param "c" char) (result char) (canon lift (core func $i "id"))))"#;

#[test]
fn a_dash_is_standard_input_or_output() {
    let folder = Folder::new();
    let expected = fs::read(folder.compiled()).unwrap();
    for script in [
        "$cwasm compile $greet -o -",
        "$cwasm compile - < $greet",
        "cat $greet | $cwasm compile - -o -",
        "$cwasm compile - -o out.cwasm < $greet && cat out.cwasm",
    ] {
        let ran = bash(&folder, script);
        assert!(ran.0.stdout == expected, "{script}: {}", ran.stderr());
    }
    let ran = bash(
        &folder,
        "$cwasm compile $greet -o - | $cwasm inspect - --json",
    );
    assert!(
        ran.stdout().contains("\"kind\": \"component\""),
        "{}",
        ran.stderr()
    );
    let ran = bash(&folder, "$cwasm compile $greet --emit clif -o -");
    assert!(ran.stdout().contains("function "), "{}", ran.stderr());
    assert!(
        ran.stderr().starts_with("standard output: "),
        "{}",
        ran.stderr()
    );
    // A file of this name has a path.
    bash(&folder, "cp $greet ./-; $cwasm inspect ./- --json > facts").prints("");
    assert_eq!(
        folder.names(),
        ["-", "facts", "greet.cwasm", "greet.wasm", "out.cwasm"]
    );
}

#[test]
fn standard_streams_in_errors_have_names() {
    let folder = Folder::new();
    for command in ["compile", "run", "inspect"] {
        let ran = bash(&folder, &format!("$cwasm {command} - < /dev/null"));
        ran.fails(1, &["standard input", "found nothing"]);
    }
    bash(&folder, "$cwasm compile - -o out < /").fails(1, &["cannot read standard input"]);
    let ran = bash(&folder, "cat $greet | $cwasm compile /dev/stdin");
    ran.fails(1, &["choose an output with -o", "`/dev/stdin`"]);
    let ran = bash(
        &folder,
        "mkfifo pipe; cat $greet > pipe & $cwasm compile pipe",
    );
    ran.fails(1, &["choose an output with -o", "`pipe`"]);
    // The same file by another way.
    let greet = folder.greet();
    let before = fs::read(&greet).unwrap();
    bash(&folder, "$cwasm compile - -o greet.wasm < greet.wasm").fails(1, &["would replace"]);
    assert_eq!(fs::read(&greet).unwrap(), before);
}

#[test]
fn binaries_that_nobody_reads_are_errors() {
    let folder = Folder::new();
    let mut child = Command::new(cargo_bin("cwasm"))
        .args(["compile", &folder.greet(), "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran(child.wait_with_output().unwrap());
    ran.fails(
        1,
        &["error: cannot write to standard output", "Broken pipe"],
    );
    let full = bash(&folder, "$cwasm compile $greet -o - > /dev/full");
    full.fails(1, &["cannot write to standard output", "No space left"]);
    bash(&folder, "$cwasm inspect $greet > /dev/full").fails(1, &["No space left"]);
}

#[test]
fn input_that_is_written_slowly_is_read_to_its_end() {
    let folder = Folder::new();
    let mut child = Command::new(cargo_bin("cwasm"))
        .args(["compile", "-", "-o", &folder.path("out.cwasm")])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let wasm = fs::read(greet()).unwrap();
    for part in [&wasm[..1], &wasm[1..3], &wasm[3..9], &wasm[9..]] {
        stdin.write_all(part).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(stdin);
    Ran(child.wait_with_output().unwrap()).prints("");
    let expected = fs::read(folder.compiled()).unwrap();
    assert!(fs::read(folder.path("out.cwasm")).unwrap() == expected);
}

#[test]
fn files_that_cannot_be_replaced_are_written_in_place() {
    let folder = Folder::new();
    let expected = fs::read(folder.compiled()).unwrap();
    for (script, what) in [
        ("touch out other; mount --bind other out", "a mount point"),
        (
            "mkdir dir; touch dir/out other; mount --bind dir dir; mount --bind other dir/out;
             mount -o remount,bind,ro dir; ln -s dir/out out",
            "a mount point in a folder that is read-only",
        ),
    ] {
        let ran = with_mounts(
            &folder,
            &format!(
                "rm -rf out other; {script}; $cwasm compile $greet -o out; cat out; test ! -e .cwasm-*"
            ),
        );
        assert!(ran.0.stdout == expected, "{what}: {}", ran.stderr());
        // The mounted file has it.
        assert!(
            fs::read(folder.path("other")).unwrap() == expected,
            "{what}"
        );
    }
    // What cannot be written at all is an error, and says why.
    let script = "mkdir ro; touch ro/out; mount --bind ro ro; mount -o remount,bind,ro ro;
        $cwasm compile $greet -o ro/out";
    with_mounts(&folder, script).fails(1, &["cannot write `ro/out`", "Read-only"]);
}

#[test]
fn a_noexec_mount_is_named_with_what_to_do() {
    let folder = Folder::new();
    let artifact = folder.compiled();
    let script = |run: &str| {
        format!("mkdir -p dir; mount -t tmpfs -o noexec tmpfs dir; cp {artifact} dir/a; {run}")
    };
    let call = r#"--invoke 'greet("x")'"#;
    let ran = with_mounts(&folder, &script(&format!("$cwasm run dir/a {call}")));
    ran.fails(
        1,
        &[
            "cannot load `dir/a`",
            "`noexec`",
            "copy it to another file system",
        ],
    );
    // What is advised works.
    let ran = with_mounts(&folder, &script(&format!("$cwasm run - {call} < dir/a")));
    ran.prints("\"Hello, x!\"\n");
}

/// Threads that have nothing to do cost address space, and time to start and to look for work.
#[test]
fn threads_are_no_more_than_processors() {
    let folder = Folder::new();
    let ran = bash(
        &folder,
        "ulimit -v 8000000; $cwasm compile $greet --jobs 4000 -o out.cwasm",
    );
    ran.prints("");
    let expected = fs::read(folder.compiled()).unwrap();
    assert!(fs::read(folder.path("out.cwasm")).unwrap() == expected);
}

#[test]
fn directories_are_no_inputs() {
    let folder = Folder::new();
    for command in ["compile", "run", "inspect"] {
        cwasm(&[command, &folder.path("")]).fails(1, &["cannot read", "Is a directory"]);
    }
    cwasm(&["compile", &folder.greet(), "-o", &folder.path("")]).fails(1, &["Is a directory"]);
}
