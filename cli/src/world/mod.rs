//! Prints a component's imports and exports as a WIT package, which `wit-parser` can read.
//!
//! ```text
//! package root:component;
//!
//! world root {
//!   import test:geo/points@0.1.0;
//!   export at: func(x: u32);
//! }
//!
//! package test:geo@0.1.0 {
//!   interface points { ... }
//! }
//! ```
//!
//! An interface that is imported and exported is printed once, with the items that either side
//! uses. Items that WIT cannot express (core modules, instances in instances, interfaces that
//! differ on both sides) are comments.

mod block;
mod scope;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cwasm_format::escape;
use cwasm_format::wit::id;

use self::block::{Block, Declaration};
use crate::surface::{Item, ItemKind, Surface, split};

/// The world of a component.
pub(crate) fn world(surface: &Surface<'_>) -> String {
    Printer::new(surface).print()
}

struct Printer<'s, 'a> {
    surface: &'s Surface<'a>,
    /// Interfaces by their full names.
    interfaces: BTreeMap<InterfaceName, Block>,
    /// Lines of the world other than declarations of types.
    lines: String,
}

/// `namespace:package/interface@version`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct InterfaceName {
    /// `namespace:package@version`, and the same in the syntax of WIT.
    package: (String, String),
    interface: String,
}

impl<'s, 'a> Printer<'s, 'a> {
    fn new(surface: &'s Surface<'a>) -> Printer<'s, 'a> {
        Printer {
            surface,
            interfaces: BTreeMap::new(),
            lines: String::new(),
        }
    }

    fn print(mut self) -> String {
        let Surface {
            imports, exports, ..
        } = self.surface;
        let mut types = self.root(imports);
        let exported = self.root(exports);
        self.side("import", imports);
        let exports_differ = match types.merge(&exported) {
            Some(merged) => {
                types = merged;
                false
            }
            None => true,
        };
        self.side("export", exports);
        let mut out = format!("package {};\n\nworld root {{\n", self.own_package());
        types.write_types("  ", &mut out);
        if exports_differ {
            let mut text = String::new();
            exported.write_types("", &mut text);
            out.push_str("  // of the exports:\n");
            comment(&text, "  ", &mut out);
        }
        out.push_str(&self.lines);
        out.push_str("}\n");
        let mut package = None;
        for (name, block) in &self.interfaces {
            if package != Some(&name.package) {
                let end = if package.is_some() { "}\n" } else { "" };
                let _ = writeln!(out, "{end}\npackage {} {{", name.package.1);
                package = Some(&name.package);
            }
            let _ = writeln!(out, "  interface {} {{", id(&name.interface));
            block.write("    ", &mut out);
            out.push_str("  }\n");
        }
        if package.is_some() {
            out.push_str("}\n");
        }
        out
    }

    /// A name for the package of the world, different from those of all interfaces.
    fn own_package(&self) -> String {
        let is_taken = |name: &str| self.interfaces.keys().any(|key| key.package.0 == name);
        let mut name = "root:component".to_owned();
        while is_taken(&name) {
            name.push_str("-n");
        }
        name
    }

    /// The types of the world on one side.
    fn root(&self, items: &[Item<'a>]) -> Block {
        let own: Vec<_> = items
            .iter()
            .filter(|item| split(item.path).0.is_none())
            .collect();
        let mut block = scope::block(self.surface.description, None, &own, &|path| {
            self.home(path)
        });
        block.funcs.clear();
        block
    }

    /// The imports or exports of the world.
    fn side(&mut self, word: &str, items: &[Item<'a>]) {
        let own: Vec<_> = items
            .iter()
            .filter(|item| split(item.path).0.is_none())
            .collect();
        let root = scope::block(self.surface.description, None, &own, &|path| {
            self.home(path)
        });
        for mut line in root.funcs {
            if let Some(last) = line.lines.last_mut() {
                last.insert_str(0, &format!("{word} "));
            }
            line.write("  ", &mut self.lines);
        }
        for item in own {
            match item.kind {
                ItemKind::Instance => self.instance(word, item, items),
                ItemKind::Module => self.remark(&format!("{word} {}: core module", item.path)),
                ItemKind::Func(_) | ItemKind::Resource(_) => {}
            }
        }
    }

    /// Adds an import or export of an instance, and its interface.
    fn instance(&mut self, word: &str, item: &Item<'a>, items: &[Item<'a>]) {
        let block = self.block(item.path, items);
        let mut line = Declaration {
            name: String::new(),
            lines: scope::attributes(item.said),
        };
        let label = item.said.and_then(|said| said.implements.as_deref());
        let label = label.map(|_| format!("{}: ", id(item.path)));
        let name = interface_of(item).and_then(InterfaceName::parse);
        if let Some(name) = name {
            let known = self.interfaces.get(&name);
            let merged = known.map_or(Some(block.clone()), |known| known.merge(&block));
            if let Some(merged) = merged.filter(|merged| !self.is_cyclic(&name, merged)) {
                let label = label.unwrap_or_default();
                line.lines.push(format!("{word} {label}{name};"));
                line.write("  ", &mut self.lines);
                self.interfaces.insert(name, merged);
                return;
            }
            self.remark(&format!("{word} {}, which differs:", item.path));
        }
        let mut text = String::new();
        match is_label(item.path) {
            true => {
                line.lines
                    .push(format!("{word} {}: interface {{", id(item.path)));
                line.write("  ", &mut self.lines);
                block.write("    ", &mut self.lines);
                self.lines.push_str("  }\n");
            }
            false => {
                line.lines
                    .push(format!("{word} {}: interface {{", item.path));
                line.write("", &mut text);
                block.write("  ", &mut text);
                text.push_str("}\n");
                comment(&text, "  ", &mut self.lines);
            }
        }
    }

    /// The declarations of an instance, with the instances in it as comments.
    fn block(&self, path: &'a str, items: &[Item<'a>]) -> Block {
        let own: Vec<_> = items
            .iter()
            .filter(|item| split(item.path).0 == Some(path))
            .collect();
        let home = |path: &str| self.home(path);
        let mut block = scope::block(self.surface.description, Some(path), &own, &home);
        for item in own {
            let name = split(item.path).1;
            let mut text = match item.kind {
                ItemKind::Instance => format!("{name}: interface {{\n"),
                ItemKind::Module => format!("{name}: core module\n"),
                ItemKind::Func(_) | ItemKind::Resource(_) => continue,
            };
            if let ItemKind::Instance = item.kind {
                self.block(item.path, items).write("  ", &mut text);
                text.push_str("}\n");
            }
            let mut lines = String::new();
            comment(&text, "", &mut lines);
            block.remarks.push(Declaration {
                name: name.to_owned(),
                lines: lines.lines().map(str::to_owned).collect(),
            });
        }
        block
    }

