//! Programs as processes: arguments, environment, exit codes, limits, signals.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;
use rustix::process::{Pid, Signal, kill_process};

use super::{guest, programs, script};
use crate::support::{Folder, TRAPPED, cwasm, greet};

#[test]
fn arguments_are_passed_on() {
    let folder = Folder::new();
    let ran = script(&folder, "$run $tool -- args 'a b' '' -- --dir größe");
    ran.prints("\"args\"\n\"a b\"\n\"\"\n\"--\"\n\"--dir\"\n\"größe\"\n");
    // The program's name is the first; clang's `main` gets it too.
    script(&folder, "$run $tool_c -- what").fails(64, &["what is what?"]);
    script(&folder, "$run --argv0 me $tool_c -- getenv A").prints("(not set)\n");
    // Not UTF-8.
    script(&folder, "$run $tool -- args $'\\xff'").fails(2, &["UTF-8"]);
}

#[test]
fn the_environment_is_what_was_given() {
    let folder = Folder::new();
    script(&folder, "A=1 $run $tool -- env").prints("");
    let given = "A=1 B=2 $run --env A --env B=b --env C= --env D=x=y $tool -- env";
    script(&folder, given).prints("A=1\nB=b\nC=\nD=x=y\n");
    script(&folder, "$run --env A=größe $tool_c -- getenv A").prints("größe\n");
    script(&folder, "$run --env NOT_SET $tool -- env").fails(2, &["no such variable"]);
}

#[test]
fn exit_codes_are_the_programs() {
    let folder = Folder::new();
    for code in [0, 1, 2, 42, 124, 125, 126, 127, 128, 134, 255] {
        for command in ["exit", "exit-now"] {
            let ran = script(&folder, &format!("$run $tool -- {command} {code}; echo $?"));
            assert_eq!(ran.prints(&format!("{code}\n")).stderr(), "", "{command}");
        }
    }
    script(&folder, "$run $client -- random 10").prints("10 bytes\n");
    script(&folder, "$run $client -- nothing").fails(1, &["client: what is [\"nothing\"]?"]);
}

#[test]
fn traps_are_shown() {
    let folder = Folder::new();
    script(&folder, "$run $tool -- panic").fails(TRAPPED, &["as asked", "wasm trap: unreachable"]);
    script(&folder, "$run $tool -- abort").fails(TRAPPED, &["wasm trap: unreachable"]);
    // Compiled by the run itself, there are names.
    let wasm = guest("tool.wasm");
    let wasm = wasm.to_str().unwrap();
    cwasm(&["run", wasm, "--", "abort"]).fails(TRAPPED, &["wasm trap: unreachable"]);
    script(&folder, "$run $tool -- recurse 1000").prints("1000\n");
    script(&folder, "$run $tool -- recurse 100000000").fails(TRAPPED, &["wasm trap"]);
    script(&folder, "$run $tool -- hello").prints("Hello, world!\n");
}

#[test]
fn memory_is_limited() {
    let folder = Folder::new();
    let allocate = |limit: &str| {
        script(
            &folder,
            &format!("$run --max-memory {limit} $tool -- allocate 50000000"),
        )
    };
    allocate("16M").fails(1, &["memory allocation failed"]);
    allocate("64M").prints("50000000\n");
    // Less than it has at first.
    allocate("64K").fails(1, &["memory"]);
}

#[test]
fn time_is_limited() {
    let folder = Folder::new();
    let start = Instant::now();
    for command in ["spin", "sleep 60000", "cat", "yes > /dev/null"] {
        // The input stays open.
        let run = format!("$run --timeout 200ms $tool -- {command} < <(exec sleep 5 2>&-)");
        script(&folder, &run).fails(124, &["has not ended after 200ms (--timeout)"]);
    }
    assert!(start.elapsed() < Duration::from_secs(20), "the limits came");
    script(&folder, "$run --timeout 60s $tool -- sleep 10").prints("true true\n");
}

#[test]
fn signals_end_programs() {
    // What this process ignores, its children ignore as well: with `nohup`, it is `HUP`.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let mut signals = vec![Signal::INT, Signal::TERM, Signal::HUP];
    signals.retain(|signal| ignored >> (signal.as_raw() - 1) & 1 == 0);
    assert!(!signals.is_empty());
    for signal in signals {
        for (program, args) in [
            (&programs().client, &["sleep-forever"][..]),
            (&programs().tool, &["yes"]),
        ] {
            let mut command = Command::new(cargo_bin("cwasm"));
            command.arg("run").arg(program).arg("--").args(args);
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            // It runs, and is in a wait or not.
            let mut output = BufReader::new(child.stdout.take().unwrap());
            output.read_line(&mut String::new()).unwrap();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.signal(), Some(signal.as_raw()), "{args:?}: {status}");
        }
    }
}

#[test]
fn a_program_is_the_same_compiled_before_or_when_it_runs() {
    let folder = Folder::new();
    for (name, args) in [("tool", "args a 'b c'"), ("tool-c", "getenv A")] {
        let wasm = guest(&format!("{name}.wasm"));
        let (wasm, artifact) = (wasm.display(), name.replace('-', "_"));
        let options = "--env A=1 --argv0 x";
        let expected = script(&folder, &format!("$run {options} ${artifact} -- {args}"));
        assert_eq!(expected.stderr(), "");
        for from in [
            format!("$run {options} {wasm} -- {args}"),
            format!("$run {options} - -- {args} < {wasm}"),
            format!("$run {options} - -- {args} < ${artifact}"),
            format!("$run {options} /dev/stdin -- {args} < {wasm}"),
        ] {
            script(&folder, &from).prints(expected.stdout());
        }
    }
}

#[test]
fn functions_of_programs_are_called() {
    let folder = Folder::new();
    let run = "--invoke 'wasi:cli/run@0.2.12#run()'";
    script(&folder, &format!("$run {run} $client -- random 3")).prints("3 bytes\nok\n");
    script(&folder, &format!("$run {run} $tool -- hello")).prints("Hello, world!\nok\n");
    script(&folder, "$run --invoke 'run()' $client -- random 3").prints("3 bytes\nok\n");
    script(&folder, "$run --invoke 'run()' $tool -- exit 3; echo $?").prints("3\n");
    script(&folder, "$run --invoke 'walk()' $tool").fails(1, &["wasi:cli/run@0.2.12#run"]);
}

#[test]
fn what_is_no_program_says_what_it_is() {
    let http = guest("http.wasm");
    let http = http.to_str().unwrap();
    let handle = "wasi:http/incoming-handler@0.2.12#handle: func(";
    cwasm(&["run", http]).fails(1, &["is not a command", "--invoke", handle]);
    let greet = greet();
    let greet = greet.to_str().unwrap();
    let functions = ["greet: func(", "sum: func(", "fib: func("];
    cwasm(&["run", greet]).fails(1, &functions);
}
