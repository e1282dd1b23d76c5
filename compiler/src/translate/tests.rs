//! Every operator translates, passes Cranelift's verifier and compiles; design decisions are
//! visible in the machine code.

use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::{Context, ir};
use cwasm_format::cpu::CpuLevel;
use cwasm_format::exports::IMPORTED;
use cwasm_format::header::NONE;

use super::{TranslateState, translate_function};
use crate::decode::decode;
use crate::env::{
    ConstValue, Env, FuncLoc, FuncRefs, GlobalLoc, MemoryBase, MemoryLoc, SegmentLoc, SegmentStart,
    TableLoc, TagLoc,
};
use crate::error::Result;
use crate::features::Features;
use crate::ir::symbol::FuncId;
use crate::module::Module;
use crate::options::{OptLevel, Options};

const CONTEXT_SIZE: u32 = 0x1000;
const FIRST_MEMORY: u32 = 0x20;
const TYPE_IDS: u32 = 0x40;
const SLOTS: u32 = 0x100;

/// The target that the compiler makes of these options.
fn target(cpu: CpuLevel, opt: OptLevel) -> OwnedTargetIsa {
    let options = Options {
        cpu,
        opt,
        ..Options::default()
    };
    crate::isa::target(&options).unwrap().isa
}

/// A plausible layout: in a closed unit everything is in the context, in an open one imports are
/// reached through slots.
pub(crate) fn env<'a>(module: &'a Module<'a>, refs: FuncRefs) -> Env<'a> {
    let open = refs != FuncRefs::Closed;
    let slot = |index: usize| SLOTS + 32 * index as u32;
    let imported = |index: usize, imports: u32| open && index < imports as usize;
    let funcs = (0..module.funcs.len()).map(|index| match imported(index, module.imported_funcs) {
        true => FuncLoc::Import { slot: slot(index) },
        false => FuncLoc::Local {
            func: FuncId(index as u32),
            func_ref: open.then_some(slot(index)),
        },
    });
    let tables = module.tables.iter().enumerate().map(|(index, ty)| {
        match imported(index, module.imported_tables) {
            true => TableLoc::Import { slot: slot(index) },
            false if ty.maximum == Some(ty.initial) => TableLoc::Fixed {
                desc: slot(index),
                elements: 0x800,
                len: ty.initial as u32,
            },
            false => TableLoc::Own { desc: slot(index) },
        }
    });
    let memories = module.memories.iter().enumerate().map(|(index, ty)| {
        let page_log2 = ty.page_size_log2.unwrap_or(16);
        MemoryLoc {
            base: match imported(index, module.imported_memories) {
                true => MemoryBase::Import { slot: slot(index) },
                false if index == 0 => MemoryBase::First {
                    context_size: CONTEXT_SIZE,
                    desc: FIRST_MEMORY,
                },
                false => MemoryBase::Own { desc: slot(index) },
            },
            min_byte_len: ty.initial << page_log2,
            reservation: 1 << 32,
            guard_size: 32 << 20,
            is_64: ty.memory64,
            is_checked: ty.memory64 || page_log2 == 0,
            is_fixed: ty.maximum == Some(ty.initial),
            is_shared: ty.shared,
            page_log2,
        }
    });
    let globals = module.globals.iter().enumerate().map(|(index, ty)| {
        match imported(index, module.imported_globals) {
            true => GlobalLoc::Import { slot: slot(index) },
            false if !ty.mutable && ty.content_type == wasmparser::ValType::I32 => {
                GlobalLoc::Const(ConstValue::I32(7))
            }
            false => GlobalLoc::Own {
                offset: slot(index),
            },
        }
    });
    let tags = (0..module.tags.len()).map(|index| TagLoc {
        number: index as u32,
        slot: match (open, imported(index, module.imported_tags)) {
            (false, _) => NONE,
            (true, false) => slot(index),
            (true, true) => slot(index) | IMPORTED,
        },
    });
    let segment = |index: usize, start| {
        Some(SegmentLoc {
            start,
            len: slot(index),
        })
    };
    Env {
        module,
        instance: 0,
        funcs: funcs.collect(),
        tables: tables.collect(),
        memories: memories.collect(),
        globals: globals.collect(),
        tags: tags.collect(),
        data: (0..module.data.len())
            .map(|index| segment(index, SegmentStart::Data(64 * index as u32)))
            .collect(),
        elements: (0..module.elements.len())
            .map(|index| segment(index, SegmentStart::Context(0xa00)))
            .collect(),
        type_numbers: (0..module.types.len() as u32).collect(),
        refs,
        interrupt_slot: None,
    }
}

