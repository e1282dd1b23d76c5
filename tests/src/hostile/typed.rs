//! The typed API: Rust types that stand for types of the reference, in the form of a table.

use std::collections::BTreeMap as Map;

use cwasm::{
    ComponentType, Error, Instance, Lift, LinkerInstance, Lower, Resource, Store, StoreContextMut,
};

use super::derived::{
    Choice, Enum3, Enum257, Flags3, Flags8, Flags9, Flags17, Flags32, Floats, Mixed, Nested,
    Padded, Pair, Pixel, Three, Wide,
};
use super::run::{Host, exchange};
use super::vals::{f32_value, f64_value, text};
use crate::reference::{Type, Value};

/// A Rust type whose values the reference has too.
pub(crate) trait Native: ComponentType + Lift + Lower + 'static {
    /// The type; `None` for `()`, which is no type.
    fn ty() -> Option<Type>;
    /// From a value of the type.
    fn of(value: &Value) -> Self;
    /// The same value.
    fn value(&self) -> Value;
}

/// The operations on one Rust type `T`: calls of functions that take and return a `T`, and of
/// others that take 16 more numbers, so that the parameters do not fit in registers.
pub struct Row {
    /// The type.
    pub ty: fn() -> Type,
    /// A value as Rust has it: of equal keys of a map the last, in their order.
    pub(crate) normal: fn(&Value) -> Value,
    /// Calls an export.
    pub(crate) call: [Call; 2],
    /// Defines an import, which leaves its parameter in the store and returns what lies there.
    pub(crate) define: [Define; 2],
}

type Call = fn(&mut Store<Host>, Instance, &str, &[Value]) -> cwasm::Result<Value>;
type Define = fn(&mut LinkerInstance<'_, Host>, &str) -> cwasm::Result<()>;

/// 16 numbers.
type Padding = (
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
    u64,
);

/// The type of the parameter that makes a function have too many.
pub fn padding() -> Type {
    Type::Tuple(vec![Type::U64; 16])
}

fn call<T: Native>(
    store: &mut Store<Host>,
    instance: Instance,
    name: &str,
    values: &[Value],
) -> cwasm::Result<Value> {
    let func = instance.get_typed_func::<(T,), (T,)>(&mut *store, name)?;
    Ok(func.call(store, (T::of(&values[0]),))?.0.value())
}

fn call_spilled<T: Native>(
    store: &mut Store<Host>,
    instance: Instance,
    name: &str,
    values: &[Value],
) -> cwasm::Result<Value> {
    let func = instance.get_typed_func::<(T, Padding), (T,)>(&mut *store, name)?;
    let params = (T::of(&values[0]), Padding::of(&values[1]));
    Ok(func.call(store, params)?.0.value())
}

fn define<T: Native>(linker: &mut LinkerInstance<'_, Host>, name: &str) -> cwasm::Result<()> {
    linker.func_wrap(name, |store: StoreContextMut<'_, Host>, (param,): (T,)| {
        answer::<T>(store, vec![param.value()])
    })
}

fn define_spilled<T: Native>(
    linker: &mut LinkerInstance<'_, Host>,
    name: &str,
) -> cwasm::Result<()> {
    type Params<T> = (T, Padding);
    linker.func_wrap(
        name,
        |store: StoreContextMut<'_, Host>, (param, padding): Params<T>| {
            answer::<T>(store, vec![param.value(), padding.value()])
        },
    )
}

fn answer<T: Native>(store: StoreContextMut<'_, Host>, params: Vec<Value>) -> cwasm::Result<(T,)> {
    match exchange(store, params)? {
        Some(result) => Ok((T::of(&result),)),
        None => Err(Error::msg("the function has no result")),
    }
}

pub(crate) fn ty<T: Native>() -> Type {
    T::ty().expect("a type")
}

const fn row<T: Native>() -> Row {
    Row {
        ty: ty::<T>,
        normal: |value| T::of(value).value(),
        call: [call::<T>, call_spilled::<T>],
        define: [define::<T>, define_spilled::<T>],
    }
}

macro_rules! rows {
    ($($rust:ty;)*) => {
        /// The Rust types.
        pub const ROWS: &[Row] = &[$(row::<$rust>()),*];
    };
}

