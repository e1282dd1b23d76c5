//! The types of functions in errors: the component's and Rust's, printed alike.

use cwasm_format::describe::Description;
use cwasm_format::hash::{Tag, TypeHash};
use cwasm_format::types::{FuncType, TypeDef, Types, ValueType};
use cwasm_format::wit::Wit;

use crate::values::ComponentNamedList;
use crate::values::handles::HandleType;

/// The hash of the function type that `P` and `R` are for.
pub(crate) const fn hash<P: ComponentNamedList, R: ComponentNamedList>() -> TypeHash {
    TypeHash::of_parts(Tag::Func, &[P::PARAMS_HASH, R::RESULT_HASH])
}

/// The hash of the type of async functions that `P` and `R` are for.
pub(crate) const fn async_hash<P: ComponentNamedList, R: ComponentNamedList>() -> TypeHash {
    TypeHash::of_parts(Tag::AsyncFunc, &[P::PARAMS_HASH, R::RESULT_HASH])
}

/// The handles in the function type that `P` and `R` are for.
pub(crate) fn handles<P: ComponentNamedList, R: ComponentNamedList>() -> Vec<HandleType> {
    let mut found = Vec::with_capacity(P::HANDLES + R::HANDLES);
    P::handles(&mut found);
    R::handles(&mut found);
    found
}

/// The function type that `P` and `R` are for.
pub(crate) fn of_rust<P: ComponentNamedList, R: ComponentNamedList>() -> String {
    describe::<P, R>(false)
}

/// The type of async functions that `P` and `R` are for.
#[cfg(feature = "async")]
pub(crate) fn of_async_rust<P: ComponentNamedList, R: ComponentNamedList>() -> String {
    describe::<P, R>(true)
}

#[cold]
fn describe<P: ComponentNamedList, R: ComponentNamedList>(is_async: bool) -> String {
    let mut types = Types::new();
    let params = P::describe_list(&mut types);
    let results = R::describe_list(&mut types);
    let result = match results[..] {
        [] => None,
        [one] => Some(one),
        _ => Some(ValueType::Def(types.push(TypeDef::Tuple(results)))),
    };
    let params = params.into_iter().map(|ty| (String::new(), ty)).collect();
    let text = Wit::new(&types)
        .func(&FuncType {
            params,
            result,
            is_async,
        })
        .to_string();
    match R::LEN {
        0 | 1 => text,
        // Without this, both sides could print the same.
        len => format!("{text} with {len} results (a tuple is one result: `((A, B),)`)"),
    }
}

/// The function type at this place of a component's descriptions; `None` if they do not have it.
#[cold]
pub(crate) fn of_component(description: &Description, func_type: u32) -> Option<String> {
    let func = description.funcs.get(func_type as usize)?;
    Some(Wit::new(&description.types).func(func).to_string())
}
