//! The options `imports` and `exports`: which functions are async, and which can fail.
//!
//! ```text
//! imports: { "a:b/c.f": async | trappable, "a:b/c": sync, "a:b": async, default: trappable }
//!            function                      interface      package       all others
//! ```

use std::cell::Cell;

use syn::ext::IdentExt as _;
use syn::parse::ParseStream;
use syn::{Error, Ident, LitStr, Result, Token, braced};
use wit_parser::InterfaceId;

use super::modules::Tree;

/// What stands between an interface and its function: `a:b/c.f`, `a:b/c/f` and `a:b/c#f`.
const SEPARATORS: [&str; 3] = [".", "/", "#"];

/// The rules of one of the options.
#[derive(Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// What holds for functions without a rule.
    default: Option<Flags>,
}

struct Rule {
    name: LitStr,
    flags: Flags,
    /// Whether it was the rule of a function.
    is_used: Cell<bool>,
}

/// What is chosen for a function.
#[derive(Clone, Copy, Default)]
pub(crate) struct Flags {
    pub(crate) is_async: bool,
    /// Whether it was chosen to be `sync`.
    pub(crate) is_sync: bool,
    /// Whether it can return an error that ends the call as a trap does.
    pub(crate) is_trappable: bool,
    /// Whether it gets a way to the store.
    pub(crate) has_store: bool,
}

/// Whose functions the rules are for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Imports,
    Exports,
}

