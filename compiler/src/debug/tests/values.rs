//! Where variables are: each expression of a module, and what the one for the machine code says
//! when it is evaluated.

use std::collections::BTreeMap;

use cwasm_format::debug;
use gimli::write::{self, Address, AttributeValue, EndianVec};
use gimli::{
    Dwarf, Encoding, EndianSlice, EvaluationResult, Format, LittleEndian, Location, Register,
    SectionId, constants, read,
};
use wasmparser::{Parser, Payload};

use crate::{Debug, OptLevel, Options};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A function that keeps its parameters until its end: local 0 has four bytes, local 1 has eight,
/// local 2 is a number with a fraction, and local 3 is the address of its frame.
const MODULE: &str = "(module (memory 1)
    (func (export \"f\") (param i32 i64 f64 i32)
        (i32.store (local.get 3) (i32.add (local.get 0) (i32.load (local.get 3))))
        (i32.store (local.get 3) (i32.add (local.get 0) (i32.load (local.get 3))))
        (i32.store (local.get 3) (local.get 0))
        (i64.store (local.get 3) (local.get 1))
        (f64.store (local.get 3) (local.get 2))
        (i32.store (i32.const 0) (local.get 3))))";

/// Values of the locals, with what a register may have above a number of four bytes.
const LOCALS: [u64; 4] = [
    0xdead_beef_8000_0011,
    0x8000_0000_1234_5678,
    0x3ff0_0000_0000_0000,
    0xdead_beef_0000_0800,
];
const LOCAL_NAMES: [&str; 4] = ["0", "1", "2", "3"];
/// The name of the variable that is the first byte of the memory.
const MEMORY: &str = "memory";
const CONTEXT: u64 = 0x5555_0000_0000;
/// The canonical frame address: the frame is in the megabyte below.
const FRAME: u64 = 0x7ffe_0000_0000;

/// What the guest's memory has at an address.
fn contents(address: u64, size: u8) -> u64 {
    let value = 0xf1e2_d3c4_b5a6_9788_u64.rotate_left(address as u32);
    value & (u64::MAX >> (64 - 8 * u32::from(size)))
}

/// Where a piece of a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Nowhere,
    /// It is this number, as far as four bytes of it.
    Value(u32),
    /// It is the local.
    Local(usize),
    /// It is a value that is no local.
    Other,
    /// At this address of the guest's memory.
    Memory(u64),
    Bytes(Vec<u8>),
}

type Expression = write::Expression;

/// Where a variable is in the machine code, of which a module says this; `None` if it is nowhere.
fn place(version: u16, build: impl Fn(&mut Expression, &BaseTypes)) -> Option<Vec<Found>> {
    let [answer, in_frame] = place_in(version, None, build);
    assert_eq!(answer, in_frame, "with locals in the frame");
    answer
}

/// The same, of a variable that is there only while an operator of these runs: with locals where
/// they usually are, and in the frame.
fn place_in(
    version: u16,
    operators: Option<std::ops::Range<usize>>,
    build: impl Fn(&mut Expression, &BaseTypes),
) -> [Option<Vec<Found>>; 2] {
    let plain = wat::parse_str(MODULE).unwrap();
    let mut module = plain.clone();
    let code = Code::of(&plain);
    for (name, contents) in dwarf(version, &code, operators, build) {
        let contents = [&[name.len() as u8][..], name.as_bytes(), &contents].concat();
        module.push(0);
        module.extend(super::module::leb(contents.len() as u64));
        module.extend(contents);
    }
    [false, true].map(|locals_in_frame| {
        let options = Options {
            opt: OptLevel::None,
            debug: Debug::Inside,
            dwarf: true,
            locals_in_frame,
            ..Options::default()
        };
        let output = crate::compile(&module, &options).unwrap();
        assert_eq!(output.warnings, [""; 0]);
        let section = |id: SectionId| {
            let found = debug::section(&output.bytes, id.name()).unwrap_or(&[]);
            Ok::<_, gimli::Error>(Slice::new(found, LittleEndian))
        };
        found(&Dwarf::load(section).unwrap())
    })
}

/// The function's code, as offsets in the code section.
struct Code {
    range: std::ops::Range<u64>,
    operators: Vec<u64>,
}

