//! `--profile`.

use std::fs;

use crate::support::{Folder, TRAPPED, cwasm};

/// Two functions that do the same, seven and three times as often; and one that traps.
const SPLIT: &str = r#"
(component
  (core module $m
    (func $seventy (param $n i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (local.get $n)))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))
    (func $thirty (param $n i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (local.get $n)))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))
    (func $split (export "split") (param $rounds i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x (i32.add (local.get $x) (call $seventy (i32.const 70000000))))
        (local.set $x (i32.add (local.get $x) (call $thirty (i32.const 30000000))))
        (br_if $next (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
      (local.get $x))
    (func (export "traps") (drop (call $split (i32.const 2))) unreachable))
  (core instance $i (instantiate $m))
  (func (export "split") (param "rounds" u32) (result u32) (canon lift (core func $i "split")))
  (func (export "traps") (canon lift (core func $i "traps"))))
"#;

/// The part of all time in stacks that end so.
fn share(folded: &str, end: &str) -> f64 {
    let lines = folded.lines().map(|line| line.rsplit_once(' ').unwrap());
    let (mut part, mut all) = (0.0, 0.0);
    for (stack, micros) in lines {
        let micros: f64 = micros.parse().unwrap();
        all += micros;
        if stack.ends_with(end) {
            part += micros;
        }
    }
    part / all
}

#[test]
fn a_profile_says_where_time_was_spent() {
    let folder = Folder::new();
    let guest = folder.file("split.wat", SPLIT);
    let profile = folder.path("split.folded");
    let ran = cwasm(&["run", &guest, "--profile", &profile, "--invoke", "split(8)"]);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    assert!(
        ran.stderr().contains("of CPU time in guests"),
        "{}",
        ran.stderr()
    );
    let folded = fs::read_to_string(profile).unwrap();
    assert!(
        (share(&folded, "split;seventy") - 0.7).abs() < 0.05,
        "{folded}"
    );
    assert!(
        (share(&folded, "split;thirty") - 0.3).abs() < 0.05,
        "{folded}"
    );
}

#[test]
fn guests_that_fail_have_profiles() {
    let folder = Folder::new();
    let guest = folder.file("split.wat", SPLIT);
    for (extension, expected) in [("svg", "<svg"), ("html", "<!DOCTYPE"), ("json", "{\"")] {
        let profile = folder.path(&format!("split.{extension}"));
        let args = ["run", &guest, "--profile", &profile, "--invoke", "traps()"];
        cwasm(&args).fails(TRAPPED, &["wasm trap: unreachable", "in guests"]);
        let text = fs::read_to_string(profile).unwrap();
        assert!(
            text.starts_with(expected) && text.contains("seventy"),
            "{text}"
        );
    }
    let profile = folder.path("timeout.folded");
    let limits = [
        "--timeout",
        "1s",
        "--profile-interval",
        "2ms",
        "--profile-clock",
        "wall",
    ];
    let args = [
        "run",
        &guest,
        "--profile",
        &profile,
        "--invoke",
        "split(100000)",
    ];
    cwasm(&[&args[..], &limits].concat()).fails(124, &["--timeout"]);
    let folded = fs::read_to_string(profile).unwrap();
    assert!(share(&folded, "split;seventy") > 0.5, "{folded}");
}

#[test]
fn wrong_options_are_refused() {
    let folder = Folder::new();
    let guest = folder.file("split.wat", SPLIT);
    let run = |args: &[&str]| cwasm(&[&["run", &guest, "--invoke", "split(1)"], args].concat());
    run(&["--profile", "a.txt"]).fails(
        2,
        &["expected a file that ends in .json, .svg, .html, .folded"],
    );
    run(&["--profile-interval", "1ms"]).fails(2, &["--profile <FILE>"]);
    let missing = folder.path("missing/a.svg");
    run(&["--profile", &missing]).fails(1, &["cannot write", "(--profile)", "No such file"]);
    let profile = folder.path("a.svg");
    run(&["--profile", &profile, "--profile-interval", "0.01ms"]).fails(
        1,
        &["the interval of a profile is 10µs, expected at least 100µs"],
    );
}
