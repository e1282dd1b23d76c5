//! `cwasm inspect --sizes`.

use std::collections::HashMap;
use std::fs;

use object::{Object as _, ObjectSymbol as _};
use serde_json::Value;

use crate::programs::guest;
use crate::support::{Folder, cwasm, greet};

/// The report of a file, whose sums are checked.
fn sizes(file: &str, options: &[&str]) -> Value {
    let args = [&["inspect", file, "--sizes", "--json"], options].concat();
    let ran = cwasm(&args);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    let report: Value = serde_json::from_str(ran.stdout()).unwrap();
    let size = report["size"].as_u64().unwrap();
    let rows = [list(&report["functions"]), list(&report["parts"])].concat();
    let mut uses: HashMap<&str, u64> = HashMap::new();
    for row in &rows {
        let bytes = row["bytes"].as_object().unwrap();
        assert_eq!(
            bytes.values().map(number).sum::<u64>(),
            number(&row["total"]),
            "{row}"
        );
        for (used, bytes) in bytes {
            *uses.entry(used).or_default() += number(bytes);
        }
    }
    assert_eq!(uses.values().sum::<u64>(), size, "{file}");
    let all = report["uses"].as_object().unwrap();
    let all = all
        .iter()
        .map(|(used, bytes)| (used.as_str(), number(bytes)));
    assert_eq!(all.collect::<HashMap<_, _>>(), uses);
    report
}

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The row of this name.
fn row<'r>(rows: &'r Value, name: &str) -> &'r Value {
    let found = list(rows).iter().find(|row| row["name"] == name);
    found.unwrap_or_else(|| panic!("no `{name}` in {rows:#}"))
}

/// An artifact with names.
fn debug(folder: &Folder, input: &str) -> String {
    let artifact = folder.path("debug.cwasm");
    cwasm(&["compile", input, "--debug", "-o", &artifact]).prints("");
    artifact
}

/// Two components, each with two modules, of which one has exceptions; a core module is exported.
const NESTED: &str = r#"(component
  (component $adder
    (core module $math
      (memory 1)
      (data (i32.const 0) "0123456789abcdef")
      (func $"math::add::<u8>" (export "add") (param i32 i32) (result i32)
        (i32.add (i32.load (local.get 0)) (local.get 1)))
      (func $"math::add::<u16>" (export "more") (param i32 i32) (result i32)
        (i32.add (i32.load (local.get 0)) (i32.mul (local.get 1) (local.get 1)))))
    (core instance $i (instantiate $math))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32)
      (canon lift (core func $i "add")))
    (func (export "more") (param "a" u32) (param "b" u32) (result u32)
      (canon lift (core func $i "more"))))
  (instance $a (instantiate $adder))
  (core module $thrower
    (tag $t (param i32))
    (func $throws (param i32) (throw $t (local.get 0)))
    (func $catches (export "catches") (param i32) (result i32)
      (block $h (result i32)
        (try_table (catch $t $h) (call $throws (local.get 0)) (call $throws (i32.const 1)))
        (i32.const 7))))
  (core instance $t (instantiate $thrower))
  (core module $plain (func $shared (export "f") (result i32) (i32.const 1)))
  (export "plain" (core module $plain))
  (export "again" (core module $plain))
  (func (export "catches") (param "a" u32) (result u32) (canon lift (core func $t "catches")))
  (export "adder" (instance $a)))"#;

