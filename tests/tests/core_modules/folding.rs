//! Segments that are folded into images: instances start as the specification says, whatever is
//! folded, runs or traps, and folding depends on nothing that need not keep it.

use std::fmt::Write as _;

use cwasm::{
    CoreFunc, CoreGlobal, CoreMemory, CoreTable, CoreVal, Extern, FuncType, Module, ModuleInstance,
    Store, ValType,
};
use cwasm_format::Artifact;
use cwasm_format::header::{NONE, SectionId};
use cwasm_tests::artifact::Workshop;
use cwasm_tests::random::Random;

/// Elements of each table.
const LEN: usize = 12;
/// Bytes of each memory.
const SIZE: usize = 1 << 16;
/// The result of the imported function.
const HOST: i32 = 99;

/// A function of the module, by what it is for; `F(k)` returns `k`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Null,
    F(i32),
    Host,
    /// Reads the module's own memory.
    Peek,
    /// Calls what is in the module's own table.
    Call,
}

impl Item {
    fn expr(self) -> String {
        match self {
            Item::Null => "(ref.null func)".to_owned(),
            Item::F(number) => format!("(ref.func $f{number})"),
            Item::Host => "(ref.func $host)".to_owned(),
            Item::Peek => "(ref.func $peek)".to_owned(),
            Item::Call => "(ref.func $call)".to_owned(),
        }
    }
}

/// Where a segment goes.
#[derive(Clone, Copy, Debug)]
struct Place {
    is_own: bool,
    offset: usize,
    /// Whether the offset is the value of an imported global, and not a constant.
    is_global: bool,
}

impl Place {
    fn offset_expr(&self) -> String {
        match self.is_global {
            true => format!("(global.get $g{})", self.offset),
            false => format!("(i32.const {})", self.offset),
        }
    }
}

/// A module: what its tables start with, and its segments in order.
#[derive(Debug)]
struct Case {
    fill: Item,
    elements: Vec<(Place, Vec<Item>)>,
    data: Vec<(Place, Vec<u8>)>,
}

/// Values of the imported globals: places inside, at the end of and outside of tables and memories.
const GLOBALS: [usize; 4] = [0, 5, LEN - 1, SIZE - 1];

impl Case {
    fn new(random: &mut Random) -> Case {
        let fill = random.pick(&[Item::Null, Item::Null, Item::Null, Item::F(3)]);
        let segments = random.below(6);
        let mut elements = Vec::new();
        // So that an instance that trapped can be looked at.
        if random.one_in(2) {
            let place = Place {
                is_own: false,
                offset: 0,
                is_global: random.one_in(4),
            };
            elements.push((place, vec![Item::Peek, Item::Call]));
        }
        for _ in 0..segments {
            let is_global = random.one_in(4);
            let offset = match is_global {
                true => random.pick(&GLOBALS),
                false if random.one_in(8) => LEN,
                false => random.below(LEN),
            };
            let is_own = random.one_in(2);
            let (place, room) = (
                Place {
                    is_own,
                    offset,
                    is_global,
                },
                LEN.saturating_sub(offset),
            );
            let most = if random.one_in(8) { room + 2 } else { room + 1 };
            let items = [Item::Null, Item::F(0), Item::F(1), Item::F(2), Item::Host];
            let items = (0..random.below(most))
                .map(|_| random.pick(&items))
                .collect();
            elements.push((place, items));
        }
        let data = (0..random.below(6)).map(|_| {
            let is_global = random.one_in(4);
            let offset = match is_global {
                true => random.pick(&GLOBALS),
                false if random.one_in(8) => SIZE - 2,
                false => random.below(16),
            };
            let place = Place {
                is_own: random.one_in(2),
                offset,
                is_global,
            };
            let bytes = (0..random.below(6)).map(|_| random.below(3) as u8 * 7);
            (place, bytes.collect())
        });
        let data = data.collect();
        Case {
            fill,
            elements,
            data,
        }
    }

