//! What the loader does for the component instances of a plan that have tasks: see
//! [`cwasm_format::concurrent`].

use std::collections::HashMap;

use cwasm_format::abi::PointerWidth;
use cwasm_format::concurrent::Op;
use cwasm_format::hash::TypeHash;
use cwasm_format::resources::{HandleUse, MAX_HANDLE_USES};
use cwasm_format::types::{FuncType, ResourceNumber, Types, ValueType};
use wasmparser::ValType;

use super::types::{FuncTypeId, UnitTypes};
use super::{CanonicalOptions, ComponentInstanceId, Lift, Plan, ResourceOp};
use crate::error::{Error, Result};

/// A built-in function, or a call through the loader, as a core function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanOp {
    pub(crate) kind: OpKind,
    pub(crate) options: CanonicalOptions,
    pub(crate) component: ComponentInstanceId,
}

/// What a [`PlanOp`] does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpKind {
    /// Calls a task, by index into [`Concurrent::tasks`].
    Call { task: u32, ty: FuncTypeId },
    /// Calls an import.
    CallHost { import: u32, ty: FuncTypeId },
    /// `task.return`, of a result of this number.
    TaskReturn { result: Option<TypeNumber> },
    /// A function of streams or futures with payloads of this number.
    Copy { op: Op, payload: Option<TypeNumber> },
    /// `resource.drop`.
    Drop(ResourceNumber),
    /// Another built-in function.
    Other(Op),
    /// `context.get`.
    ContextGet { is_64: bool, slot: u32 },
    /// `context.set`.
    ContextSet { is_64: bool, slot: u32 },
}

/// The number of a type in [`Concurrent::numbered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeNumber(pub(crate) u32);

/// What the loader does for concurrent component instances.
#[derive(Default)]
pub(crate) struct Concurrent {
    /// For each component instance, whether the loader knows it.
    pub(crate) instances: Vec<bool>,
    /// Built-in functions, and then calls.
    pub(crate) ops: Vec<PlanOp>,
    /// How many built-in functions there are.
    pub(crate) built_ins: usize,
    /// Functions that are called through the loader.
    pub(crate) tasks: Vec<Lift>,
    /// Payloads and results, each once.
    pub(crate) numbered: Vec<ValueType>,
    known: HashMap<TypeKey, TypeNumber>,
}

/// The structure of a type, and its handles.
type TypeKey = (TypeHash, Vec<HandleUse>);

/// What tells a type from others; `None` if there are too many handles in it.
fn key(types: &Types, ty: ValueType) -> Option<TypeKey> {
    let func = FuncType {
        params: Vec::new(),
        result: Some(ty),
        is_async: false,
    };
    let handles = types.handles(&func, MAX_HANDLE_USES)?;
    Some((types.abi(ty).hash, handles))
}

impl Concurrent {
    /// The number of a type.
    ///
    /// # Errors
    /// If there are too many handles in it.
    pub(crate) fn number(&mut self, types: &Types, ty: ValueType) -> Result<TypeNumber> {
        let Some(key) = key(types, ty) else {
            let limit = MAX_HANDLE_USES as u64;
            return Err(Error::limit("handles in a type", limit + 1, limit));
        };
        let next = TypeNumber(self.numbered.len() as u32);
        let number = *self.known.entry(key).or_insert(next);
        if number == next {
            self.numbered.push(ty);
        }
        Ok(number)
    }

    /// The number of a type that has one.
    pub(crate) fn number_of(&self, types: &Types, ty: Option<ValueType>) -> Option<TypeNumber> {
        let key = key(types, ty?)?;
        self.known.get(&key).copied()
    }

    /// The places of concurrent instances among themselves.
    pub(crate) fn places(&self) -> Vec<Option<u32>> {
        let mut next = 0;
        let place = |is_concurrent: &bool| {
            is_concurrent.then(|| {
                next += 1;
                next - 1
            })
        };
        self.instances.iter().map(place).collect()
    }