#[test]
fn all_bytes_are_accounted_for() {
    let folder = Folder::new();
    let nested = folder.file("nested.wat", NESTED);
    let module = folder.file("module.wat", r#"(module (func (export "f")) (memory 1))"#);
    let empty = folder.file("empty.wat", "(component)");
    let inputs = [
        greet().to_str().unwrap().to_owned(),
        guest("tool.wasm").to_str().unwrap().to_owned(),
        guest("exceptions/throw.wasm").to_str().unwrap().to_owned(),
        nested,
        module,
        empty,
    ];
    for input in inputs {
        for options in [&[][..], &["--debug"], &["--debug", "-O", "none"]] {
            let artifact = folder.path("out.cwasm");
            let args = [&["compile", &*input, "-o", &*artifact], options].concat();
            cwasm(&args).prints("");
            let report = sizes(&artifact, &[]);
            assert_eq!(
                number(&report["size"]),
                fs::metadata(&artifact).unwrap().len()
            );
            let notes = list(&report["notes"]).len();
            assert_eq!(
                notes,
                usize::from(options.is_empty()),
                "{}",
                report["notes"]
            );
            let merged = sizes(&artifact, &["--merge-generics"]);
            assert_eq!(report["uses"], merged["uses"]);
            if options.is_empty() {
                // What has no name is no instance of anything.
                let count = |report: &Value| list(&report["functions"]).len();
                assert_eq!(count(&report), count(&merged));
            }
        }
        // A component is compiled.
        let report = sizes(&input, &[]);
        assert!(
            report["notes"][0].as_str().unwrap().contains("compiled"),
            "{report}"
        );
    }
}

#[test]
fn code_is_that_of_symbols() {
    let folder = Folder::new();
    let artifact = debug(&folder, greet().to_str().unwrap());
    let bytes = fs::read(&artifact).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let mut symbols: Vec<u64> = file.symbols().map(|symbol| symbol.size()).collect();
    symbols.sort_unstable();
    let report = sizes(&artifact, &[]);
    let functions = list(&report["functions"]).iter();
    let mut code: Vec<u64> = functions.map(|row| number(&row["bytes"]["code"])).collect();
    code.sort_unstable();
    assert_eq!(code, symbols);
    // Without symbols, code ends where padding begins.
    let plain = sizes(&folder.compiled(), &[]);
    assert_eq!(report["uses"]["code"], plain["uses"]["code"]);
    assert_eq!(report["uses"]["tables"], plain["uses"]["tables"]);
    assert_eq!(plain["uses"].get("debug"), None);
}

#[test]
fn debug_information_is_told_apart() {
    let folder = Folder::new();
    let input = guest("debug/places-c.wasm");
    let input = input.to_str().unwrap();
    let artifact = folder.path("dwarf.cwasm");
    cwasm(&["compile", input, "--debug", "--dwarf", "-o", &artifact]).prints("");
    let dwarf = sizes(&artifact, &[]);
    let lines = sizes(&debug(&folder, input), &[]);
    for (report, name, is_there) in [
        (&dwarf, ".cwasm.lines", true),
        (&dwarf, ".debug_info", true),
        (&lines, ".cwasm.lines", true),
        (&lines, ".debug_info", false),
    ] {
        let mut parts = list(&report["parts"]).iter();
        let part = parts.find(|part| part["name"] == name);
        assert_eq!(part.is_some(), is_there, "{name} in {report:#}");
        if let Some(part) = part {
            assert!(number(&part["bytes"]["debug"]) > 100, "{part}");
        }
    }
    // The page at which code starts, and words that start where words do.
    let padding = |report: &Value| number(&report["uses"]["padding"]);
    assert!(padding(&dwarf) < padding(&lines) + 200, "{dwarf:#}");
}

#[test]
fn functions_belong_to_crates() {
    let folder = Folder::new();
    let report = sizes(&debug(&folder, greet().to_str().unwrap()), &[]);
    let splash = list(&report["functions"])
        .iter()
        .find(|row| row["name"].as_str().unwrap().contains("splash"))
        .unwrap();
    assert_eq!(
        (&splash["namespace"], &splash["kind"]),
        (&"greet".into(), &"core".into())
    );
    assert_eq!(splash["module"], "main", "{splash}");
    let namespaces = list(&report["namespaces"]);
    let totals = namespaces.iter().map(|group| number(&group["total"]));
    assert!(totals.rev().is_sorted(), "{namespaces:#?}");
    for name in [
        "greet",
        "core",
        "alloc",
        "[thunks]",
        "[builtins]",
        "[no namespace]",
    ] {
        assert!(number(&row(&report["namespaces"], name)["functions"]) > 0);
    }
    let all = namespaces.iter().map(|group| number(&group["functions"]));
    assert_eq!(all.sum::<u64>(), list(&report["functions"]).len() as u64);
}

#[test]
fn components_and_modules_have_names() {
    let folder = Folder::new();
    let report = sizes(&debug(&folder, &folder.file("nested.wat", NESTED)), &[]);
    let math = row(&report["modules"], "math");
    assert_eq!(math["component"], "adder");
    assert!(number(&math["bytes"]["images"]) >= 16, "{math}");
    assert_eq!(number(&math["functions"]), 2);
    assert_eq!(number(&row(&report["modules"], "thrower")["functions"]), 2);
    let image = row(&report["parts"], "image of memory 0");
    assert_eq!(
        (&image["component"], &image["module"]),
        (&"adder".into(), &"math".into())
    );
    // Two exports of one module.
    let exported: Vec<_> = list(&report["modules"])
        .iter()
        .filter(|group| group["name"].as_str().unwrap().starts_with("export "))
        .collect();
    assert_eq!(exported.len(), 1, "{exported:?}");
    let shared = row(&report["functions"], "shared");
    assert_eq!(shared["module"], exported[0]["name"]);
    // Handlers, their calls, and the record of the function.
    let catches = row(&report["functions"], "catches");
    let plain = row(&report["functions"], "throws");
    let tables = |row: &Value| number(&row["bytes"]["tables"]);
    assert!(tables(catches) >= 12 + 2 * 8 + 16 + 8, "{catches}");
    assert!(tables(plain) < tables(catches), "{plain}");
}

#[test]
fn generics_are_merged_on_request() {
    let folder = Folder::new();
    let artifact = debug(&folder, &folder.file("nested.wat", NESTED));
    let apart = sizes(&artifact, &[]);
    let merged = sizes(&artifact, &["--merge-generics"]);
    let both = row(&merged["functions"], "math::add");
    assert_eq!(number(&both["functions"]), 2);
    assert_eq!(both.get("place"), None, "{both}");
    let parts = ["math::add::<u8>", "math::add::<u16>"].map(|name| row(&apart["functions"], name));
    let sum = parts.iter().map(|row| number(&row["total"])).sum::<u64>();
    assert_eq!(number(&both["total"]), sum);
    assert_eq!(
        row(&merged["namespaces"], "math"),
        row(&apart["namespaces"], "math")
    );
    cwasm(&["inspect", &artifact, "--merge-generics"]).fails(2, &["--sizes"]);
}

#[test]
fn tables_are_for_people() {
    let folder = Folder::new();
    let artifact = debug(&folder, greet().to_str().unwrap());
    let ran = cwasm(&["inspect", &artifact, "--sizes", "--top", "5"]);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    for part in [
        "bytes\n",
        "what for",
        "code",
        "images",
        "core module",
        "main",
        "crate or namespace",
        "function",
        "more (--top)",
        "other parts",
        "ELF section headers",
    ] {
        assert!(
            ran.stdout().contains(part),
            "no `{part}` in {}",
            ran.stdout()
        );
    }
    assert!(ran.stdout().lines().count() < 60, "{}", ran.stdout());
}

#[test]
fn the_page_needs_nothing_else() {
    let folder = Folder::new();
    let text = r#"(component
      (core module $"</script><b>" (func $"</script><script>x\1b::<!--" (export "f")))
      (core instance $i (instantiate $"</script><b>"))
      (func (export "f") (canon lift (core func $i "f"))))"#;
    let (input, page) = (folder.file("page.wat", text), folder.path("page.html"));
    let ran = cwasm(&["inspect", &input, "--sizes", "--html", &page]);
    assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
    let page = fs::read_to_string(page).unwrap();
    for address in [
        "http://", "https://", " src=", "href=", "url(", "@import", "<b>", "\u{1b}",
    ] {
        assert!(!page.contains(address), "{address}");
    }
    // The data, and the script that draws it.
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script").count(), 2);
    let json = page.split("application/json\">").nth(1).unwrap();
    let json: Value = serde_json::from_str(json.split("</script>").next().unwrap()).unwrap();
    fn total(area: &Value) -> u64 {
        let own = list(&area["v"]).iter().map(|used| number(&used[1]));
        own.chain(list(&area["c"]).iter().map(total)).sum()
    }
    assert_eq!(total(&json), number(&sizes(&input, &[])["size"]));
    let missing = folder.path("no/such/page.html");
    cwasm(&["inspect", &input, "--sizes", "--html", &missing]).fails(1, &["--html", "page.html"]);
}

