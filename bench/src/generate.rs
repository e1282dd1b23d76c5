//! Generates a large component: thousands of distinct functions of plausible code.
//!
//! Each function is a list of random statements over its locals (32-bit and 64-bit integers and
//! floats), one memory, two globals; with branches, loops, switches, and calls, direct and
//! through a table. Function `i` calls functions `2i + 1` and `2i + 2`, so `run`, which calls
//! function 0, calls each of them once. Nothing traps, and no bits of a NaN reach the answer. The
//! same bytes come out every time.

use wasm_encoder::{
    BlockType, CodeSection, ComponentBuilder, ComponentExportKind, ConstExpr, DataSection,
    ElementSection, Elements, ExportKind, ExportSection, Function, FunctionSection, GlobalSection,
    GlobalType, Ieee64, InstructionSink, MemArg, MemArgTarget, MemorySection, MemoryType, Module,
    PrimitiveValType, RefType, TableSection, TableType, TypeSection, ValType,
};

/// Statements in either half of a function.
const STATEMENTS: u32 = 5;
/// How deeply statements nest.
const NESTING: u32 = 2;
/// How deeply expressions nest.
const DEPTH: u32 = 3;
/// Bytes of the memory that start as random data; also what addresses are kept below.
const DATA_SIZE: u32 = 1 << 16;

// Types of functions.
const RUN_TYPE: u32 = 0;
const WORK_TYPE: u32 = 1;

// Locals: the parameters are the first integers of each kind. A loop counts in the one that
// belongs to its depth.
const I32: &[u32] = &[0, 2, 3, 4, 5];
const I64: &[u32] = &[1, 6, 7, 8, 9];
const F64: &[u32] = &[10, 11, 12, 13];
const COUNTERS: &[u32] = &[14, 15, 16];
const LOCALS: &[(u32, ValType)] = &[
    (4, ValType::I32),
    (4, ValType::I64),
    (4, ValType::F64),
    (3, ValType::I32),
];

// Globals.
const GLOBAL_I32: u32 = 0;
const GLOBAL_I64: u32 = 1;

/// A component with `functions` functions beside `run: func(seed: u32) -> u32`, which it exports.
pub(crate) fn component(functions: u32) -> Vec<u8> {
    let mut component = ComponentBuilder::default();
    let module = component.core_module(None, &module(functions));
    let instance = component.core_instantiate(None, module, []);
    let core_run = component.core_alias_export(None, instance, "run", ExportKind::Func);
    let (run_type, mut encoder) = component.type_function(None);
    encoder
        .params([("seed", PrimitiveValType::U32)])
        .result(Some(PrimitiveValType::U32.into()));
    let run = component.lift_func(None, core_run, run_type, []);
    component.export("run", ComponentExportKind::Func, run, None);
    component.finish()
}

fn module(functions: u32) -> Module {
    let mut random = Random(0);
    let mut module = Module::new();
    module
        .section(&types())
        .section(&function_types(functions))
        .section(&tables(functions))
        .section(&memories())
        .section(&globals())
        .section(ExportSection::new().export("run", ExportKind::Func, functions))
        .section(&elements(functions))
        .section(&code(functions, &mut random))
        .section(&data(&mut random));
    module
}

fn types() -> TypeSection {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    types
        .ty()
        .function([ValType::I32, ValType::I64], [ValType::I64]);
    types
}

fn function_types(functions: u32) -> FunctionSection {
    let mut types = FunctionSection::new();
    for _ in 0..functions {
        types.function(WORK_TYPE);
    }
    types.function(RUN_TYPE);
    types
}

fn tables(functions: u32) -> TableSection {
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        table64: false,
        minimum: functions.into(),
        maximum: Some(functions.into()),
        shared: false,
    });
    tables
}

fn memories() -> MemorySection {
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 2,
        maximum: Some(2),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    memories
}

