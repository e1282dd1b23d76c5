//! `cwasm bench`. Figures are those of the machine: only their order is known.

use serde_json::Value;

use crate::programs::guest;
use crate::support::{Folder, Ran, TRAPPED, cwasm, greet};

/// Enough to see all of it.
const SHORT: [&str; 4] = ["--runs", "5", "--budget", "1s"];

fn bench(args: &[&str]) -> Ran {
    cwasm(&[&["bench"], &SHORT[..], args].concat())
}

fn json(args: &[&str]) -> Value {
    let ran = bench(&[&["--json"], args].concat());
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    serde_json::from_str(ran.stdout()).unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The names of a report's phases, by the kind of runs.
fn phases(report: &Value) -> Vec<(&str, Vec<&str>)> {
    let series = list(&report["series"]).iter();
    let series = series.map(|series| {
        let phases = list(&series["phases"]).iter();
        let names = phases.map(|phase| phase["phase"].as_str().unwrap());
        (series["kind"].as_str().unwrap(), names.collect())
    });
    series.collect()
}

const WHOLE: [&str; 8] = [
    "map",
    "link",
    "instantiate",
    "first-call",
    "later-call",
    "drop",
    "unmap",
    "process",
];

#[test]
fn bench_measures_all_phases() {
    let document = json(&[greet().to_str().unwrap(), "--invoke", "greet(\"world\")"]);
    let [report] = list(&document["reports"]) else {
        panic!("{document}");
    };
    assert_eq!(
        phases(report),
        [
            ("fresh", WHOLE.to_vec()),
            ("cold", WHOLE.to_vec()),
            ("warm", WHOLE[..7].to_vec()),
            ("reread", WHOLE[..7].to_vec()),
            ("again", WHOLE[2..6].to_vec()),
        ]
    );
    assert!(report["compile_ms"].as_f64().unwrap() > 0.0, "{report}");
    assert_eq!(report["call"], "greet(\"world\")");
    for series in list(&report["series"]) {
        for phase in list(&series["phases"]) {
            let figures = ["min", "p50", "p90", "p99", "max"].map(|name| phase[name].as_f64());
            assert!(figures.is_sorted() && figures[0] > Some(0.0), "{phase}");
            let samples = list(&phase["samples"]).len();
            assert_eq!(Some(samples as u64), series["runs"].as_u64(), "{phase}");
            let is_counted = phase["minor_faults"].is_number();
            assert_eq!(is_counted, phase["phase"] != "process", "{phase}");
        }
    }
    let rates = list(&report["rates"]);
    assert_eq!(rates[0]["threads"], 1);
    for rate in rates {
        assert!(rate["per_second"].as_f64().unwrap() > 0.0, "{rate}");
        assert!(rate["made"].as_u64().unwrap() + rate["reused"].as_u64().unwrap() >= 5);
    }
    let memory = &report["memory"];
    assert!(
        memory["resident"].as_f64() >= memory["private"].as_f64(),
        "{memory}"
    );
    assert!(memory["private"].as_f64().unwrap() >= 4096.0, "{memory}");
}

#[test]
fn bench_without_a_call_makes_instances() {
    let ran = bench(&[greet().to_str().unwrap()]);
    assert!(
        ran.stdout().contains("calls nothing (no --invoke"),
        "{}",
        ran.stdout()
    );
    assert!(!ran.stdout().contains("first call"), "{}", ran.stdout());
}

#[test]
fn bench_runs_programs_once_in_each_instance() {
    let document = json(&[guest("tool.wasm").to_str().unwrap(), "--", "hello"]);
    let report = &document["reports"][0];
    let (_, fresh) = &phases(report)[0];
    assert!(
        fresh.contains(&"first-call") && !fresh.contains(&"later-call"),
        "{fresh:?}"
    );
    assert_eq!(report["error"], Value::Null);
}

#[test]
fn bench_compares_files_and_earlier_runs() {
    let folder = Folder::new();
    let (first, second) = (folder.compiled(), folder.path("second.cwasm"));
    let options = ["-O", "none", "-o", &second];
    cwasm(&[&["compile", &folder.greet()], &options[..]].concat()).prints("");
    let call = ["--invoke", "fib(18)"];
    let document = json(&[&[&*first, &*second], &call[..]].concat());
    let ratios = list(&document["comparison"]);
    let later = ratios
        .iter()
        .find(|ratio| ratio["what"] == serde_json::json!({ "time": ["warm", "later-call"] }));
    let figure = |name: &str| later.unwrap()[name].as_f64().unwrap();
    assert!(
        figure("low") <= figure("ratio") && figure("ratio") <= figure("high"),
        "{later:?}"
    );
    assert!(
        figure("ratio") > 1.0,
        "unoptimised code is as fast: {later:?}"
    );

    let earlier = json(&[&[&*first], &call[..]].concat());
    let earlier = folder.file("earlier.json", earlier.to_string());
    let ran = bench(&[&[&*earlier, &*second], &call[..]].concat());
    for part in ["second.cwasm \u{f7} ", "compared with an earlier run"] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in {}",
            ran.stdout()
        );
    }
    // Nothing is measured.
    let ran = cwasm(&["bench", &earlier, &earlier]);
    assert!(ran.stdout().contains("1.00 [1.00, 1.00]") || ran.stdout().contains("\u{f7}"));
    let both = folder.file("both.json", document.to_string());
    cwasm(&["bench", &both]).fails(1, &["reports of 2 files"]);
    let other = folder.file("other.json", "{}");
    cwasm(&["bench", &other]).fails(1, &["other.json", "expected what `cwasm bench --json`"]);
}

