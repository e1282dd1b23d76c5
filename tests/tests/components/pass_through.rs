//! Functions that a component imports and exports as they are: the host calls itself, through the
//! component's types.

use cwasm::{
    Component, Instance, Linker, Resource, ResourceType, Store, StoreContextMut, TrapCode, Val,
};
use cwasm_tests::artifact::Workshop;

struct File;

/// Besides the functions, an instance is passed on as it is, and a function has two names.
const PASSES: &str = r#"(component
  (type $many' (tuple u8 u64 f32 f64 char s16 u8 u64 f32 f64 char s16 u8 u64 f32 f64 char s16))
  (import "add" (func $add (param "a" u32) (param "b" f64) (result f64)))
  (import "shout" (func $shout (param "text" string) (result string)))
  (import "nest" (func $nest (param "depth" u32) (param "text" string) (result string)))
  (import "sums" (func $sums (param "lists" (list (list u16))) (result (list u64))))
  (import "many" (func $many (param "p" $many') (result $many')))
  (import "swap" (func $swap (param "p" (tuple u8 char)) (result (tuple char u8))))
  (import "fail" (func $fail (param "text" string)))
  (import "files" (instance $files
    (export "file" (type $F (sub resource)))
    (export "open" (func (param "rep" u32) (result (own $F))))
    (export "len" (func (param "f" (borrow $F)) (result u32)))
    (export "close" (func (param "f" (own $F)) (result u32)))
    (export "same" (func (param "a" (borrow $F)) (param "text" string) (param "b" (borrow $F))
      (result bool)))))
  (export "add" (func $add))
  (export "plus" (func $add))
  (export "shout" (func $shout))
  (export "nest" (func $nest))
  (export "sums" (func $sums))
  (export "many" (func $many))
  (export "swap" (func $swap))
  (export "fail" (func $fail))
  (export "files-too" (instance $files)))"#;

struct Passing {
    store: Store<Option<Instance>>,
    instance: Instance,
    component: Component,
}

fn linker(workshop: &Workshop) -> Linker<Option<Instance>> {
    let mut linker = Linker::<Option<Instance>>::new(workshop.engine());
    let mut root = linker.root();
    root.func_wrap("add", |_, (a, b): (u32, f64)| Ok((f64::from(a) + b,)))
        .unwrap();
    root.func_wrap("shout", |_, (text,): (String,)| Ok((text.to_uppercase(),)))
        .unwrap();
    let nest = |mut store: StoreContextMut<'_, Option<Instance>>, (depth, text): (u32, String)| {
        if depth == 0 {
            return Ok((text,));
        }
        let instance = store.data().expect("the instance is known");
        let nest = instance.get_typed_func::<(u32, String), (String,)>(&mut store, "nest")?;
        nest.call(&mut store, (depth - 1, format!("{text}{depth}")))
    };
    root.func_wrap("nest", nest).unwrap();
    root.func_wrap("sums", |_, (lists,): (Vec<Vec<u16>>,)| {
        let sum = |list: &Vec<u16>| list.iter().copied().map(u64::from).sum();
        Ok((lists.iter().map(sum).collect::<Vec<u64>>(),))
    })
    .unwrap();
    root.func_new("many", |_, _, args, results| {
        let [Val::Tuple(values)] = args else {
            panic!("{args:?}")
        };
        results[0] = Val::Tuple(values.to_vec());
        Ok(())
    })
    .unwrap();
    root.func_wrap("swap", |_, ((a, b),): ((u8, char),)| Ok(((b, a),)))
        .unwrap();
    root.func_wrap("fail", |_, (text,): (String,)| -> cwasm::Result<()> {
        Err(cwasm::Error::msg(text))
    })
    .unwrap();
    let mut files = linker.instance("files").unwrap();
    files
        .resource("file", ResourceType::host::<File>(), |_, _| Ok(()))
        .unwrap();
    files
        .func_wrap("open", |_, (rep,): (u32,)| {
            Ok((Resource::<File>::new_own(rep),))
        })
        .unwrap();
    files
        .func_wrap("len", |_, (file,): (Resource<File>,)| Ok((file.rep() * 2,)))
        .unwrap();
    files
        .func_wrap("close", |_, (file,): (Resource<File>,)| Ok((file.rep(),)))
        .unwrap();
    type Pair = (Resource<File>, String, Resource<File>);
    files
        .func_wrap("same", |_, (a, text, b): Pair| {
            assert_eq!(text, "same?");
            Ok((a.rep() == b.rep(),))
        })
        .unwrap();
    linker
}