/// Translates and compiles all functions of a module: the listing of each.
pub(crate) fn compile(
    module: &Module<'_>,
    refs: FuncRefs,
    isa: &dyn isa::TargetIsa,
    state: &mut TranslateState,
) -> Result<Vec<String>> {
    let env = env(module, refs);
    let mut listings = Vec::new();
    for index in module.imported_funcs..module.funcs.len() as u32 {
        let mut context = Context::for_function(ir::Function::new());
        context.set_disasm(true);
        translate_function(&env, index, isa, state, &mut context.func)?;
        let text = context.func.display().to_string();
        if let Err(errors) = context.verify(isa) {
            panic!("{errors}\n{text}");
        }
        let code = match context.compile(isa, &mut ControlPlane::default()) {
            Ok(code) => code,
            Err(error) => panic!("{:?}\n{text}", error.inner),
        };
        listings.push(code.vcode.clone().unwrap());
    }
    Ok(listings)
}

/// Compiles a module in all combinations of settings; returns the listings for the default ones.
fn compile_text(text: &str) -> Result<Vec<String>> {
    let bytes = wat::parse_str(text).unwrap();
    let decoded = decode(&bytes, Features::default())?;
    let mut state = TranslateState::default();
    let mut listings = Vec::new();
    for (cpu, opt) in [
        (CpuLevel::X86_64, OptLevel::None),
        (CpuLevel::X86_64V3, OptLevel::Speed),
    ] {
        let isa = target(cpu, opt);
        for refs in [FuncRefs::Open { type_ids: TYPE_IDS }, FuncRefs::Closed] {
            listings = compile(&decoded.modules[0], refs, &*isa, &mut state)?;
        }
    }
    Ok(listings)
}

/// The instructions of a module's only function in a closed unit, without prologue and epilogue.
fn listing(text: &str) -> String {
    let listings = compile_text(text).unwrap();
    let [listing] = &listings[..] else {
        panic!("one function is expected")
    };
    let lines: Vec<_> = listing.lines().map(str::trim).collect();
    lines.join("\n").trim().to_string()
}

#[track_caller]
fn error(text: &str) -> String {
    compile_text(text).unwrap_err().to_string()
}

#[test]
fn an_access_to_the_first_memory_is_one_instruction() {
    let text = "(module (memory 1) (func (param i32) (result i32)
        (i32.load offset=8 (local.get 0))))";
    let code = listing(text);
    assert!(code.contains("movl 0x1008(%rdi, %rsi), %eax"), "{code}");
    assert!(!code.contains("trap"), "{code}");
}

#[test]
fn a_constant_index_is_part_of_the_address() {
    let text = "(module (memory 1) (func (result i32) (i32.load offset=8 (i32.const 16))))";
    let code = listing(text);
    assert!(code.contains("movl 0x1018(%rdi), %eax"), "{code}");
}

#[test]
fn what_the_guard_does_not_catch_is_checked() {
    let far = "(module (memory 1) (func (param i32) (result i32)
        (i32.load offset=0x10000000 (local.get 0))))";
    let wide = "(module (memory i64 1) (func (param i64) (result i32)
        (i32.load offset=8 (local.get 0))))";
    let wrapping = "(module (memory i64 1) (func (param i64) (result i32)
        (i32.load offset=0xffff_ffff_ffff_ffff (local.get 0))))";
    for text in [far, wrapping] {
        let code = listing(text);
        assert!(code.contains("#trap=heap_oob"), "{code}");
    }
    let code = listing(wide);
    assert!(code.contains("cmov") && !code.contains("#trap"), "{code}");
}

#[test]
fn an_indirect_call_compares_the_bound_and_the_type() {
    let text = "(module (type $t (func (param i32) (result i32))) (table 8 8 funcref)
        (func (param i32) (result i32)
            (call_indirect (type $t) (local.get 0) (local.get 0))))";
    let code = listing(text);
    // Comparisons of the stack pointer, of the index and of the type.
    assert_eq!(code.matches("cmp").count(), 3, "{code}");
    assert!(code.contains("movl 0x804(%rdi, %"), "{code}");
    assert!(code.contains("call    *%"), "{code}");
}

