//! Built-in functions of the asynchronous canonical ABI, as decoded.

use cwasm_format::concurrent::Op;
use cwasm_format::types::ValueType;
use wasmparser::types::TypesRef;
use wasmparser::{CanonicalFunction, CanonicalOption, ComponentValType, ValType};

use super::types::TypeBuilder;

/// A built-in function.
pub(crate) struct BuiltIn {
    pub(crate) func: Func,
    pub(crate) options: Box<[CanonicalOption]>,
    /// The type of the stream or future; of `task.return`, that of the result.
    pub(crate) ty: Option<ValueType>,
    /// Byte offset in the input.
    pub(crate) offset: u64,
}

/// What a built-in function does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Func {
    /// The loader does it.
    Op(Op),
    /// `context.get`.
    ContextGet { is_64: bool, slot: u32 },
    /// `context.set`.
    ContextSet { is_64: bool, slot: u32 },
}

/// The built-in function of a canonical definition; `None` if it is another one.
pub(crate) fn built_in(
    func: &CanonicalFunction,
    offset: u64,
    types: TypesRef<'_>,
    builder: &mut TypeBuilder,
) -> Option<BuiltIn> {
    use CanonicalFunction as F;

    let (mut ty, mut result, mut options) = (None, None, Box::default());
    let with = |is_async: bool| -> Box<[CanonicalOption]> {
        match is_async {
            true => Box::new([CanonicalOption::Async]),
            false => Box::default(),
        }
    };
    let memory =
        |index: u32| -> Box<[CanonicalOption]> { Box::new([CanonicalOption::Memory(index)]) };
    let is_64 = |ty: ValType| ty == ValType::I64;
    let op = match func {
        F::BackpressureInc => Op::BackpressureInc,
        F::BackpressureDec => Op::BackpressureDec,
        F::TaskReturn {
            result: of,
            options: given,
        } => {
            (result, options) = (*of, given.clone());
            Op::TaskReturn
        }
        F::TaskCancel => Op::TaskCancel,
        F::ContextGet { ty, slot } => {
            let func = Func::ContextGet {
                is_64: is_64(*ty),
                slot: *slot,
            };
            return Some(BuiltIn {
                func,
                options,
                ty: None,
                offset,
            });
        }
        F::ContextSet { ty, slot } => {
            let func = Func::ContextSet {
                is_64: is_64(*ty),
                slot: *slot,
            };
            return Some(BuiltIn {
                func,
                options,
                ty: None,
                offset,
            });
        }
        F::ThreadYield => Op::ThreadYield,
        F::SubtaskDrop => Op::SubtaskDrop,
        F::SubtaskCancel { async_ } => {
            options = with(*async_);
            Op::SubtaskCancel
        }
        F::WaitableSetNew => Op::WaitableSetNew,
        F::WaitableSetWait { memory: index } => {
            options = memory(*index);
            Op::WaitableSetWait
        }
        F::WaitableSetPoll { memory: index } => {
            options = memory(*index);
            Op::WaitableSetPoll
        }
        F::WaitableSetDrop => Op::WaitableSetDrop,
        F::WaitableJoin => Op::WaitableJoin,
        F::ErrorContextNew { options: given } => {
            options = given.clone();
            Op::ErrorContextNew
        }
        F::ErrorContextDebugMessage { options: given } => {
            options = given.clone();
            Op::ErrorContextDebugMessage
        }
        F::ErrorContextDrop => Op::ErrorContextDrop,
        other => {
            let (op, index) = match other {
                F::StreamNew { ty } => (Op::StreamNew, ty),
                F::FutureNew { ty } => (Op::FutureNew, ty),
                F::StreamDropReadable { ty } => (Op::StreamDropReadable, ty),
                F::StreamDropWritable { ty } => (Op::StreamDropWritable, ty),
                F::FutureDropReadable { ty } => (Op::FutureDropReadable, ty),
                F::FutureDropWritable { ty } => (Op::FutureDropWritable, ty),
                F::StreamRead { ty, options: given } => {
                    options = given.clone();
                    (Op::StreamRead, ty)
                }
                F::StreamWrite { ty, options: given } => {
                    options = given.clone();
                    (Op::StreamWrite, ty)
                }
                F::FutureRead { ty, options: given } => {
                    options = given.clone();
                    (Op::FutureRead, ty)
                }
                F::FutureWrite { ty, options: given } => {
                    options = given.clone();
                    (Op::FutureWrite, ty)
                }
                F::StreamCancelRead { ty, async_ } => {
                    options = with(*async_);
                    (Op::StreamCancelRead, ty)
                }
                F::StreamCancelWrite { ty, async_ } => {
                    options = with(*async_);
                    (Op::StreamCancelWrite, ty)
                }
                F::FutureCancelRead { ty, async_ } => {
                    options = with(*async_);
                    (Op::FutureCancelRead, ty)
                }
                F::FutureCancelWrite { ty, async_ } => {
                    options = with(*async_);
                    (Op::FutureCancelWrite, ty)
                }
                _ => return None,
            };
            ty = Some(builder.type_at(*index, types));
            op
        }
    };
    if let Some(found) = result {
        ty = Some(match found {
            ComponentValType::Primitive(ty) => builder.primitive(ty),
            ComponentValType::Type(index) => builder.type_at(index, types),
        });
    }
    Some(BuiltIn {
        func: Func::Op(op),
        options,
        ty,
        offset,
    })
}