fn globals() -> GlobalSection {
    let mut globals = GlobalSection::new();
    let mut add = |val_type, value: &ConstExpr| {
        globals.global(
            GlobalType {
                val_type,
                mutable: true,
                shared: false,
            },
            value,
        );
    };
    add(ValType::I32, &ConstExpr::i32_const(1));
    add(ValType::I64, &ConstExpr::i64_const(1));
    globals
}

/// Function `i` stands at index `i` of the table.
fn elements(functions: u32) -> ElementSection {
    let all: Vec<u32> = (0..functions).collect();
    let mut elements = ElementSection::new();
    elements.active(
        None,
        &ConstExpr::i32_const(0),
        Elements::Functions(all.into()),
    );
    elements
}

fn data(random: &mut Random) -> DataSection {
    let bytes: Vec<u8> = (0..DATA_SIZE).map(|_| random.next() as u8).collect();
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(0), bytes);
    data
}

fn code(functions: u32, random: &mut Random) -> CodeSection {
    let mut code = CodeSection::new();
    for index in 0..functions {
        let mut function = Function::new(LOCALS.iter().copied());
        Body {
            code: function.instructions(),
            random,
            functions,
        }
        .function(index);
        code.function(&function);
    }
    let mut run = Function::new([]);
    run.instructions()
        .local_get(0)
        .local_get(0)
        .i64_extend_i32_u()
        .call(0)
        .i32_wrap_i64()
        .end();
    code.function(&run);
    code
}

/// Writes one function.
struct Body<'a> {
    code: InstructionSink<'a>,
    random: &'a mut Random,
    /// How many functions there are.
    functions: u32,
}

