//! Programs of WASI 0.3.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{bash, guest};
use crate::support::{Folder, Ran, TRAPPED, cwasm};

/// Where the artifacts are: of the guests, and of small programs of one function.
fn programs() -> &'static Path {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("p3");
        fs::create_dir_all(&folder).unwrap();
        let compile = |name: &str, from: &Path| {
            let artifact = folder.join(name);
            let (from, to) = (from.to_str().unwrap(), artifact.to_str().unwrap());
            // Some wait in the middle, also where they write.
            let stackful = "--feature=component-model-async-stackful";
            let built_ins = "--feature=component-model-more-async-builtins";
            cwasm(&["compile", from, "-o", to, stackful, built_ins]).prints("");
        };
        for name in ["copy", "mixed", "cancel"] {
            compile(name, &guest(&format!("p3/{name}.wasm")));
        }
        for (name, body) in BODIES {
            let text = folder.join(format!("{name}.wat"));
            fs::write(&text, wat(body)).unwrap();
            compile(name, &text);
        }
        folder
    })
}

/// What small programs do: `$out` is the stream of output, `$write` writes `text` to it.
const BODIES: &[(&str, &str)] = &[
    // Goes on after it has returned.
    (
        "late",
        "(call $return (i32.const 0))
         (call $wait (i64.const 100000000))
         (call $text) (call $close)",
    ),
    // Ends itself while streams are open and one is read.
    (
        "exit",
        "(call $text)
         (call $in (i32.const 64))
         (drop (call $begin-read (i32.load (i32.const 64)) (i32.const 128) (i32.const 1)))
         (call $exit (i32.const 7)) unreachable",
    ),
    ("trap", "(call $text) (call $in (i32.const 64)) unreachable"),
    // Returns while its output is open: that does not hold it up.
    ("open", "(call $text) (call $return (i32.const 0))"),
    ("yes", "(loop $more (call $text) (br $more))"),
    // Begins to read input, and gives it up at once, a million times.
    (
        "streams",
        "(local.set $count (i32.const 1000000))
         (loop $more
           (call $in (i32.const 64))
           (call $drop-in (i32.load (i32.const 64)))
           (call $drop-ending (i32.load (i32.const 68)))
           (local.set $count (i32.sub (local.get $count) (i32.const 1)))
           (br_if $more (local.get $count)))
         (call $return (i32.const 0))",
    ),
    // The same, letting others go on now and then.
    (
        "patient",
        "(local.set $count (i32.const 300000))
         (loop $more
           (call $in (i32.const 64))
           (call $drop-in (i32.load (i32.const 64)))
           (call $drop-ending (i32.load (i32.const 68)))
           (local.set $count (i32.sub (local.get $count) (i32.const 1)))
           (if (i32.eqz (i32.rem_u (local.get $count) (i32.const 10000)))
             (then (call $wait (i64.const 1000000))))
           (br_if $more (local.get $count)))
         (call $return (i32.const 0))",
    ),
    // Keeps them.
    ("many", "(loop $more (call $in (i32.const 64)) (br $more))"),
];

