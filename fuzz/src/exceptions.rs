//! Modules that throw and catch, each in two forms: with the instructions of WebAssembly 3.0, and
//! with those before it. Both do the same.
//!
//! A function is a list of statements that change numbers, and leave a trace of what was executed
//! in a global. `Delegate` is what `delegate` does: what its body throws goes to a `Try` further
//! out, past those in between; in the new form it is caught and thrown again there.

use std::borrow::Cow;

use wasm_encoder::{
    BlockType, Catch, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection,
    Function, FunctionSection, GlobalSection, GlobalType, Instruction as I, RefType, TableSection,
    TableType, TagKind, TagSection, TagType, TypeSection, ValType,
};

use crate::rng::Rng;

/// The same module in both forms.
pub(crate) struct Forms {
    pub(crate) new: Vec<u8>,
    pub(crate) legacy: Vec<u8>,
}

/// How deep statements nest.
const MAX_DEPTH: u32 = 6;
/// The types that values of exceptions have.
const VALUES: &[ValType] = &[
    ValType::I32,
    ValType::I64,
    ValType::F32,
    ValType::F64,
    ValType::V128,
];
/// The first locals: parameters and numbers, then one for each type of values.
const NUMBERS: u32 = 6;
const EXCEPTIONS: u32 = NUMBERS + VALUES.len() as u32;
/// The globals: the trace, and how many calls and rounds of loops are left.
const TRACE: u32 = 0;
const FUEL: u32 = 1;
/// Calls and rounds of loops of a call from outside.
const MAX_FUEL: i32 = 300;

enum Stmt {
    /// A number in the trace.
    Trace(i32),
    /// A number from two others.
    Set(u32, Op, u32, u32),
    Const(u32, i32),
    If(u32, Vec<Stmt>, Vec<Stmt>),
    Loop(u32, Vec<Stmt>),
    /// The function, the numbers that it is given, and where its result goes.
    Call {
        func: u32,
        by_table: bool,
        args: [u32; 2],
        result: u32,
    },
    TailCall(u32, [u32; 2]),
    Throw(u32),
    Try(Try),
    /// The number of `Try`s that are passed, from the inside.
    Delegate(u32, Vec<Stmt>),
    /// What the `Try` has caught whose clause this is in: their number from the inside.
    Rethrow(u32),
    Return(u32),
    Trap,
}

struct Try {
    body: Vec<Stmt>,
    /// By tag; `None` is for all.
    clauses: Vec<(Option<u32>, Vec<Stmt>)>,
}

#[derive(Clone, Copy)]
enum Op {
    Add,
    Sub,
    Mul,
    Xor,
}

/// The module of these choices.
pub(crate) fn module(rng: &mut Rng) -> Forms {
    let tags: Vec<Vec<ValType>> = (0..1 + rng.below(12))
        .map(|_| (0..rng.below(4)).map(|_| rng.pick(VALUES)).collect())
        .collect();
    let funcs = 1 + rng.below(6) as u32;
    let mut maker = Maker {
        rng,
        tags: tags.len() as u32,
        funcs,
        left: 0,
        bodies: 0,
        clauses: 0,
    };
    let bodies: Vec<Vec<Stmt>> = (0..funcs)
        .map(|_| {
            maker.left = 60;
            (maker.bodies, maker.clauses) = (0, 0);
            maker.stmts(0)
        })
        .collect();
    Forms {
        new: encode(&tags, &bodies, false),
        legacy: encode(&tags, &bodies, true),
    }
}

/// Makes statements.
struct Maker<'r> {
    rng: &'r mut Rng,
    tags: u32,
    funcs: u32,
    /// How many more statements the function may have.
    left: u32,
    /// The `Try`s whose bodies the next statement is in.
    bodies: u32,
    /// The `Try`s in whose clauses it is.
    clauses: u32,
}

