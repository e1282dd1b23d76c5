//! Calls of functions that are called as tasks.
#![allow(unsafe_code, reason = "names what is pinned")]

use std::pin::pin;
use std::sync::Arc;

use cwasm_format::FormatError;
use cwasm_format::abi::MAX_FLAT_PARAMS;
use cwasm_format::describe::Description;

use super::lower_params;
use crate::concurrent::{self, Accessor, HostCall};
use crate::dynamic::{self, Check};
use crate::error::{Error, Result};
use crate::val::Val;
use crate::values::{Lift, LiftContext, Lower, LowerContext};
use crate::vm::canon::CallTarget;
use crate::vm::store::StoreOpaque;
use crate::vm::store_context::StoreContextMut;

/// A call whose result can be taken when it is over.
pub(super) trait Call: HostCall {
    type Result;

    /// The result, or why there is none.
    fn result(&mut self) -> Result<Self::Result>;
}

/// How a call is.
enum Outcome<R> {
    Runs,
    Result(R),
    Failed(Error),
    Taken,
}

impl<R> Outcome<R> {
    fn take(&mut self) -> Result<R> {
        match std::mem::replace(self, Outcome::Taken) {
            Outcome::Result(result) => Ok(result),
            Outcome::Failed(error) => Err(error),
            Outcome::Runs | Outcome::Taken => Err(Error::msg("a call is not over")),
        }
    }

    fn is_over(&self) -> bool {
        !matches!(self, Outcome::Runs)
    }
}

/// Calls a function as a task, and waits for its result.
///
/// # Errors
/// The guest's trap; or it waits for the host.
pub(super) fn call<T: 'static, C: Call>(
    store: &mut StoreContextMut<'_, T>,
    target: &CallTarget,
    call: C,
) -> Result<C::Result> {
    concurrent::call(store, place(target), call)?.result()
}

fn place(target: &CallTarget) -> concurrent::Target {
    concurrent::Target::new(target.options.context(), target.task - 1)
}

/// As [`call`], which lets the executor do something else meanwhile.
pub(super) async fn call_async<T: Send + 'static, C: Call + Send>(
    store: StoreContextMut<'_, T>,
    target: &CallTarget,
    call: C,
) -> Result<C::Result> {
    let mut calling = pin!(concurrent::poll_call(store, place(target), call));
    calling.as_mut().await?;
    calling.take().result()
}

/// As [`call`], beside others.
pub(super) async fn call_concurrent<T: 'static, C: Call + Send>(
    accessor: &Accessor<T>,
    target: &CallTarget,
    call: C,
) -> Result<C::Result> {
    let call = concurrent::call_concurrent(accessor, place(target), call);
    call.await?.result()
}

/// A call with types that Rust knows.
pub(super) struct Typed<P, R> {
    params: Option<P>,
    outcome: Outcome<R>,
}

impl<P, R> Typed<P, R> {
    pub(super) fn new(params: P) -> Typed<P, R> {
        Typed {
            params: Some(params),
            outcome: Outcome::Runs,
        }
    }
}

impl<P: Lower, R: Lift> HostCall for Typed<P, R> {
    fn lower(&mut self, cx: &mut LowerContext<'_>, args: &mut [u64; 17]) -> Result<usize> {
        let Some(params) = self.params.take() else {
            return Err(Error::msg("a call begins twice"));
        };
        let mut flat = [0; MAX_FLAT_PARAMS];
        lower_params(cx, &params, &mut flat)?;
        args[..MAX_FLAT_PARAMS].copy_from_slice(&flat);
        Ok(if P::FLAT.fits() { P::FLAT.count() } else { 1 })
    }

    fn lift(&mut self, cx: &mut LiftContext<'_>, flat: &[u64], max: usize) -> Result<()> {
        let count = R::FLAT.count();
        let result = if R::FLAT.fits() && count <= max {
            R::lift_flat(cx, &flat[..count])?
        } else {
            let bytes = cx.pointed(flat[0], R::LAYOUT)?;
            R::load(cx, bytes)?
        };
        self.outcome = Outcome::Result(result);
        Ok(())
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Outcome::Failed(error);
    }

    fn is_over(&self) -> bool {
        self.outcome.is_over()
    }
}

impl<P: Lower, R: Lift> Call for Typed<P, R> {
    type Result = R;

    fn result(&mut self) -> Result<R> {
        self.outcome.take()
    }
}

/// A call with values of types that are known at run time only.
pub(super) struct Dynamic {
    description: Arc<Description>,
    func: usize,
    params: Vec<Val>,
    outcome: Outcome<Vec<Val>>,
}

impl Dynamic {
    /// A call with these parameters, and so many results.
    ///
    /// # Errors
    /// If the values are not of the function's type.
    pub(super) fn new(
        target: &CallTarget,
        store: &StoreOpaque,
        params: &[Val],
        results: usize,
    ) -> Result<Dynamic> {
        let instance = store.instance(target.instance);
        let description = Arc::clone(instance.unit().description()?);
        let func = target.func_type as usize;
        let Some(ty) = description.funcs.get(func) else {
            return Err(Error::new(FormatError::Describe));
        };
        let check = Check {
            types: &description.types,
            handle: &|handle, resource| resource.check(store, instance, handle),
        };
        check.all(ty.params.iter().map(|(_, ty)| *ty), params, "parameter")?;
        let expected = usize::from(ty.result.is_some());
        if results != expected {
            return Err(Error::msg(format_args!(
                "found {results} results, expected {expected}"
            )));
        }
        Ok(Dynamic {
            description,
            func,
            params: params.to_vec(),
            outcome: Outcome::Runs,
        })
    }
}

impl HostCall for Dynamic {
    fn lower(&mut self, cx: &mut LowerContext<'_>, args: &mut [u64; 17]) -> Result<usize> {
        let (types, func) = (&self.description.types, &self.description.funcs[self.func]);
        dynamic::lower_params(types, func, &self.params, cx, args)
    }

    fn lift(&mut self, cx: &mut LiftContext<'_>, flat: &[u64], max: usize) -> Result<()> {
        let (types, func) = (&self.description.types, &self.description.funcs[self.func]);
        let lift = |ty| dynamic::lift_result(types, ty, cx, flat, max);
        let result = func.result.map(lift);
        self.outcome = Outcome::Result(result.transpose()?.into_iter().collect());
        Ok(())
    }

    fn fail(&mut self, error: Error) {
        self.outcome = Outcome::Failed(error);
    }

    fn is_over(&self) -> bool {
        self.outcome.is_over()
    }
}

impl Call for Dynamic {
    type Result = Vec<Val>;

    fn result(&mut self) -> Result<Vec<Val>> {
        self.outcome.take()
    }
}
