//! Types that are not the same: an error when a function is looked up or linked, for each of many
//! pairs of types and each direction; and equal hashes exactly where types are equal.
//!
//! A `Resource<R>` stands for `own<R>` and for `borrow<R>`, as it does for those who know other
//! loaders, `Own` and `Borrow` of it for one of the two; which resource it is of is compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::common::types::{core_types, text};
use cwasm::{
    Borrow, ComponentNamedList, ComponentType, Error, Instance, Lift, Linker, Lower, Own, Resource,
    ResourceAny, ResourceType, Store, flags,
};
use cwasm_format::abi::MAX_FLAT_RESULTS;
use cwasm_format::hash::TypeHash;
use cwasm_format::types::{TypeDef, Types, ValueType};
use cwasm_tests::artifact::Workshop;
use cwasm_tests::random::Random;

/// A type written out: equal exactly for types that are.
fn shape(types: &Types, ty: ValueType) -> String {
    let ValueType::Def(id) = ty else {
        return format!("{ty:?}");
    };
    let part = |ty: &ValueType| shape(types, *ty);
    let payload = |ty: &Option<ValueType>| ty.as_ref().map_or("_".to_owned(), part);
    let all = |parts: Vec<String>| parts.join(",");
    match types.def(id) {
        TypeDef::List(element) => format!("list<{}>", part(element)),
        TypeDef::FixedList(element, len) => format!("list<{},{len}>", part(element)),
        TypeDef::Map(entry) => format!("map<{}>", part(entry)),
        TypeDef::Option(some) => format!("option<{}>", part(some)),
        TypeDef::Result { ok, err } => format!("result<{},{}>", payload(ok), payload(err)),
        TypeDef::Tuple(fields) => format!("tuple<{}>", all(fields.iter().map(part).collect())),
        TypeDef::Record(fields) => {
            let fields = fields
                .iter()
                .map(|(name, ty)| format!("{name}:{}", part(ty)));
            format!("record<{}>", all(fields.collect()))
        }
        TypeDef::Variant(cases) => {
            let cases = cases
                .iter()
                .map(|(name, ty)| format!("{name}:{}", payload(ty)));
            format!("variant<{}>", all(cases.collect()))
        }
        TypeDef::Enum(names) => format!("enum<{}>", all(names.clone())),
        TypeDef::Flags(names) => format!("flags<{}>", all(names.clone())),
        TypeDef::Own(_) | TypeDef::Borrow(_) => "handle".to_owned(),
        TypeDef::Stream(some) => format!("stream<{}>", payload(some)),
        TypeDef::Future(some) => format!("future<{}>", payload(some)),
        TypeDef::ErrorContext => "error-context".to_owned(),
    }
}

#[derive(ComponentType, Lower, Lift)]
struct Point {
    x: f32,
    y: f32,
}

/// Another name.
#[derive(ComponentType, Lower, Lift)]
struct PointZ {
    x: f32,
    z: f32,
}

/// Another order.
#[derive(ComponentType, Lower, Lift)]
struct PointSwapped {
    y: f32,
    x: f32,
}

/// Another width.
#[derive(ComponentType, Lower, Lift)]
struct PointWide {
    x: f32,
    y: f64,
}

/// Another arity.
#[derive(ComponentType, Lower, Lift)]
struct Point3 {
    x: f32,
    y: f32,
    z: f32,
}

#[derive(ComponentType, Lower, Lift)]
enum Shape {
    Nothing,
    Circle(f32),
}

#[derive(ComponentType, Lower, Lift)]
enum ShapeSwapped {
    Circle(f32),
    Nothing,
}

#[derive(ComponentType, Lower, Lift)]
enum ShapeFull {
    Nothing(u8),
    Circle(f32),
}

#[derive(ComponentType, Lower, Lift)]
enum Color {
    Red,
    Green,
}

#[derive(ComponentType, Lower, Lift)]
enum ColorSwapped {
    Green,
    Red,
}

/// The names of [`Color`] as cases without payloads.
#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum ColorCases {
    Red,
    Green,
}

flags! {
    Colors { const RED; const GREEN; }
}

flags! {
    ColorsSwapped { const GREEN; const RED; }
}

type LookUp = fn(&Instance, &mut Store<()>) -> [Result<(), Error>; 2];