rows! {
    bool; i8; u8; i16; u16; i32; u32; i64; u64; f32; f64; char; String; Vec<u8>; Vec<u32>;
    Option<u8>; Result<(), ()>; Enum3; Enum257; Three; Flags9; Map<u32, u32>; [char; 2];
    // Each of those that can be wrong, inside of each other type.
    Vec<char>; Vec<String>; Vec<Vec<u32>>; Vec<Vec<u8>>; Vec<Option<u8>>; Vec<Result<(), ()>>;
    Vec<Enum3>; Vec<Enum257>; Vec<Three>; Vec<Flags9>; Vec<Map<u32, u32>>; Vec<[char; 2]>;
    Pair<char>; Pair<String>; Pair<Vec<u32>>; Pair<Vec<u8>>; Pair<Option<u8>>; Pair<Result<(), ()>>;
    Pair<Enum3>; Pair<Enum257>; Pair<Three>; Pair<Flags9>; Pair<Map<u32, u32>>; Pair<[char; 2]>;
    Choice<char>; Choice<String>; Choice<Vec<u32>>; Choice<Vec<u8>>; Choice<Option<u8>>;
    Choice<Result<(), ()>>; Choice<Enum3>; Choice<Enum257>; Choice<Three>; Choice<Flags9>;
    Choice<Map<u32, u32>>; Choice<[char; 2]>;
    Option<char>; Option<String>; Option<Vec<u32>>; Option<Vec<u8>>; Option<Option<u8>>;
    Option<Result<(), ()>>; Option<Enum3>; Option<Enum257>; Option<Three>; Option<Flags9>;
    Option<Map<u32, u32>>; Option<[char; 2]>;
    Result<char, u8>; Result<String, u8>; Result<Vec<u32>, u8>; Result<Vec<u8>, u8>;
    Result<Option<u8>, u8>; Result<Result<(), ()>, u8>; Result<Enum3, u8>; Result<Enum257, u8>;
    Result<Three, u8>; Result<Flags9, u8>; Result<Map<u32, u32>, u8>; Result<[char; 2], u8>;
    // And others.
    Vec<bool>; Vec<i16>; Vec<f64>; Vec<Vec<u16>>; Vec<Option<char>>; Vec<(u8, String)>;
    Vec<Result<String, u8>>; Option<bool>; Option<Vec<u64>>; Result<u32, String>;
    Result<(), char>; Result<f32, ()>; Result<f64, f32>; Result<Vec<char>, (u8, u64)>; (char, u8);
    (String, String); (u8, (u16, (u32, Option<u64>))); (Option<f32>, Result<u64, f64>);
    (Vec<u8>, Option<String>, char);
    [u8; 4]; [u32; 17]; [String; 2]; [Option<u8>; 3]; [Vec<u8>; 9]; Vec<[u16; 3]>; Vec<[bool; 5]>;
    (u8, [u32; 3]); [[Option<char>; 2]; 9];
    Map<char, Option<u8>>; Map<String, Vec<u8>>; Vec<Map<u16, u32>>; (u8, Map<bool, String>);
    Map<i32, Map<u8, u8>>; [Map<u8, [u64; 2]>; 2];
    Mixed; Vec<Mixed>; Pixel; Vec<Pixel>; Vec<Padded>; Vec<Nested>; [Pixel; 3]; Option<Nested>;
    Resource<R0>; Vec<Resource<R1>>; Option<Resource<R0>>; Result<Resource<R1>, Resource<R0>>;
    Pair<Resource<R0>>; Choice<Resource<R1>>; Vec<(Resource<R0>, Resource<R1>)>; [Resource<R1>; 3];
    Floats; Vec<Floats>; Wide; Vec<Wide>; Vec<Flags3>; Flags8; Flags17; Vec<Flags32>;
}

macro_rules! ints {
    ($($rust:ty: $name:ident),*) => {$(
        impl Native for $rust {
            fn ty() -> Option<Type> {
                Some(Type::$name)
            }
            fn of(value: &Value) -> $rust {
                match value {
                    Value::Int(int) => *int as $rust,
                    value => mismatch(value),
                }
            }
            fn value(&self) -> Value {
                Value::Int((*self).into())
            }
        }
    )*};
}

ints!(i8: S8, u8: U8, i16: S16, u16: U16, i32: S32, u32: U32, i64: S64, u64: U64);

pub(crate) fn mismatch(value: &Value) -> ! {
    panic!("{value:?} is of another type")
}

macro_rules! scalars {
    ($($rust:ty: $name:ident, $pattern:pat => $of:expr, $this:ident => $value:expr;)*) => {$(
        impl Native for $rust {
            fn ty() -> Option<Type> {
                Some(Type::$name)
            }
            fn of(value: &Value) -> $rust {
                match value {
                    $pattern => $of,
                    value => mismatch(value),
                }
            }
            fn value(&self) -> Value {
                let $this = self;
                $value
            }
        }
    )*};
}

scalars! {
    bool: Bool, Value::Bool(value) => *value, this => Value::Bool(*this);
    f32: F32, Value::F32(bits) => f32::from_bits(*bits), this => f32_value(*this);
    f64: F64, Value::F64(bits) => f64::from_bits(*bits), this => f64_value(*this);
    char: Char, Value::Char(char) => *char, this => Value::Char(*this);
    String: String, Value::String(text) => text.text.clone(), this => text(this.clone());
}

