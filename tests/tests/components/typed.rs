//! Every type through a component and back: a guest passes what it is called with to a host
//! function, and returns what that returns. Export and import are each called typed and
//! dynamically.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use crate::common::types::{core_types, text};
use cwasm::{ComponentNamedList, ComponentType, Lift, Linker, Lower, Store, Val, flags};
use cwasm_format::types::Types;
use cwasm_tests::artifact::Workshop;

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
struct Point {
    x: f32,
    y: f32,
    kind: u8,
}

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
struct Pixel {
    color: u32,
    depth: u16,
    layer: u16,
}

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
struct Nested<T> {
    name: String,
    inner: Option<T>,
    rest: Vec<T>,
}

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
enum Shape {
    Nothing,
    Circle(f64),
    Named(String),
    At(Point),
    Far((u64, f32)),
}

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
enum Color {
    Red,
    Green,
    DarkBlue,
}

flags! {
    Permissions { const READ; const WRITE; const RUN_IT; }
}

flags! {
    Many {
        const A; const B; const C; const D; const E; const F; const G; const H; const I; const J;
        const K; const L; const M; const N; const O; const P; const Q;
    }
}

/// A component that imports `f: func(v: T) -> T` and exports `g`, which calls it. Its memory has
/// addresses of the type `ptr`.
fn component<T: ComponentType>(encoding: &str, ptr: &'static str) -> String {
    let mut types = Types::new();
    let ty = T::describe(&mut types).expect("a type");
    let mut defined = String::new();
    let ty = text(&types, ty, &mut defined);
    let params = core_types(&T::FLAT, ptr).unwrap_or_else(|| ptr.to_owned());
    let count = params.split_whitespace().count();
    let locals: String = (0..count).map(|i| format!("(local.get {i})")).collect();
    let is_flat = T::FLAT.count() <= 1;
    let (import, export, body) = if is_flat {
        let ty = format!("(param {params}) (result {params})");
        (ty.clone(), ty, format!("(call $f {locals})"))
    } else {
        (
            format!("(param {params} {ptr})"),
            format!("(param {params}) (result {ptr})"),
            format!("(call $f {locals} ({ptr}.const 16)) ({ptr}.const 16)"),
        )
    };
    format!(
        r#"(component
          {defined}
          (import "f" (func $f (param "v" {ty}) (result {ty})))
          (core module $libc
            (memory (export "memory") {ptr} 2)
            (global $next (mut {ptr}) ({ptr}.const 4096))
            (func (export "realloc") (param {ptr} {ptr} {ptr} {ptr}) (result {ptr})
              (global.set $next
                ({ptr}.and ({ptr}.add (global.get $next) ({ptr}.const 15)) ({ptr}.const -16)))
              (memory.copy (global.get $next) (local.get 0) (local.get 1))
              (global.get $next)
              (global.set $next ({ptr}.add (global.get $next) (local.get 3)))))
          (core instance $libc (instantiate $libc))
          (core func $f (canon lower (func $f) {encoding}
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
          (core module $m
            (import "" "f" (func $f {import}))
            (func (export "g") {export} {body}))
          (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
          (func (export "g") (param "v" {ty}) (result {ty})
            (canon lift (core func $i "g") {encoding}
              (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"#
    )
}

/// Sends each value through the guest in all ways.
fn matrix<T>(values: Vec<T>)
where
    T: Lower + Lift + Clone + Debug + PartialEq + Send + Sync + 'static,
    (T,): ComponentNamedList,
{
    for (encoding, ptr) in [
        ("string-encoding=utf8", "i32"),
        ("string-encoding=utf16", "i32"),
        ("string-encoding=utf8", "i64"),
        ("string-encoding=latin1+utf16", "i64"),
    ] {
        let workshop = Workshop::new();
        let wat = component::<T>(encoding, ptr);
        let artifact = workshop
            .compile(wat.as_bytes())
            .unwrap_or_else(|error| panic!("{error}\n{wat}"));
        let component = workshop.map_component(&artifact).unwrap();
        let mut linker = Linker::<Arc<Mutex<Vec<T>>>>::new(workshop.engine());
        linker
            .root()
            .func_wrap("f", |cx, (value,): (T,)| {
                cx.data().lock().unwrap().push(value.clone());
                Ok((value,))
            })
            .unwrap();
        let mut dynamic = Linker::<Arc<Mutex<Vec<Val>>>>::new(workshop.engine());
        dynamic
            .root()
            .func_new("f", |cx, _, params, results| {
                cx.data().lock().unwrap().push(params[0].clone());
                results[0] = params[0].clone();
                Ok(())
            })
            .unwrap();

        let mut store = Store::new(workshop.engine(), Arc::default());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let typed = instance
            .get_typed_func::<(T,), (T,)>(&mut store, "g")
            .unwrap();
        let func = instance.get_func(&mut store, "g").unwrap();
        let mut dynamic_store = Store::new(workshop.engine(), Arc::default());
        let instance = dynamic.instantiate(&mut dynamic_store, &component).unwrap();
        let dynamic_typed = instance
            .get_typed_func::<(T,), (T,)>(&mut dynamic_store, "g")
            .unwrap();
        let dynamic_func = instance.get_func(&mut dynamic_store, "g").unwrap();
        for value in &values {
            // Typed export, typed import.
            let (found,) = typed.call(&mut store, (value.clone(),)).unwrap();
            assert_eq!(found, *value);
            assert_eq!(store.data().lock().unwrap().pop().as_ref(), Some(value));
            // Typed export, dynamic import.
            let (found,) = dynamic_typed
                .call(&mut dynamic_store, (value.clone(),))
                .unwrap();
            assert_eq!(found, *value);
            let val = dynamic_store.data().lock().unwrap().pop().unwrap();
            // Dynamic export, typed import.
            let mut results = [Val::Bool(false)];
            func.call(&mut store, std::slice::from_ref(&val), &mut results)
                .unwrap();
            assert_eq!(results[0], val);
            assert_eq!(store.data().lock().unwrap().pop().as_ref(), Some(value));
            // Both dynamic.
            let mut results = [Val::Bool(false)];
            dynamic_func
                .call(&mut dynamic_store, std::slice::from_ref(&val), &mut results)
                .unwrap();
            assert_eq!(results[0], val);
        }
    }
}

#[test]
fn primitive_types() {
    matrix(vec![true, false]);
    matrix(vec![u8::MAX, 1]);
    matrix(vec![i8::MIN, 1]);
    matrix(vec![u16::MAX]);
    matrix(vec![i16::MIN]);
    matrix(vec![u32::MAX]);
    matrix(vec![i32::MIN]);
    matrix(vec![u64::MAX]);
    matrix(vec![i64::MIN]);
    matrix(vec![1.5f32, f32::NEG_INFINITY]);
    matrix(vec![1.5f64, f64::MIN_POSITIVE]);
    matrix(vec!['a', '\u{10ffff}']);
    matrix(vec![String::new(), "größe 😀".to_owned()]);
}

#[test]
fn compound_types() {
    matrix(vec![vec![1u8, 2, 3], vec![]]);
    matrix(vec![vec!["a".to_owned(), "ü☃".to_owned()]]);
    matrix(vec![(1u8, 2u64, "three".to_owned())]);
    matrix(vec![Some(1u8), None]);
    matrix(vec![Some(Some("x".to_owned())), Some(None), None]);
    matrix(vec![Ok::<u32, String>(1), Err("e".to_owned())]);
    matrix(vec![Ok::<(), f32>(()), Err(1.5)]);
    matrix(vec![Ok::<(), ()>(()), Err(())]);
    matrix(vec![vec![(1u16, Some(2.5f64)), (3, None)]]);
}

#[test]
fn arrays_and_maps() {
    matrix(vec![[1u8, 2, 3]]);
    matrix(vec![[0.5f64; 20]]);
    matrix(vec![vec![[1u32, 2], [3, 4]], vec![]]);
    matrix(vec![[Some("a".to_owned()), None]]);
    matrix(vec![[[1u16, 2], [3, 4]], [[5, 6], [7, 8]]]);
    matrix(vec![vec![[(1u8, 2u32), (3, 4)]]]);
    matrix(vec![
        BTreeMap::from([(1u32, 2u8), (3, 4)]),
        BTreeMap::default(),
    ]);
    // Of one pair each: the order of more is another in each map.
    matrix(vec![
        HashMap::from([("ü".to_owned(), vec![1u8])]),
        HashMap::new(),
    ]);
    matrix(vec![(1u8, BTreeMap::from([('x', Some([1u64, 2]))]))]);
}

#[test]
fn records() {
    let point = |x| Point {
        x,
        y: -1.5,
        kind: 7,
    };
    let pixel = Pixel {
        color: 0x0102_0304,
        depth: 5,
        layer: 6,
    };
    matrix(vec![point(0.5)]);
    matrix(vec![vec![point(0.5), point(1.5), point(2.5)]]);
    matrix(vec![pixel.clone()]);
    matrix(vec![vec![pixel; 5]]);
    matrix(vec![
        Nested {
            name: "n".to_owned(),
            inner: Some(point(1.0)),
            rest: vec![point(2.0), point(3.0)],
        },
        Nested {
            name: String::new(),
            inner: None,
            rest: vec![],
        },
    ]);
}

#[test]
fn variants_enums_and_flags() {
    let shapes = vec![
        Shape::Nothing,
        Shape::Circle(2.5),
        Shape::Named("größe".to_owned()),
        Shape::At(Point {
            x: 1.0,
            y: 2.0,
            kind: 3,
        }),
        Shape::Far((u64::MAX, -0.5)),
    ];
    matrix(shapes.clone());
    matrix(vec![shapes]);
    let colors = vec![Color::Red, Color::Green, Color::DarkBlue];
    matrix(colors.clone());
    matrix(vec![colors.clone()]);
    matrix(vec![(colors, Some(Color::Green))]);
    let permissions = vec![
        Permissions::empty(),
        Permissions::READ | Permissions::RUN_IT,
        Permissions::all(),
    ];
    matrix(permissions.clone());
    matrix(vec![permissions]);
    matrix(vec![Many::Q | Many::A, Many::all(), Many::I]);
}

#[test]
fn what_does_not_fit_registers_is_spilled() {
    let shape = |text: &str| Shape::Named(text.to_owned());
    let value = (
        "one".to_owned(),
        2u64,
        vec![3u8],
        shape("four"),
        Some(shape("five")),
        Permissions::WRITE,
        Color::Green,
        8.5f32,
        (9i8, 'x', true),
    );
    matrix(vec![value]);
}