/// A Rust type with which a function is looked up.
struct Candidate {
    shape: String,
    hash: TypeHash,
    /// The component whose functions have the type.
    component: fn() -> String,
    /// Looks up the exports `p` (with a parameter of the type) and `r` (with such a result).
    exports: LookUp,
    /// Defines the imports `p` and `r`.
    imports: fn(&mut Linker<()>) -> Result<(), Error>,
}

fn exports<T>(instance: &Instance, store: &mut Store<()>) -> [Result<(), Error>; 2]
where
    T: Lower + Lift,
    (T,): ComponentNamedList,
{
    [
        instance
            .get_typed_func::<(T,), ()>(&mut *store, "p")
            .map(drop),
        instance
            .get_typed_func::<(), (T,)>(&mut *store, "r")
            .map(drop),
    ]
}

fn imports<T>(linker: &mut Linker<()>) -> Result<(), Error>
where
    T: Lower + Lift + 'static,
    (T,): ComponentNamedList,
{
    linker.root().func_wrap("p", |_, (_,): (T,)| Ok(()))?;
    linker
        .root()
        .func_wrap("r", |_, (): ()| -> Result<(T,), Error> {
            Err(Error::msg("not called"))
        })
}

fn component<T: ComponentType>() -> String {
    let mut types = Types::new();
    let ty = T::describe(&mut types).expect("a type");
    let mut defined = String::new();
    let ty = text(&types, ty, &mut defined);
    let flat = core_types(&T::FLAT, "i32").unwrap_or_else(|| "i32".to_owned());
    let result = match T::FLAT.count() <= MAX_FLAT_RESULTS {
        true => flat.clone(),
        false => "i32".to_owned(),
    };
    format!(
        r#"(component
          {defined}
          (import "p" (func (param "v" {ty})))
          (import "r" (func (result {ty})))
          (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "p") (param {flat}) unreachable)
            (func (export "r") (result {result}) unreachable))
          (core instance $i (instantiate $m))
          (func (export "p") (param "v" {ty}) (canon lift (core func $i "p")
            (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
          (func (export "r") (result {ty}) (canon lift (core func $i "r")
            (memory (core memory $i "memory")))))"#
    )
}

fn candidate<T>() -> Candidate
where
    T: Lower + Lift + 'static,
    (T,): ComponentNamedList,
{
    let mut types = Types::new();
    let ty = T::describe(&mut types).expect("a type");
    Candidate {
        shape: shape(&types, ty),
        hash: T::HASH,
        component: component::<T>,
        exports: exports::<T>,
        imports: imports::<T>,
    }
}

macro_rules! candidates {
    ($($ty:ty),* $(,)?) => { vec![$(candidate::<$ty>()),*] };
}

