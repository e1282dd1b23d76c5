//! `cwasm inspect`.

use std::fmt::Write as _;

use cwasm::{Error, Result};
use cwasm_compiler::Options;
use cwasm_format::Artifact;
use cwasm_format::cpu::feature_names;
use cwasm_format::describe::{Description, Extern};
use cwasm_format::escape;
use cwasm_format::exports::{StrRef, kind};
use cwasm_format::header::{self, SectionId, target_name};
use cwasm_format::imports::core_type::{self, Limits};
use serde::Serialize;
use zerocopy::IntoBytes as _;

use crate::args::{InspectArgs, default_options};
use crate::input::{self, Input, Kind, Name};
use crate::limits;
use crate::surface::{self, ItemKind, Surface};
use crate::{disassemble, output, sizes, world};

/// The command's output.
#[derive(Serialize)]
struct Facts {
    kind: String,
    size: u64,
    target: String,
    abi_version: u32,
    cpu_features: Vec<&'static str>,
    digest: String,
    context_size: u32,
    functions: usize,
    sections: Vec<Section>,
    imports: Vec<Item>,
    exports: Vec<Item>,
}

#[derive(Serialize)]
struct Section {
    name: &'static str,
    offset: u64,
    size: u64,
}

/// An import or export.
#[derive(Serialize)]
pub(crate) struct Item {
    /// The name or path; a core import's has the module's name before a dot.
    pub(crate) name: String,
    /// The type as text: WIT, or core WebAssembly's; `instance`.
    #[serde(rename = "type")]
    pub(crate) ty: String,
    #[serde(flatten)]
    pub(crate) annotations: Annotations,
}

/// The annotations of an import or export: see [`Extern`].
#[derive(Default, Serialize)]
pub(crate) struct Annotations {
    implements: Option<String>,
    external_id: Option<String>,
}

impl From<&Extern> for Annotations {
    fn from(said: &Extern) -> Annotations {
        let Extern {
            implements,
            external_id,
        } = said.clone();
        Annotations {
            implements,
            external_id,
        }
    }
}

/// Prints the kind, needs, imports and exports of a file, or what else is asked for.
pub(crate) fn inspect(args: &InspectArgs) -> Result<()> {
    let _limits = limits::Limits::start(&args.limits)?;
    let input = Input::open(&args.file)?;
    let name = input.name;
    let is_inside = args.sizes || args.disassemble.is_some();
    match input.kind() {
        Kind::Artifact => {
            let bytes = Aligned::new(&input.read()?);
            let artifact = bytes.artifact(name)?;
            match is_inside {
                true => inside(name, &artifact, None, args),
                false => show(name, &artifact, args.json),
            }
        }
        Kind::Wasm | Kind::Text if is_inside => {
            let wasm = input.read_program(args.limits.text_limit)?;
            let options = Options {
                debug: cwasm_compiler::Debug::Inside,
                ..default_options()
            };
            let compiled = cwasm_compiler::compile(&wasm, &options)
                .map_err(|error| input::cannot_compile(name, error))?;
            let bytes = Aligned::new(&compiled.bytes);
            inside(name, &bytes.artifact(name)?, Some(&wasm), args)
        }
        Kind::Wasm | Kind::Text => {
            let wasm = input.read_wasm(args.limits.text_limit)?;
            crate::outline::inspect(name, &wasm, args.json)
        }
    }
}

/// Prints sizes or machine code of an artifact; `wasm` is what it was compiled from just now.
fn inside(
    name: Name<'_>,
    artifact: &Artifact<'_>,
    wasm: Option<&[u8]>,
    args: &InspectArgs,
) -> Result<()> {
    if let Some(func) = &args.disassemble {
        return disassemble::disassemble((name, artifact), func, wasm, args);
    }
    let compiled = "the file was compiled for this, with --debug: sizes are those of its artifact";
    let notes = wasm.map(|_| compiled.to_owned());
    sizes::sizes(name, artifact, args, notes.into_iter().collect())
}

/// The bytes of an artifact, aligned, because records are read in place.
struct Aligned {
    words: Vec<u128>,
    len: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Aligned {
        let mut words = vec![0u128; bytes.len().div_ceil(size_of::<u128>())];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Aligned {
            words,
            len: bytes.len(),
        }
    }

