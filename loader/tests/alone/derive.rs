//! Derived types: their constants are those that the compiler computes. A host needs no `unsafe`
//! for them.
#![forbid(unsafe_code)]

use cwasm::{ComponentType, Lift, Lower, flags};
use cwasm_format::types::Types;

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
#[component(record)]
struct Point {
    x: f32,
    y: f32,
    kind_of_it: u8,
}

#[derive(ComponentType, Lower, Lift, Clone, Copy, Debug, PartialEq)]
#[repr(C)]
struct Pixel {
    #[component(name = "colour")]
    color: u32,
    depth: u16,
    r#type: u16,
}

#[derive(ComponentType, Lower)]
struct Named<'a, T> {
    name: &'a str,
    value: Option<T>,
}

#[derive(ComponentType, Lower, Lift, Clone, Debug, PartialEq)]
#[component(variant)]
enum Shape<T> {
    Nothing,
    #[component(name = "HTTP-circle")]
    Circle(f64),
    Many(Vec<T>),
}

#[derive(ComponentType, Lower, Lift, Clone, Copy, Debug, PartialEq)]
enum Color {
    Red,
    DarkGreen,
}

#[derive(ComponentType, Lower, Lift)]
#[component(variant)]
enum Single {
    OnlyOne,
}

flags! {
    /// Rights to do something.
    pub Permissions {
        const READ;
        #[component(name = "write-it")]
        const WRITE;
        /// Runs it.
        const EXECUTE;
    }
}

flags! {
    Nine { const A; const B; const C; const D; const E; const F; const G; const H; const I; }
}

/// Checks that the derive computes what the compiler computes of the type that it describes.
fn described<T: ComponentType>() -> String {
    let mut types = Types::new();
    let ty = T::describe(&mut types).expect("a type");
    let abi = types.abi(ty);
    assert_eq!(abi.hash, T::HASH);
    assert_eq!(abi.layout, T::LAYOUT);
    assert_eq!(abi.flat, T::FLAT);
    format!("{:?}", types.defs().last().expect("a definition"))
}

#[test]
fn constants_are_the_compilers() {
    assert_eq!(
        described::<Point>(),
        r#"Record([("x", F32), ("y", F32), ("kind-of-it", U8)])"#
    );
    assert_eq!(
        described::<Pixel>(),
        r#"Record([("colour", U32), ("depth", U16), ("type", U16)])"#
    );
    assert_eq!(
        described::<Named<'_, u8>>(),
        r#"Record([("name", String), ("value", Def(TypeId(0)))])"#
    );
    assert_eq!(
        described::<Shape<Point>>(),
        r#"Variant([("nothing", None), ("HTTP-circle", Some(F64)), ("many", Some(Def(TypeId(1))))])"#
    );
    assert_eq!(described::<Color>(), r#"Enum(["red", "dark-green"])"#);
    assert_eq!(described::<Single>(), r#"Variant([("only-one", None)])"#);
    assert_eq!(
        described::<Permissions>(),
        r#"Flags(["read", "write-it", "execute"])"#
    );
    assert_eq!(Nine::LAYOUT.plain().size, 2);
    described::<Nine>();
}

#[test]
fn names_and_kinds_make_types_differ() {
    #[derive(ComponentType)]
    #[component(variant)]
    enum Colors {
        Red,
        DarkGreen,
    }
    assert_ne!(Color::HASH, Colors::HASH);
    let _ = (Colors::Red, Colors::DarkGreen);
    assert_ne!(Shape::<u8>::HASH, Shape::<u16>::HASH);
    assert_ne!(Point::HASH, <(f32, f32, u8)>::HASH);
}

#[test]
fn records_are_copied_where_rust_lays_them_out_as_the_guest() {
    const { assert!(<Pixel as Lower>::IS_CANONICAL && <Pixel as Lift>::IS_CANONICAL) };
    const { assert!(!<Point as Lower>::IS_CANONICAL && !<Point as Lift>::IS_CANONICAL) };
    const { assert!(Named::<u8>::HAS_POINTERS && !Point::HAS_POINTERS && Shape::<u8>::HAS_POINTERS) };
}

#[test]
fn flags_are_sets() {
    let mut both = Permissions::READ | Permissions::WRITE;
    assert!(both.contains(Permissions::READ) && !both.contains(Permissions::all()));
    assert_eq!(both.bits(), 3);
    assert_eq!(!both, Permissions::EXECUTE);
    assert_eq!(
        Permissions::from_bits_truncate(u32::MAX),
        Permissions::all()
    );
    both -= Permissions::READ;
    both.set(Permissions::EXECUTE, true);
    assert_eq!(format!("{both:?}"), "Permissions(WRITE | EXECUTE)");
    assert!(Permissions::empty().is_empty() && !both.intersects(Permissions::READ));
}