#[test]
fn control_flow_compiles() {
    compile_text(
        r#"(module
        (type $two (func (param i32 i32) (result i32 i32)))
        (func (param i32 i32) (result i32 i32)
            local.get 0 local.get 1 local.get 0
            if (type $two) i32.add local.get 1 else br 1 end)
        (func (param i32 i32) (result i32 i32)
            local.get 0 local.get 1 local.get 0
            if (type $two) local.get 0 br_if 1 drop local.get 1 end)
        (func (param i32) (if (local.get 0) (then unreachable)) nop)
        (func (param i32) (if (local.get 0) (then (br_if 0 (local.get 0)) (br_if 1 (local.get 0)))))
        (func (param i32 i32) (result i32)
            local.get 0 local.get 1
            loop $l (type $two)
                local.tee 0
                local.get 0
                br_if $l
            end
            i32.add)
        (func (param i32) (result i32)
            block (result i32) block (result i32)
                (br_table 0 1 0 2 (i32.const 5) (local.get 0))
            end end)
        (func (param i32) (result i32)
            (block $a (block $b (block $c (br_table $a $b $c (local.get 0))))
                (return (i32.const 1)))
            i32.const 2)
        (func (param i32) (br_table 0 (local.get 0)))
        (func (result i32) (return (i32.const 1)) block i32.const 0 if loop end else end end drop)
        (func (result i32) unreachable i32.add drop block (result i32) i32.const 1 end)
        (func (loop $l (br $l)))
        (func (block (br 0) (block (br 1))) (block (loop (br 1))))
    )"#,
    )
    .unwrap();
}

#[test]
fn calls_with_many_values_compile() {
    let values = |ty: &str, count| format!("{ty} ").repeat(count);
    compile_text(&format!(
        r#"(module
        (type $many (func (param {params}) (result {results})))
        (import "" "f" (func $imported (type $many)))
        (table 4 funcref)
        (elem declare func $many)
        (func $many (type $many) {args} call $imported {args} call $imported {drops})
        (func (param i32) (result {results})
            {consts} local.get 0 call_indirect (type $many))
        (func (result funcref) (ref.func $many))
    )"#,
        params = values("i64", 20),
        results = values("f64", 20),
        args = (0..20)
            .map(|local| format!("local.get {local} "))
            .collect::<String>(),
        consts = values("i64.const 1", 20),
        drops = values("drop", 20),
    ))
    .unwrap();
}

#[test]
fn numeric_operators_compile() {
    let mut funcs = String::new();
    let mut func = |params: &[&str], result: &str, op: &str| {
        let args: String = (0..params.len())
            .map(|local| format!("local.get {local} "))
            .collect();
        let params = params.join(" ");
        funcs.push_str(&format!(
            "(func (param {params}) (result {result}) {args} {op})\n"
        ));
    };
    for ty in ["i32", "i64"] {
        for op in ["clz", "ctz", "popcnt", "extend8_s", "extend16_s"] {
            func(&[ty], ty, &format!("{ty}.{op}"));
        }
        for op in
            "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr".split(' ')
        {
            func(&[ty, ty], ty, &format!("{ty}.{op}"));
        }
        for op in "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split(' ') {
            func(&[ty, ty], "i32", &format!("{ty}.{op}"));
        }
        func(&[ty], "i32", &format!("{ty}.eqz"));
        for float in ["f32", "f64"] {
            for sign in ["s", "u"] {
                func(&[float], ty, &format!("{ty}.trunc_{float}_{sign}"));
                func(&[float], ty, &format!("{ty}.trunc_sat_{float}_{sign}"));
                func(&[ty], float, &format!("{float}.convert_{ty}_{sign}"));
            }
        }
    }
    for ty in ["f32", "f64"] {
        for op in "abs neg sqrt ceil floor trunc nearest".split(' ') {
            func(&[ty], ty, &format!("{ty}.{op}"));
        }
        for op in "add sub mul div min max copysign".split(' ') {
            func(&[ty, ty], ty, &format!("{ty}.{op}"));
        }
        for op in "eq ne lt gt le ge".split(' ') {
            func(&[ty, ty], "i32", &format!("{ty}.{op}"));
        }
        func(&[ty, ty, "i32"], ty, "select");
    }
    for (from, to, op) in [
        ("i64", "i32", "i32.wrap_i64"),
        ("i32", "i64", "i64.extend_i32_s"),
        ("i32", "i64", "i64.extend_i32_u"),
        ("i64", "i64", "i64.extend32_s"),
        ("f64", "f32", "f32.demote_f64"),
        ("f32", "f64", "f64.promote_f32"),
        ("f32", "i32", "i32.reinterpret_f32"),
        ("f64", "i64", "i64.reinterpret_f64"),
        ("i32", "f32", "f32.reinterpret_i32"),
        ("i64", "f64", "f64.reinterpret_i64"),
    ] {
        func(&[from], to, op);
    }
    compile_text(&format!("(module {funcs})")).unwrap();
}