impl Rules {
    /// Parses the value of the option.
    pub(crate) fn parse(input: ParseStream<'_>, side: Side) -> Result<Rules> {
        let content;
        braced!(content in input);
        let mut rules = Rules::default();
        while !content.is_empty() {
            rules.rule(&content, side)?;
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        Ok(rules)
    }

    fn rule(&mut self, input: ParseStream<'_>, side: Side) -> Result<()> {
        if input.peek(LitStr) {
            let name: LitStr = input.parse()?;
            if self
                .rules
                .iter()
                .any(|rule| rule.name.value() == name.value())
            {
                return Err(Error::new(name.span(), "there is a rule for this already"));
            }
            input.parse::<Token![:]>()?;
            self.rules.push(Rule {
                name,
                flags: Flags::parse(input, side)?,
                is_used: Cell::new(false),
            });
            return Ok(());
        }
        if !input.peek(Token![default]) {
            return Err(input.error("expected a name in quotes, or `default`"));
        }
        let default = input.parse::<Token![default]>()?;
        input.parse::<Token![:]>()?;
        match self.default.replace(Flags::parse(input, side)?) {
            None => Ok(()),
            Some(_) => Err(Error::new(default.span, "there is a `default` already")),
        }
    }

    /// What is chosen for a function of an interface, or of none: by the rule with the most
    /// specific name.
    pub(super) fn flags(
        &self,
        tree: &Tree<'_>,
        interface: Option<InterfaceId>,
        func: &str,
    ) -> Flags {
        let names = match interface {
            None => vec![func.to_owned()],
            Some(interface) => {
                let keys = tree.keys(interface);
                let of_key = |key| SEPARATORS.map(|separator| format!("{key}{separator}{func}"));
                let mut names: Vec<_> = keys.iter().flat_map(of_key).collect();
                names.extend(keys);
                names.extend(tree.package_keys(interface));
                names
            }
        };
        let rule = names.iter().find_map(|name| {
            let mut rules = self.rules.iter();
            rules.find(|rule| rule.name.value() == *name)
        });
        match rule {
            Some(rule) => {
                rule.is_used.set(true);
                rule.flags
            }
            None => self.default.unwrap_or_default(),
        }
    }

    /// Whether anything is async.
    pub(super) fn has_async(&self) -> bool {
        let flags = self.rules.iter().map(|rule| rule.flags);
        flags.chain(self.default).any(|flags| flags.is_async)
    }

    /// Refuses rules that were the rule of no function, as of a name that is misspelt.
    pub(super) fn check_used(&self, side: Side) -> Result<()> {
        let side = match side {
            Side::Imports => "import",
            Side::Exports => "export",
        };
        let unused = self.rules.iter().filter(|rule| !rule.is_used.get());
        let errors = unused.map(|rule| {
            let message = format!(
                "no code is made for an {side} of this name; expected one like \"f\", \"a:b/c.f\", \
                 \"a:b/c.[method]r.f\", \"a:b/c.[drop]r\", \"a:b/c\" or \"a:b\""
            );
            Error::new(rule.name.span(), message)
        });
        let combined = errors.reduce(|mut all, error| {
            all.combine(error);
            all
        });
        combined.map_or(Ok(()), Err)
    }
}

impl Flags {
    fn parse(input: ParseStream<'_>, side: Side) -> Result<Flags> {
        let mut flags = Flags::default();
        loop {
            let span = input.span();
            if input.peek(Token![async]) {
                input.parse::<Token![async]>()?;
                flags.is_async = true;
            } else {
                let word = input.call(Ident::parse_any).map(|word| word.to_string());
                match (word.unwrap_or_default().as_str(), side) {
                    ("sync", _) => flags.is_sync = true,
                    ("trappable", Side::Imports) => flags.is_trappable = true,
                    ("store", Side::Imports) => flags.has_store = true,
                    (_, Side::Imports) => {
                        let message = "expected `async`, `sync`, `store` or `trappable`";
                        return Err(Error::new(span, message));
                    }
                    (_, Side::Exports) => {
                        return Err(Error::new(span, "expected `async` or `sync`"));
                    }
                }
            }
            if flags.is_sync && flags.is_async {
                return Err(Error::new(span, "a function is either `async` or `sync`"));
            }
            if flags.has_store && flags.is_async {
                let message = "`store` is for functions that do not wait";
                return Err(Error::new(span, message));
            }
            if !input.peek(Token![|]) {
                return Ok(flags);
            }
            input.parse::<Token![|]>()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser as _;
    use wit_parser::Resolve;

    use super::*;

    const WIT: &str = "
        package a:b@1.2.3;
        interface c { f: func(); g: func(); }
        interface d { f: func(); }
        world w { import c; import d; import f: func(); import e: interface { f: func(); } }
    ";

    /// Which functions are async: `f` and `g` of `c`, `f` of `d`, of `e` and of the world.
    fn chosen(rules: &str) -> [bool; 5] {
        let parse = |input: ParseStream<'_>| Rules::parse(input, Side::Imports);
        let rules = parse.parse_str(&format!("{{ {rules} }}")).unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("a.wit", WIT).unwrap();
        let world = &resolve.worlds[resolve.packages[package].worlds["w"]];
        let tree = Tree::new(&resolve, world, &[]);
        let named = |name: &str| Some(resolve.packages[package].interfaces[name]);
        let mut all = resolve.interfaces.iter();
        let unnamed = all.find(|(_, interface)| interface.name.is_none());
        let unnamed = unnamed.map(|(id, _)| id);
        let funcs = [
            (named("c"), "f"),
            (named("c"), "g"),
            (named("d"), "f"),
            (unnamed, "f"),
            (None, "f"),
        ];
        let found = funcs.map(|(interface, func)| rules.flags(&tree, interface, func).is_async);
        rules.check_used(Side::Imports).unwrap();
        found
    }

    #[test]
    fn the_most_specific_rule_holds() {
        let [no, yes] = [false, true];
        assert_eq!(chosen("default: async"), [yes; 5]);
        assert_eq!(chosen("\"f\": async"), [no, no, no, no, yes]);
        for name in ["a:b/c.f", "a:b/c/f", "a:b/c#f", "a:b/c@1.2.3.f"] {
            let rule = format!("\"{name}\": async");
            assert_eq!(chosen(&rule), [yes, no, no, no, no], "{name}");
        }
        for name in ["a:b/c", "a:b/c@1.2.3"] {
            let rule = format!("\"{name}\": async");
            assert_eq!(chosen(&rule), [yes, yes, no, no, no], "{name}");
        }
        for name in ["a:b", "a:b@1.2.3"] {
            let rule = format!("\"{name}\": async");
            assert_eq!(chosen(&rule), [yes, yes, yes, no, no], "{name}");
        }
        for name in ["e", "e.f"] {
            let rule = format!("\"{name}\": async");
            assert_eq!(chosen(&rule), [no, no, no, yes, no], "{name}");
        }
        // Whatever their order is.
        let rules = [
            "default: sync",
            "\"a:b\": async",
            "\"a:b/c\": sync",
            "\"a:b/c.g\": async",
        ];
        assert_eq!(chosen(&rules.join(",")), [no, yes, yes, no, no]);
        let rules: Vec<_> = rules.into_iter().rev().collect();
        assert_eq!(chosen(&rules.join(",")), [no, yes, yes, no, no]);
        // The rule of a function replaces the others.
        let rules = "\"a:b/c\": async, \"a:b/c.f\": trappable";
        assert_eq!(chosen(rules), [no, yes, no, no, no]);
    }
}