    /// For each component instance, whether something that it imports can wait in the middle of a
    /// function.
    pub(crate) fn blocking(&self, types: &UnitTypes) -> Vec<bool> {
        let mut found = vec![false; self.instances.len()];
        for op in &self.ops {
            let waits = match op.kind {
                OpKind::Call { ty, .. } | OpKind::CallHost { ty, .. } => types.get(ty).is_async,
                OpKind::Copy { op, .. } | OpKind::Other(op) => matches!(
                    op,
                    Op::StreamRead
                        | Op::StreamWrite
                        | Op::StreamCancelRead
                        | Op::StreamCancelWrite
                        | Op::FutureRead
                        | Op::FutureWrite
                        | Op::FutureCancelRead
                        | Op::FutureCancelWrite
                        | Op::SubtaskCancel
                        | Op::ThreadYield
                        | Op::WaitableSetWait
                ),
                OpKind::TaskReturn { .. }
                | OpKind::Drop(_)
                | OpKind::ContextGet { .. }
                | OpKind::ContextSet { .. } => false,
            };
            found[op.component.0 as usize] |= waits && !op.options.is_async;
        }
        found
    }
}

impl PlanOp {
    /// The name, as in symbols.
    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            OpKind::Call { .. } => Op::Call.name(),
            OpKind::CallHost { .. } => Op::CallHost.name(),
            OpKind::TaskReturn { .. } => Op::TaskReturn.name(),
            OpKind::Drop(_) => Op::ResourceDrop.name(),
            OpKind::Copy { op, .. } | OpKind::Other(op) => op.name(),
            OpKind::ContextGet { .. } => "context.get",
            OpKind::ContextSet { .. } => "context.set",
        }
    }

    /// The core type of the operation as a function.
    pub(crate) fn core_type(
        &self,
        types: &UnitTypes,
        numbered: &[ValueType],
    ) -> wasmparser::FuncType {
        let (i32, i64) = (ValType::I32, ValType::I64);
        let pointer = match self.options.width {
            PointerWidth::W32 => i32,
            PointerWidth::W64 => i64,
        };
        let number = |is_64: bool| if is_64 { i64 } else { i32 };
        let (params, results) = match self.kind {
            OpKind::Call { ty, .. } | OpKind::CallHost { ty, .. } => {
                return match self.options.is_async {
                    true => types.lowered_async(ty, self.options.width),
                    false => types.lowered(ty, self.options.width),
                };
            }
            OpKind::TaskReturn { result } => {
                let result = result.map(|number| numbered[number.0 as usize]);
                return types.task_return(result, self.options.width);
            }
            OpKind::Drop(_) => (vec![i32], vec![]),
            OpKind::ContextGet { is_64, .. } => (vec![], vec![number(is_64)]),
            OpKind::ContextSet { is_64, .. } => (vec![number(is_64)], vec![]),
            OpKind::Copy { op, .. } | OpKind::Other(op) => match op {
                Op::Call | Op::CallHost | Op::TaskReturn | Op::ResourceDrop => {
                    unreachable!("they are other kinds")
                }
                Op::BackpressureInc | Op::BackpressureDec | Op::TaskCancel => (vec![], vec![]),
                Op::ThreadYield | Op::WaitableSetNew => (vec![], vec![i32]),
                Op::SubtaskCancel => (vec![i32], vec![i32]),
                Op::SubtaskDrop | Op::WaitableSetDrop => (vec![i32], vec![]),
                Op::WaitableSetWait | Op::WaitableSetPoll => (vec![i32, pointer], vec![i32]),
                Op::WaitableJoin => (vec![i32, i32], vec![]),
                Op::StreamNew | Op::FutureNew => (vec![], vec![i64]),
                Op::StreamRead | Op::StreamWrite => (vec![i32, pointer, pointer], vec![pointer]),
                Op::FutureRead | Op::FutureWrite => (vec![i32, pointer], vec![i32]),
                Op::StreamCancelRead | Op::StreamCancelWrite => (vec![i32], vec![pointer]),
                Op::FutureCancelRead | Op::FutureCancelWrite => (vec![i32], vec![i32]),
                Op::StreamDropReadable
                | Op::StreamDropWritable
                | Op::FutureDropReadable
                | Op::FutureDropWritable
                | Op::ErrorContextDrop => (vec![i32], vec![]),
                Op::ErrorContextNew => (vec![pointer, pointer], vec![i32]),
                Op::ErrorContextDebugMessage => (vec![i32, pointer], vec![]),
            },
        };
        wasmparser::FuncType::new(params, results)
    }
}

