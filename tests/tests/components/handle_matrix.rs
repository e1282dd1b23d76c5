//! Every kind of handle through a component and back, as `typed.rs` does with values: of the host's
//! resources and of a guest's, owned and borrowed, by itself and nested, with every Rust type that
//! stands for it. Export and import are each called typed and dynamically. `bindgen/handles.rs` has
//! the same for the types that `bindgen!` makes.

use crate::common::handles::{
    BARE, LIBRARY, LIST, LIST_OF_EACH, Layout, OPTION, RECORD, numbered, numbers, sum,
    with_resources,
};
use cwasm::{
    AsContextMut, Borrow, ComponentNamedList, ComponentType, Instance, Lift, Linker, Lower, Own,
    Resource, ResourceAny, ResourceType, Store, Val,
};
use cwasm_tests::artifact::Workshop;

/// The host's resource.
struct Thing;

/// A handle type in a test: it can be made from a representation, and gives it back.
trait Handle: Sized {
    fn make(rep: u32, is_borrow: bool, store: impl AsContextMut) -> Self;
    fn rep(self, store: impl AsContextMut) -> u32;
}

impl Handle for Resource<Thing> {
    fn make(rep: u32, is_borrow: bool, _: impl AsContextMut) -> Self {
        match is_borrow {
            true => Resource::new_borrow(rep),
            false => Resource::new_own(rep),
        }
    }

    fn rep(self, _: impl AsContextMut) -> u32 {
        Resource::rep(&self)
    }
}

impl Handle for ResourceAny {
    fn make(rep: u32, _: bool, store: impl AsContextMut) -> Self {
        let owned = Resource::<Thing>::new_own(rep);
        owned.try_into_resource_any(store).unwrap()
    }

    fn rep(self, store: impl AsContextMut) -> u32 {
        let thing = Resource::<Thing>::try_from_resource_any(self, store).unwrap();
        Resource::rep(&thing)
    }
}

macro_rules! wrapper {
    ($($wrapper:ident $is_borrow:literal;)*) => {$(
        impl<R: Handle> Handle for $wrapper<R> {
            fn make(rep: u32, is_borrow: bool, store: impl AsContextMut) -> Self {
                assert_eq!(is_borrow, $is_borrow);
                R::make(rep, is_borrow, store).into()
            }

            fn rep(self, store: impl AsContextMut) -> u32 {
                self.into_inner().rep(store)
            }
        }
    )*};
}

wrapper! {
    Own false;
    Borrow true;
}

/// A type with handles `R` in it.
trait Shape<R>: Sized {
    /// How many values a test has.
    const COUNT: usize;

    /// One of them, of the handles that `next` makes.
    fn value(index: usize, next: &mut dyn FnMut() -> R) -> Self;

    /// The same as a dynamic value.
    fn val(self, handle: &mut dyn FnMut(R) -> Val) -> Val;
}

impl<R> Shape<R> for R {
    const COUNT: usize = 1;

    fn value(_: usize, next: &mut dyn FnMut() -> R) -> R {
        next()
    }

    fn val(self, handle: &mut dyn FnMut(R) -> Val) -> Val {
        handle(self)
    }
}

impl<R> Shape<R> for Option<R> {
    const COUNT: usize = 2;

    fn value(index: usize, next: &mut dyn FnMut() -> R) -> Option<R> {
        (index == 0).then(next)
    }

    fn val(self, handle: &mut dyn FnMut(R) -> Val) -> Val {
        Val::Option(self.map(|some| Box::new(handle(some))))
    }
}

impl<R> Shape<R> for Vec<R> {
    const COUNT: usize = 2;

    fn value(index: usize, next: &mut dyn FnMut() -> R) -> Vec<R> {
        (0..index * 3).map(|_| next()).collect()
    }

    fn val(self, handle: &mut dyn FnMut(R) -> Val) -> Val {
        Val::List(self.into_iter().map(handle).collect())
    }
}

#[derive(ComponentType, Lower, Lift)]
struct Held<R> {
    number: u8,
    first: R,
    rest: Vec<R>,
    maybe: Option<R>,
}

impl<R> Shape<R> for Held<R> {
    const COUNT: usize = 2;

    fn value(index: usize, next: &mut dyn FnMut() -> R) -> Held<R> {
        Held {
            number: 7,
            first: next(),
            rest: Shape::value(1 - index, next),
            maybe: Shape::value(index, next),
        }
    }