impl Native for () {
    fn ty() -> Option<Type> {
        None
    }
    fn of(_: &Value) {}
    fn value(&self) -> Value {
        unreachable!("`()` is no type")
    }
}

impl<T: Native> Native for Vec<T> {
    fn ty() -> Option<Type> {
        Some(Type::List(Box::new(ty::<T>())))
    }
    fn of(value: &Value) -> Vec<T> {
        match value {
            Value::List(items) => items.iter().map(T::of).collect(),
            value => mismatch(value),
        }
    }
    fn value(&self) -> Value {
        Value::List(self.iter().map(T::value).collect())
    }
}

impl<T: Native, const N: usize> Native for [T; N] {
    fn ty() -> Option<Type> {
        Some(Type::FixedList(Box::new(ty::<T>()), N))
    }
    fn of(value: &Value) -> [T; N] {
        match value {
            Value::Record(items) => std::array::from_fn(|index| T::of(&items[index])),
            value => mismatch(value),
        }
    }
    fn value(&self) -> Value {
        Value::Record(self.iter().map(T::value).collect())
    }
}

impl<K: Native + Ord, V: Native> Native for Map<K, V> {
    fn ty() -> Option<Type> {
        Some(Type::Map(Box::new(Type::Tuple(vec![ty::<K>(), ty::<V>()]))))
    }
    fn of(value: &Value) -> Map<K, V> {
        let pair = |value: &Value| match value {
            Value::Record(parts) => (K::of(&parts[0]), V::of(&parts[1])),
            value => mismatch(value),
        };
        match value {
            Value::List(pairs) => pairs.iter().map(pair).collect(),
            value => mismatch(value),
        }
    }
    fn value(&self) -> Value {
        let pairs = self.iter();
        let pairs = pairs.map(|(key, value)| Value::Record(vec![key.value(), value.value()]));
        Value::List(pairs.collect())
    }
}

/// The host's resources of type 0.
pub(crate) struct R0;
/// The host's resources of type 1.
pub(crate) struct R1;

macro_rules! resources {
    ($($rust:ty: $number:literal;)*) => {$(
        impl Native for Resource<$rust> {
            fn ty() -> Option<Type> {
                Some(Type::Own($number))
            }
            fn of(value: &Value) -> Self {
                match value {
                    Value::Resource(rep) => Resource::new_own(*rep),
                    value => mismatch(value),
                }
            }
            fn value(&self) -> Value {
                Value::Resource(self.rep())
            }
        }
    )*};
}

resources! {
    R0: 0;
    R1: 1;
}

/// The payload of a case: `()` for none.
fn payload<T: Native>(payload: Option<&Value>) -> T {
    T::of(payload.unwrap_or(&Value::Flags(0)))
}

fn case<T: Native>(case: usize, payload: &T) -> Value {
    Value::Case(case, T::ty().map(|_| Box::new(payload.value())))
}

impl<T: Native> Native for Option<T> {
    fn ty() -> Option<Type> {
        Some(Type::Option(Box::new(ty::<T>())))
    }
    fn of(value: &Value) -> Option<T> {
        match value {
            Value::Case(_, some) => some.as_deref().map(T::of),
            value => mismatch(value),
        }
    }
    fn value(&self) -> Value {
        match self {
            None => Value::Case(0, None),
            Some(some) => case(1, some),
        }
    }
}

impl<T: Native, E: Native> Native for Result<T, E> {
    fn ty() -> Option<Type> {
        Some(Type::Result(T::ty().map(Box::new), E::ty().map(Box::new)))
    }
    fn of(value: &Value) -> Result<T, E> {
        match value {
            Value::Case(0, ok) => Ok(payload(ok.as_deref())),
            Value::Case(_, error) => Err(payload(error.as_deref())),
            value => mismatch(value),
        }
    }
    fn value(&self) -> Value {
        match self {
            Ok(ok) => case(0, ok),
            Err(error) => case(1, error),
        }
    }
}

macro_rules! tuples {
    ($($($name:ident $index:tt)*;)*) => {$(
        impl<$($name: Native),*> Native for ($($name,)*) {
            fn ty() -> Option<Type> {
                Some(Type::Tuple(vec![$(ty::<$name>()),*]))
            }
            fn of(value: &Value) -> Self {
                match value {
                    Value::Record(fields) => ($($name::of(&fields[$index]),)*),
                    value => mismatch(value),
                }
            }
            fn value(&self) -> Value {
                Value::Record(vec![$(self.$index.value()),*])
            }
        }
    )*};
}

tuples! {
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15;
}