impl Maker<'_> {
    fn stmts(&mut self, depth: u32) -> Vec<Stmt> {
        let count = 1 + self.below(4);
        (0..count).map_while(|_| self.stmt(depth)).collect()
    }

    fn stmt(&mut self, depth: u32) -> Option<Stmt> {
        self.left = self.left.checked_sub(1)?;
        let choices = if depth >= MAX_DEPTH { 9 } else { 16 };
        Some(match self.below(choices) {
            0 => Stmt::Trace(self.rng.next() as i32),
            1 => {
                let op = self.rng.pick(&[Op::Add, Op::Sub, Op::Mul, Op::Xor]);
                Stmt::Set(self.number(), op, self.number(), self.number())
            }
            2 => Stmt::Const(self.number(), self.rng.next() as i32 % 8),
            3 | 4 => Stmt::Call {
                func: self.below(self.funcs),
                by_table: self.rng.one_in(3),
                args: [self.number(), self.number()],
                result: self.number(),
            },
            5 if self.rng.one_in(3) => {
                Stmt::TailCall(self.below(self.funcs), [self.number(), self.number()])
            }
            5 | 6 => Stmt::Throw(self.below(self.tags)),
            7 if self.clauses > 0 => Stmt::Rethrow(self.below(self.clauses)),
            7 if self.rng.one_in(20) => Stmt::Trap,
            7 => Stmt::Trace(1),
            8 if self.rng.one_in(4) => Stmt::Return(self.number()),
            8 => Stmt::Trace(2),
            9 | 10 => {
                let condition = self.number();
                Stmt::If(condition, self.stmts(depth + 1), self.stmts(depth + 1))
            }
            11 => Stmt::Loop(1 + self.below(3), self.stmts(depth + 1)),
            12 if self.rng.one_in(2) => {
                let target = self.below(self.bodies + 1);
                Stmt::Delegate(target, self.stmts(depth + 1))
            }
            _ => Stmt::Try(self.try_(depth)),
        })
    }

    fn try_(&mut self, depth: u32) -> Try {
        self.bodies += 1;
        let body = self.stmts(depth + 1);
        self.bodies -= 1;
        let count = self.rng.pick(&[0, 1, 1, 2, 2, 3, 10]);
        let mut tags: Vec<Option<u32>> = (0..count).map(|_| Some(self.below(self.tags))).collect();
        if self.rng.one_in(3) {
            tags.push(None);
        }
        self.clauses += 1;
        let clauses = tags.into_iter().map(|tag| (tag, self.stmts(depth + 1)));
        let clauses = clauses.collect();
        self.clauses -= 1;
        Try { body, clauses }
    }

    fn number(&mut self) -> u32 {
        self.below(NUMBERS)
    }

    fn below(&mut self, end: u32) -> u32 {
        self.rng.below(end.into()) as u32
    }
}

/// Encodes a module in one of the forms.
fn encode(tags: &[Vec<ValType>], bodies: &[Vec<Stmt>], legacy: bool) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32; 2], [ValType::I32]);
    let mut tag_section = TagSection::new();
    let exnref = ValType::Ref(RefType::EXNREF);
    for (number, tag) in (0..).zip(tags) {
        types.ty().function(tag.iter().copied(), []);
        // What a handler gets.
        let caught = tag
            .iter()
            .copied()
            .chain(if legacy { None } else { Some(exnref) });
        types.ty().function([], caught.collect::<Vec<_>>());
        tag_section.tag(TagType {
            kind: TagKind::Exception,
            func_type_idx: 1 + 2 * number,
        });
    }
    let (mut funcs, mut code) = (FunctionSection::new(), CodeSection::new());
    let mut exports = ExportSection::new();
    for (index, body) in (0..).zip(bodies) {
        funcs.function(0);
        exports.export(&format!("f{index}"), ExportKind::Func, index);
        let mut locals = vec![(NUMBERS - 2, ValType::I32)];
        locals.extend(VALUES.iter().map(|ty| (1, *ty)));
        if !legacy {
            locals.push((MAX_DEPTH + 2, exnref));
        }
        let mut function = Function::new(locals);
        let mut encoder = Encoder {
            code: &mut function,
            tags,
            legacy,
            labels: 0,
            bodies: Vec::new(),
            clauses: Vec::new(),
        };
        encoder.func(body);
        code.function(&function);
    }
    exports.export("trace", ExportKind::Global, TRACE);
    let mut globals = GlobalSection::new();
    for value in [
        ConstExpr::i64_const(7),
        ConstExpr::i64_const(MAX_FUEL.into()),
    ] {
        let ty = GlobalType {
            val_type: ValType::I64,
            mutable: true,
            shared: false,
        };
        globals.global(ty, &value);
    }
    let mut tables = TableSection::new();
    tables.table(TableType {
        element_type: RefType::FUNCREF,
        minimum: bodies.len() as u64,
        maximum: Some(bodies.len() as u64),
        table64: false,
        shared: false,
    });
    let mut elements = ElementSection::new();
    let all: Vec<u32> = (0..bodies.len() as u32).collect();
    let offset = ConstExpr::i32_const(0);
    elements.active(None, &offset, Elements::Functions(Cow::Owned(all)));
    let mut module = wasm_encoder::Module::new();
    module.section(&types).section(&funcs).section(&tables);
    module.section(&tag_section).section(&globals);
    module.section(&exports).section(&elements).section(&code);
    module.finish()
}

