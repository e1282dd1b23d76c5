//! Converts names of the component model to Rust identifiers.

use proc_macro2::{Ident, Span};

/// A function, field or module: `snake_case`.
pub(super) fn snake(name: &str) -> Ident {
    ident(&name.to_lowercase().replace(['-', '.'], "_"))
}

/// The same with a prefix.
pub(super) fn prefixed(prefix: &str, name: &str) -> Ident {
    ident(&format!(
        "{prefix}{}",
        name.to_lowercase().replace('-', "_")
    ))
}

/// A type or case: `CamelCase`.
pub(super) fn camel(name: &str) -> Ident {
    ident(&camel_text(name))
}

pub(super) fn camel_text(name: &str) -> String {
    name.split('-')
        .flat_map(|word| {
            let mut chars = word.chars();
            let first = chars.next().map(|char| char.to_ascii_uppercase());
            first
                .into_iter()
                .chain(chars.map(|char| char.to_ascii_lowercase()))
        })
        .collect()
}

/// A flag: `SCREAMING_CASE`.
pub(super) fn screaming(name: &str) -> Ident {
    ident(&name.to_uppercase().replace('-', "_"))
}

/// An identifier. Handles keywords.
fn ident(name: &str) -> Ident {
    if let Ok(ident) = syn::parse_str::<Ident>(name) {
        return ident;
    }
    match name {
        // These keywords cannot be raw identifiers.
        "self" | "Self" | "super" | "crate" | "_" => {
            Ident::new(&format!("{name}_"), Span::call_site())
        }
        // An identifier cannot start with a digit.
        _ if name.starts_with(|char: char| char.is_ascii_digit()) => {
            Ident::new(&format!("_{name}"), Span::call_site())
        }
        _ => Ident::new_raw(name, Span::call_site()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_language_are_names_too() {
        let names = ["a-b", "type", "self", "x1"].map(|name| snake(name).to_string());
        assert_eq!(names, ["a_b", "r#type", "self_", "x1"]);
        assert_eq!(camel("HTTP-error").to_string(), "HttpError");
        assert_eq!(camel("self").to_string(), "Self_");
        assert_eq!(screaming("run-it").to_string(), "RUN_IT");
        assert_eq!(prefixed("call_", "type").to_string(), "call_type");
    }
}