impl Passing {
    fn new() -> Passing {
        let workshop = Workshop::new();
        let artifact = workshop.compile(PASSES.as_bytes()).unwrap();
        let component = workshop.map_component(&artifact).unwrap();
        let mut store = Store::new(workshop.engine(), None);
        let instance = linker(&workshop)
            .instantiate(&mut store, &component)
            .unwrap();
        *store.data_mut() = Some(instance);
        Passing {
            store,
            instance,
            component,
        }
    }
}

macro_rules! call {
    ($passing:expr, $name:literal, $params:expr, $p:ty => $r:ty) => {{
        let passing = &mut *$passing;
        let func = passing
            .instance
            .get_typed_func::<$p, $r>(&mut passing.store, $name)
            .unwrap();
        func.call(&mut passing.store, $params)
    }};
}

#[test]
fn values_of_all_shapes_go_through() {
    let passing = &mut Passing::new();
    for name in ["add", "plus"] {
        let func = passing
            .instance
            .get_typed_func::<(u32, f64), (f64,)>(&mut passing.store, name)
            .unwrap();
        assert_eq!(func.call(&mut passing.store, (2, 0.5)).unwrap(), (2.5,));
    }
    let (loud,) = call!(passing, "shout", ("gr\u{fc}n",), (&str,) => (String,)).unwrap();
    assert_eq!(loud, "GR\u{dc}N");
    let lists = vec![vec![1, 2], vec![], vec![u16::MAX; 3]];
    let (sums,) = call!(passing, "sums", (lists,), (Vec<Vec<u16>>,) => (Vec<u64>,)).unwrap();
    assert_eq!(sums, [3, 0, 3 * 65535]);
    let swapped = call!(passing, "swap", ((7, 'x'),), ((u8, char),) => ((char, u8),)).unwrap();
    assert_eq!(swapped, (('x', 7),));
}

#[test]
fn what_is_not_flat_goes_through_memory() {
    let passing = &mut Passing::new();
    let part = |n: u8| {
        [
            Val::U8(n),
            Val::U64(u64::MAX - u64::from(n)),
            Val::F32(f32::from(n) + 0.5),
            Val::F64(-f64::from(n)),
            Val::Char(char::from(n + 65)),
            Val::S16(-i16::from(n)),
        ]
    };
    let values: Vec<Val> = (1..4).flat_map(part).collect();
    let many = passing
        .instance
        .get_func(&mut passing.store, "many")
        .unwrap();
    let args = [Val::Tuple(values)];
    for _ in 0..3 {
        let mut results = [Val::Bool(false)];
        many.call(&mut passing.store, &args, &mut results).unwrap();
        assert_eq!(results, args);
    }
}

#[test]
fn large_values_make_the_memory_grow_and_are_freed() {
    let passing = &mut Passing::new();
    let text = "a".repeat(5 << 20);
    for _ in 0..3 {
        let (loud,) = call!(passing, "shout", (&*text,), (&str,) => (String,)).unwrap();
        assert!(loud.len() == text.len() && loud.bytes().all(|byte| byte == b'A'));
    }
}