#[test]
fn memory_operators_compile_for_every_kind_of_memory() {
    let mut funcs = String::new();
    for (memory, index) in [("imported", "i32"), ("own", "i32"), ("wide", "i64")] {
        for (ty, op) in ["i32", "i64"]
            .iter()
            .flat_map(|ty| ["", "8_s", "8_u", "16_s", "16_u"].map(|op| (*ty, op)))
            .chain([("i64", "32_s"), ("i64", "32_u"), ("f32", ""), ("f64", "")])
        {
            for offset in ["0", "0x7fff_ffff", "0xffff_ffff"] {
                let access = format!("${memory} offset={offset}");
                funcs.push_str(&format!(
                    "(func (param {index}) (result {ty}) ({ty}.load{op} {access} (local.get 0)))
                     (func (result {ty}) ({ty}.load{op} {access} ({index}.const -1)))"
                ));
                let op = op.trim_end_matches("_s");
                if !op.ends_with("_u") {
                    funcs.push_str(&format!(
                        "(func (param {index} {ty})
                            ({ty}.store{op} {access} (local.get 0) (local.get 1)))"
                    ));
                }
            }
        }
        funcs.push_str(&format!(
            "(func (param {index}) (result {index}) (memory.grow ${memory} (memory.size ${memory})))
             (func (param {index})
                (memory.fill ${memory} (local.get 0) (i32.const 1) (local.get 0))
                (memory.copy ${memory} ${memory} (local.get 0) (local.get 0) (local.get 0))
                (memory.init ${memory} 0 (local.get 0) (i32.const 1) (i32.const 2))
                (data.drop 0))"
        ));
    }
    compile_text(&format!(
        "(module
            (import \"\" \"m\" (memory $imported 1))
            (memory $own 1 2) (memory $wide i64 1 2) (data \"abc\")
            {funcs}
            (func (param i64 i32)
                (memory.copy $wide $own (local.get 0) (local.get 1) (local.get 1))))"
    ))
    .unwrap();
}

#[test]
fn table_operators_compile_for_every_kind_of_table() {
    let mut funcs = String::new();
    for (table, index) in [
        ("imported", "i32"),
        ("own", "i32"),
        ("fixed", "i32"),
        ("wide", "i64"),
    ] {
        funcs.push_str(&format!(
            "(func (param {index}) (result funcref)
                (table.set ${table} (local.get 0) (table.get ${table} ({index}.const 1)))
                (table.set ${table} ({index}.const 100) (ref.null func))
                (table.fill ${table} (local.get 0) (ref.func $f) (table.size ${table}))
                (table.copy ${table} ${table} (local.get 0) (local.get 0) (local.get 0))
                (table.init ${table} 0 (local.get 0) (i32.const 0) (i32.const 1))
                (elem.drop 0)
                (drop (table.grow ${table} (ref.null func) (local.get 0)))
                (call_indirect ${table} (type $t) (local.get 0))
                (drop (ref.is_null (table.get ${table} (local.get 0))))
                (select (result funcref) (ref.null func) (ref.func $f) (i32.const 1)))"
        ));
    }
    compile_text(&format!(
        "(module
            (type $t (func))
            (import \"\" \"t\" (table $imported 1 funcref))
            (table $own 1 funcref) (table $fixed 4 4 funcref) (table $wide i64 1 funcref)
            (elem $e funcref (ref.func $f))
            (func $f)
            {funcs})"
    ))
    .unwrap();
}