    fn text(&self) -> String {
        let mut text = String::from(
            r#"(module (import "" "m" (memory 1)) (import "" "t" (table 12 funcref))
               (import "" "host" (func $host (result i32)))"#,
        );
        for value in GLOBALS {
            let _ = write!(text, r#"(import "" "g" (global $g{value} i32))"#);
        }
        let fill = match self.fill {
            Item::Null => String::new(),
            item => item.expr(),
        };
        let _ = write!(text, "(memory $own 1) (table $own {LEN} funcref {fill})");
        for number in 0..4 {
            let _ = write!(text, "(func $f{number} (result i32) (i32.const {number}))");
        }
        text.push_str(
            r#"(type $f (func (result i32)))
               (func $peek (export "peek") (param i32) (result i32)
                 (i32.load8_u 1 (local.get 0)))
               (func $call (export "call") (param i32) (result i32)
                 (if (ref.is_null (table.get 1 (local.get 0))) (then (return (i32.const -1))))
                 (call_indirect 1 (type $f) (local.get 0)))"#,
        );
        for (place, items) in &self.elements {
            // Functions alone can be written as indices, too.
            let as_indices = place.offset % 2 == 0 && !items.contains(&Item::Null);
            let items: String = match as_indices {
                true => items
                    .iter()
                    .map(|item| item.expr().replace("(ref.func", "").replace(')', ""))
                    .collect(),
                false => items.iter().map(|item| item.expr()).collect(),
            };
            let kind = if as_indices { "func" } else { "funcref" };
            let (table, offset) = (u8::from(place.is_own), place.offset_expr());
            let _ = write!(
                text,
                "(elem (table {table}) (offset {offset}) {kind} {items})"
            );
        }
        for (place, bytes) in &self.data {
            let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            let (memory, offset) = (u8::from(place.is_own), place.offset_expr());
            let _ = write!(
                text,
                "(data (memory {memory}) (offset {offset}) \"{bytes}\")"
            );
        }
        text + ")"
    }
}

/// The state after instantiation, computed segment by segment as the specification says.
struct Expected {
    /// Of the imported and of the own one.
    tables: [Vec<Item>; 2],
    memories: [Vec<u8>; 2],
    traps: bool,
}

impl Expected {
    fn of(case: &Case) -> Expected {
        let mut expected = Expected {
            tables: [vec![Item::Null; LEN], vec![case.fill; LEN]],
            memories: [vec![0; SIZE], vec![0; SIZE]],
            traps: false,
        };
        for (place, items) in &case.elements {
            let table = &mut expected.tables[usize::from(place.is_own)];
            let Some(places) = table.get_mut(place.offset..place.offset + items.len()) else {
                expected.traps = true;
                return expected;
            };
            places.copy_from_slice(items);
        }
        for (place, bytes) in &case.data {
            let memory = &mut expected.memories[usize::from(place.is_own)];
            let Some(places) = memory.get_mut(place.offset..place.offset + bytes.len()) else {
                expected.traps = true;
                return expected;
            };
            places.copy_from_slice(bytes);
        }
        expected
    }
}

fn call(store: &mut Store<()>, func: CoreFunc, args: &[i32]) -> i32 {
    let args: Vec<CoreVal> = args.iter().map(|arg| CoreVal::I32(*arg)).collect();
    match func.call(store, &args).unwrap()[..] {
        [CoreVal::I32(result)] => result,
        ref other => panic!("{other:?}"),
    }
}

/// Checks what the module's own memory and table hold.
fn check_own(store: &mut Store<()>, expected: &Expected, peek: CoreFunc, caller: CoreFunc) {
    for place in (0..32).chain(SIZE - 16..SIZE) {
        let found = call(store, peek, &[place as i32]);
        assert_eq!(
            found,
            i32::from(expected.memories[1][place]),
            "own byte {place}"
        );
    }
    for (index, item) in expected.tables[1].iter().enumerate() {
        let found = call(store, caller, &[index as i32]);
        let expected = match item {
            Item::Null => -1,
            Item::F(number) => *number,
            Item::Host => HOST,
            Item::Peek | Item::Call => unreachable!("these are in the imported table alone"),
        };
        assert_eq!(found, expected, "own element {index}");
    }
}

fn element(store: &Store<()>, table: CoreTable, index: usize) -> Option<CoreFunc> {
    match table.element(store, index as u64).unwrap() {
        Some(CoreVal::FuncRef(func)) => func,
        other => panic!("{other:?}"),
    }
}

fn exported(store: &Store<()>, instance: ModuleInstance, name: &str) -> CoreFunc {
    match instance.get(store, name).unwrap() {
        Some(Extern::Func(func)) => func,
        other => panic!("{other:?}"),
    }
}

/// Whether the instance trapped, and whether what it left could be looked at.
fn check(workshop: &Workshop, case: &Case) -> (bool, bool) {
    let module = workshop.compile(case.text().as_bytes()).unwrap();
    let module = workshop.map_module(&module).unwrap();
    let mut store = Store::new(workshop.engine(), ());
    let memory = CoreMemory::new(&mut store, 1, Some(1)).unwrap();
    let table = CoreTable::new(&mut store, ValType::FUNCREF, LEN as u64, None).unwrap();
    let host = CoreFunc::new(&mut store, FuncType::new([], [ValType::I32]), |_| {
        Ok(vec![CoreVal::I32(HOST)])
    });
    let mut imports = vec![
        Extern::Memory(memory),
        Extern::Table(table),
        Extern::Func(host),
    ];
    for value in GLOBALS {
        let value = CoreVal::I32(value as i32);
        let global = CoreGlobal::new(&mut store, ValType::I32, false, value).unwrap();
        imports.push(Extern::Global(global));
    }
    let expected = Expected::of(case);
    let instance = module.instantiate(&mut store, &imports);
    assert_eq!(instance.is_err(), expected.traps, "{instance:?}");
    assert!(memory.data(&store).unwrap() == expected.memories[0]);
    for (index, item) in expected.tables[0].iter().enumerate() {
        let func = element(&store, table, index);
        match *item {
            Item::Null => assert!(func.is_none(), "element {index}"),
            Item::F(number) => assert_eq!(call(&mut store, func.unwrap(), &[]), number),
            Item::Host => assert_eq!(call(&mut store, func.unwrap(), &[]), HOST),
            Item::Peek | Item::Call => assert!(func.is_some(), "element {index}"),
        }
    }
    let place = |item| expected.tables[0].iter().position(|found| *found == item);
    let own = match (&instance, place(Item::Peek), place(Item::Call)) {
        (Ok(instance), ..) => Some(["peek", "call"].map(|name| exported(&store, *instance, name))),
        (Err(_), Some(peek), Some(caller)) => {
            Some([peek, caller].map(|index| element(&store, table, index).unwrap()))
        }
        (Err(_), ..) => None,
    };
    if let Some([peek, caller]) = own {
        check_own(&mut store, &expected, peek, caller);
    }
    (expected.traps, own.is_some())
}

#[test]
fn instances_start_as_the_specification_says() {
    let workshop = Workshop::new();
    let mut random = Random::new(12);
    let mut seen = [[0; 2]; 2];
    for _ in 0..400 {
        let case = Case::new(&mut random);
        let (traps, is_seen) = check(&workshop, &case);
        seen[usize::from(traps)][usize::from(is_seen)] += 1;
    }
    // All kinds: it went well, it trapped and left an instance that lives on, it left nothing.
    assert!(
        seen[0][1] > 60 && seen[1][0] > 30 && seen[1][1] > 30,
        "{seen:?}"
    );
}

/// An instance of a module without imports.
fn instantiate(workshop: &Workshop, module: &Module) -> (Store<()>, ModuleInstance) {
    let mut store = Store::new(workshop.engine(), ());
    let instance = module.instantiate(&mut store, &[]).unwrap();
    (store, instance)
}

/// Whether anything is left to run at instantiation, and how many bytes of data are left to copy
/// then.
fn steps(workshop: &Workshop, text: &str) -> (bool, usize) {
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let module = workshop.map_module(&artifact).unwrap();
    let artifact = module.artifact();
    let data = artifact.section(SectionId::Data).len();
    (artifact.header().init_thunk != NONE, data)
}

/// One byte of data in each of `count` places.
fn bytes_of_data(count: usize) -> String {
    (0..count)
        .map(|place| format!("(data (i32.const {}) \"a\")", place * 640))
        .collect()
}

#[test]
fn what_is_known_is_folded() {
    let workshop = Workshop::new();
    let data = bytes_of_data(100);
    let folded = [
        "(memory 1) (table 1 funcref) (elem (i32.const 0) $f)",
        "(memory 1) (table 9 funcref) (elem (i32.const 3) funcref (ref.func $f) (ref.null func))",
        r#"(import "" "h" (func $h)) (memory 1) (table 2 funcref) (elem (i32.const 0) $h $f)"#,
        r#"(memory 1) (table (export "t") 2 9 funcref) (elem (i32.const 0) $f $f)"#,
        "(memory 1) (global $g funcref (ref.func $f)) (table 2 funcref)
         (elem (i32.const 0) funcref (global.get $g))",
        r#"(memory 1) (global (export "g") (mut funcref) (ref.func $f))"#,
        "(memory 1) (table i64 5 funcref) (elem (i64.const 4) $f)",
        "(memory 1) (table 5 funcref) (elem func $f $f) (elem declare func $f)",
    ];
    for items in folded {
        let text = format!("(module {items} {data} (func $f))");
        assert_eq!(steps(&workshop, &text), (false, 0), "{text}");
    }
}

#[test]
fn what_runs_keeps_folding_from_what_it_could_see_alone() {
    let workshop = Workshop::new();
    let data = bytes_of_data(100);
    let left = [
        (
            r#"(import "" "t" (table 3 funcref)) (memory 1) (elem (i32.const 1) $f)"#,
            0,
        ),
        (
            r#"(import "" "g" (global $g i32)) (table 3 funcref) (memory 1)
               (elem (global.get $g) $f)"#,
            0,
        ),
        ("(memory 1) (table 3 funcref (ref.func $f))", 0),
        // The second segment may trap after references have got out.
        (
            r#"(import "" "t" (table 3 funcref)) (memory 1)
               (elem (i32.const 1) $f) (elem (i32.const 3) $f)"#,
            100,
        ),
        (r#"(import "" "m" (memory 1))"#, 100),
        // What is copied comes before what follows.
        (
            r#"(import "" "g" (global $g i32)) (memory 1) (data (global.get $g) "b")"#,
            101,
        ),
    ];
    for (items, copied) in left {
        let text = format!("(module {items} {data} (func $f))");
        assert_eq!(steps(&workshop, &text), (true, copied), "{text}");
    }
}

/// Bytes of the artifact of a module or component.
fn artifact_size(workshop: &Workshop, text: &str) -> usize {
    workshop.compile(text.as_bytes()).unwrap().len()
}

#[test]
fn null_elements_take_no_room() {
    let workshop = Workshop::new();
    let in_component = |module: &str| {
        format!("(component (core module $m {module}) (core instance (instantiate $m)))")
    };
    let tables = [
        "(table 10000000 funcref)",
        "(table 10000000 10000000 externref)",
        "(table i64 10000000 funcref)",
        "(table 10000000 funcref) (table 10000000 funcref) (table 10000000 externref)",
        "(table 10000000 funcref) (func $f) (elem (i32.const 9999999) $f) (elem (i32.const 5) $f)",
        "(table 10000000 funcref (ref.null func))",
        "(table 10000000 funcref (ref.func $f)) (func $f)",
        r#"(table (export "t") 10000000 funcref) (func $f) (elem (i32.const 5000000) $f $f)"#,
        "(table $t 10000000 funcref) (func (drop (table.grow $t (ref.null func) (i32.const 1))))",
        "(table $t 10000000 funcref) (func (table.set $t (i32.const 5) (ref.null func)))",
    ];
    for table in tables {
        let module = artifact_size(&workshop, &format!("(module {table})"));
        let component = artifact_size(&workshop, &in_component(table));
        assert!(module < 64 << 10, "{table}: a module of {module} bytes");
        assert!(
            component < 64 << 10,
            "{table}: a component of {component} bytes"
        );
    }
}

#[test]
fn sparse_tables_have_their_elements() {
    let workshop = Workshop::new();
    for kind in ["", "(export \"t\")"] {
        for use_of_table in ["", "(func (table.set (i32.const 0) (ref.null func)))"] {
            let module = format!(
                r#"(module (table {kind} 3000000 funcref) (type $f (func (result i32)))
                     (func $a (result i32) (i32.const 1)) (func $b (result i32) (i32.const 2))
                     (elem (i32.const 2999999) $a) (elem (i32.const 70) $b $a $b) (elem (i32.const 71) $b)
                     {use_of_table}
                     (func (export "call") (param i32) (result i32)
                       (if (i32.lt_u (local.get 0) (table.size 0))
                         (then (if (ref.is_null (table.get 0 (local.get 0)))
                           (then (return (i32.const -1))))))
                       (call_indirect (type $f) (local.get 0))))"#
            );
            let module = workshop.compile(module.as_bytes()).unwrap();
            let module = workshop.map_module(&module).unwrap();
            let (mut store, instance) = instantiate(&workshop, &module);
            let func = exported(&store, instance, "call");
            let expected = [
                (0, -1),
                (69, -1),
                (70, 2),
                (71, 2),
                (72, 2),
                (73, -1),
                (2_999_999, 1),
            ];
            for (index, expected) in expected {
                assert_eq!(
                    call(&mut store, func, &[index]),
                    expected,
                    "element {index}"
                );
            }
            let beyond = func.call(&mut store, &[CoreVal::I32(3_000_000)]);
            assert!(beyond.is_err());
        }
    }
}

#[test]
fn tables_that_are_filled_have_their_value_everywhere() {
    let workshop = Workshop::new();
    for len in [10, 5000, 100_000] {
        let module = format!(
            r#"(component (core module $m
                 (table {len} funcref (ref.func $a)) (type $f (func (result i32)))
                 (func $a (result i32) (i32.const 1)) (func $b (result i32) (i32.const 2))
                 (elem (i32.const 7) $b)
                 (func (export "call") (param i32) (result i32)
                   (call_indirect (type $f) (local.get 0))))
               (core instance $i (instantiate $m))
               (func (export "call") (param "index" u32) (result u32)
                 (canon lift (core func $i "call"))))"#
        );
        let artifact = workshop.compile(module.as_bytes()).unwrap();
        assert!(artifact.len() < 128 << 10, "{} bytes", artifact.len());
        let component = workshop.map_component(&artifact).unwrap();
        let mut store = Store::new(workshop.engine(), ());
        let linker = cwasm::Linker::new(workshop.engine());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let func = instance
            .get_typed_func::<(u32,), (u32,)>(&mut store, "call")
            .unwrap();
        for (index, expected) in [(0, 1), (6, 1), (7, 2), (8, 1), (len - 1, 1)] {
            assert_eq!(
                func.call(&mut store, (index,)).unwrap(),
                (expected,),
                "{index} of {len}"
            );
        }
        assert!(func.call(&mut store, (len,)).is_err());
    }
}