/// Encodes a function.
struct Encoder<'e> {
    code: &'e mut Function,
    tags: &'e [Vec<ValType>],
    legacy: bool,
    /// How many labels there are.
    labels: u32,
    /// For the function and each `Try` whose body this is: the number of the label to which what is
    /// delegated goes.
    bodies: Vec<u32>,
    /// For each `Try` in whose clauses this is: the number of its label.
    clauses: Vec<u32>,
}

impl Encoder<'_> {
    fn emit(&mut self, instruction: &I<'_>) {
        self.code.instruction(instruction);
    }

    /// Begins a frame; the number of its label.
    fn begin(&mut self, instruction: &I<'_>) -> u32 {
        self.emit(instruction);
        self.labels += 1;
        self.labels
    }

    fn end(&mut self) {
        self.labels -= 1;
        self.emit(&I::End);
    }

    /// The depth of a label, from here.
    fn depth(&self, label: u32) -> u32 {
        self.labels - label
    }

    fn func(&mut self, body: &[Stmt]) {
        self.burn();
        // What is delegated to the caller.
        if self.legacy {
            self.bodies.push(0);
            self.stmts(body);
        } else {
            let exnref = ValType::Ref(RefType::EXNREF);
            let label = self.begin(&I::Block(BlockType::Result(exnref)));
            self.bodies.push(label);
            self.stmts(body);
            self.emit(&I::LocalGet(0));
            self.emit(&I::Return);
            self.end();
            self.emit(&I::ThrowRef);
        }
        if self.legacy {
            self.emit(&I::LocalGet(0));
        }
        self.emit(&I::End);
    }

    /// Uses fuel, and traps if there is none.
    fn burn(&mut self) {
        self.emit(&I::GlobalGet(FUEL));
        self.emit(&I::I64Const(1));
        self.emit(&I::I64Sub);
        self.emit(&I::GlobalSet(FUEL));
        self.emit(&I::GlobalGet(FUEL));
        self.emit(&I::I64Const(0));
        self.emit(&I::I64LtS);
        self.begin(&I::If(BlockType::Empty));
        self.emit(&I::Unreachable);
        self.end();
    }

    /// Mixes an i64 on the stack into the trace.
    fn trace(&mut self) {
        self.emit(&I::GlobalGet(TRACE));
        self.emit(&I::I64Const(0x0100_0000_01b3));
        self.emit(&I::I64Mul);
        self.emit(&I::I64Xor);
        self.emit(&I::GlobalSet(TRACE));
    }

    fn stmts(&mut self, stmts: &[Stmt]) {
        stmts.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match stmt {
            Stmt::Trace(number) => {
                self.emit(&I::I64Const((*number).into()));
                self.trace();
                self.emit(&I::LocalGet(*number as u32 % NUMBERS));
                self.emit(&I::I64ExtendI32S);
                self.trace();
            }
            Stmt::Set(to, op, a, b) => {
                self.emit(&I::LocalGet(*a));
                self.emit(&I::LocalGet(*b));
                self.emit(match op {
                    Op::Add => &I::I32Add,
                    Op::Sub => &I::I32Sub,
                    Op::Mul => &I::I32Mul,
                    Op::Xor => &I::I32Xor,
                });
                self.emit(&I::LocalSet(*to));
            }
            Stmt::Const(to, value) => {
                self.emit(&I::I32Const(*value));
                self.emit(&I::LocalSet(*to));
            }
            Stmt::If(condition, then, otherwise) => {
                self.emit(&I::LocalGet(*condition));
                self.emit(&I::I32Const(1));
                self.emit(&I::I32And);
                self.begin(&I::If(BlockType::Empty));
                self.stmts(then);
                self.emit(&I::Else);
                self.stmts(otherwise);
                self.end();
            }
            Stmt::Loop(rounds, body) => {
                // The first number counts.
                self.emit(&I::I32Const(*rounds as i32));
                self.emit(&I::LocalSet(0));
                let label = self.begin(&I::Loop(BlockType::Empty));
                self.burn();
                self.stmts(body);
                self.emit(&I::LocalGet(0));
                self.emit(&I::I32Const(1));
                self.emit(&I::I32Sub);
                self.emit(&I::LocalTee(0));
                self.emit(&I::I32Const(0));
                self.emit(&I::I32GtS);
                self.emit(&I::BrIf(self.depth(label)));
                self.end();
            }
            Stmt::Call {
                func,
                by_table,
                args,
                result,
            } => {
                args.iter().for_each(|arg| self.emit(&I::LocalGet(*arg)));
                if *by_table {
                    self.emit(&I::I32Const(*func as i32));
                    self.emit(&I::CallIndirect {
                        type_index: 0,
                        table_index: 0,
                    });
                } else {
                    self.emit(&I::Call(*func));
                }
                self.emit(&I::LocalSet(*result));
            }
            Stmt::TailCall(func, args) => {
                args.iter().for_each(|arg| self.emit(&I::LocalGet(*arg)));
                self.emit(&I::ReturnCall(*func));
            }
            Stmt::Throw(tag) => {
                for ty in &self.tags[*tag as usize] {
                    self.code.instruction(&I::LocalGet(value(*ty)));
                }
                self.emit(&I::Throw(*tag));
            }
            Stmt::Try(found) => match self.legacy {
                true => self.legacy_try(found),
                false => self.new_try(found),
            },
            Stmt::Delegate(passed, body) => self.delegate(*passed, body),
            Stmt::Rethrow(number) => {
                let place = self.clauses.len() - 1 - *number as usize;
                if self.legacy {
                    let label = self.clauses[place];
                    self.emit(&I::Rethrow(self.depth(label)));
                } else {
                    self.emit(&I::LocalGet(EXCEPTIONS + place as u32));
                    self.emit(&I::ThrowRef);
                }
            }
            Stmt::Return(number) => {
                self.emit(&I::LocalGet(*number));
                self.emit(&I::Return);
            }
            Stmt::Trap => self.emit(&I::Unreachable),
        }
    }

    fn legacy_try(&mut self, found: &Try) {
        let label = self.begin(&I::Try(BlockType::Empty));
        self.bodies.push(label);
        self.stmts(&found.body);
        self.bodies.pop();
        self.clauses.push(label);
        for (tag, clause) in &found.clauses {
            self.emit(&match tag {
                Some(tag) => I::Catch(*tag),
                None => I::CatchAll,
            });
            self.caught(*tag);
            self.stmts(clause);
        }
        self.clauses.pop();
        self.end();
    }

    fn new_try(&mut self, found: &Try) {
        let exnref = ValType::Ref(RefType::EXNREF);
        let end = self.begin(&I::Block(BlockType::Empty));
        let handlers = found.clauses.iter().rev().map(|(tag, _)| {
            let ty = match tag {
                Some(tag) => BlockType::FunctionType(2 + 2 * tag),
                None => BlockType::Result(exnref),
            };
            self.begin(&I::Block(ty))
        });
        let handlers: Vec<u32> = handlers.collect();
        let clauses = found.clauses.iter().zip(handlers.iter().rev());
        let clauses = clauses.map(|((tag, _), label)| {
            let label = self.labels - label;
            match tag {
                Some(tag) => Catch::OneRef { tag: *tag, label },
                None => Catch::AllRef { label },
            }
        });
        let clauses: Vec<Catch> = clauses.collect();
        self.begin(&I::TryTable(BlockType::Empty, Cow::Owned(clauses)));
        let after = self.begin(&I::Block(BlockType::Empty));
        let delegated = self.begin(&I::Block(BlockType::Result(exnref)));
        self.bodies.push(delegated);
        self.stmts(&found.body);
        self.bodies.pop();
        self.emit(&I::Br(self.depth(after)));
        self.end();
        self.emit(&I::ThrowRef);
        self.end();
        self.end();
        self.emit(&I::Br(self.depth(end)));
        self.clauses.push(end);
        for (tag, clause) in &found.clauses {
            self.end();
            let place = self.clauses.len() as u32 - 1;
            self.emit(&I::LocalSet(EXCEPTIONS + place));
            self.caught(*tag);
            self.stmts(clause);
            self.emit(&I::Br(self.depth(end)));
        }
        self.clauses.pop();
        self.end();
    }

    fn delegate(&mut self, passed: u32, body: &[Stmt]) {
        let place = self.bodies.len() - 1 - passed as usize;
        let target = self.bodies[place];
        if self.legacy {
            self.begin(&I::Try(BlockType::Empty));
            self.stmts(body);
            self.labels -= 1;
            self.emit(&I::Delegate(self.depth(target)));
        } else {
            let label = self.depth(target);
            let clauses = vec![Catch::AllRef { label }];
            self.begin(&I::TryTable(BlockType::Empty, Cow::Owned(clauses)));
            self.stmts(body);
            self.end();
        }
    }

    /// Takes the values of an exception from the stack.
    fn caught(&mut self, tag: Option<u32>) {
        let Some(tag) = tag else { return };
        for ty in self.tags[tag as usize].iter().rev() {
            self.emit(&I::LocalSet(value(*ty)));
        }
        self.emit(&I::I64Const(i64::from(tag) + 1000));
        self.trace();
        self.emit(&I::LocalGet(value(ValType::I32)));
        self.emit(&I::I64ExtendI32S);
        self.trace();
        // What the next exception has.
        self.emit(&I::LocalGet(value(ValType::I32)));
        self.emit(&I::LocalGet(0));
        self.emit(&I::I32Add);
        self.emit(&I::LocalSet(value(ValType::I32)));
        self.emit(&I::LocalGet(value(ValType::V128)));
        self.emit(&I::I64x2ExtractLane(1));
        self.emit(&I::LocalGet(value(ValType::I64)));
        self.emit(&I::I64Add);
        self.emit(&I::I64Const(3));
        self.emit(&I::I64Add);
        self.emit(&I::LocalTee(value(ValType::I64)));
        self.emit(&I::I64x2Splat);
        self.emit(&I::LocalSet(value(ValType::V128)));
        self.emit(&I::LocalGet(value(ValType::I64)));
        self.trace();
        self.emit(&I::LocalGet(value(ValType::F64)));
        self.emit(&I::F64Const(1.0.into()));
        self.emit(&I::F64Add);
        self.emit(&I::LocalTee(value(ValType::F64)));
        self.emit(&I::F32DemoteF64);
        self.emit(&I::LocalSet(value(ValType::F32)));
    }
}

/// The local for values of this type.
fn value(ty: ValType) -> u32 {
    let place = VALUES.iter().position(|known| *known == ty);
    match place {
        Some(place) => NUMBERS + place as u32,
        None => unreachable!("exceptions have no other values"),
    }
}
