//! Symbols: how generated code refers to functions of the unit, to functions that they share, and
//! to data.

use cranelift_codegen::ir::{self, AbiParam, ArgumentPurpose, Signature, types};
use cranelift_codegen::isa::CallConv;
use cwasm_format::builtin::Builtin;

/// A function of the unit's work list; the list's order is the order of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FuncId(pub(crate) u32);

/// The target of a relocation, resolved when the unit is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Symbol {
    /// A function of the work list.
    Func(FuncId),
    /// The trampoline to a builtin.
    Builtin(Builtin),
    /// The start of the text.
    Text,
    /// An offset in the data section.
    Data(u32),
    /// A `LowerRecord`, by index.
    Lower(u32),
    /// An `OpRecord`, by index.
    Op(u32),
    /// A function on handles that all callers share.
    Handle(HandleOp),
    /// A function that adapters share.
    Copy(CopyFunc),
}

impl Symbol {
    /// The namespace of the first functions that adapters share.
    const FIRST_COPY: u32 = 7;

    /// The symbol as Cranelift's name.
    pub(crate) fn to_name(self) -> ir::UserExternalName {
        let (namespace, index) = match self {
            Symbol::Func(func) => (0, func.0),
            Symbol::Builtin(builtin) => (1, builtin as u32),
            Symbol::Text => (2, 0),
            Symbol::Data(offset) => (3, offset),
            Symbol::Lower(index) => (4, index),
            Symbol::Handle(op) => (5, op as u32),
            Symbol::Op(index) => (6, index),
            Symbol::Copy(func) => {
                let namespace = Symbol::FIRST_COPY + 2 * func.direction + func.form as u32;
                (namespace, func.ty.unwrap_or(u32::MAX))
            }
        };
        ir::UserExternalName { namespace, index }
    }

    /// The symbol of Cranelift's name.
    pub(crate) fn from_name(name: &ir::UserExternalName) -> Symbol {
        match name.namespace {
            0 => Symbol::Func(FuncId(name.index)),
            1 => Symbol::Builtin(Builtin::ALL[name.index as usize]),
            2 => Symbol::Text,
            3 => Symbol::Data(name.index),
            4 => Symbol::Lower(name.index),
            5 => Symbol::Handle(HandleOp::ALL[name.index as usize]),
            6 => Symbol::Op(name.index),
            namespace => Symbol::Copy(CopyFunc {
                direction: (namespace - Symbol::FIRST_COPY) / 2,
                form: match (namespace - Symbol::FIRST_COPY) % 2 {
                    0 => Form::Flat,
                    _ => Form::Memory,
                },
                ty: (name.index != u32::MAX).then_some(name.index),
            }),
        }
    }
}

/// A function that copies the values of a type and that all adapters between the same two sides
/// share. Its first arguments are the context and the flags of the destination's instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CopyFunc {
    /// The number of the direction: the pair of source and destination.
    pub(crate) direction: u32,
    pub(crate) form: Form,
    /// The type's place in the table; `None` for strings.
    pub(crate) ty: Option<u32>,
}

/// How values are passed to a function that copies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Form {
    /// As flat values, from the parameters to the results.
    Flat,
    /// From one address to another.
    Memory,
}

/// A function on handles that all callers share. Its first arguments are the context and the
/// address of the table; `use` stands for the bits of the expected [`HandleUse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum HandleOp {
    /// `(rep, use) -> handle`: adds an entry.
    Add,
    /// `(rep, use, scope) -> handle`: adds one that must be dropped before the call returns.
    AddBorrow,
    /// As `Add`, for a table without free entries.
    GrowAndAdd,
    /// As `AddBorrow`, for a table without free entries.
    GrowAndAddBorrow,
    /// `(handle, use) -> rep`: removes the entry of an owned resource.
    Take,
    /// `(handle, use) -> rep`: of an owned or borrowed one.
    Rep,
    /// `(handle, use) -> rep`: as `Rep`, and counts a loan, which the code itself ends.
    Lend,
    /// `(handle, use) -> rep`: as `Rep`, and counts a loan and notes it on the stack until
    /// `Release`.
    Note,
    /// `() -> place`: opens a scope.
    Open,
    /// `(place)`: pops the handles that were noted from this place of the stack on, and ends their
    /// loans.
    Release,
    /// `(handle, use) -> (rep, whether it is a borrow, its scope if so)`: removes an entry.
    Remove,
}

impl HandleOp {
    /// All of them, by number.
    pub(crate) const ALL: [HandleOp; 11] = [
        HandleOp::Add,
        HandleOp::AddBorrow,
        HandleOp::GrowAndAdd,
        HandleOp::GrowAndAddBorrow,
        HandleOp::Take,
        HandleOp::Rep,
        HandleOp::Lend,
        HandleOp::Note,
        HandleOp::Open,
        HandleOp::Release,
        HandleOp::Remove,
    ];

    /// The name, as in symbols.
    pub(crate) fn name(self) -> &'static str {
        match self {
            HandleOp::Add => "add",
            HandleOp::AddBorrow => "add_borrow",
            HandleOp::GrowAndAdd => "grow_and_add",
            HandleOp::GrowAndAddBorrow => "grow_and_add_borrow",
            HandleOp::Take => "take",
            HandleOp::Rep => "rep",
            HandleOp::Lend => "lend",
            HandleOp::Note => "note",
            HandleOp::Open => "open",
            HandleOp::Release => "release",
            HandleOp::Remove => "remove",
        }
    }

    /// The signature: the context, the address of the table, then the arguments.
    pub(crate) fn signature(self) -> Signature {
        let (params, returns) = match self {
            HandleOp::Add
            | HandleOp::GrowAndAdd
            | HandleOp::Take
            | HandleOp::Rep
            | HandleOp::Lend
            | HandleOp::Note => (2, 1),
            HandleOp::AddBorrow | HandleOp::GrowAndAddBorrow => (3, 1),
            HandleOp::Open => (0, 1),
            HandleOp::Release => (1, 0),
            HandleOp::Remove => (2, 3),
        };
        let mut signature = Signature::new(CallConv::Tail);
        let context = AbiParam::special(types::I64, ArgumentPurpose::VMContext);
        signature.params = vec![context, AbiParam::new(types::I64)];
        signature
            .params
            .extend(vec![AbiParam::new(types::I32); params]);
        signature.returns = vec![AbiParam::new(types::I32); returns];
        signature
    }
}