#[test]
fn mismatches_are_errors_before_any_call() {
    let candidates = candidates![
        u8, i8, u32, u64, f32, char, bool, String,
        Vec<u8>, Vec<u32>, Vec<Vec<u8>>, Vec<char>, [u8; 4], [u8; 5],
        BTreeMap<u32, u8>, HashMap<u32, u8>, BTreeMap<u8, u32>, Vec<(u32, u8)>,
        Option<u8>, Option<Option<u8>>, Result<u8, ()>, Result<(), u8>, Result<(), ()>,
        (u8,), (u8, u32), (u32, u8), ((u8, u32),),
        Point, PointZ, PointSwapped, PointWide, Point3, (f32, f32), Vec<Point>, Vec<PointZ>,
        Shape, ShapeSwapped, ShapeFull, Color, ColorSwapped, ColorCases, Colors, ColorsSwapped,
        Box<Point>, Option<std::sync::Arc<str>>,
    ];
    let workshop = Workshop::new();
    let mut pairs = 0;
    for expected in &candidates {
        let wat = (expected.component)();
        let artifact = workshop
            .compile(wat.as_bytes())
            .unwrap_or_else(|error| panic!("{error}\n{wat}"));
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::<()>::new(workshop.engine());
        (expected.imports)(&mut linker).unwrap();
        let mut store = Store::new(workshop.engine(), ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        for found in &candidates {
            let same = expected.shape == found.shape;
            assert_eq!(expected.hash == found.hash, same, "{}", found.shape);
            for result in (found.exports)(&instance, &mut store) {
                let error = match (result, same) {
                    (Ok(()), true) => continue,
                    (Err(error), false) => format!("{error:?}"),
                    (result, _) => panic!("{} as {}: {result:?}", expected.shape, found.shape),
                };
                assert!(error.contains("type mismatch: expected `"), "{error}");
                assert!(error.contains(", found `"), "{error}");
            }
            let mut linker = Linker::<()>::new(workshop.engine());
            (found.imports)(&mut linker).unwrap();
            match (linker.instantiate_pre(&component), same) {
                (Ok(_), true) => {}
                (Err(error), false) => {
                    let error = error.to_string();
                    assert!(error.contains("`p`") && error.contains("`r`"), "{error}");
                }
                (result, _) => panic!(
                    "{} given {}: {:?}",
                    expected.shape,
                    found.shape,
                    result.map(drop)
                ),
            }
            pairs += usize::from(!same);
        }
    }
    assert!(pairs >= 1500, "{pairs} pairs");
}

/// A type with handles, as Rust has it.
struct HandleCandidate {
    /// Where the handles are, and which, each a [`Letter`].
    shape: &'static str,
    exports: fn(&Instance, &mut Store<()>) -> Result<(), Error>,
    imports: fn(&mut Linker<()>) -> Result<(), Error>,
}

/// A handle in a shape: what it is in text, if it is of one kind only, and for which of those it
/// stands.
struct Letter(char, Option<&'static str>, &'static str);

const LETTERS: [Letter; 9] = [
    Letter('O', Some("(own $a)"), "O"),
    Letter('P', Some("(own $b)"), "P"),
    Letter('Q', Some("(borrow $a)"), "Q"),
    Letter('R', Some("(borrow $b)"), "R"),
    Letter('A', None, "OQ"),
    Letter('B', None, "PR"),
    Letter('X', None, "OPQR"),
    Letter('Y', None, "OP"),
    Letter('Z', None, "QR"),
];

fn letter(c: char) -> Option<&'static Letter> {
    LETTERS.iter().find(|letter| letter.0 == c)
}

/// Whether a type stands for a type each of whose handles is of one kind.
fn stands_for(found: &str, expected: &str) -> bool {
    found.len() == expected.len()
        && found.chars().zip(expected.chars()).all(|(f, e)| {
            let letter = letter(f);
            letter.map_or(f == e, |letter| letter.2.contains(e))
        })
}

/// The types that a type stands for, each of whose handles is of one kind.
fn concrete(shape: &str) -> Vec<String> {
    let at = shape.find(|c| letter(c).is_some_and(|letter| letter.1.is_none()));
    let Some(at) = at else {
        return vec![shape.to_owned()];
    };
    let kinds = shape[at..].chars().next().and_then(letter).unwrap().2;
    let shapes = kinds.chars().flat_map(|kind| {
        let mut shape = shape.to_owned();
        shape.replace_range(at..=at, kind.encode_utf8(&mut [0]));
        concrete(&shape)
    });
    shapes.collect()
}

