//! The call that `--invoke` names: a function, and arguments without types.

use cwasm::types::{ComponentFunc, Type};
use cwasm::{Error, Result, Val};
use cwasm_format::types::FuncType;
use wasm_wave::untyped::UntypedFuncCall;

/// A call as it was written.
pub(crate) struct Call<'a> {
    /// The instance that the function is in, if it was named: `ns:pkg/iface@1.0.0`.
    instance: Option<String>,
    /// The function's own name.
    func: String,
    /// The arguments.
    untyped: UntypedFuncCall<'a>,
}

impl Call<'_> {
    /// Reads `func(args)`, `instance#func(args)`, or WAVE's form of that,
    /// `ns:pkg/iface.func@1.0.0(args)`. Without parentheses there are no arguments.
    pub(crate) fn parse(text: &str) -> Result<Call<'static>> {
        let text = text.trim();
        let name_end = text.find('(').unwrap_or(text.len());
        let (instance, call) = match text[..name_end].rfind('#') {
            Some(at) => (Some(text[..at].to_owned()), &text[at + 1..]),
            None => (None, text),
        };
        let call = match call.contains('(') {
            true => call.to_owned(),
            false => format!("{call}()"),
        };
        let untyped = UntypedFuncCall::parse(&call)
            .map_err(|error| Error::new(error).context(format!("cannot read the call `{text}`")))?
            .into_owned();
        let (in_name, func) = split_name(untyped.name());
        Ok(Call {
            instance: instance.or(in_name),
            func,
            untyped,
        })
    }

    /// The arguments as values of the parameters' types.
    pub(crate) fn params(&self, func: &ComponentFunc) -> Result<Vec<Val>> {
        let types: Vec<Type> = func.params().map(|(_, ty)| ty).collect();
        let params = self.untyped.to_wasm_params(&types);
        params.map_err(|error| {
            let types: Vec<_> = types.iter().map(Type::to_string).collect();
            let (name, types) = (self.untyped.name(), types.join(", "));
            let message = format!(
                "wrong arguments: `{name}` takes ({types}), found `{}`",
                self.untyped
            );
            Error::new(error).context(message)
        })
    }

    /// The function as an export's path.
    fn path(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{instance}#{}", self.func),
            None => self.func.clone(),
        }
    }
}

/// Splits WAVE's `ns:pkg/iface.func@1.0.0` into `ns:pkg/iface@1.0.0` and `func`.
fn split_name(name: &str) -> (Option<String>, String) {
    let (path, version) = match name.split_once('@') {
        Some((path, version)) => (path, format!("@{version}")),
        None => (name, String::new()),
    };
    match path.split_once('.') {
        Some((instance, func)) => (Some(format!("{instance}{version}")), func.to_owned()),
        None => (None, path.to_owned()),
    }
}

/// The path of an export without the version of its instance.
fn unversioned(path: &str) -> String {
    match path.split_once('#') {
        Some((instance, func)) => {
            let name = instance.split_once('@').map_or(instance, |(name, _)| name);
            format!("{name}#{func}")
        }
        None => path.to_owned(),
    }
}

/// The export that is called: the one of this path, or the only one of this path in any version, or
/// of this name.
pub(crate) fn find<'a>(
    call: &Call<'_>,
    exports: &[(&'a str, &'a FuncType)],
) -> Result<(&'a str, &'a FuncType)> {
    let path = call.path();
    let func_of = |name: &str| name.rsplit('#').next() == Some(&call.func);
    let mut found: Vec<_> = exports.iter().filter(|(name, _)| *name == path).collect();
    if found.is_empty() {
        found = match call.instance {
            None => exports.iter().filter(|(name, _)| func_of(name)).collect(),
            Some(_) => {
                let is_version = |name: &str| unversioned(name) == path;
                exports
                    .iter()
                    .filter(|(name, _)| is_version(name))
                    .collect()
            }
        };
    }
    let list = |exports: &mut dyn Iterator<Item = &str>| {
        let names: Vec<_> = exports.map(|name| format!("`{name}`")).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    match found[..] {
        [found] => Ok(*found),
        [] => Err(Error::msg(format!(
            "no function `{path}` is exported, found: {}",
            list(&mut exports.iter().map(|(name, _)| *name))
        ))),
        _ => Err(Error::msg(format!(
            "several exports are called `{path}`: {}",
            list(&mut found.iter().map(|(name, _)| *name))
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> String {
        Call::parse(text).unwrap().path()
    }

    #[test]
    fn calls_name_functions() {
        assert_eq!(path("greet(\"a # (b)\")"), "greet");
        assert_eq!(path("fail"), "fail");
        assert_eq!(path("a:b/c@1.2.3#run-it(1)"), "a:b/c@1.2.3#run-it");
        assert_eq!(path("a:b/c.run-it@1.2.3(1)"), "a:b/c@1.2.3#run-it");
        assert_eq!(path("api#run()"), "api#run");
        assert!(Call::parse("greet(").is_err());
        assert!(Call::parse("").is_err());
    }

    #[test]
    fn versions_need_not_be_written() {
        let ty = FuncType {
            params: Vec::new(),
            result: None,
            is_async: false,
        };
        let names = ["a:b/c@1.2.3#f", "a:b/d@1.0.0#f", "a:b/d@2.0.0#f", "a:b/d#g"];
        let exports = names.map(|name| (name, &ty));
        let find = |text: &str| {
            let call = Call::parse(text).unwrap();
            let found = find(&call, &exports);
            found
                .map(|found| found.0)
                .map_err(|error| error.to_string())
        };
        assert_eq!(find("a:b/c#f").unwrap(), names[0]);
        assert_eq!(find("a:b/c.f()").unwrap(), names[0]);
        assert_eq!(find("a:b/d.f@2.0.0()").unwrap(), names[2]);
        assert_eq!(find("a:b/d#g").unwrap(), names[3]);
        assert_eq!(find("g").unwrap(), names[3]);
        assert!(find("a:b/d#f").unwrap_err().contains("several exports"));
        assert!(find("a:b/c@1.2.4#f").unwrap_err().contains("no function"));
    }
}
