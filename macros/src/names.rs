//! Converts Rust names to names of the component model.

use syn::Ident;
use syn::ext::IdentExt as _;

/// `snake_case`, `CamelCase` or `SCREAMING_CASE` as `kebab-case`: a word starts at an underscore
/// and at a capital that follows a small letter or a digit, or that a small letter follows.
pub(crate) fn kebab(ident: &Ident) -> String {
    let name: Vec<char> = ident.unraw().to_string().chars().collect();
    let mut kebab = String::new();
    for (index, char) in name.iter().enumerate() {
        if *char == '_' {
            kebab.push('-');
            continue;
        }
        let before = index.checked_sub(1).map(|before| name[before]);
        let starts_word = char.is_uppercase()
            && before.is_some_and(|before| {
                let ends_acronym = before.is_uppercase()
                    && name.get(index + 1).is_some_and(|next| next.is_lowercase());
                before.is_lowercase() || before.is_ascii_digit() || ends_acronym
            });
        if starts_word {
            kebab.push('-');
        }
        kebab.extend(char.to_lowercase());
    }
    kebab
}

/// The fault of a name that is not valid in a component; `None` if it is valid (component model,
/// `Explainer.md`, "Import and Export Definitions": words of letters and digits, each of small or
/// of capital letters, the first of which starts with a letter).
pub(crate) fn fault(name: &str) -> Option<String> {
    let word_is_valid = |word: &str| {
        let has = |is: fn(&char) -> bool| word.chars().any(|char| is(&char));
        !word.is_empty()
            && word.chars().all(|char| char.is_ascii_alphanumeric())
            && !(has(char::is_ascii_lowercase) && has(char::is_ascii_uppercase))
    };
    let starts_well = name.starts_with(|char: char| char.is_ascii_alphabetic());
    if starts_well && name.split('-').all(word_is_valid) {
        return None;
    }
    Some(format!(
        "`{name}` is not a name that a component can have; expected words like `kebab-case`"
    ))
}

#[cfg(test)]
mod tests {
    use proc_macro2::Span;

    use super::*;

    #[test]
    fn names_of_rust_become_words() {
        let cases = [
            ("snake_case", "snake-case"),
            ("CamelCase", "camel-case"),
            ("SCREAMING_CASE", "screaming-case"),
            ("HTTPError", "http-error"),
            ("Utf8Error", "utf8-error"),
            ("x", "x"),
            ("r#type", "type"),
        ];
        for (rust, expected) in cases {
            let ident = match rust.strip_prefix("r#") {
                Some(raw) => Ident::new_raw(raw, Span::call_site()),
                None => Ident::new(rust, Span::call_site()),
            };
            assert_eq!(kebab(&ident), expected);
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(fault("a").is_none() && fault("a1-B2").is_none() && fault("a-1").is_none());
        for name in ["", "-a", "a-", "a--b", "1a", "a_b", "aB", "ä"] {
            assert!(fault(name).is_some(), "{name}");
        }
    }
}
