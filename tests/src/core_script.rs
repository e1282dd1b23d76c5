//! Core modules in scripts: their imports, globals and functions.

use std::collections::HashMap;

use cwasm::{CoreVal, Extern, Module, ModuleInstance, Store};
use wast::{WastArg, WastInvoke};

use crate::script::{Live, Slot, Stop};
use crate::{spectest, values};

/// The items that modules of a script may import.
pub(crate) struct CoreImports {
    spectest: HashMap<&'static str, Extern>,
    registered: HashMap<String, Slot<Live>>,
}

impl CoreImports {
    pub(crate) fn new(store: &mut Store<()>) -> CoreImports {
        CoreImports {
            spectest: spectest::items(store).expect("the items of `spectest` are small"),
            registered: HashMap::new(),
        }
    }

    /// Makes an instance's exports importable as those of module `name`.
    pub(crate) fn register(&mut self, name: &str, instance: Slot<Live>) {
        self.registered.insert(name.to_owned(), instance);
    }

    /// The instance that was registered with this name.
    pub(crate) fn registered(&self, name: &str) -> Option<&Slot<Live>> {
        self.registered.get(name)
    }

    /// The module's imports, resolved, in its order.
    pub(crate) fn resolve(&self, store: &Store<()>, module: &Module) -> Result<Vec<Extern>, Stop> {
        let mut found = Vec::new();
        for import in module.imports()? {
            let (from, name) = (import.module, import.name);
            let item = match self.registered.get(from) {
                Some(Ok(Live::Core(instance))) => instance.get(store, name)?,
                Some(Ok(Live::Component(..) | Live::Closed(_))) => None,
                Some(Err(line)) => return Err(Stop::Depends(*line)),
                None if from == "spectest" => self.spectest.get(name).copied(),
                None => None,
            };
            match item {
                Some(item) => found.push(item),
                None => {
                    return Err(Stop::Unlinkable(format!(
                        "unknown import {from:?} {name:?}"
                    )));
                }
            }
        }
        Ok(found)
    }
}

/// The value of an exported global.
pub(crate) fn global(
    store: &Store<()>,
    instance: ModuleInstance,
    name: &str,
) -> Result<CoreVal, Stop> {
    match instance.get(store, name)? {
        Some(Extern::Global(global)) => Ok(global.get(store)?),
        _ => Err(Stop::Failed(format!("no global `{name}`"))),
    }
}

/// Calls an exported function.
pub(crate) fn invoke(
    store: &mut Store<()>,
    instance: ModuleInstance,
    invoke: &WastInvoke<'_>,
) -> Result<Vec<CoreVal>, Stop> {
    let Some(Extern::Func(func)) = instance.get(&*store, invoke.name)? else {
        return Err(Stop::Failed(format!("no function `{}`", invoke.name)));
    };
    Ok(func.call(store, &arguments(invoke)?)?)
}

/// The arguments of a call.
pub(crate) fn arguments(invoke: &WastInvoke<'_>) -> Result<Vec<CoreVal>, Stop> {
    let args = invoke.args.iter().map(|arg| match arg {
        WastArg::Core(arg) => values::core_arg(arg),
        _ => None,
    });
    let args: Option<_> = args.collect();
    args.ok_or_else(|| Stop::Failed(format!("not supported: arguments {:?}", invoke.args)))
}