impl Body<'_> {
    fn function(&mut self, index: u32) {
        self.statements(STATEMENTS, NESTING);
        self.call_children(index);
        self.statements(STATEMENTS, NESTING);
        self.answer();
        self.code.end();
    }

    /// Calls one child directly and one through the table.
    fn call_children(&mut self, index: u32) {
        let (left, right) = (2 * index + 1, 2 * index + 2);
        if left < self.functions {
            self.i32(1);
            self.i64(1);
            self.code.call(left).local_set(I64[1]);
        }
        if right < self.functions {
            self.i32(1);
            self.i64(1);
            self.code
                .i32_const(right as i32)
                .call_indirect(0, WORK_TYPE)
                .local_set(I64[2]);
        }
    }

    /// Mixes all locals.
    fn answer(&mut self) {
        self.code.i64_const(0);
        for local in I64 {
            self.code
                .i64_const(31)
                .i64_mul()
                .local_get(*local)
                .i64_xor();
        }
        for local in I32 {
            self.code
                .i64_const(31)
                .i64_mul()
                .local_get(*local)
                .i64_extend_i32_u()
                .i64_xor();
        }
        for local in F64 {
            self.code.local_get(*local).i64_trunc_sat_f64_s().i64_xor();
        }
    }

    fn statements(&mut self, count: u32, nesting: u32) {
        for _ in 0..count {
            self.statement(nesting);
        }
    }

    fn statement(&mut self, nesting: u32) {
        match self.random.below(if nesting > 0 { 14 } else { 10 }) {
            0..=2 => self.set_i32(),
            3..=4 => self.set_i64(),
            5..=6 => self.set_f64(),
            7 => self.store_i32(),
            8 => self.store_i64(),
            9 => self.set_global(),
            10..=11 => self.branch(nesting - 1),
            12 => self.repeat(nesting - 1),
            _ => self.switch(nesting - 1),
        }
    }

    fn set_i32(&mut self) {
        self.i32(DEPTH);
        let local = self.random.pick(I32);
        self.code.local_set(local);
    }

    fn set_i64(&mut self) {
        self.i64(DEPTH);
        let local = self.random.pick(I64);
        self.code.local_set(local);
    }

    fn set_f64(&mut self) {
        self.f64(DEPTH);
        let local = self.random.pick(F64);
        self.code.local_set(local);
    }

    fn store_i32(&mut self) {
        let place = self.address(2);
        self.i32(DEPTH);
        match self.random.below(3) {
            0 => self.code.i32_store8(place),
            1 => self.code.i32_store16(place),
            _ => self.code.i32_store(place),
        };
    }

    fn store_i64(&mut self) {
        let place = self.address(2);
        self.i64(DEPTH);
        self.code.i64_store(place);
    }

    fn set_global(&mut self) {
        if self.random.below(2) == 0 {
            self.i32(DEPTH);
            self.code.global_set(GLOBAL_I32);
        } else {
            self.i64(DEPTH);
            self.code.global_set(GLOBAL_I64);
        }
    }

    fn branch(&mut self, nesting: u32) {
        self.condition(DEPTH);
        self.code.if_(BlockType::Empty);
        self.statements(2, nesting);
        if self.random.below(2) == 0 {
            self.code.else_();
            self.statements(2, nesting);
        }
        self.code.end();
    }

    /// A loop of three rounds, which may be left early.
    fn repeat(&mut self, nesting: u32) {
        let counter = COUNTERS[nesting as usize];
        self.code.i32_const(3).local_set(counter);
        self.code.block(BlockType::Empty).loop_(BlockType::Empty);
        self.statements(2, nesting);
        self.condition(1);
        self.code.br_if(1);
        self.code
            .local_get(counter)
            .i32_const(1)
            .i32_sub()
            .local_tee(counter)
            .br_if(0);
        self.code.end().end();
    }

    /// A switch with two cases and a default.
    fn switch(&mut self, nesting: u32) {
        for _ in 0..4 {
            self.code.block(BlockType::Empty);
        }
        self.i32(1);
        self.code.i32_const(3).i32_and().br_table([0, 1], 2).end();
        self.statement(nesting);
        self.code.br(2).end();
        self.statement(nesting);
        self.code.br(1).end();
        self.statement(nesting);
        self.code.end();
    }

    /// Pushes an address that leaves room for the offset of the place that it returns.
    fn address(&mut self, depth: u32) -> MemArg {
        self.i32(depth);
        self.code.i32_const((DATA_SIZE - 8) as i32).i32_and();
        MemArg {
            offset: u64::from(self.random.below(512) * 8),
            align: 0,
            target: MemArgTarget::Memory(0),
            ordering: None,
        }
    }

    /// Pushes an `i32` that is 0 or 1.
    fn condition(&mut self, depth: u32) {
        match self.random.below(4) {
            0 => {
                self.i32_pair(depth);
                self.code.i32_lt_s();
            }
            1 => {
                self.i32_pair(depth);
                self.code.i32_ne();
            }
            2 => {
                self.i64_pair(depth);
                self.code.i64_gt_u();
            }
            _ => {
                self.f64_pair(depth);
                self.code.f64_lt();
            }
        }
    }

    /// Pushes an `i32`.
    fn i32(&mut self, depth: u32) {
        let Some(depth) = depth.checked_sub(1) else {
            return self.i32_leaf();
        };
        match self.random.below(10) {
            0..=4 => {
                self.i32_pair(depth);
                self.i32_operator();
            }
            5 => self.condition(depth),
            6 => {
                let place = self.address(depth);
                match self.random.below(3) {
                    0 => self.code.i32_load8_u(place),
                    1 => self.code.i32_load16_s(place),
                    _ => self.code.i32_load(place),
                };
            }
            7 => {
                self.i64(depth);
                self.code.i32_wrap_i64();
            }
            8 => {
                self.i32_pair(depth);
                self.condition(0);
                self.code.select();
            }
            _ => {
                self.f64(depth);
                self.code.i32_trunc_sat_f64_s();
            }
        }
    }

    fn i32_leaf(&mut self) {
        match self.random.below(8) {
            0..=1 => self
                .code
                .i32_const(self.random.next() as i32 >> self.random.below(31)),
            2 => self.code.global_get(GLOBAL_I32),
            _ => self.code.local_get(self.random.pick(I32)),
        };
    }

    fn i32_pair(&mut self, depth: u32) {
        self.i32(depth);
        self.i32(depth);
    }

    /// An operator for two of them that cannot trap.
    fn i32_operator(&mut self) {
        match self.random.below(11) {
            0..=1 => self.code.i32_add(),
            2 => self.code.i32_sub(),
            3 => self.code.i32_mul(),
            4 => self.code.i32_and(),
            5 => self.code.i32_or(),
            6 => self.code.i32_xor(),
            7 => self.code.i32_shl(),
            8 => self.code.i32_shr_s(),
            9 => self.code.i32_popcnt().i32_rotl(),
            _ => self.code.i32_const(1).i32_or().i32_div_u(),
        };
    }

    /// Pushes an `i64`.
    fn i64(&mut self, depth: u32) {
        let Some(depth) = depth.checked_sub(1) else {
            return self.i64_leaf();
        };
        match self.random.below(8) {
            0..=3 => {
                self.i64_pair(depth);
                self.i64_operator();
            }
            4..=5 => {
                self.i32(depth);
                self.code.i64_extend_i32_s();
            }
            6 => {
                let place = self.address(depth);
                self.code.i64_load(place);
            }
            _ => {
                self.i64_pair(depth);
                self.condition(0);
                self.code.select();
            }
        }
    }

    fn i64_leaf(&mut self) {
        match self.random.below(8) {
            0 => self
                .code
                .i64_const(self.random.next() as i64 >> self.random.below(63)),
            1 => self.code.global_get(GLOBAL_I64),
            _ => self.code.local_get(self.random.pick(I64)),
        };
    }

    fn i64_pair(&mut self, depth: u32) {
        self.i64(depth);
        self.i64(depth);
    }

    /// As [`Body::i32_operator`].
    fn i64_operator(&mut self) {
        match self.random.below(8) {
            0..=1 => self.code.i64_add(),
            2 => self.code.i64_sub(),
            3 => self.code.i64_mul(),
            4 => self.code.i64_xor(),
            5 => self.code.i64_or(),
            6 => self.code.i64_shr_u(),
            _ => self.code.i64_const(1).i64_or().i64_rem_u(),
        };
    }

    /// Pushes an `f64`, which may be a NaN.
    fn f64(&mut self, depth: u32) {
        let Some(depth) = depth.checked_sub(1) else {
            return self.f64_leaf();
        };
        match self.random.below(6) {
            0..=2 => {
                self.f64_pair(depth);
                self.f64_operator();
            }
            3 => {
                self.i32(depth);
                self.code.f64_convert_i32_s();
            }
            4 => {
                self.f64(depth);
                self.code.f64_abs().f64_sqrt();
            }
            _ => {
                let place = self.address(depth);
                self.code.f64_load(place);
            }
        }
    }

    fn f64_leaf(&mut self) {
        if self.random.below(4) == 0 {
            let value = f64::from(self.random.next() as i32) / 256.0;
            self.code.f64_const(Ieee64::from(value));
        } else {
            self.code.local_get(self.random.pick(F64));
        }
    }

    fn f64_pair(&mut self, depth: u32) {
        self.f64(depth);
        self.f64(depth);
    }

    fn f64_operator(&mut self) {
        match self.random.below(4) {
            0 => self.code.f64_add(),
            1 => self.code.f64_sub(),
            2 => self.code.f64_mul(),
            _ => self.code.f64_div(),
        };
    }
}

/// Random numbers that are the same every time: SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: u32) -> u32 {
        (self.next() % u64::from(end)) as u32
    }

    fn pick(&mut self, choices: &[u32]) -> u32 {
        choices[self.below(choices.len() as u32) as usize]
    }
}