#[test]
fn only_tail_calls_that_may_move_the_frame_check_the_stack() {
    let few = "(module (func $f (param i32 i32) (return_call $f (local.get 1) (local.get 0))))";
    assert!(!listing(few).contains("stk_ovf"));
    let many = "(module (type $many (func (param i32 i32 i32 i32 i32 i32 i32)))
        (import \"\" \"f\" (func $f (type $many)))
        (func (param i32) (return_call $f (local.get 0) (local.get 0) (local.get 0) (local.get 0)
            (local.get 0) (local.get 0) (local.get 0))))";
    assert!(listing(many).contains("stk_ovf"));
}

#[test]
fn globals_compile() {
    compile_text(
        "(module
            (import \"\" \"a\" (global $imported i64))
            (import \"\" \"b\" (global $mutable (mut i64)))
            (global $known i32 (i32.const 7))
            (global $own (mut f32) (f32.const 1))
            (global $reference (mut externref) (ref.null extern))
            (func (result i64 i64 i32 f32 externref)
                (global.set $mutable (global.get $imported))
                (global.set $own (f32.const nan:0x200001))
                (global.set $reference (ref.null extern))
                global.get $imported global.get $mutable global.get $known global.get $own
                global.get $reference))",
    )
    .unwrap();
}

#[test]
fn rounding_calls_a_builtin_where_the_cpu_has_no_instruction() {
    let bytes =
        wat::parse_str("(module (func (param f32) (result f32) (f32.floor (local.get 0))))");
    let bytes = bytes.unwrap();
    let decoded = decode(&bytes, Features::default()).unwrap();
    for (cpu, calls) in [(CpuLevel::X86_64, true), (CpuLevel::X86_64V2, false)] {
        let isa = target(cpu, OptLevel::Speed);
        let state = &mut TranslateState::default();
        let code = &compile(&decoded.modules[0], FuncRefs::Closed, &*isa, state).unwrap()[0];
        assert_eq!(code.contains("call "), calls, "{code}");
    }
}

#[test]
fn casts_between_lanes_are_looked_through() {
    // A load becomes the operand of an instruction, whatever its lanes are.
    let code = listing(
        "(module (memory 1) (func (param i32 v128) (result v128)
            (f32x4.add (local.get 1) (v128.load offset=16 (local.get 0)))))",
    );
    assert!(code.contains("vaddps 0x1010(%rdi, %rsi), %xmm0"), "{code}");
    // A comparison is part of the test.
    let code = listing(
        "(module (func (param v128 v128) (result i32)
            (v128.any_true (i32x4.ne (local.get 0) (local.get 1)))))",
    );
    assert!(code.contains("vptest"), "{code}");
    assert!(!code.contains("vpcmpeqd"), "{code}");
}

#[test]
fn what_cannot_be_translated_is_named() {
    let local = error("(module (func (local anyref)))");
    assert_eq!(local, "not supported yet: gc (at offset 0x17)");
    let gc = error("(module (func (drop (ref.null eq))))");
    assert!(gc.starts_with("not supported yet: gc (at offset"), "{gc}");
    for items in [
        "(global i31ref (ref.i31 (i32.const 1)))",
        "(table 1 i31ref (ref.i31 (i32.const 1)))",
        "(import \"a\" \"b\" (global anyref))",
        "(import \"a\" \"b\" (table 1 anyref))",
    ] {
        let bytes = wat::parse_str(format!("(module {items})")).unwrap();
        let found = crate::compile(&bytes, &crate::Options::default());
        let gc = found.unwrap_err().to_string();
        assert!(gc.starts_with("not supported yet: gc (at offset"), "{gc}");
    }
}

#[test]
fn what_is_invalid_is_refused_and_the_state_can_be_used_again() {
    let invalid =
        wat::parse_str("(module (func (block (result i32) (i64.const 1)) drop))").unwrap();
    let valid = wat::parse_str("(module (func (local i32) (loop (br 0))))").unwrap();
    let isa = target(CpuLevel::X86_64V3, OptLevel::Speed);
    let mut state = TranslateState::default();
    for _ in 0..2 {
        let decoded = decode(&invalid, Features::default()).unwrap();
        let result = compile(&decoded.modules[0], FuncRefs::Closed, &*isa, &mut state);
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with("invalid WebAssembly: type mismatch"),
            "{message}"
        );
        let decoded = decode(&valid, Features::default()).unwrap();
        compile(&decoded.modules[0], FuncRefs::Closed, &*isa, &mut state).unwrap();
    }
}
