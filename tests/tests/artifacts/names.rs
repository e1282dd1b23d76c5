//! Names of functions, whatever they are: a module may give any text as a name.

use cwasm::{Extern, Store};
use cwasm_compiler::{Emit, Options, compile_with};
use cwasm_format::header::SectionId;
use cwasm_format::{Artifact, names};
use cwasm_tests::artifact::Workshop;
use cwasm_tests::random::Random;
use object::{Object as _, ObjectSymbol as _};
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, NameMap, NameSection,
    TypeSection,
};

/// A module with a function of each name, exported by its name and number, that traps.
fn module(odd_names: &[String]) -> Vec<u8> {
    let (mut types, mut funcs) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    let mut map = NameMap::new();
    types.ty().function([], []);
    for (index, name) in (0..).zip(odd_names) {
        funcs.function(0);
        let mut body = Function::new([]);
        body.instructions().unreachable().end();
        code.function(&body);
        map.append(index, name);
        exports.export(&format!("{name}{index}"), ExportKind::Func, index);
    }
    let mut section = NameSection::new();
    section.functions(&map);
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&funcs).section(&exports);
    module.section(&code).section(&section);
    module.finish()
}

/// Names that somebody may think of, and random ones.
fn odd_names() -> Vec<String> {
    let mut found: Vec<String> = [
        "",
        "a\0b",
        "\0",
        "\n",
        "a\r\nb",
        "\u{1b}[31mred",
        "größe",
        "\u{202e}abc",
        "\u{7f}\u{9b}",
        "same",
        "same",
        "thunk[same]",
        "core[0].func[0]",
        "init",
        "a b",
        "#1",
        "%s%n",
        "🦀",
        ".text",
        "cwasm_data",
    ]
    .map(str::to_owned)
    .to_vec();
    found.push("long".repeat(20_000));
    found.push("é".repeat(999));
    let mut random = Random::new(2);
    for _ in 0..200 {
        let chars = (0..random.below(12)).map(|_| match random.below(3) {
            0 => char::from(random.below(0x20) as u8),
            1 => char::from(random.below(0x80) as u8),
            _ => char::from_u32(random.below(0x11_0000) as u32).unwrap_or('x'),
        });
        found.push(chars.collect());
    }
    found
}

fn options() -> Options {
    Options {
        debug: cwasm_compiler::Debug::Inside,
        ..Options::default()
    }
}

#[test]
fn any_name_is_a_name_in_backtraces_and_lookups() {
    let odd = odd_names();
    let workshop = Workshop::new();
    let bytes = workshop.compile(&module(&odd)).unwrap();
    let artifact = Artifact::inspect(&bytes).unwrap();
    for (index, name) in (0..).zip(&odd) {
        let found = names::lookup(artifact.section(SectionId::Names), index);
        assert_eq!(found, Some(&**name).filter(|name| !name.is_empty()));
    }
    let module = workshop.map_module(&bytes).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    for (index, name) in odd.iter().enumerate() {
        let instance = module.instantiate(&mut store, &[]).unwrap();
        let found = instance.get(&store, &format!("{name}{index}")).unwrap();
        let Some(Extern::Func(func)) = found else {
            panic!("{found:?}");
        };
        let error = func.call(&mut store, &[]).unwrap_err();
        let frames = error.trap().unwrap().frames();
        let expected = Some(&**name).filter(|name| !name.is_empty());
        assert_eq!(frames[0].name.as_deref(), expected);
    }
}

#[test]
fn backtraces_have_names_as_people_write_them_and_symbols_as_toolchains_do() {
    let functions = [
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_ZN3foo3bar17h0123456789abcdefE", "foo::bar"),
        (
            "_ZN5shape4areaERKNS_6SquareE",
            "shape::area(shape::Square const&)",
        ),
    ];
    let wasm = module(&functions.map(|(name, _)| name.to_owned()));
    let workshop = Workshop::new();
    let bytes = workshop.compile(&wasm).unwrap();
    let artifact = Artifact::inspect(&bytes).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols: Vec<_> = file
        .symbols()
        .filter_map(|symbol| symbol.name().ok())
        .collect();
    for (index, (name, decoded)) in (0..).zip(functions) {
        let found = names::lookup(artifact.section(SectionId::Names), index);
        assert_eq!(found, Some(decoded));
        assert!(symbols.contains(&name), "{name}");
    }
}

#[test]
fn symbols_are_one_line_each_and_not_too_long() {
    let odd = odd_names();
    let wasm = module(&odd);
    for emit in [Emit::Artifact, Emit::Object] {
        let bytes = compile_with(&wasm, &options(), emit, &|_| {})
            .unwrap()
            .bytes;
        let file = object::File::parse(&*bytes).unwrap();
        let symbols: Vec<String> = file
            .symbols()
            .filter(|symbol| symbol.kind() == object::SymbolKind::Text)
            .map(|symbol| symbol.name().unwrap().to_owned())
            .collect();
        assert!(symbols.len() > odd.len(), "{} symbols", symbols.len());
        for symbol in &symbols {
            assert!(!symbol.is_empty() && symbol.len() < 1100);
            assert!(!symbol.chars().any(char::is_control), "{symbol:?}");
        }
        let plain = |name: &str| name.chars().all(|char| !char.is_control());
        for name in odd.iter().filter(|name| plain(name) && name.len() < 900) {
            let is_found = |symbol: &&String| symbol.starts_with(&**name);
            assert!(symbols.iter().any(|symbol| is_found(&symbol)), "{name}");
        }
    }
}

#[test]
fn equal_names_of_many_instances_are_there_once() {
    let name = "n".repeat(50_000);
    let instances = "(core instance (instantiate $m))".repeat(500);
    let text = format!("(component (core module $m (func (@name \"{name}\"))) {instances})");
    let wasm = wat::parse_str(text).unwrap();
    let output = compile_with(&wasm, &options(), Emit::Artifact, &|_| {}).unwrap();
    assert!(output.bytes.len() < 2 << 20, "{} bytes", output.bytes.len());
}