impl Plan {
    /// Decides which component instances are concurrent, and routes their calls through the loader.
    ///
    /// # Errors
    /// If a result has too many handles.
    pub(crate) fn find_concurrent(&mut self) -> Result<()> {
        let types = &self.types;
        let needs_tasks = |ty: FuncTypeId, options: &CanonicalOptions| {
            let func = types.get(ty);
            options.is_async || func.is_async || types.types.func_needs_loader(func)
        };
        let mut found = vec![false; self.component_instances as usize];
        let mut mark = |id: ComponentInstanceId| found[id.0 as usize] = true;
        for op in &self.concurrent.ops {
            mark(op.component);
        }
        for lift in &self.lifts {
            if needs_tasks(lift.ty, &lift.options) {
                mark(lift.component);
            }
        }
        for adapter in &self.adapters {
            let callee = &adapter.callee;
            if needs_tasks(callee.ty, &callee.options) || adapter.options.is_async {
                mark(adapter.component);
                mark(callee.component);
            }
        }
        for lower in &self.lowers {
            if needs_tasks(lower.ty, &lower.options) {
                mark(lower.component);
            }
        }
        let concurrent = &mut self.concurrent;
        concurrent.built_ins = concurrent.ops.len();
        let mut known = found.clone();
        for func in &mut self.resource_funcs {
            if func.op == ResourceOp::Drop && found[func.component.0 as usize] {
                func.loader_op = Some(concurrent.ops.len() as u32);
                concurrent.ops.push(PlanOp {
                    kind: OpKind::Drop(func.resource),
                    options: CanonicalOptions::NONE,
                    component: func.component,
                });
            }
        }
        for lower in &mut self.lowers {
            if lower.options.is_async || types.get(lower.ty).is_async {
                lower.op = Some(concurrent.ops.len() as u32);
                concurrent.ops.push(PlanOp {
                    kind: OpKind::CallHost {
                        import: lower.import,
                        ty: lower.ty,
                    },
                    options: lower.options,
                    component: lower.component,
                });
            }
        }
        for adapter in &mut self.adapters {
            if found[adapter.callee.component.0 as usize] {
                adapter.op = Some(concurrent.ops.len() as u32);
                // Its calls need not go through the loader: the loader knows where its memory is.
                known[adapter.component.0 as usize] = true;
                concurrent.ops.push(PlanOp {
                    kind: OpKind::Call {
                        task: concurrent.tasks.len() as u32,
                        ty: adapter.callee.ty,
                    },
                    options: adapter.options,
                    component: adapter.component,
                });
                concurrent.tasks.push(adapter.callee);
            }
        }
        for lift in &mut self.lifts {
            if found[lift.component.0 as usize] {
                lift.task = Some(concurrent.tasks.len() as u32);
                concurrent.tasks.push(*lift);
            }
        }
        let results: Vec<_> = concurrent
            .tasks
            .iter()
            .map(|task| types.get(task.ty).result)
            .collect();
        for result in results.into_iter().flatten() {
            concurrent.number(&types.types, result)?;
        }
        concurrent.instances = known;
        Ok(())
    }
}