impl Code {
    fn of(module: &[u8]) -> Code {
        let mut start = 0;
        for payload in Parser::new(0).parse_all(module) {
            match payload.unwrap() {
                Payload::CodeSectionStart {
                    unchecked_range: range,
                    ..
                } => start = range.start,
                Payload::CodeSectionEntry(body) => {
                    let range = body.range().start - start..body.range().end - start;
                    let operators = body.get_operators_reader().unwrap();
                    let operators = operators.into_iter_with_offsets();
                    return Code {
                        range,
                        operators: operators.map(|found| found.unwrap().1 - start).collect(),
                    };
                }
                _ => {}
            }
        }
        panic!("no code")
    }
}

/// Types that expressions of version 5 refer to.
struct BaseTypes {
    i8: write::UnitEntryId,
    u8: write::UnitEntryId,
    i32: write::UnitEntryId,
    i64: write::UnitEntryId,
}

/// The sections of a module whose function has the variable `x`, and others that are its locals.
fn dwarf(
    version: u16,
    code: &Code,
    operators: Option<std::ops::Range<usize>>,
    build: impl Fn(&mut Expression, &BaseTypes),
) -> Vec<(&'static str, Vec<u8>)> {
    let encoding = Encoding {
        format: Format::Dwarf32,
        version,
        address_size: 4,
    };
    let mut dwarf = write::Dwarf::new();
    let mut unit = write::Unit::new(encoding, write::LineProgram::none());
    let root = unit.root();
    let mut base = |name: &str, size, encoding| {
        let id = unit.add(root, constants::DW_TAG_base_type);
        let entry = unit.get_mut(id);
        entry.set(constants::DW_AT_name, AttributeValue::String(name.into()));
        entry.set(constants::DW_AT_byte_size, AttributeValue::Data1(size));
        entry.set(
            constants::DW_AT_encoding,
            AttributeValue::Encoding(encoding),
        );
        id
    };
    let types = BaseTypes {
        i8: base("i8", 1, constants::DW_ATE_signed_char),
        u8: base("u8", 1, constants::DW_ATE_unsigned),
        i32: base("i32", 4, constants::DW_ATE_signed),
        i64: base("i64", 8, constants::DW_ATE_signed),
    };
    let function = unit.add(root, constants::DW_TAG_subprogram);
    let entry = unit.get_mut(function);
    let address = AttributeValue::Address(Address::Constant(code.range.start));
    entry.set(constants::DW_AT_low_pc, address);
    let len = AttributeValue::Udata(code.range.end - code.range.start);
    entry.set(constants::DW_AT_high_pc, len);
    entry.set(
        constants::DW_AT_frame_base,
        AttributeValue::Exprloc(local(3)),
    );
    let mut data = Expression::new();
    build(&mut data, &types);
    let location = match operators {
        None => AttributeValue::Exprloc(data),
        Some(operators) => {
            let address = |operator: usize| Address::Constant(code.operators[operator]);
            let list = write::LocationList(vec![write::Location::StartEnd {
                begin: address(operators.start),
                end: address(operators.end),
                data,
            }]);
            AttributeValue::LocationListRef(unit.locations.add(list))
        }
    };
    let mut variable = |name: &str, location: AttributeValue| {
        let id = unit.add(function, constants::DW_TAG_variable);
        let entry = unit.get_mut(id);
        entry.set(constants::DW_AT_name, AttributeValue::String(name.into()));
        entry.set(constants::DW_AT_location, location);
    };
    for (index, name) in LOCAL_NAMES.iter().enumerate() {
        variable(name, AttributeValue::Exprloc(local(index as u32)));
    }
    variable("x", location);
    let mut start = Expression::new();
    start.op_addr(Address::Constant(0));
    variable(MEMORY, AttributeValue::Exprloc(start));
    dwarf.units.add(unit);
    let mut sections = write::Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).unwrap();
    let mut found = Vec::new();
    let each = |id: SectionId, bytes: &EndianVec<LittleEndian>| {
        found.push((id.name(), bytes.slice().to_vec()));
        Ok::<_, ()>(())
    };
    sections.for_each(each).unwrap();
    found
}

/// The value of a local.
fn local(index: u32) -> Expression {
    let mut expression = Expression::new();
    expression.op_wasm_local(index);
    expression.op(constants::DW_OP_stack_value);
    expression
}