    fn artifact(&self, name: Name<'_>) -> Result<Artifact<'_>> {
        Artifact::inspect(&self.words.as_bytes()[..self.len])
            .map_err(|error| Error::from(error).context(format!("cannot inspect {name}")))
    }
}

fn show(name: Name<'_>, artifact: &Artifact<'_>, json: bool) -> Result<()> {
    let context = || format!("cannot inspect {name}");
    let description = match artifact.section(SectionId::Describe) {
        [] => Description::default(),
        bytes => {
            Description::decode(bytes).map_err(|error| Error::from(error).context(context()))?
        }
    };
    let surface = Surface::of_artifact(artifact, &description);
    let facts = facts(artifact, &surface);
    if json {
        return output::print_json(&serde_json::to_string_pretty(&facts)?);
    }
    let mut text = format!("{}\n", summary(&facts));
    match artifact.kind() {
        header::Kind::Component => text.push_str(&world::world(&surface)),
        header::Kind::Module => {
            for (word, items) in [("import", &facts.imports), ("export", &facts.exports)] {
                lines(word, items, &mut text);
            }
        }
    }
    output::print(&text)
}

/// Writes a line for each item.
pub(crate) fn lines(word: &str, items: &[Item], text: &mut String) {
    for Item { name, ty, .. } in items {
        let _ = writeln!(text, "{word} {}: {ty}", escape::name(name));
    }
}

fn facts(artifact: &Artifact<'_>, surface: &Surface<'_>) -> Facts {
    let header = artifact.header();
    let sections = SectionId::ALL.iter().map(|id| {
        let range = artifact.range(*id);
        Section {
            name: id.name(),
            offset: range.offset,
            size: range.size,
        }
    });
    let (imports, exports) = match artifact.kind() {
        header::Kind::Component => (
            component_items(&surface.imports, surface),
            component_items(&surface.exports, surface),
        ),
        header::Kind::Module => (core_imports(artifact), core_exports(artifact)),
    };
    Facts {
        kind: artifact.kind().to_string(),
        size: header.file_size,
        target: target_name(header.target).to_owned(),
        abi_version: header.abi_version,
        cpu_features: feature_names(header.cpu_features).collect(),
        digest: header
            .digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        context_size: header.context_size,
        functions: artifact.functions().len(),
        sections: sections.filter(|section| section.size != 0).collect(),
        imports,
        exports,
    }
}

/// The functions among these, then the instances.
pub(crate) fn component_items(items: &[surface::Item<'_>], surface: &Surface<'_>) -> Vec<Item> {
    let wit = surface.wit();
    let functions = items.iter().filter_map(|item| match item.kind {
        ItemKind::Func(ty) => Some((item, wit.func(ty).to_string())),
        _ => None,
    });
    let instances = items
        .iter()
        .filter(|item| matches!(item.kind, ItemKind::Instance));
    functions
        .chain(instances.map(|item| (item, "instance".to_owned())))
        .map(|(item, ty)| Item {
            name: item.path.to_owned(),
            ty,
            annotations: item.said.map(Annotations::from).unwrap_or_default(),
        })
        .collect()
}

fn summary(facts: &Facts) -> String {
    let features = match facts.cpu_features[..] {
        [] => "none beyond the target's baseline".to_owned(),
        ref features => features.join(" "),
    };
    let mut text = format!(
        "kind          {}\nsize          {}\ntarget        {}\nabi version   {}\ncpu features  {}\n\
         digest        {}\ncontext size  {}\nfunctions     {}\n\n{:<22} {:>10} {:>10}\n",
        facts.kind,
        facts.size,
        facts.target,
        facts.abi_version,
        features,
        facts.digest,
        facts.context_size,
        facts.functions,
        "section",
        "offset",
        "size",
    );
    for Section { name, offset, size } in &facts.sections {
        let _ = writeln!(text, "{name:<22} {offset:>#10x} {size:>10}");
    }
    text
}

fn core_imports(artifact: &Artifact<'_>) -> Vec<Item> {
    let name = |reference: StrRef| artifact.string(reference).unwrap_or("?");
    let items = artifact.imports().iter().map(|import| Item {
        name: format!("{}.{}", name(import.module), name(import.name)),
        ty: core_type(import.kind, artifact.string_bytes(import.core_type)),
        annotations: Annotations::default(),
    });
    items.collect()
}

fn core_exports(artifact: &Artifact<'_>) -> Vec<Item> {
    let items = artifact.exports().iter().map(|export| Item {
        name: artifact.string(export.name).unwrap_or("?").to_owned(),
        ty: core_type(export.kind, artifact.string_bytes(export.core_type)),
        annotations: Annotations::default(),
    });
    items.collect()
}

/// A core type as text: `func(i32, i32) -> (i64)`, `memory 1..2`.
pub(crate) fn core_type(number: u32, encoded: Option<&[u8]>) -> String {
    let bytes = encoded.unwrap_or_default();
    let text = match number {
        kind::CORE_FUNC => core_type::FuncType::decode(bytes)
            .map(|ty| format!("func({}) -> ({})", join(&ty.params), join(&ty.results))),
        kind::CORE_TABLE => core_type::decode_table(bytes)
            .map(|(element, limits)| format!("table {} {element}", range(&limits))),
        kind::CORE_MEMORY => {
            core_type::decode_memory(bytes).map(|(_, limits)| format!("memory {}", range(&limits)))
        }
        kind::CORE_GLOBAL => core_type::decode_global(bytes).map(|(content, mutable)| {
            format!("global {}{content}", if mutable { "mut " } else { "" })
        }),
        _ => None,
    };
    text.unwrap_or_else(|| "?".to_owned())
}

fn join(types: &[core_type::ValType]) -> String {
    let types: Vec<_> = types.iter().map(|ty| ty.to_string()).collect();
    types.join(", ")
}

fn range(limits: &Limits) -> String {
    match limits.max {
        Some(max) => format!("{}..={max}", limits.min),
        None => format!("{}..", limits.min),
    }
}
