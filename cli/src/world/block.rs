//! The contents of an interface's or world's braces, as text.

use std::fmt::Write as _;

use cwasm_format::wit::id;

/// The declarations of an interface, or of a world without its imports and exports.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Lines `use other.{name};`, by the name that is brought in.
    pub(super) uses: Vec<Declaration>,
    pub(super) types: Vec<Declaration>,
    pub(super) resources: Vec<Resource>,
    pub(super) funcs: Vec<Declaration>,
    /// Comments for items that WIT cannot express, by the item.
    pub(super) remarks: Vec<Declaration>,
}

/// A line that declares a name, with the lines above it that belong to it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) lines: Vec<String>,
}

/// A resource type with its functions.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) name: String,
    /// Lines above it: `@external-id("...")`.
    pub(super) attributes: Vec<String>,
    /// Its functions, by their annotated names: `[method]a.b`.
    pub(super) funcs: Vec<Declaration>,
}

impl Block {
    /// Both blocks as one; `None` if they declare a name differently.
    pub(super) fn merge(&self, other: &Block) -> Option<Block> {
        let mut resources = self.resources.clone();
        for resource in &other.resources {
            match resources.iter_mut().find(|own| own.name == resource.name) {
                Some(own) if own.attributes == resource.attributes => {
                    own.funcs = merge(&own.funcs, &resource.funcs)?;
                }
                Some(_) => return None,
                None => resources.push(resource.clone()),
            }
        }
        let merged = Block {
            uses: merge(&self.uses, &other.uses)?,
            types: merge(&self.types, &other.types)?,
            resources,
            funcs: merge(&self.funcs, &other.funcs)?,
            remarks: merge(&self.remarks, &other.remarks)?,
        };
        merged.has_unique_names().then_some(merged)
    }

    /// Whether no name is declared in two ways.
    fn has_unique_names(&self) -> bool {
        let lines = self.uses.iter().chain(&self.types).chain(&self.funcs);
        let names = lines.map(|line| &line.name);
        let mut names: Vec<_> = names
            .chain(self.resources.iter().map(|resource| &resource.name))
            .map(|name| canonical(name))
            .collect();
        let count = names.len();
        names.sort();
        names.dedup();
        names.len() == count
    }

    /// Writes everything except functions.
    pub(super) fn write_types(&self, indent: &str, out: &mut String) {
        for line in self.uses.iter().chain(&self.types) {
            line.write(indent, out);
        }
        for resource in &self.resources {
            for line in &resource.attributes {
                let _ = writeln!(out, "{indent}{line}");
            }
            let name = id(&resource.name);
            if resource.funcs.is_empty() {
                let _ = writeln!(out, "{indent}resource {name};");
                continue;
            }
            let _ = writeln!(out, "{indent}resource {name} {{");
            for func in &resource.funcs {
                func.write(&format!("{indent}  "), out);
            }
            let _ = writeln!(out, "{indent}}}");
        }
        for line in &self.remarks {
            line.write(indent, out);
        }
    }

    /// Writes everything.
    pub(super) fn write(&self, indent: &str, out: &mut String) {
        self.write_types(indent, out);
        for func in &self.funcs {
            func.write(indent, out);
        }
    }
}

impl Declaration {
    pub(super) fn write(&self, indent: &str, out: &mut String) {
        for line in &self.lines {
            let _ = writeln!(out, "{indent}{line}");
        }
    }
}

fn merge(own: &[Declaration], other: &[Declaration]) -> Option<Vec<Declaration>> {
    let mut merged = own.to_vec();
    for line in other {
        match own.iter().find(|known| known.name == line.name) {
            Some(known) if known == line => {}
            Some(_) => return None,
            None => merged.push(line.clone()),
        }
    }
    Some(merged)
}

/// A name in a form in which equal names are equal text: the component model treats `a-b` and `AB`
/// as equal.
pub(super) fn canonical(name: &str) -> String {
    name.replace('-', "").to_ascii_lowercase()
}