/// Evaluates all locations of the variable `x`, which must say the same.
fn found(dwarf: &Dwarf<Slice<'_>>) -> Option<Vec<Found>> {
    let header = dwarf.units().next().unwrap().unwrap();
    let unit = dwarf.unit(header).unwrap();
    let mut locations: BTreeMap<String, Vec<read::LocationListEntry<Slice<'_>>>> = BTreeMap::new();
    let mut entries = unit.entries();
    while let Some(entry) = entries.next_dfs().unwrap() {
        let (Some(name), Some(location)) = (
            entry.attr_value(constants::DW_AT_name),
            entry.attr_value(constants::DW_AT_location),
        ) else {
            continue;
        };
        let name = dwarf
            .attr_string(&unit, name)
            .unwrap()
            .to_string()
            .unwrap()
            .to_owned();
        let mut list = dwarf.attr_locations(&unit, location).unwrap().unwrap();
        while let Some(location) = list.next().unwrap() {
            locations.entry(name.clone()).or_default().push(location);
        }
    }
    let mut answer = None;
    for location in locations.get("x")? {
        // The places of the locals there.
        let at = |address: u64| {
            let mut places = Vec::new();
            for (index, name) in LOCAL_NAMES.iter().enumerate() {
                let known = locations.get(*name).into_iter().flatten();
                let known =
                    known.filter(|other| (other.range.begin..other.range.end).contains(&address));
                places.extend(known.map(|place| (index, evaluate(place.data, &[], 0).remove(0))));
            }
            places
        };
        let places = at(location.range.begin);
        let start = locations[MEMORY][0].data;
        let [Location::Address { address: memory }] = evaluate(start, &[], 0)[..] else {
            panic!("no memory")
        };
        let here: Vec<Found> = evaluate(location.data, &places, memory)
            .into_iter()
            .map(|place| match place {
                Location::Empty => Found::Nowhere,
                Location::Value { value } => Found::Value(value.to_u64(u64::MAX).unwrap() as u32),
                Location::Bytes { value } => Found::Bytes(value.slice().to_vec()),
                Location::Address { address } if is_in_memory(address) => {
                    Found::Memory(address - memory)
                }
                place => {
                    let local = places.iter().find(|(_, other)| *other == place);
                    local.map_or(Found::Other, |(local, _)| Found::Local(*local))
                }
            })
            .collect();
        // Pieces may be somewhere in a part of the code only, and at the same place then.
        let all: &mut Vec<Found> = answer.get_or_insert_with(|| here.clone());
        assert_eq!(all.len(), here.len());
        for (all, here) in all.iter_mut().zip(here) {
            match (&*all, &here) {
                (_, Found::Nowhere) => {}
                (Found::Nowhere, _) => *all = here,
                _ => assert_eq!(*all, here),
            }
        }
    }
    answer
}

/// The memory is after the context.
fn is_in_memory(address: u64) -> bool {
    (CONTEXT..FRAME - (1 << 20)).contains(&address)
}

/// Where an expression of the machine code says that the pieces are, where locals are in places,
/// and the memory is at an address.
fn evaluate<'a>(
    expression: gimli::Expression<Slice<'a>>,
    places: &[(usize, Location<Slice<'a>>)],
    memory: u64,
) -> Vec<Location<Slice<'a>>> {
    let encoding = Encoding {
        format: Format::Dwarf32,
        version: 4,
        address_size: 8,
    };
    let value_in = |place: Location<Slice<'a>>| {
        let local = places.iter().find(|(_, other)| *other == place);
        local.map_or(CONTEXT, |(local, _)| LOCALS[*local])
    };
    let mut evaluation = expression.evaluation(encoding);
    let mut state = evaluation.evaluate().unwrap();
    loop {
        state = match state {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresRegister { register, .. } => {
                assert!(register < Register(16), "no number");
                let value = value_in(Location::Register { register });
                evaluation.resume_with_register(gimli::Value::Generic(value))
            }
            EvaluationResult::RequiresCallFrameCfa => evaluation.resume_with_call_frame_cfa(FRAME),
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let value = match is_in_memory(address) {
                    true => contents(address - memory, size),
                    false => value_in(Location::Address { address }),
                };
                evaluation.resume_with_memory(gimli::Value::Generic(value))
            }
            other => panic!("{other:?}"),
        }
        .unwrap();
    }
    let pieces = evaluation.result();
    pieces.into_iter().map(|piece| piece.location).collect()
}

/// Where a variable of version 4 is whose value the operations leave, or whose pieces they are.
fn is(build: impl Fn(&mut Expression)) -> Option<Vec<Found>> {
    place(4, |expression, _| build(expression))
}

fn value(build: impl Fn(&mut Expression)) -> Option<Vec<Found>> {
    is(|expression| {
        build(expression);
        expression.op(constants::DW_OP_stack_value);
    })
}

const V: u32 = LOCALS[0] as u32;