#[test]
fn segments_far_apart_are_few_mappings_and_few_bytes() {
    const COUNT: usize = 20_000;
    let workshop = Workshop::new();
    let mut text = String::from(
        r#"(module (memory 65535) (func (export "peek") (param i32)
        (result i32) (i32.load8_u (local.get 0)))"#,
    );
    for number in 0..COUNT {
        // Pages in groups that would be mapped, with gaps between.
        let page = number + number / 17 * 8;
        let _ = write!(
            text,
            "(data (i32.const {}) \"\\{:02x}\")",
            page * 4096 + 7,
            number % 255 + 1
        );
    }
    text.push(')');
    let bytes = workshop.compile(text.as_bytes()).unwrap();
    assert!(bytes.len() < 6 << 20, "{} bytes", bytes.len());
    let artifact = Artifact::inspect(&bytes).unwrap();
    let mapped = artifact
        .image_runs()
        .iter()
        .filter(|run| run.is_mapped == 1)
        .count();
    assert!(
        mapped <= cwasm_format::data::MAX_MAPPED_RUNS,
        "{mapped} mapped runs"
    );
    let module = workshop.map_module(&bytes).unwrap();
    let mappings = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    let before = mappings();
    let (mut store, instance) = instantiate(&workshop, &module);
    let each = mappings().saturating_sub(before);
    assert!(each < 60, "{each} mappings of an instance");
    let peek = exported(&store, instance, "peek");
    for number in (0..COUNT).step_by(997) {
        let page = number + number / 17 * 8;
        let expected = number % 255 + 1;
        assert_eq!(
            call(&mut store, peek, &[(page * 4096 + 7) as i32]),
            expected as i32
        );
        assert_eq!(call(&mut store, peek, &[(page * 4096 + 8) as i32]), 0);
    }
}

#[test]
fn many_memories_share_the_mapped_runs() {
    let workshop = Workshop::new();
    let bytes = "\\01".repeat(70_000);
    let memories = "(memory 3)".repeat(40);
    let data: String = (0..40)
        .map(|memory| format!("(data (memory {memory}) (i32.const 4096) \"{bytes}\")"))
        .collect();
    let text = format!("(module {memories} {data})");
    let artifact = workshop.compile(text.as_bytes()).unwrap();
    let artifact = Artifact::inspect(&artifact).unwrap();
    let mapped = artifact
        .image_runs()
        .iter()
        .filter(|run| run.is_mapped == 1);
    assert_eq!(mapped.count(), cwasm_format::data::MAX_MAPPED_RUNS);
}