fn handle_candidate<T>(shape: &'static str) -> HandleCandidate
where
    T: Lower + Lift + 'static,
    (T,): ComponentNamedList,
{
    HandleCandidate {
        shape,
        exports: |instance, store| {
            instance
                .get_typed_func::<(T,), ()>(&mut *store, "p")
                .map(drop)
        },
        imports: |linker| linker.root().func_wrap("p", |_, (_,): (T,)| Ok(())),
    }
}

#[derive(ComponentType, Lower, Lift)]
struct Held<F, R> {
    first: F,
    rest: R,
}

fn handle_candidates() -> Vec<HandleCandidate> {
    type A = Resource<u8>;
    type B = Resource<u16>;
    type Any = ResourceAny;
    vec![
        handle_candidate::<A>("A"),
        handle_candidate::<B>("B"),
        handle_candidate::<Own<A>>("O"),
        handle_candidate::<Own<B>>("P"),
        handle_candidate::<Borrow<A>>("Q"),
        handle_candidate::<Borrow<B>>("R"),
        handle_candidate::<Any>("X"),
        handle_candidate::<Own<Any>>("Y"),
        handle_candidate::<Borrow<Any>>("Z"),
        handle_candidate::<u32>("u32"),
        handle_candidate::<Vec<A>>("(list A)"),
        handle_candidate::<Vec<B>>("(list B)"),
        handle_candidate::<Vec<Own<A>>>("(list O)"),
        handle_candidate::<Box<[Borrow<A>]>>("(list Q)"),
        handle_candidate::<Vec<Borrow<Any>>>("(list Z)"),
        handle_candidate::<Option<A>>("(option A)"),
        handle_candidate::<Option<Own<A>>>("(option O)"),
        handle_candidate::<Option<Borrow<A>>>("(option Q)"),
        handle_candidate::<Option<Option<A>>>("(option (option A))"),
        handle_candidate::<(A, B)>("(tuple A B)"),
        handle_candidate::<(B, A)>("(tuple B A)"),
        handle_candidate::<(A, A)>("(tuple A A)"),
        handle_candidate::<(Own<A>, Borrow<B>)>("(tuple O R)"),
        handle_candidate::<(Borrow<A>, Own<B>)>("(tuple Q P)"),
        handle_candidate::<(Own<Any>, B)>("(tuple Y B)"),
        handle_candidate::<Result<A, B>>("(result A (error B))"),
        handle_candidate::<Result<B, A>>("(result B (error A))"),
        handle_candidate::<Result<Own<A>, Borrow<B>>>("(result O (error R))"),
        handle_candidate::<(Vec<A>, Option<B>)>("(tuple (list A) (option B))"),
        handle_candidate::<(Vec<Own<A>>, Option<Borrow<B>>)>("(tuple (list O) (option R))"),
        handle_candidate::<Held<A, Vec<B>>>(
            r#"(record (field "first" A) (field "rest" (list B)))"#,
        ),
        handle_candidate::<Held<Own<A>, Vec<Borrow<B>>>>(
            r#"(record (field "first" O) (field "rest" (list R)))"#,
        ),
        handle_candidate::<[A; 2]>("(list A 2)"),
        handle_candidate::<[Borrow<A>; 2]>("(list Q 2)"),
    ]
}

/// A component with an import and an export `p` that take such a type.
fn handle_component(shape: &str) -> String {
    let (mut ty, mut defined) = (shape.to_owned(), String::new());
    for Letter(c, text, _) in LETTERS {
        ty = ty.replace(c, text.unwrap_or("none"));
    }
    if shape.starts_with("(record") {
        // A record has a name.
        defined = format!(r#"(type $r' {ty}) (import "r" (type $r (eq $r')))"#);
        ty = "$r".to_owned();
    }
    format!(
        r#"(component
          (import "a" (type $a (sub resource)))
          (import "b" (type $b (sub resource)))
          {defined}
          (type $t (func (param "v" {ty})))
          (import "p" (func $p (type $t)))
          (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
          (core instance $libc (instantiate $libc))
          (core func $p (canon lower (func $p) (memory (core memory $libc "memory"))))
          (core module $m (import "" "p" (func $p {})) (export "p" (func $p)))
          (core instance $i (instantiate $m (with "" (instance (export "p" (func $p))))))
          (func (export "p") (type $t) (canon lift (core func $i "p")
            (memory (core memory $libc "memory"))
            (realloc (core func $libc "realloc")))))"#,
        flat_handles(shape)
    )
}

#[test]
fn mismatches_of_handles_are_errors_before_any_call() {
    let candidates = handle_candidates();
    let workshop = Workshop::new();
    let resources = |linker: &mut Linker<()>| {
        let mut root = linker.root();
        root.resource("a", ResourceType::host::<u8>(), |_, _| Ok(()))
            .unwrap();
        root.resource("b", ResourceType::host::<u16>(), |_, _| Ok(()))
            .unwrap();
    };
    let shapes = candidates
        .iter()
        .flat_map(|candidate| concrete(candidate.shape));
    let (mut same_pairs, mut pairs) = (0, 0);
    for expected in shapes.collect::<BTreeSet<_>>() {
        let wat = handle_component(&expected);
        let artifact = workshop
            .compile(wat.as_bytes())
            .unwrap_or_else(|error| panic!("{error}\n{wat}"));
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::<()>::new(workshop.engine());
        resources(&mut linker);
        linker.root().func_new("p", |_, _, _, _| Ok(())).unwrap();
        let mut store = Store::new(workshop.engine(), ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        for HandleCandidate {
            shape,
            exports,
            imports,
        } in &candidates
        {
            let same = stands_for(shape, &expected);
            let export = exports(&instance, &mut store);
            assert_eq!(export.is_ok(), same, "{expected} as {shape}: {export:?}");
            let mut linker = Linker::<()>::new(workshop.engine());
            resources(&mut linker);
            imports(&mut linker).unwrap();
            let import = linker.instantiate_pre(&component).map(drop);
            assert_eq!(import.is_ok(), same, "{expected} given {shape}: {import:?}");
            for error in [export, import].into_iter().filter_map(Result::err) {
                let error = format!("{error:?}");
                assert!(error.contains("expected `"), "{error}");
                assert!(error.contains("found "), "{error}");
            }
            same_pairs += usize::from(same);
            pairs += usize::from(!same);
        }
    }
    assert!(pairs >= 1400 && same_pairs >= 70, "{pairs}, {same_pairs}");
}

/// The core parameters of such a type.
fn flat_handles(shape: &str) -> &'static str {
    match shape.split_once(' ').map_or(shape, |(kind, _)| kind) {
        "(list" if shape.ends_with(" 2)") => "(param i32 i32)",
        "(list" | "(result" => "(param i32 i32)",
        "(option" if shape.contains("(option (option") => "(param i32 i32 i32)",
        "(record" => "(param i32 i32 i32)",
        "(option" => "(param i32 i32)",
        "(tuple" if shape.contains("list") => "(param i32 i32 i32 i32)",
        "(tuple" => "(param i32 i32)",
        _ => "(param i32)",
    }
}

/// Adds a type of parts that are in the table.
fn random_type(random: &mut Random, types: &mut Types, known: &[ValueType]) -> ValueType {
    const NAMES: [&str; 6] = ["a", "b", "ab", "a-b", "ba", "c"];
    let part = |random: &mut Random| random.pick(known);
    let payload = |random: &mut Random| (!random.one_in(3)).then(|| random.pick(known));
    let count = 1 + random.below(3);
    let first = random.below(NAMES.len());
    let names = (0..count).map(|index| NAMES[(first + index) % NAMES.len()].to_owned());
    let def = match random.below(10) {
        0 => TypeDef::List(part(random)),
        1 => TypeDef::FixedList(part(random), 1 + random.below(3) as u32),
        2 => return ValueType::Def(types.push_map(part(random), part(random))),
        3 => TypeDef::Option(part(random)),
        4 => TypeDef::Result {
            ok: payload(random),
            err: payload(random),
        },
        5 => TypeDef::Tuple((0..count).map(|_| part(random)).collect()),
        6 => TypeDef::Record(names.map(|name| (name, part(random))).collect()),
        7 => TypeDef::Variant(names.map(|name| (name, payload(random))).collect()),
        8 => TypeDef::Enum(names.collect()),
        _ => TypeDef::Flags(names.collect()),
    };
    ValueType::Def(types.push(def))
}

#[test]
fn hashes_are_equal_where_types_are() {
    let primitives = [
        ValueType::Bool,
        ValueType::U8,
        ValueType::S8,
        ValueType::U32,
        ValueType::F64,
        ValueType::Char,
        ValueType::String,
    ];
    let mut random = Random::new(1);
    let (mut by_shape, mut by_hash) = (HashMap::new(), HashMap::new());
    let mut repeated = 0;
    for _ in 0..4_000 {
        let mut types = Types::new();
        let mut known = primitives.to_vec();
        for _ in 0..6 {
            let ty = random_type(&mut random, &mut types, &known);
            known.push(ty);
            let (shape, hash) = (shape(&types, ty), types.abi(ty).hash);
            let other = by_hash.insert(hash, shape.clone());
            assert!(other.is_none_or(|other| other == shape), "{shape}");
            let other = by_shape.insert(shape.clone(), hash);
            repeated += usize::from(other.is_some());
            assert!(other.is_none_or(|other| other == hash), "{shape}");
        }
    }
    assert!(repeated > 1_000 && by_shape.len() > 5_000);
}