#[test]
fn values_are_calculated() {
    use constants as op;
    let one = |value: u32| Some(vec![Found::Value(value)]);
    assert_eq!(is(|to| *to = local(0)), Some(vec![Found::Local(0)]));
    assert_eq!(is(|to| *to = local(2)), Some(vec![Found::Local(2)]));
    assert_eq!(value(|to| to.op_constu(7)), one(7));
    assert_eq!(value(|to| to.op_consts(-7)), one(-7_i32 as u32));
    type Case = (op::DwOp, i64, u32);
    let signed = V as i32;
    let cases: [Case; 15] = [
        (op::DW_OP_plus, 0x7fff_ffff, 0x10),
        (op::DW_OP_minus, 0x12, V - 0x12),
        (op::DW_OP_mul, 3, V.wrapping_mul(3)),
        (op::DW_OP_and, 0xff, 0x11),
        (op::DW_OP_or, 0x0e, 0x8000_001f),
        (op::DW_OP_xor, -1, !V),
        (op::DW_OP_shl, 4, 0x110),
        (op::DW_OP_shr, 4, V >> 4),
        (op::DW_OP_shra, 4, (signed >> 4) as u32),
        (op::DW_OP_div, -3, (signed / -3) as u32),
        (op::DW_OP_lt, 0, 1),
        (op::DW_OP_ge, 0, 0),
        (op::DW_OP_eq, i64::from(signed), 1),
        (op::DW_OP_ne, i64::from(V), 0),
        (op::DW_OP_gt, i64::from(signed) - 1, 1),
    ];
    for (operator, other, expected) in cases {
        let found = value(|to| {
            to.op_wasm_local(0);
            to.op_consts(other);
            to.op(operator);
        });
        assert_eq!(found, one(expected), "{operator} {other}");
    }
    let unary = |operator| {
        value(|to| {
            to.op_wasm_local(0);
            to.op(operator);
        })
    };
    assert_eq!(unary(op::DW_OP_neg), one(V.wrapping_neg()));
    assert_eq!(unary(op::DW_OP_not), one(!V));
    assert_eq!(unary(op::DW_OP_abs), one(signed.unsigned_abs()));
    // Two locals, one of them twice.
    let found = value(|to| {
        to.op_wasm_local(0);
        to.op_pick(0);
        to.op(op::DW_OP_plus);
        to.op_wasm_local(3);
        to.op(op::DW_OP_swap);
        to.op(op::DW_OP_minus);
    });
    assert_eq!(found, one(0x800_u32.wrapping_sub(V.wrapping_mul(2))));
}

#[test]
fn memory_is_that_of_the_guest() {
    use constants as op;
    let at = |address: u64| Some(vec![Found::Memory(address)]);
    let v = u64::from(V);
    let found = is(|to| {
        to.op_wasm_local(0);
        to.op_plus_uconst(4);
    });
    assert_eq!(found, at(v + 4));
    // Beyond the end of 32 bits the addresses start again.
    let found = is(|to| {
        to.op_wasm_local(0);
        to.op_plus_uconst(0x8000_0000);
    });
    assert_eq!(found, at(0x11));
    assert_eq!(is(|to| to.op_fbreg(12)), at(0x80c));
    assert_eq!(is(|to| to.op_fbreg(-16)), at(0x7f0));
    assert_eq!(is(|to| to.op_addr(Address::Constant(0x400))), at(0x400));
    let word = contents(v, 4);
    for (size, expected) in [(4, word), (1, contents(v, 1))] {
        let found = value(|to| {
            to.op_wasm_local(0);
            to.op_deref_size(size);
        });
        assert_eq!(found, Some(vec![Found::Value(expected as u32)]));
    }
    // As many bytes as addresses have.
    let found = is(|to| {
        to.op_wasm_local(0);
        to.op_deref();
        to.op_plus_uconst(8);
    });
    assert_eq!(found, at((word + 8) & 0xffff_ffff));
    // An address of the guest is what it is, too.
    let found = value(|to| {
        to.op_fbreg(4);
        to.op_consts(-8);
        to.op(op::DW_OP_and);
    });
    assert_eq!(found, Some(vec![Found::Value(0x800)]));
}