    /// The full name of the interface at a path, if it is printed where others can use it.
    fn home(&self, path: &str) -> Option<String> {
        let sides = self.surface.imports.iter().chain(&self.surface.exports);
        let mut instances = sides.filter(|item| matches!(item.kind, ItemKind::Instance));
        let item = instances.find(|item| item.path == path)?;
        Some(InterfaceName::parse(interface_of(item)?)?.to_string())
    }

    /// Whether interfaces would use each other in a cycle with this one, which WIT does not allow.
    fn is_cyclic(&self, name: &InterfaceName, block: &Block) -> bool {
        let start = name.to_string();
        let uses = |block: &Block| -> Vec<String> {
            let lines = block.uses.iter().flat_map(|line| &line.lines);
            let names = lines.filter_map(|line| line.strip_prefix("use ")?.split_once(".{"));
            names.map(|(name, _)| name.to_owned()).collect()
        };
        let mut next = uses(block);
        let mut seen = Vec::new();
        while let Some(name) = next.pop() {
            if name == start {
                return true;
            }
            if seen.contains(&name) {
                continue;
            }
            let known = self.interfaces.iter();
            for (_, block) in known.filter(|(known, _)| known.to_string() == name) {
                next.extend(uses(block));
            }
            seen.push(name);
        }
        false
    }

    fn remark(&mut self, text: &str) {
        comment(text, "  ", &mut self.lines);
    }
}

/// The name of an instance's interface, if it has one.
fn interface_of<'i>(item: &'i Item<'_>) -> Option<&'i str> {
    let implements = item.said.and_then(|said| said.implements.as_deref());
    implements.or_else(|| item.path.contains(':').then_some(item.path))
}

/// Whether a name is a plain label.
fn is_label(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// Writes lines as comments.
fn comment(text: &str, indent: &str, out: &mut String) {
    for line in text.lines() {
        let _ = writeln!(out, "{indent}// {}", escape::name(line));
    }
}

impl InterfaceName {
    /// `None` if the name is not valid in WIT: if its version is incomplete, or it has more parts.
    fn parse(text: &str) -> Option<InterfaceName> {
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (text, None),
        };
        let (package, interface) = path.split_once('/')?;
        let (namespace, name) = package.split_once(':')?;
        if ![namespace, name, interface].into_iter().all(is_label) {
            return None;
        }
        let numbers = version.and_then(|version| version.split(['-', '+']).next());
        if numbers.is_some_and(|numbers| numbers.split('.').count() != 3) {
            return None;
        }
        if !version.unwrap_or("").chars().all(|c| c.is_ascii_graphic()) {
            return None;
        }
        let suffix = version.map_or_else(String::new, |version| format!("@{version}"));
        let escaped = format!("{}:{}{suffix}", id(namespace), id(name));
        Some(InterfaceName {
            package: (format!("{package}{suffix}"), escaped),
            interface: interface.to_owned(),
        })
    }
}

impl std::fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (package, version) = match self.package.1.split_once('@') {
            Some((package, version)) => (package, Some(version)),
            None => (&*self.package.1, None),
        };
        write!(f, "{package}/{}", id(&self.interface))?;
        version.map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}
