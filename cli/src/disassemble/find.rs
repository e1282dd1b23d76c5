//! Finds the function that a user means.

use cwasm::{Error, Result};
use cwasm_format::escape;

use crate::code::{Code, Function, FunctionKind};
use crate::output::short_name;

/// The candidates that an error lists.
const MAX_CANDIDATES: usize = 20;

/// The number of the function that `query` means: its name, a part of a name, `#` and its number,
/// or a text offset in hexadecimal digits.
///
/// # Errors
/// That no function is meant, or which ones are.
pub(super) fn find(code: &Code<'_>, query: &str) -> Result<u32> {
    if let Some(number) = query.strip_prefix('#') {
        return by_number(code, query, number);
    }
    if let Some(digits) = query.strip_prefix("0x") {
        return by_offset(code, query, digits);
    }
    let names: Vec<_> = code.functions.iter().map(|func| code.shown(func)).collect();
    let matching = |is_match: &dyn Fn(&str) -> bool| -> Vec<u32> {
        let found = (0..).zip(&names).filter(|(_, name)| is_match(name));
        found.map(|(number, _)| number).collect()
    };
    let mut found = matching(&|name| name == query);
    if found.is_empty() {
        found = matching(&|name| name.contains(query));
    }
    let is_core = |number: &u32| code.functions[*number as usize].kind == FunctionKind::Core;
    // The thunk of a function has its name, too.
    let core: Vec<u32> = found.iter().copied().filter(is_core).collect();
    match (&found[..], &core[..]) {
        ([], _) => Err(nothing(code, query)),
        ([number], _) | (_, [number]) => Ok(*number),
        _ => Err(several(code, query, &found)),
    }
}

fn by_number(code: &Code<'_>, query: &str, number: &str) -> Result<u32> {
    let count = code.functions.len();
    match number.parse() {
        Ok(number) if (number as usize) < count => Ok(number),
        _ => {
            let (query, last) = (escape::name(query), count.saturating_sub(1));
            let message = format!("found `{query}`, expected one of the functions #0 to #{last}");
            Err(Error::msg(message))
        }
    }
}

fn by_offset(code: &Code<'_>, query: &str, digits: &str) -> Result<u32> {
    let offset = u32::from_str_radix(digits, 16).ok();
    let found = offset.and_then(|offset| {
        let number = code.at(offset)?;
        let range = &code.functions[number as usize].range;
        range.contains(&offset).then_some(number)
    });
    found.ok_or_else(|| {
        let ends = code.functions.iter().map(|func| func.range.end);
        let (query, end) = (escape::name(query), ends.max().unwrap_or(0));
        Error::msg(format!(
            "no function has the text offset `{query}`: they end at {end:#x}"
        ))
    })
}

fn nothing(code: &Code<'_>, query: &str) -> Error {
    let has_names = code.functions.iter().any(|func| func.name.is_some());
    let hint = match has_names {
        true => "`--sizes --json` lists all",
        false => "the artifact has no names: compile with --debug, or give #NUMBER",
    };
    let (query, count) = (escape::name(query), code.functions.len());
    Error::msg(format!(
        "none of {count} functions has `{query}` in its name; {hint}"
    ))
}

fn several(code: &Code<'_>, query: &str, found: &[u32]) -> Error {
    let mut message = format!(
        "`{}` may be {} functions:",
        escape::name(query),
        found.len()
    );
    for number in found.iter().take(MAX_CANDIDATES) {
        let function: &Function<'_> = &code.functions[*number as usize];
        let name = short_name(&code.shown(function));
        message.push_str(&format!("\n  #{number} {name}"));
    }
    if found.len() > MAX_CANDIDATES {
        message.push_str("\n  ...");
    }
    Error::msg(message)
}