#[test]
fn pieces_are_where_each_is() {
    let pieces = is(|to| {
        *to = local(0);
        to.op_piece(4);
        to.op_constu(7);
        to.op(constants::DW_OP_stack_value);
        to.op_piece(4);
        to.op_piece(8);
        to.op_fbreg(8);
        to.op_piece(2);
        to.op_implicit_value(vec![1, 2].into());
        to.op_piece(2);
    });
    let expected = vec![
        Found::Local(0),
        Found::Value(7),
        Found::Nowhere,
        Found::Memory(0x808),
        Found::Bytes(vec![1, 2]),
    ];
    assert_eq!(pieces, Some(expected));
    // One that is not known leaves the others.
    let pieces = is(|to| {
        to.op_wasm_local(2);
        to.op_plus_uconst(1);
        to.op(constants::DW_OP_stack_value);
        to.op_piece(4);
        to.op_constu(7);
        to.op(constants::DW_OP_stack_value);
        to.op_piece(4);
    });
    assert_eq!(pieces, Some(vec![Found::Nowhere, Found::Value(7)]));
    assert_eq!(is(|to| to.op_piece(4)), None);
}

#[test]
fn types_of_version_5_are_followed() {
    let converted = |build: fn(&mut Expression, &BaseTypes)| {
        let found = place(5, |to, types| {
            to.op_wasm_local(0);
            to.op_consts(0x90);
            to.op(constants::DW_OP_or);
            build(to, types);
            to.op(constants::DW_OP_stack_value);
        });
        match found.as_deref() {
            Some([Found::Value(value)]) => Some(*value),
            None => None,
            found => panic!("{found:?}"),
        }
    };
    let signed = converted(|to, types| {
        to.op_convert(Some(types.i8));
        to.op_convert(Some(types.i32));
    });
    assert_eq!(signed, Some(0xffff_ff91));
    let unsigned = converted(|to, types| {
        to.op_convert(Some(types.u8));
        to.op_convert(Some(types.i64));
    });
    assert_eq!(unsigned, Some(0x91));
    // Which of them an operator's result depends on is not followed.
    let divided = converted(|to, types| {
        to.op_convert(Some(types.i64));
        to.op_constu(3);
        to.op(constants::DW_OP_div);
    });
    assert_eq!(divided, None);
}

#[test]
fn what_is_not_known_is_nowhere() {
    use constants as op;
    // What linkers put in the place of what they have left out.
    assert_eq!(is(|to| to.op_addr(Address::Constant(0xffff_ffff))), None);
    assert_eq!(is(|_| {}), None);
    assert_eq!(value(|_| {}), None);
    assert_eq!(value(|to| to.op(op::DW_OP_plus)), None);
    assert_eq!(value(|to| to.op(op::DW_OP_form_tls_address)), None);
    assert_eq!(value(|to| to.op_wasm_local(4)), None);
    assert_eq!(value(|to| to.op_wasm_global(0)), None);
    for (local, operator, is_known) in [
        // Its sign is not where it is looked for, or it is in no register of numbers.
        (1, op::DW_OP_plus, true),
        (1, op::DW_OP_shr, false),
        (2, op::DW_OP_plus, false),
    ] {
        let found = value(|to| {
            to.op_wasm_local(local);
            to.op_constu(1);
            to.op(operator);
        });
        assert_eq!(found.is_some(), is_known, "{local} {operator}");
    }
    // Nothing comes after a value but a piece.
    let found = is(|to| {
        *to = local(0);
        to.op_plus_uconst(1);
    });
    assert_eq!(found, None);
    let found = is(|to| {
        to.op_constu(1);
        to.op_piece(1);
        to.op_constu(1);
    });
    assert_eq!(found, None);
    // As many steps as nobody needs.
    let found = value(|to| {
        to.op_wasm_local(0);
        for _ in 0..1000 {
            to.op_plus_uconst(1);
        }
    });
    assert_eq!(found, None);
}

#[test]
fn values_on_the_operand_stack_are_known() {
    let operand = |operator: usize, depth: u32| {
        let [found, in_frame] = place_in(4, Some(operator..operator + 1), |to, _| {
            to.op_wasm_stack(depth);
            to.op(constants::DW_OP_stack_value);
        });
        // Reading from the frame may be part of the operator that takes it.
        assert!(matches!(in_frame.as_deref(), None | Some([Found::Other])));
        found
    };
    // The first operators: local.get 3, local.get 0, local.get 3, i32.load, i32.add, i32.store.
    assert_eq!(operand(5, 0), Some(vec![Found::Local(3)]));
    assert_eq!(operand(5, 1), Some(vec![Found::Other]));
    assert_eq!(operand(5, 2), None);
    assert_eq!(operand(3, 1), Some(vec![Found::Local(0)]));
    assert_eq!(operand(3, 2), Some(vec![Found::Local(3)]));
    // What is there without an operator before.
    assert_eq!(operand(0, 0), None);
    // It is no value of the whole function.
    let found = value(|to| to.op_wasm_stack(0));
    assert_eq!(found, None);
}
