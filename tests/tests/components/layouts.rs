//! Layouts and flat forms are those that `wit-parser` computes, for either width of pointers: all
//! pairs of primitive types in all kinds of types, and all pairs of many of these again.

use cwasm_format::abi::{FlatType, MAX_FLAT_PARAMS, PointerWidth};
use cwasm_format::types::{TypeDef, Types, ValueType};
use wit_parser::abi::{FlatTypes, WasmType};
use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind};

/// A type in both tables.
#[derive(Clone, Copy)]
struct Both {
    ours: ValueType,
    theirs: Type,
}

#[derive(Default)]
struct Tables {
    ours: Types,
    theirs: Resolve,
}

fn primitives() -> Vec<Both> {
    let both = |(ours, theirs)| Both { ours, theirs };
    let primitives = [
        (ValueType::Bool, Type::Bool),
        (ValueType::S8, Type::S8),
        (ValueType::U16, Type::U16),
        (ValueType::U32, Type::U32),
        (ValueType::S64, Type::S64),
        (ValueType::F32, Type::F32),
        (ValueType::F64, Type::F64),
        (ValueType::Char, Type::Char),
        (ValueType::String, Type::String),
    ];
    primitives.map(both).to_vec()
}

impl Tables {
    fn push(&mut self, ours: TypeDef, theirs: TypeDefKind) -> Both {
        let def = wit_parser::TypeDef {
            name: None,
            kind: theirs,
            owner: wit_parser::TypeOwner::None,
            docs: Default::default(),
            stability: Default::default(),
            span: Default::default(),
            external_id: None,
        };
        Both {
            ours: ValueType::Def(self.ours.push(ours)),
            theirs: Type::Id(self.theirs.types.alloc(def)),
        }
    }

    fn tuple(&mut self, fields: &[Both]) -> Both {
        let ours = TypeDef::Tuple(fields.iter().map(|field| field.ours).collect());
        let types = fields.iter().map(|field| field.theirs).collect();
        self.push(ours, TypeDefKind::Tuple(wit_parser::Tuple { types }))
    }

    fn variant(&mut self, payloads: &[Option<Both>]) -> Both {
        let case = |payload: &Option<Both>| (String::new(), payload.map(|both| both.ours));
        let ours = TypeDef::Variant(payloads.iter().map(case).collect());
        let case = |payload: &Option<Both>| wit_parser::Case {
            name: String::new(),
            ty: payload.map(|both| both.theirs),
            docs: Default::default(),
            span: Default::default(),
        };
        let cases = payloads.iter().map(case).collect();
        self.push(ours, TypeDefKind::Variant(wit_parser::Variant { cases }))
    }

    fn flags(&mut self, count: usize) -> Both {
        let flag = || wit_parser::Flag {
            name: String::new(),
            docs: Default::default(),
            span: Default::default(),
        };
        let flags = std::iter::repeat_with(flag).take(count).collect();
        self.push(
            TypeDef::Flags(vec![String::new(); count]),
            TypeDefKind::Flags(wit_parser::Flags { flags }),
        )
    }

    /// All kinds of types with these parts.
    fn with_parts(&mut self, a: Both, b: Both) -> Vec<Both> {
        let kind = TypeDefKind::Result(wit_parser::Result_ {
            ok: Some(a.theirs),
            err: Some(b.theirs),
        });
        let (ok, err) = (Some(a.ours), Some(b.ours));
        let mut all = vec![
            self.tuple(&[a, b]),
            self.tuple(&[a, b, a]),
            self.push(TypeDef::Result { ok, err }, kind),
            self.variant(&[Some(a), None, Some(b), Some(a)]),
            self.push(TypeDef::Option(a.ours), TypeDefKind::Option(a.theirs)),
            self.push(TypeDef::List(a.ours), TypeDefKind::List(a.theirs)),
        ];
        for len in [1, 3, 9] {
            let theirs = TypeDefKind::FixedLengthList(b.theirs, len);
            all.push(self.push(TypeDef::FixedList(b.ours, len), theirs));
        }
        let entry = self.tuple(&[a, b]);
        let map = TypeDefKind::Map(a.theirs, b.theirs);
        all.push(self.push(TypeDef::Map(entry.ours), map));
        all
    }
}

fn core_type(ty: WasmType, width: PointerWidth) -> FlatType {
    match ty {
        WasmType::I32 => FlatType::I32,
        WasmType::I64 | WasmType::PointerOrI64 => FlatType::I64,
        WasmType::F32 => FlatType::F32,
        WasmType::F64 => FlatType::F64,
        WasmType::Pointer | WasmType::Length => FlatType::Pointer.at(width),
    }
}

/// Checks all types; how many there are.
fn check(tables: &Tables, all: &[Both]) -> usize {
    let mut sizes = SizeAlign::default();
    sizes.fill(&tables.theirs).unwrap();
    for both in all {
        let abi = tables.ours.abi(both.ours);
        let shown = cwasm_format::wit::Wit::new(&tables.ours).value(both.ours);
        let (size, align) = (sizes.size(&both.theirs), sizes.align(&both.theirs));
        let mut buffer = [WasmType::I32; MAX_FLAT_PARAMS];
        let mut flat = FlatTypes::new(&mut buffer);
        let fits = tables.theirs.push_flat(&both.theirs, &mut flat);
        assert_eq!(abi.flat.fits(), fits, "{shown}");
        for width in PointerWidth::ALL {
            let found = abi.layout.at(width);
            let (size, align) = match width {
                PointerWidth::W32 => (size.size_wasm32(), align.align_wasm32()),
                PointerWidth::W64 => (size.size_wasm64(), align.align_wasm64()),
            };
            let found = (found.size as usize, found.align as usize);
            assert_eq!(found, (size, align), "{shown}, {width:?}");
            if let Some(types) = abi.flat.types() {
                let found: Vec<_> = types.iter().map(|ty| ty.at(width)).collect();
                let expected: Vec<_> = flat
                    .to_vec()
                    .iter()
                    .map(|ty| core_type(*ty, width))
                    .collect();
                assert_eq!(found, expected, "{shown}, {width:?}");
            }
        }
    }
    all.len()
}

#[test]
fn layouts_and_flat_forms_are_those_of_wit_parser() {
    let mut tables = Tables::default();
    let mut parts = primitives();
    parts.extend([1, 8, 9, 17, 32].map(|count| tables.flags(count)));
    parts.push(tables.variant(&[None; 256]));
    parts.push(tables.variant(&[None; 257]));
    let mut all = parts.clone();
    for (a, b) in parts.iter().flat_map(|a| parts.iter().map(|b| (*a, *b))) {
        all.extend(tables.with_parts(a, b));
    }
    // Enough of them to make the pairs of all few enough.
    let some: Vec<Both> = all.iter().copied().step_by(29).collect();
    for (a, b) in some.iter().flat_map(|a| some.iter().map(|b| (*a, *b))) {
        all.extend(tables.with_parts(a, b));
    }
    assert!(check(&tables, &all) > 50_000);
}
