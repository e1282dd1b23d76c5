//! `cwasm inspect --sizes`: what takes the bytes of an artifact.
//!
//! ```text
//! artifact -- account --> bytes of functions and parts -- items --> names, crates
//!          -- groups --> sums -- table, page, JSON
//! ```

mod account;
mod claims;
mod groups;
mod items;
mod page;
mod space;
mod table;

use std::fs;

use cwasm::{Error, Result};
use cwasm_format::Artifact;
use cwasm_format::header::SectionId;
use serde::Serialize;

use crate::args::InspectArgs;
use crate::input::Name;
use crate::output;
use account::{Account, Bytes};
use groups::Group;
use items::Item;

/// All that is shown.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    /// Bytes of the file: the sum of `uses`, and of all functions and parts.
    size: u64,
    merges_generics: bool,
    #[serde(serialize_with = "items::serialize_bytes")]
    uses: Bytes,
    /// If there are several.
    components: Vec<Group>,
    modules: Vec<Group>,
    namespaces: Vec<Group>,
    /// The largest first.
    functions: Vec<Item<'a>>,
    parts: Vec<Item<'a>>,
    notes: Vec<String>,
}

/// Prints what takes the bytes of the artifact. `notes` are what a reader must know.
pub(crate) fn sizes(
    name: Name<'_>,
    artifact: &Artifact<'_>,
    args: &InspectArgs,
    notes: Vec<String>,
) -> Result<()> {
    let report = report(&args.file.to_string_lossy(), artifact, args, notes);
    if let Some(file) = &args.html {
        fs::write(file, page::page(&report)).map_err(|error| {
            let file = cwasm_format::escape::name(&file.to_string_lossy()).to_string();
            Error::from(error).context(format!("cannot write `{file}` (--html), of {name}"))
        })?;
    }
    match args.json {
        true => output::print_json(&serde_json::to_string_pretty(&report)?),
        false => output::print(&table::table(&report, args.top)),
    }
}

fn report<'a>(
    file: &str,
    artifact: &Artifact<'a>,
    args: &InspectArgs,
    mut notes: Vec<String>,
) -> Report<'a> {
    let account = Account::of(*artifact);
    if artifact.section(SectionId::Names).is_empty() {
        notes.push(
            "the artifact has no names of functions, modules and crates: compile with --debug"
                .to_owned(),
        );
    }
    let items = items::items(&account, args.merge_generics);
    let (modules, namespaces) = (groups::by_module(&items), groups::by_namespace(&items));
    let components = groups::by_component(&items);
    let uses = groups::by_use(&items);
    let (mut functions, mut parts): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| item.kind.is_some());
    let by_size = |a: &Item<'_>, b: &Item<'_>| {
        let order = b.total.cmp(&a.total);
        order.then_with(|| a.name.cmp(&b.name))
    };
    functions.sort_by(by_size);
    parts.sort_by(by_size);
    Report {
        file: file.to_owned(),
        size: account.total(),
        merges_generics: args.merge_generics,
        uses,
        components,
        modules,
        namespaces,
        functions,
        parts,
        notes,
    }
}