    fn val(self, handle: &mut dyn FnMut(R) -> Val) -> Val {
        let fields = [
            ("number", Val::U8(self.number)),
            ("first", handle(self.first)),
            ("rest", self.rest.val(handle)),
            ("maybe", self.maybe.val(handle)),
        ];
        Val::Record(fields.map(|(name, val)| (name.to_owned(), val)).into())
    }
}

impl Layout {
    /// The types `$own` and `$borrow` of this shape; a record gets its name by an import or export.
    fn types(&self, named: impl Fn(&str) -> String) -> String {
        let types = ["own", "borrow"].map(|kind| {
            let text = self.text.replace('R', &format!("({kind} $r)"));
            match text.starts_with("(record") {
                true => format!("(type ${kind}' {text}) {}", named(kind)),
                false => format!("(type ${kind} {text})"),
            }
        });
        types.concat()
    }

    /// Exports `give`, which returns what the import gives for its parameter, and `lend`, which
    /// drops what it got when the import is done.
    fn of_host(&self) -> String {
        let types = self.types(|kind| format!(r#"(import "{kind}" (type ${kind} (eq ${kind}')))"#));
        let (params, locals) = (self.params(), self.locals());
        let (give, import) = self.passed_on("$give");
        format!(
            r#"(component
              (import "thing" (type $r (sub resource)))
              {types}
              (import "give" (func $give (param "v" $own) (result $own)))
              (import "lend" (func $lend (param "v" $borrow) (result u32)))
              (core module $library {LIBRARY})
              (core instance $library (instantiate $library))
              (core func $give (canon lower (func $give)
                (memory (core memory $library "memory")) (realloc (core func $library "realloc"))))
              (core func $lend (canon lower (func $lend) (memory (core memory $library "memory"))))
              (core func $drop (canon resource.drop $r))
              (core module $m
                (import "library" "memory" (memory 1))
                (import "" "give" (func $give {import}))
                (import "" "lend" (func $lend {params} (result i32)))
                (import "" "drop" (func $each (param i32)))
                {LIST_OF_EACH}
                (func (export "give") {params} (result i32) {give})
                (func (export "lend") {params} (result i32) (call $lend {locals}) {}))
              (core instance $i (instantiate $m (with "library" (instance $library))
                (with "" (instance (export "give" (func $give)) (export "lend" (func $lend))
                  (export "drop" (func $drop))))))
              {})"#,
            self.each,
            lifts("$library"),
        )
    }

    /// Defines `thing`, with a function that makes one of a number and one that gives this again.
    /// Exports `give`, which returns its parameter, and `lend`, which returns the sum of the
    /// numbers.
    fn of_guest(&self) -> String {
        let types = self.types(|kind| format!(r#"(export ${kind} "{kind}" (type ${kind}'))"#));
        let (params, give) = (self.params(), self.same());
        format!(
            r#"(component
              (type $r' (resource (rep i32)))
              (export $r "thing" (type $r'))
              {types}
              (core func $new (canon resource.new $r'))
              (core module $m {LIBRARY}
                (global $sum (mut i32) (i32.const 0))
                (func $each (param i32)
                  (global.set $sum (i32.add (global.get $sum) (local.get 0))))
                {LIST_OF_EACH}
                (func (export "number") (param i32) (result i32) (local.get 0))
                (func (export "give") {params} (result i32) {give})
                (func (export "lend") {params} (result i32)
                  (global.set $sum (i32.const 0)) {} (global.get $sum)))
              (core instance $i (instantiate $m))
              (func (export "new") (param "number" u32) (result (own $r))
                (canon lift (core func $new)))
              (func (export "number") (param "v" (borrow $r)) (result u32)
                (canon lift (core func $i "number")))
              {})"#,
            self.each,
            lifts("$i"),
        )
    }
}

/// The exports `give` and `lend` of the core instance `$i`, with the memory of another.
fn lifts(memory: &str) -> String {
    let options = format!(
        r#"(memory (core memory {memory} "memory")) (realloc (core func {memory} "realloc"))"#
    );
    format!(
        r#"(func (export "give") (param "v" $own) (result $own)
          (canon lift (core func $i "give") {options}))
        (func (export "lend") (param "v" $borrow) (result u32)
          (canon lift (core func $i "lend") {options}))"#
    )
}

/// The value that the host's functions got last, with numbers for handles.
type Seen = Option<Val>;

/// Calls a function of one result dynamically.
fn call(instance: &Instance, store: &mut Store<Seen>, name: &str, param: &Val) -> Val {
    let func = instance.get_func(&mut *store, name).unwrap();
    let mut results = [Val::Bool(false)];
    func.call(&mut *store, std::slice::from_ref(param), &mut results)
        .unwrap_or_else(|error| panic!("{name} {param:?}: {error:?}"));
    let [result] = results;
    result
}

/// The host's functions, with types that Rust knows.
fn define_typed<O, RO, B, RB>(linker: &mut Linker<Seen>)
where
    O: Shape<RO> + Lower + Lift + 'static,
    B: Shape<RB> + Lift + 'static,
    RO: Handle,
    RB: Handle,
    (O,): ComponentNamedList,
    (B,): ComponentNamedList,
{
    let mut root = linker.root();
    root.func_wrap("give", |mut store, (value,): (O,)| {
        let seen = value.val(&mut |handle| Val::U32(handle.rep(&mut store)));
        // The value once more: which of those of the test it was is told by what was seen.
        let again = (0..O::COUNT).find_map(|index| {
            let mut next = numbers();
            let plain = plain::<O, RO>(index, &mut store);
            (plain == seen).then(|| O::value(index, &mut || RO::make(next(), false, &mut store)))
        });
        *store.data_mut() = Some(seen);
        Ok((again.expect("a value of the test"),))
    })
    .unwrap();
    root.func_wrap("lend", |mut store, (value,): (B,)| {
        let seen = value.val(&mut |handle| Val::U32(handle.rep(&mut store)));
        let sum = sum(&seen);
        *store.data_mut() = Some(seen);
        Ok((sum,))
    })
    .unwrap();
}

/// The host's functions, of whatever types.
fn define_dynamic(linker: &mut Linker<Seen>) {
    let mut root = linker.root();
    root.func_new("give", |mut store, _, params, results| {
        let seen = numbered(&params[0], &mut |any| any.rep(&mut store));
        results[0] = with_resources(&seen, &mut |number| {
            ResourceAny::make(number, false, &mut store)
        });
        *store.data_mut() = Some(seen);
        Ok(())
    })
    .unwrap();
    root.func_new("lend", |mut store, _, params, results| {
        let seen = numbered(&params[0], &mut |any| {
            assert!(!any.owned());
            any.rep(&mut store)
        });
        results[0] = Val::U32(sum(&seen));
        *store.data_mut() = Some(seen);
        Ok(())
    })
    .unwrap();
}

/// A value of the test, numbered.
fn plain<O: Shape<R>, R: Handle>(index: usize, mut store: impl AsContextMut) -> Val {
    let mut next = numbers();
    let value = O::value(index, &mut || R::make(next(), false, &mut store));
    value.val(&mut |handle| Val::U32(handle.rep(&mut store)))
}

/// Handles of the host's resource in a shape: owned as `O`, borrowed as `B`.
fn of_host<O, RO, B, RB>(layout: &Layout)
where
    O: Shape<RO> + Lower + Lift + 'static,
    B: Shape<RB> + Lower + Lift + 'static,
    RO: Handle,
    RB: Handle,
    (O,): ComponentNamedList,
    (B,): ComponentNamedList,
{
    let workshop = Workshop::new();
    let wat = layout.of_host();
    let artifact = workshop
        .compile(wat.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{wat}"));
    let component = workshop.map_component(&artifact).unwrap();
    for define in [define_typed::<O, RO, B, RB>, define_dynamic] {
        let mut linker = Linker::<Seen>::new(workshop.engine());
        let ty = ResourceType::host::<Thing>();
        linker.root().resource("thing", ty, |_, _| Ok(())).unwrap();
        define(&mut linker);
        let store = &mut Store::new(workshop.engine(), None);
        let instance = linker.instantiate(&mut *store, &component).unwrap();
        let give = instance.get_typed_func::<(O,), (O,)>(&mut *store, "give");
        let lend = instance.get_typed_func::<(B,), (u32,)>(&mut *store, "lend");
        let (give, lend) = (give.unwrap(), lend.unwrap());
        for index in 0..O::COUNT {
            let plain = plain::<O, RO>(index, &mut *store);
            let mut next = numbers();
            let owned = O::value(index, &mut || RO::make(next(), false, &mut *store));
            let (found,) = give.call(&mut *store, (owned,)).unwrap();
            let found = found.val(&mut |handle| Val::U32(handle.rep(&mut *store)));
            assert_eq!(found, plain);
            assert_eq!(store.data_mut().take().as_ref(), Some(&plain));

            let mut next = numbers();
            let borrowed = B::value(index, &mut || RB::make(next(), true, &mut *store));
            let (found,) = lend.call(&mut *store, (borrowed,)).unwrap();
            assert_eq!(found, sum(&plain));
            assert_eq!(store.data_mut().take().as_ref(), Some(&plain));

            let mut make = |number| ResourceAny::make(number, false, &mut *store);
            let owned = with_resources(&plain, &mut make);
            let lent = with_resources(&plain, &mut make);
            let found = call(&instance, store, "give", &owned);
            assert_eq!(numbered(&found, &mut |any| any.rep(&mut *store)), plain);
            assert_eq!(store.data_mut().take().as_ref(), Some(&plain));
            let found = call(&instance, store, "lend", &lent);
            assert_eq!(found, Val::U32(sum(&plain)));
            assert_eq!(store.data_mut().take().as_ref(), Some(&plain));
            // What was lent is the host's still.
            assert_eq!(numbered(&lent, &mut |any| any.rep(&mut *store)), plain);
        }
    }
}

/// Handles of a guest's resource in a shape: owned as `O`, borrowed as `B`.
fn of_guest<O, RO, B, RB>(layout: &Layout)
where
    O: Shape<RO> + Lower + Lift + 'static,
    B: Shape<RB> + Lower + Lift + 'static,
    RO: From<ResourceAny>,
    RB: From<ResourceAny>,
    ResourceAny: From<RO>,
    (O,): ComponentNamedList,
    (B,): ComponentNamedList,
{
    let workshop = Workshop::new();
    let wat = layout.of_guest();
    let artifact = workshop
        .compile(wat.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{wat}"));
    let component = workshop.map_component(&artifact).unwrap();
    let linker = Linker::<Seen>::new(workshop.engine());
    let store = &mut Store::new(workshop.engine(), None);
    let instance = linker.instantiate(&mut *store, &component).unwrap();
    let new = instance
        .get_typed_func::<(u32,), (Own<ResourceAny>,)>(&mut *store, "new")
        .unwrap();
    let number = instance
        .get_typed_func::<(Borrow<ResourceAny>,), (u32,)>(&mut *store, "number")
        .unwrap();
    let new = |store: &mut Store<Seen>, number| -> ResourceAny {
        let (made,) = new.call(store, (number,)).unwrap();
        made.into()
    };
    let number = |store: &mut Store<Seen>, any: ResourceAny| {
        let (number,) = number.call(store, (any.into(),)).unwrap();
        number
    };
    let give = instance.get_typed_func::<(O,), (O,)>(&mut *store, "give");
    let lend = instance.get_typed_func::<(B,), (u32,)>(&mut *store, "lend");
    let (give, lend) = (give.unwrap(), lend.unwrap());
    for index in 0..O::COUNT {
        let owned = |store: &mut Store<Seen>| {
            let mut next = numbers();
            O::value(index, &mut || new(store, next()).into())
        };
        let val = |value: O| value.val(&mut |handle| Val::Resource(handle.into()));
        let plain = numbered(&val(owned(store)), &mut |any| number(store, any));
        let value = owned(store);
        let (found,) = give.call(&mut *store, (value,)).unwrap();
        let found = val(found);
        assert_eq!(numbered(&found, &mut |any| number(store, any)), plain);
        let mut next = numbers();
        let borrowed = B::value(index, &mut || new(store, next()).into());
        let (lent,) = lend.call(&mut *store, (borrowed,)).unwrap();
        assert_eq!(lent, sum(&plain));

        let again = call(&instance, store, "give", &found);
        assert_eq!(numbered(&again, &mut |any| number(store, any)), plain);
        let lent = call(&instance, store, "lend", &again);
        assert_eq!(lent, Val::U32(sum(&plain)));
        // What was lent is the host's still.
        assert_eq!(numbered(&again, &mut |any| number(store, any)), plain);
    }
}

/// A test for each pair of types that stand for `own` and `borrow`, in each shape.
macro_rules! matrix {
    ($($name:ident: $check:ident $own:ty, $borrow:ty;)*) => {$(
        #[test]
        fn $name() {
            type O = $own;
            type B = $borrow;
            $check::<O, O, B, B>(&BARE);
            $check::<Option<O>, O, Option<B>, B>(&OPTION);
            $check::<Vec<O>, O, Vec<B>, B>(&LIST);
            $check::<Held<O>, O, Held<B>, B>(&RECORD);
        }
    )*};
}

matrix! {
    host_typed: of_host Resource<Thing>, Resource<Thing>;
    host_typed_of_one_kind: of_host Own<Resource<Thing>>, Borrow<Resource<Thing>>;
    host_any: of_host ResourceAny, ResourceAny;
    host_any_of_one_kind: of_host Own<ResourceAny>, Borrow<ResourceAny>;
    guest_any: of_guest ResourceAny, ResourceAny;
    guest_any_of_one_kind: of_guest Own<ResourceAny>, Borrow<ResourceAny>;
}
