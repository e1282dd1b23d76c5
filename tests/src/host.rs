//! The imports that component scripts may use, and calls of their functions.
//!
//! The names are those of Wasmtime's scripts; `host` also has functions for our own.

use std::collections::{BTreeMap, HashMap};

use cwasm::{Component, Engine, Instance, Linker, Store, Val};
use cwasm_format::exports::kind;
use wast::WastInvoke;

use crate::script::Stop;
use crate::values;

/// A linker with all host functions.
pub(crate) fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    define(&mut linker).expect("no name is defined twice");
    linker
}

fn define(linker: &mut Linker<()>) -> cwasm::Result<()> {
    let mut root = linker.root();
    root.func_wrap("host-echo-u32", |_, (value,): (u32,)| Ok((value,)))?;
    root.func_wrap("host-return-two", |_, (): ()| Ok((2u32,)))?;
    let mut host = linker.instance("host")?;
    host.func_wrap("return-three", |_, (): ()| Ok((3u32,)))?;
    host.func_wrap("echo-string", |_, (text,): (String,)| Ok((text,)))?;
    host.func_wrap("join", |_, (a, b): (String, String)| {
        Ok((format!("{a}{b}"),))
    })?;
    host.func_wrap("count", |_, (text,): (String,)| Ok((text.len() as u32,)))?;
    host.func_wrap("sum", |_, (values,): (Vec<u32>,)| {
        Ok((values.iter().sum::<u32>(),))
    })?;
    host.func_wrap("pair", |_, (): ()| Ok(((7u32, String::from("seven")),)))?;
    host.func_wrap("sum-four", |_, (values,): ([u32; 4],)| {
        Ok((values.iter().sum::<u32>(),))
    })?;
    host.func_wrap("repeat", |_, (text,): (String,)| {
        Ok((std::array::repeat::<_, 2>(text),))
    })?;
    host.func_wrap("find", |_, (map, key): (HashMap<String, u32>, String)| {
        Ok((map.get(&key).copied(),))
    })?;
    host.func_wrap("lengths", |_, (texts,): (Vec<String>,)| {
        let lengths = texts.into_iter().map(|text| (text.len() as u8, text));
        Ok((lengths.collect::<BTreeMap<_, _>>(),))
    })?;
    host.func_wrap("fail", |_, (): ()| -> cwasm::Result<()> {
        Err(cwasm::Error::msg("the host function `fail` fails"))
    })?;
    Ok(())
}

/// Calls an exported function.
pub(crate) fn invoke(
    store: &mut Store<()>,
    component: &Component,
    instance: Instance,
    invoke: &WastInvoke<'_>,
) -> Result<Option<Val>, Stop> {
    let missing = || Stop::Failed(format!("no function `{}`", invoke.name));
    let func = instance
        .get_func(&mut *store, invoke.name)
        .ok_or_else(missing)?;
    let args: Option<Vec<Val>> = invoke.args.iter().map(values::component_arg).collect();
    let args = args.ok_or_else(|| Stop::Failed(format!("not supported: {:?}", invoke.args)))?;
    let has_result = has_result(component, invoke.name).ok_or_else(missing)?;
    let mut results = vec![Val::Bool(false); usize::from(has_result)];
    func.call(&mut *store, &args, &mut results)?;
    Ok(results.pop())
}

/// Whether an exported function has a result.
fn has_result(component: &Component, name: &str) -> Option<bool> {
    let artifact = component.artifact();
    let export = artifact.export(name)?;
    if export.kind != kind::FUNC {
        return None;
    }
    let lift = artifact.lifts().get(export.index as usize)?;
    let description = component.describe().ok()?;
    Some(
        description
            .funcs
            .get(lift.func_type as usize)?
            .result
            .is_some(),
    )
}