fn wat(body: &str) -> String {
    let stream = r#"(type $code (enum "io" "illegal-byte-sequence" "pipe"))
    (export "error-code" (type $error (eq $code)))
    (type $bytes (stream u8)) (type $result (result (error $error))) (type $ending (future $result))"#;
    format!(
        r#"(component
  (import "wasi:cli/stdout@0.3.0" (instance $stdout {stream}
    (export "write-via-stream" (func (param "data" $bytes) (result $ending)))))
  (import "wasi:cli/stdin@0.3.0" (instance $stdin {stream} (type $both (tuple $bytes $ending))
    (export "read-via-stream" (func (result $both)))))
  (import "wasi:cli/exit@0.3.0" (instance $exit
    (export "exit-with-code" (func (param "status-code" u8)))))
  (import "wasi:clocks/monotonic-clock@0.3.0" (instance $clock
    (export "wait-for" (func async (param "how-long" u64)))))
  (type $bytes (stream u8))
  (alias export $stdin "error-code" (type $error))
  (type $ending (future (result (error $error))))
  (core module $memory (memory (export "mem") 1) (data (i32.const 0) "text\n"))
  (core instance $memory (instantiate $memory))
  (alias core export $memory "mem" (core memory $mem))
  (canon lower (func $stdout "write-via-stream") (core func $out))
  (canon lower (func $stdin "read-via-stream") (memory $mem) (core func $in))
  (canon lower (func $exit "exit-with-code") (core func $exit))
  (canon lower (func $clock "wait-for") (core func $wait))
  (canon stream.new $bytes (core func $new))
  (canon stream.write $bytes (memory $mem) (core func $write))
  (canon stream.read $bytes async (memory $mem) (core func $begin-read))
  (canon stream.drop-writable $bytes (core func $drop-out))
  (canon stream.drop-readable $bytes (core func $drop-in))
  (canon future.drop-readable $ending (core func $drop-ending))
  (canon task.return (result (result)) (core func $return))
  (core module $program
    (import "" "mem" (memory 1))
    (import "" "out" (func $out (param i32) (result i32)))
    (import "" "in" (func $in (param i32)))
    (import "" "exit" (func $exit (param i32)))
    (import "" "wait" (func $wait (param i64)))
    (import "" "new" (func $new (result i64)))
    (import "" "write" (func $write (param i32 i32 i32) (result i32)))
    (import "" "begin-read" (func $begin-read (param i32 i32 i32) (result i32)))
    (import "" "drop-out" (func $drop-out (param i32)))
    (import "" "drop-in" (func $drop-in (param i32)))
    (import "" "drop-ending" (func $drop-ending (param i32)))
    (import "" "return" (func $return (param i32)))
    (global $writer (mut i32) (i32.const 0))
    (func $text (drop (call $write (global.get $writer) (i32.const 0) (i32.const 5))))
    (func $close (call $drop-out (global.get $writer)))
    (func (export "run") (local $ends i64) (local $count i32)
      (local.set $ends (call $new))
      (global.set $writer (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
      (drop (call $out (i32.wrap_i64 (local.get $ends))))
      {body}))
  (core instance $i (instantiate $program (with "" (instance
    (export "mem" (memory $mem)) (export "out" (func $out)) (export "in" (func $in))
    (export "exit" (func $exit)) (export "wait" (func $wait)) (export "new" (func $new))
    (export "write" (func $write)) (export "begin-read" (func $begin-read))
    (export "drop-out" (func $drop-out)) (export "drop-in" (func $drop-in))
    (export "drop-ending" (func $drop-ending)) (export "return" (func $return))))))
  (func $run async (result (result)) (canon lift (core func $i "run") async))
  (instance $api (export "run" (func $run)))
  (export "wasi:cli/run@0.3.0" (instance $api)))"#
    )
}

/// `bash` in a folder, where `$run` runs a program of 0.3, which may use the folder: `$p/NAME`.
fn shell(folder: &Folder, script: &str) -> Command {
    let mut command = bash(folder, script);
    command.env("p", programs());
    command
}

fn script(folder: &Folder, script: &str) -> Ran {
    Ran(shell(folder, script).output().unwrap())
}

/// So many bytes without a short period.
fn bytes(count: usize) -> Vec<u8> {
    let scattered = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 24) as u8;
    (0..count).map(scattered).collect()
}

#[test]
fn bytes_are_copied_between_all_kinds_of_ends() {
    let folder = Folder::new();
    let bytes = bytes(3_000_001);
    folder.file("in", &bytes);
    for how in ["", "--through"] {
        for copy in [
            "$copy in out",
            "$copy in - > out",
            "$copy - out < in",
            "$copy - - < in > out",
            "cat in | $copy - - | cat > out",
            "cat in | $copy - out",
            "$copy in - | cat > out",
            "$copy in - | $copy - - | $copy - out",
            // Shared with others that do not expect to be told that they would wait.
            "$copy in - > >(cat > out; echo done > end) ; while ! [ -e end ]; do sleep 0.01; done",
        ] {
            let copy = copy.replace("$copy", &format!("$run --dir . $p/copy -- {how}"));
            let ran = script(
                &folder,
                &format!("rm -f out end; {copy}; cmp in out && echo same"),
            );
            ran.prints("same\n");
            assert_eq!(ran.stderr(), "", "{how} {copy}");
        }
        for empty in ["$copy - - < /dev/null", "$copy - - <&-", "$copy in - >&-"] {
            let empty = empty.replace("$copy", &format!("$run --dir . $p/copy -- {how}"));
            script(&folder, &empty).prints("");
        }
    }
}

#[test]
fn a_large_file_is_copied_byte_by_byte() {
    let folder = Folder::new();
    folder.file("in", bytes(100 << 20));
    for (how, to) in [("", "out"), ("", "- > out"), ("--through", "- | cat > out")] {
        let copy = format!("$run --dir . $p/copy -- {how} in {to}; cmp in out && echo same");
        script(&folder, &copy).prints("same\n");
    }
}

