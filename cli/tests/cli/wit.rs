//! The WIT that `cwasm inspect` prints is WIT: `wit-parser` reads it, and finds in it what the
//! component has.

use wit_parser::{FunctionKind, Resolve, WorldItem};

use crate::support::{Folder, cwasm, greet};

/// The WIT at the end of what is printed.
fn wit_of(printed: &str) -> &str {
    &printed[printed.find("package ").expect("there is a package")..]
}

/// The output of `inspect` for an artifact, which must be the same for its source.
#[track_caller]
fn inspect(folder: &Folder, text: &str) -> String {
    let file = folder.file("in.wat", text);
    let artifact = folder.path("out.cwasm");
    cwasm(&["compile", &file, "-o", &artifact]).prints("");
    let ran = cwasm(&["inspect", &artifact]);
    let wit = wit_of(ran.stdout()).to_owned();
    let ran = cwasm(&["inspect", &file]);
    assert_eq!(wit_of(ran.stdout()), wit, "{}", ran.stderr());
    wit
}

#[track_caller]
fn parse(wit: &str) -> (Resolve, wit_parser::WorldId) {
    let mut resolve = Resolve {
        all_features: true,
        ..Resolve::default()
    };
    let package = match resolve.push_str("inspect.wit", wit) {
        Ok(package) => package,
        Err(error) => panic!("{error:?}\n{wit}"),
    };
    let world = resolve.packages[package].worlds["root"];
    (resolve, world)
}

/// All that a world has, as lines: `import name`, `export a:b/c@1.0.0#f`.
#[track_caller]
fn contents(wit: &str) -> Vec<String> {
    let (resolve, world) = parse(wit);
    let world = &resolve.worlds[world];
    let mut lines = Vec::new();
    for (word, items) in [("import", &world.imports), ("export", &world.exports)] {
        for (key, item) in items {
            let name = resolve.name_world_key(key);
            match item {
                WorldItem::Interface { id, .. } => {
                    for (func, _) in &resolve.interfaces[*id].functions {
                        lines.push(format!("{word} {name}#{func}"));
                    }
                }
                WorldItem::Function(func) => lines.push(format!("{word} {}", func.name)),
                WorldItem::Type { .. } => {}
            }
        }
    }
    lines
}