/// Damaged files are errors, or their bytes are accounted for all the same.
#[test]
fn damaged_artifacts_do_no_harm() {
    let folder = Folder::new();
    let artifact = debug(&folder, &folder.file("nested.wat", NESTED));
    let sound = fs::read(&artifact).unwrap();
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let mut readable = 0;
    for round in 0..150 {
        let mut bytes = sound.clone();
        // Not in the header, whose checksum would be wrong. Pages of zeros say nothing.
        for _ in 0..200 {
            let at = 0x500 + random(bytes.len() - 0x500);
            let at = if random(2) == 0 {
                at
            } else {
                0x500 + random(0x1200)
            };
            let at = if round % 3 == 0 {
                bytes.len() - 1 - random(0x1800)
            } else {
                at
            };
            bytes[at] = [0, 1, 0x7f, 0x80, 0xff, random(256) as u8][random(6)];
        }
        let file = folder.file("damaged.cwasm", &bytes);
        let ran = cwasm(&["inspect", &file, "--sizes", "--json"]);
        match ran.0.status.code() {
            Some(0) => {
                readable += 1;
                assert_eq!(number(&sizes(&file, &[])["size"]), bytes.len() as u64);
            }
            Some(1) => assert!(ran.stderr().starts_with("error: "), "{}", ran.stderr()),
            code => panic!("{code:?}: {}", ran.stderr()),
        }
    }
    assert!(readable > 100, "only {readable} can be read");
    for len in [0, 3, 64, 0x600, sound.len() - 1] {
        let file = folder.file("short.cwasm", &sound[..len]);
        cwasm(&["inspect", &file, "--sizes"]).fails(1, &[]);
    }
}

#[test]
fn names_are_shown_safely() {
    let folder = Folder::new();
    let text = r#"(module $"\1b[2J" (func $"\1b[2J\0a::f\e2\80\ae" (export "f")))"#;
    let file = folder.file("names.wat", text);
    for options in [&[][..], &["--json"]] {
        let ran = cwasm(&[&["inspect", &*file, "--sizes"], options].concat());
        assert_eq!(ran.0.status.code(), Some(0), "{}", ran.stderr());
        let control = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!ran.stdout().contains(control), "{:?}", ran.stdout());
        assert!(ran.stdout().contains("[2J"), "{}", ran.stdout());
    }
}