#[test]
fn a_function_that_reenters_itself_goes_on() {
    let passing = &mut Passing::new();
    let (text,) = call!(passing, "nest", (0, "a".into()), (u32, String) => (String,)).unwrap();
    assert_eq!(text, "a");
    let result = call!(passing, "nest", (3, "a".into()), (u32, String) => (String,));
    assert_eq!(result.unwrap(), ("a321".to_owned(),));
    // Whatever the length, inner calls leave alone what outer ones wait with.
    for len in (1..40).chain([4_000, 70_000]) {
        let text: String = ('a'..='z').cycle().take(len).collect();
        for depth in [1, 3, 9] {
            let result = call!(passing, "nest", (depth, text.clone()), (u32, String) => (String,));
            let digits: String = (1..=depth).rev().map(|digit| digit.to_string()).collect();
            assert_eq!(result.unwrap(), (format!("{text}{digits}"),));
        }
    }
    // Calls that are over have given all back: it would not fit otherwise.
    for _ in 0..70 {
        let text = "x".repeat(1 << 26);
        let (loud,) = call!(passing, "shout", (&text,), (&str,) => (String,)).unwrap();
        assert_eq!(loud.len(), text.len());
    }
    let (loud,) = call!(passing, "shout", ("b",), (&str,) => (String,)).unwrap();
    assert_eq!(loud, "B");
}

#[test]
fn nothing_is_called_while_results_stay() {
    let passing = &mut Passing::new();
    let func = passing
        .instance
        .get_typed_func::<(&str,), (String,)>(&mut passing.store, "shout")
        .unwrap();
    let deferred = func.call_deferred(&mut passing.store, ("kept",)).unwrap();
    let refused = call!(passing, "sums", (vec![vec![9]],), (Vec<Vec<u16>>,) => (Vec<u64>,));
    let code = refused.unwrap_err().trap().unwrap().code();
    assert_eq!(code, TrapCode::CannotEnter);
    func.post_return(&mut passing.store, deferred).unwrap();
    let (sums,) =
        call!(passing, "sums", (vec![vec![9]],), (Vec<Vec<u16>>,) => (Vec<u64>,)).unwrap();
    assert_eq!(sums, [9]);
    let (loud,) = call!(passing, "shout", ("b",), (&str,) => (String,)).unwrap();
    assert_eq!(loud, "B");
}

#[test]
fn errors_come_back_and_types_are_checked() {
    let passing = &mut Passing::new();
    let error = call!(passing, "fail", ("why",), (&str,) => ()).unwrap_err();
    assert!(error.chain().any(|cause| cause.to_string() == "why"));
    let wrong = passing
        .instance
        .get_typed_func::<(u32,), (String,)>(&mut passing.store, "shout");
    assert!(wrong.unwrap_err().to_string().contains("shout"));
    assert!(
        passing
            .component
            .artifact()
            .export("files-too#open")
            .is_some()
    );
}

#[test]
fn handles_go_through_an_instance_that_is_passed_on() {
    let passing = &mut Passing::new();
    for rep in [5, 6] {
        let (file,) =
            call!(passing, "files-too#open", (rep,), (u32,) => (Resource<File>,)).unwrap();
        assert_eq!((file.rep(), file.owned()), (rep, true));
        let lent = Resource::<File>::new_borrow(rep);
        let (len,) = call!(passing, "files-too#len", (lent,), (Resource<File>,) => (u32,)).unwrap();
        assert_eq!(len, 2 * rep);
        let (closed,) =
            call!(passing, "files-too#close", (file,), (Resource<File>,) => (u32,)).unwrap();
        assert_eq!(closed, rep);
        let pair = [rep, 5].map(Resource::<File>::new_borrow);
        let [a, b] = pair;
        let (same,) = call!(passing, "files-too#same", (a, "same?", b),
            (Resource<File>, &str, Resource<File>) => (bool,))
        .unwrap();
        assert_eq!(same, rep == 5);
    }
}

#[test]
fn what_cannot_be_passed_on_is_named() {
    let error = Workshop::new()
        .compile(
            br#"(component
              (import "i" (instance $i
                (export "r" (type $R (sub resource)))
                (export "f" (func (param "rs" (list (borrow $R)))))))
              (export "j" (instance $i)))"#,
        )
        .unwrap_err();
    assert!(
        error.to_string().contains("`i#f`") && error.to_string().contains("borrowed"),
        "{error}"
    );
}