#[test]
fn keywords_and_odd_names_are_escaped() {
    let wit = inspect(
        &Folder::new(),
        r#"(component
          (core module $m (func (export "f") (param i32)) (func (export "g")))
          (core instance $i (instantiate $m))
          (type $record' (record (field "func" u8) (field "s8" bool) (field "u-8" bool)))
          (export $record "record" (type $record'))
          (type $enum' (enum "import" "export" "HTTP" "a1-b2" "get" "set"))
          (export $enum "enum" (type $enum'))
          (type $flags' (flags "own" "borrow" "async" "with"))
          (export $flags "flags" (type $flags'))
          (type $variant' (variant (case "string" u8) (case "from")))
          (export $variant "variant" (type $variant'))
          (type $string' (list u8))
          (export $string "string" (type $string'))
          (func $e (param "from" $enum) (canon lift (core func $i "f")))
          (export "list" (func $e))
          (export "type" (func $e))
          (export "u8" (func $e))
          (export "get" (func $e))
          (export "a-1b-C3" (func $e))
          (func $g (canon lift (core func $i "g")))
          (instance $inner (export "world" (func $g)) (export "static" (func $g)))
          (export "interface" (instance $inner))
          (export "test:list/interface@1.0.0" (instance $inner))
          (export "use:package/as" (instance $inner)))"#,
    );
    let found = contents(&wit);
    for expected in [
        "export list",
        "export type",
        "export u8",
        "export get",
        "export a-1b-C3",
        "export interface#world",
        "export interface#static",
        "export test:list/interface@1.0.0#world",
        "export use:package/as#static",
    ] {
        assert!(
            found.iter().any(|line| line == expected),
            "{expected}: {found:?}\n{wit}"
        );
    }
}

const RESOURCES: &str = r#"(component
  (import "test:res/things@0.2.0" (instance $things
    (export "thing" (type $thing (sub resource)))
    (export "[constructor]thing" (func (param "list" string) (result (own $thing))))
    (export "[method]thing.get" (func (param "self" (borrow $thing)) (param "at" u32) (result string)))
    (export "[static]thing.merge"
      (func (param "a" (own $thing)) (param "b" (own $thing)) (result (own $thing))))
    (export "count" (func (param "of" (list (borrow $thing))) (result u32)))))
  (alias export $things "thing" (type $thing))
  (import "test:res/uses@0.2.0" (instance $uses
    (alias outer 1 $thing (type $t))
    (export "t" (type $mine (eq $t)))
    (export "other" (type $other (sub resource)))
    (export "[constructor]other" (func (param "t" (borrow $mine)) (result (own $other))))
    (export "take" (func (param "t" (own $mine)) (result (option (own $other)))))))
  (import "root-thing" (type $root (sub resource)))
  (import "[constructor]root-thing" (func (result (own $root))))
  (import "[method]root-thing.type" (func (param "self" (borrow $root))))
  (import "f" (func (param "x" (own $root)) (param "y" (own $thing))))
  (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (type $cell' (resource (rep i32)))
  (func $new (param "v" u32) (result (own $cell')) (canon lift (core func $i "f")))
  (func $get (param "self" (borrow $cell')) (result u32) (canon lift (core func $i "f")))
  (func $of (param "v" u32) (result (own $cell')) (canon lift (core func $i "f")))
  (component $api
    (import "cell" (type $cell (sub resource)))
    (import "new" (func $new (param "v" u32) (result (own $cell))))
    (import "get" (func $get (param "self" (borrow $cell)) (result u32)))
    (import "of" (func $of (param "v" u32) (result (own $cell))))
    (export $e "cell" (type $cell))
    (export "[constructor]cell" (func $new) (func (param "v" u32) (result (own $e))))
    (export "[method]cell.get" (func $get) (func (param "self" (borrow $e)) (result u32)))
    (export "[static]cell.of" (func $of) (func (param "v" u32) (result (own $e))))
    (export "make" (func $of) (func (param "v" u32) (result (own $e)))))
  (instance $api (instantiate $api (with "cell" (type $cell')) (with "new" (func $new))
    (with "get" (func $get)) (with "of" (func $of))))
  (export "test:res/cells@0.2.0" (instance $api))
  (export "cells" (instance $api)))"#;

#[test]
fn functions_of_resources_are_in_their_blocks() {
    let wit = inspect(&Folder::new(), RESOURCES);
    let (resolve, world) = parse(&wit);
    let find = |name: &str| {
        let items = resolve.worlds[world].imports.iter();
        let mut items = items.chain(&resolve.worlds[world].exports);
        let found = items.find(|(key, _)| resolve.name_world_key(key) == name);
        match found {
            Some((_, WorldItem::Interface { id, .. })) => &resolve.interfaces[*id],
            _ => panic!("no interface {name}\n{wit}"),
        }
    };
    let things = find("test:res/things@0.2.0");
    let kinds: Vec<_> = things.functions.values().map(|func| &func.kind).collect();
    assert!(
        matches!(
            kinds[..],
            [
                FunctionKind::Constructor(_),
                FunctionKind::Method(_),
                FunctionKind::Static(_),
                FunctionKind::Freestanding
            ]
        ),
        "{kinds:?}\n{wit}"
    );
    for cells in ["test:res/cells@0.2.0", "cells"] {
        let names: Vec<_> = find(cells).functions.keys().map(String::as_str).collect();
        for name in [
            "[constructor]cell",
            "[method]cell.get",
            "[static]cell.of",
            "make",
        ] {
            assert!(names.contains(&name), "{cells}: {names:?}\n{wit}");
        }
    }
    assert!(wit.contains("use test:res/things@0.2.0.{"), "{wit}");
    let found = contents(&wit);
    for name in ["[constructor]root-thing", "[method]root-thing.type", "f"] {
        let line = format!("import {name}");
        assert!(found.contains(&line), "{line}: {found:?}\n{wit}");
    }
}

#[test]
fn async_functions_streams_and_futures_are_shown() {
    let wit = inspect(
        &Folder::new(),
        r#"(component
          (import "test:a/b" (instance $b
            (export "cell" (type $cell (sub resource)))
            (export "get" (func async (param "s" (stream u8)) (result (future))))
            (export "[method]cell.read" (func async (param "self" (borrow $cell)) (result u32)))
            (export "[static]cell.wait" (func async))
            (export "plain" (func (param "f" (future string)) (result (stream))))))
          (import "f" (func $f async (param "x" u32)))
          (export "g" (func $f)))"#,
    );
    for line in [
        "    get: async func(s: stream<u8>) -> future;\n",
        "      read: async func() -> u32;\n",
        "      wait: static async func();\n",
        "    plain: func(f: future<string>) -> stream;\n",
        "  import f: async func(x: u32);\n",
        "  export g: async func(x: u32);\n",
    ] {
        assert!(wit.contains(line), "no `{line}` in:\n{wit}");
    }
    let expected = [
        "import f",
        "import test:a/b#[method]cell.read",
        "import test:a/b#[static]cell.wait",
        "import test:a/b#get",
        "import test:a/b#plain",
        "export g",
    ];
    let mut found = contents(&wit);
    found.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected, "{wit}");
}

#[test]
fn labels_versions_and_ids_are_kept() {
    let wit = inspect(
        &Folder::new(),
        r#"(component
          (import "main" (implements "test:db/store@1") (version-suffix ".2.3")
            (external-id "a \22quoted\22 \\ \e2\80\ae \1b \c5\89")
            (instance $main (export "get" (external-id "k") (func (param "key" u32)))))
          (import "spare" (implements "test:db/store@1") (version-suffix ".2.3")
            (instance $spare (export "set" (func (param "key" u32)))))
          (import "test:db/store@2.0.0" (instance (export "get" (func))))
          (import "test:db/store@2.0.1-rc.1+b5" (instance (export "get" (func))))
          (import "test:db/store" (instance (export "get" (func))))
          (import "root:component/taken" (instance (export "get" (func))))
          (import "label" (instance (export "get" (func (param "x" u8)))))
          (export "copy" (implements "test:db/store@1.2.3") (instance $main)))"#,
    );
    let found = contents(&wit);
    for expected in [
        "import main#get",
        "import spare#set",
        "import test:db/store@2.0.0#get",
        "import test:db/store@2.0.1-rc.1+b5#get",
        "import test:db/store#get",
        "import root:component/taken#get",
        "import label#get",
        "export copy#get",
    ] {
        let (word, rest) = expected.split_once(' ').unwrap();
        let found = found
            .iter()
            .any(|line| line == expected || (line.starts_with(word) && line.ends_with(rest)));
        assert!(found, "{expected}: {:?}\n{wit}", contents(&wit));
    }
}

#[test]
fn what_both_sides_have_of_an_interface_is_one() {
    let folder = Folder::new();
    let component = |export: &str| {
        format!(
            r#"(component
              (import "test:a/b@1.0.0" (instance
                (type $p' (record (field "x" u8)))
                (export "p" (type $p (eq $p')))
                (export "p2" (type $p2 (eq $p)))
                (type $p3' (record (field "p" $p)))
                (export "p3" (type $p3 (eq $p3')))
                (export "f" (func (param "p" $p)))
                (export "h" (func (param "p" $p3)))))
              (core module $m (func (export "f") (param i32)))
              (core instance $i (instantiate $m))
              (component $c
                (import "f" (core module $m (export "f" (func (param i32)))))
                (core instance $i (instantiate $m))
                {export})
              (instance $e (instantiate $c (with "f" (core module $m))))
              (export "test:a/b@1.0.0" (instance $e)))"#
        )
    };
    let same = component(
        r#"(type $p' (record (field "x" u8))) (export $p "p" (type $p'))
           (func $f (param "p" $p) (canon lift (core func $i "f")))
           (export "f" (func $f))
           (export "g" (func $f))"#,
    );
    let found = contents(&inspect(&folder, &same));
    assert!(
        found.contains(&"import test:a/b@1.0.0#f".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"export test:a/b@1.0.0#g".to_owned()),
        "{found:?}"
    );
    // Another type of the same name cannot be said in WIT.
    let other = component(
        r#"(func $f (param "p" u16) (canon lift (core func $i "f"))) (export "f" (func $f))"#,
    );
    let wit = inspect(&folder, &other);
    let found = contents(&wit);
    assert!(
        found.contains(&"import test:a/b@1.0.0#f".to_owned()),
        "{found:?}"
    );
    assert!(
        wit.contains("// export test:a/b@1.0.0, which differs"),
        "{wit}"
    );
}

#[test]
fn what_wit_has_no_words_for_is_a_comment() {
    let wit = inspect(
        &Folder::new(),
        r#"(component
          (import "outer" (instance $outer
            (export "inner" (instance (export "deep" (func (param "x" u8)))))
            (export "f" (func))))
          (import "m" (core module $m (export "f" (func (param i32)))))
          (export "m2" (core module $m))
          (export "outer2" (instance $outer)))"#,
    );
    let found = contents(&wit);
    assert_eq!(found, ["import outer#f", "export outer2#f"], "{wit}");
    for part in [
        "// import m: core module",
        "// inner: interface {",
        "//   deep: func(x: u8);",
    ] {
        assert!(wit.contains(part), "no `{part}` in\n{wit}");
    }
}

#[test]
fn types_of_exported_instances_have_names() {
    let wit = inspect(
        &Folder::new(),
        r#"(component
          (core module $m (func (export "f") (param i32 i32) (result i32) (local.get 0))
            (func (export "g") (param i32)))
          (core instance $i (instantiate $m))
          (type $point' (record (field "x" u32) (field "y" u32)))
          (type $kind' (enum "a" "b"))
          (func $f (param "p" $point') (result u32) (canon lift (core func $i "f")))
          (func $g (param "k" $kind') (canon lift (core func $i "g")))
          (component $c
            (type $point'' (record (field "x" u32) (field "y" u32)))
            (import "p" (type $point (eq $point'')))
            (type $kind'' (enum "a" "b"))
            (import "k" (type $kind (eq $kind'')))
            (import "f" (func $f (param "p" $point) (result u32)))
            (import "g" (func $g (param "k" $kind)))
            (export $p "point" (type $point))
            (export $k "list" (type $kind))
            (export "f" (func $f) (func (param "p" $p) (result u32)))
            (export "g" (func $g) (func (param "k" $k))))
          (instance $e (instantiate $c (with "p" (type $point')) (with "k" (type $kind'))
            (with "f" (func $f)) (with "g" (func $g))))
          (export "test:a/b" (instance $e)))"#,
    );
    assert!(wit.contains("record point { x: u32, y: u32 }"), "{wit}");
    assert!(wit.contains("enum %list { a, b }"), "{wit}");
    assert_eq!(
        contents(&wit),
        ["export test:a/b#f", "export test:a/b#g"],
        "{wit}"
    );
}

/// A small component may have a type whose text would be endless.
#[test]
fn large_types_are_named_in_parts() {
    let mut types = String::from("(type $t0 (tuple u8 string))");
    for index in 1..16 {
        types.push_str(&format!(
            "(type $t{index} (tuple $t{} $t{}))",
            index - 1,
            index - 1
        ));
    }
    let text = format!(r#"(component {types} (import "f" (func (param "x" (list $t15)))))"#);
    let wit = inspect(&Folder::new(), &text);
    assert_eq!(contents(&wit), ["import f"]);
    assert!(wit.len() < 10_000, "{}", wit.len());
}

#[test]
fn the_example_is_wit() {
    let ran = cwasm(&["inspect", greet().to_str().unwrap()]);
    let found = contents(wit_of(ran.stdout()));
    for expected in ["import log", "export greet", "export sum"] {
        assert!(found.iter().any(|line| line == expected), "{found:?}");
    }
}