#[test]
fn errors_of_ends_are_told() {
    let folder = Folder::new();
    folder.file("in", bytes(100_000));
    let copy = "$run --dir .::/ $p/copy --";
    for (command, code) in [
        ("in - > /dev/full", "writing -: ErrorCode::Io"),
        ("- - < .", "reading -: ErrorCode::Io"),
        (". -", "ErrorCode::IsDirectory"),
        ("none -", "ErrorCode::NoEntry"),
        ("in none/out", "ErrorCode::NoEntry"),
        ("../in -", "ErrorCode::NotPermitted"),
        ("in ../out", "ErrorCode::NotPermitted"),
    ] {
        script(&folder, &format!("{copy} {command}")).fails(1, &[code]);
    }
    let read_only = "$run --dir .::/:ro $p/copy -- in out";
    script(&folder, read_only).fails(1, &["ErrorCode::NotPermitted"]);
    script(&folder, "$run $p/copy -- in out").fails(1, &["in no folder"]);
    assert!(!folder.names().contains(&"out".to_owned()));
}

#[test]
fn a_reader_that_goes_ends_the_program() {
    let folder = Folder::new();
    folder.file("in", bytes(1 << 20));
    for writer in ["copy -- in -", "copy -- --through in -", "yes"] {
        for reader in ["head -c 1", "true"] {
            let line =
                format!("$run --dir . $p/{writer} | {reader} > out; echo ${{PIPESTATUS[@]}}");
            let ran = script(&folder, &line);
            assert_eq!(ran.prints("141 0\n").stderr(), "", "{writer} {reader}");
        }
    }
}

/// Input that does not come, and output that nobody reads.
#[test]
fn time_is_limited() {
    let folder = Folder::new();
    folder.file("in", bytes(1 << 20));
    for line in [
        "copy -- - - < <(exec sleep 5 2>&-)",
        "copy -- in - > >(exec sleep 2 2>&-)",
        "yes > >(exec sleep 2 2>&-)",
    ] {
        let line = format!("$run --timeout 200ms --dir . $p/{line}; echo $? >&2");
        let ran = script(&folder, &line);
        let expected = "error: the program has not ended after 200ms (--timeout)\n124\n";
        assert_eq!(ran.stderr(), expected, "{line}");
    }
}

/// Output to pipes and to files, which is written by other threads.
#[test]
fn the_last_output_is_not_lost() {
    let folder = Folder::new();
    for (name, code) in [("late", 0), ("exit", 7), ("trap", TRAPPED), ("open", 0)] {
        let line = format!(
            "for i in {{1..25}}; do
                $run $p/{name} 2>> err < <(exec sleep 1 2>&-) | cat > out; echo ${{PIPESTATUS[0]}} $(cat out)
                $run $p/{name} 2>> err < <(exec sleep 1 2>&-) > out; echo $? $(cat out)
             done"
        );
        script(&folder, &line).prints(&format!("{code} text\n").repeat(50));
    }
    // Functions that are called, as well.
    let invoke =
        "$run --invoke 'run()' $p/late > out; cat out; $run --invoke 'run()' $p/exit > out;
        echo $?; cat out";
    script(&folder, invoke).prints("text\nok\n7\ntext\n");
    folder.file("in", bytes(100_000));
    let line = "for i in {1..100}; do
            $run --dir . $p/copy -- in - | cmp - in && $run --dir . $p/copy -- in - > out && cmp in out
        done; echo end";
    script(&folder, line).prints("end\n");
}

#[test]
fn a_component_may_have_both_versions() {
    let folder = Folder::new();
    folder.file("file", bytes(200_000));
    let lines = "0.2: output\n0.3: output\n0.2: 200000 bytes\n0.3: 200000 bytes\nclocks agree\n\
        timers are over\n";
    script(&folder, "$run --dir .::/ $p/mixed -- /file").prints(lines);
    script(&folder, "$run --dir .::/ $p/mixed -- /file | cat").prints(lines);
    // What one may not do, the other may not either.
    let ran = script(&folder, "$run $p/mixed -- /file");
    assert_eq!(ran.0.status.code(), Some(1));
}

#[test]
fn streams_without_end_are_bounded() {
    let folder = Folder::new();
    let limited = |line: &str| {
        let line = format!("exec $run $p/{line} < <(exec sleep 60 2>&-)");
        let mut command = shell(&folder, &line);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        while child.try_wait().unwrap().is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let number = line.and_then(|line| line.split_whitespace().next());
            peak = peak.max(number.map_or(0, |number| number.parse().unwrap()));
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        (Ran(child.wait_with_output().unwrap()), peak)
    };
    for name in ["many", "streams"] {
        let (ran, peak) = limited(name);
        assert!(peak < 100 << 10, "{name}: {peak} KiB");
        ran.fails(1, &["more streams than are allowed"]);
    }
    let (ran, peak) = limited("patient");
    ran.prints("");
    assert!(peak < 50 << 10, "{peak} KiB");
}