#[test]
fn bench_ends_with_a_trap_as_run_does() {
    let file = greet();
    let file = file.to_str().unwrap();
    let ran = bench(&[file, "--invoke", "fail"]);
    assert_eq!(ran.0.status.code(), Some(TRAPPED));
    let said = ran.stderr();
    let run = cwasm(&["run", file, "--invoke", "fail"]);
    assert_eq!(said, run.stderr());
    for part in ["first call", "it failed: figures end there"] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in {}",
            ran.stdout()
        );
    }
}

#[test]
fn bench_tells_first_what_cannot_be_measured() {
    let file = greet();
    let file = file.to_str().unwrap();
    bench(&[file, "--invoke", "nothing()"]).fails(1, &["greet.wasm", "`nothing`", "`greet`"]);
    bench(&[file, "--invoke", "greet(1)"]).fails(1, &["wrong arguments", "string"]);
    bench(&[file, "--dir", "/nonexistent"]).fails(1, &["--dir"]);
    bench(&["no-such-file"]).fails(1, &["no-such-file"]);
    cwasm(&["bench"]).fails(2, &["FILE"]);
}

#[test]
fn bench_cuts_runs_that_take_too_long() {
    let file = greet();
    let call = [
        "--invoke", "fib(30)", "--runs", "100000", "--budget", "300ms",
    ];
    let ran = cwasm(&[&["bench", file.to_str().unwrap()], &call[..]].concat());
    assert!(
        ran.stdout()
            .contains("of 100000 runs, as there was no more time"),
        "{}",
        ran.stdout()
    );
}

#[test]
fn bench_writes_a_page_that_needs_nothing_else() {
    let folder = Folder::new();
    let (artifact, page) = (folder.compiled(), folder.path("page.html"));
    let options = ["--invoke", "greet(\"<b>\")", "--html", &page];
    let ran = bench(&[&[&*artifact, &*artifact], &options[..]].concat());
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    let page = std::fs::read_to_string(page).unwrap();
    // Ratios, bars of new and old processes, rates, memory; distributions of all phases of a new
    // process, and of those of an instance.
    assert_eq!(page.matches("<svg").count(), 5 + 8 + 4);
    assert_eq!(page.matches("</svg>").count(), 5 + 8 + 4);
    for address in [
        "http://", "https://", "src=", "href=", "url(", "@import", "<script",
    ] {
        assert!(!page.contains(address), "{address}");
    }
    assert!(page.contains("greet(&quot;&lt;b&gt;&quot;)") && !page.contains("<b>"));
}
