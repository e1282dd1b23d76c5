//! Sizes as a page with a treemap.

use std::collections::{BTreeMap, HashMap, HashSet};

use cwasm_format::escape;
use cwasm_report::plot::Series;
use cwasm_report::{Area, Block, Page, Quantity, Section, Table, Tile, Treemap};

use super::Report;
use super::account::{Bytes, Use};
use super::groups::Group;
use super::items::{Item, NO_NAMESPACE};
use crate::output::short_name;

/// The rows of tables beside the treemap.
const ROWS: usize = 40;

/// The colours of namespaces, the largest first; later ones start again.
const COLORS: [u8; 6] = [1, 2, 3, 5, 6, 4];

/// The page of a report.
pub(super) fn page(report: &Report<'_>) -> String {
    let file = report.file.rsplit('/').next().unwrap_or(&report.file);
    let sections = vec![
        Section {
            title: "Where the bytes are".to_owned(),
            text:
                "Each area is as large as its bytes. Click one to go in, Escape or the path above \
                   to come back; the buttons choose which bytes count."
                    .to_owned(),
            blocks: vec![Block::Treemap(treemap(file, report))],
        },
        groups("Components", &report.components, report),
        groups("Core modules", &report.modules, report),
        groups("Crates and namespaces", &report.namespaces, report),
        items("Functions", &report.functions, report),
        items("Other parts of the file", &report.parts, report),
    ];
    let names = match report.merges_generics {
        true => "Functions that differ in arguments of generics only are one. ",
        false => "",
    };
    Page {
        title: shown(file),
        lead: format!(
            "What takes the {} bytes of the artifact. {names}Bytes of a function are its code, its \
             entries in tables, and its names.",
            report.size
        ),
        tiles: tiles(report),
        notes: report.notes.clone(),
        sections: sections
            .into_iter()
            .filter(|section| !section.blocks.is_empty())
            .collect(),
        facts: vec![
            ("file".to_owned(), shown(&report.file)),
            ("cwasm".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ],
    }
    .html()
}

fn shown(name: &str) -> String {
    escape::name(name).to_string()
}

fn tiles(report: &Report<'_>) -> Vec<Tile> {
    let mut tiles = vec![Tile {
        figure: Quantity::Bytes.show(report.size as f64),
        name: format!("{} functions and all else", count(report)),
    }];
    for (used, name) in [
        (Use::Code, "machine code"),
        (Use::Images, "images of memories, and data"),
        (Use::Tables, "tables for traps, exceptions and instances"),
        (Use::Debug, "names, symbols and lines"),
        (Use::Padding, "padding to pages and between functions"),
    ] {
        let bytes = report.uses[used as usize] as f64;
        let share = Quantity::Share.show(bytes / report.size as f64);
        tiles.push(Tile {
            figure: Quantity::Bytes.show(bytes),
            name: format!("{name}, {share}"),
        });
    }
    tiles
}

fn count(report: &Report<'_>) -> u64 {
    report.functions.iter().map(|item| item.functions).sum()
}

/// The head of a table whose last columns are figures.
fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The columns of figures: those of uses that functions have.
fn figures(total: u64, bytes: &Bytes, report: &Report<'_>) -> Vec<String> {
    let size = |bytes: u64| match bytes {
        0 => String::new(),
        bytes => Quantity::Bytes.show(bytes as f64),
    };
    let share = Quantity::Share.show(total as f64 / report.size as f64);
    let mut cells = vec![size(total), share];
    let columns = [Use::Code, Use::Images, Use::Tables, Use::Debug];
    cells.extend(columns.map(|used| size(bytes[used as usize])));
    cells
}

fn groups(title: &str, groups: &[Group], report: &Report<'_>) -> Section {
    let row = |group: &Group| {
        let name = match &*group.component {
            "" => shown(&group.name),
            component => format!("{} / {}", shown(component), shown(&group.name)),
        };
        let mut row = vec![name];
        row.extend(figures(group.total, &group.bytes, report));
        row.push(group.functions.to_string());
        row
    };
    let head = head(&[
        "name",
        "total",
        "share",
        "code",
        "images",
        "tables",
        "debug",
        "functions",
    ]);
    section(title, head, groups.iter().map(row).collect())
}

fn items(title: &str, items: &[Item<'_>], report: &Report<'_>) -> Section {
    let row = |item: &Item<'_>| {
        let mut row = vec![short_name(&item.name)];
        row.extend(figures(item.total, &item.bytes, report));
        row
    };
    let head = head(&[
        "name", "total", "share", "code", "images", "tables", "debug",
    ]);
    section(title, head, items.iter().take(ROWS * 5).map(row).collect())
}

/// The first rows, and more that are folded.
fn section(title: &str, head: Vec<String>, mut rows: Vec<Vec<String>>) -> Section {
    let more = rows.split_off(rows.len().min(ROWS));
    let mut blocks = Vec::new();
    if !rows.is_empty() {
        let head = head.clone();
        blocks.push(Block::Table(Table { head, rows }));
    }
    if !more.is_empty() {
        let title = format!("{} more", more.len());
        blocks.push(Block::Folded(title, Table { head, rows: more }));
    }
    Section {
        title: title.to_owned(),
        text: String::new(),
        blocks,
    }
}

/// An area that is being filled.
#[derive(Default)]
struct Node {
    leaves: Vec<Area>,
    inside: BTreeMap<String, Node>,
    series: Option<Series>,
}

impl Node {
    /// The area inside of this name.
    fn at(&mut self, name: &str) -> &mut Node {
        self.inside.entry(shown(name)).or_default()
    }

    fn into_area(self, name: String) -> Area {
        let inside = self.inside.into_iter();
        let mut areas: Vec<_> = inside.map(|(name, node)| node.into_area(name)).collect();
        areas.extend(self.leaves);
        Area {
            name,
            bytes: Vec::new(),
            series: self.series,
            inside: areas,
        }
    }
}

fn treemap(file: &str, report: &Report<'_>) -> Treemap {
    let components: HashSet<&str> = report
        .functions
        .iter()
        .filter(|item| !item.module.is_empty())
        .map(|item| &*item.component)
        .collect();
    let ranks = report.namespaces.iter().zip(COLORS.iter().cycle());
    let ranks: HashMap<&str, u8> = ranks.map(|(group, color)| (&*group.name, *color)).collect();
    let mut root = Node::default();
    for item in report.functions.iter().chain(&report.parts) {
        let mut node = match (&*item.component, &*item.module) {
            ("", "") => &mut root,
            (component, _) if components.len() > 1 && !component.is_empty() => root.at(component),
            _ => &mut root,
        };
        node = match &*item.module {
            "" if item.kind.is_some() => node.at("glue"),
            "" => node,
            module => node.at(module),
        };
        let leaf = leaf(item);
        if item.kind.is_none() {
            let (name, series) = part(item);
            // Those of a module are few.
            let node = match item.module.is_empty() {
                true => node.at(name),
                false => node,
            };
            if item.module.is_empty() {
                node.series = Some(series);
            }
            node.leaves.push(Area {
                series: Some(series),
                ..leaf
            });
            continue;
        }
        node = node.at(&item.namespace);
        let color = match item.namespace.starts_with('[') {
            true => 0,
            false => ranks.get(&*item.namespace).copied().unwrap_or(0),
        };
        node.series = Some(Series(color));
        if let Some(inner) = &item.inner {
            node = node.at(inner);
        }
        let series = (item.namespace == NO_NAMESPACE).then(|| by_prefix(&item.name));
        node.leaves.push(Area { series, ..leaf });
    }
    Treemap {
        uses: Use::ALL.iter().map(|used| used.name().to_owned()).collect(),
        root: root.into_area(shown(file)),
    }
}

/// The colour of a function of C, by the first word of its name: libraries begin theirs with it.
fn by_prefix(name: &str) -> Series {
    let name = name.trim_start_matches('_');
    let is_end =
        |(at, c): &(usize, char)| *at > 0 && !c.is_ascii_lowercase() && !c.is_ascii_digit();
    let end = name.char_indices().find(is_end);
    let word = &name[..end.map_or(name.len(), |(at, _)| at)];
    let sum = word.bytes().fold(0u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.into())
    });
    Series(COLORS[sum as usize % COLORS.len()])
}

fn leaf(item: &Item<'_>) -> Area {
    let bytes = item.bytes.iter().copied().enumerate();
    let name = match item.functions {
        0 | 1 => shown(&item.name),
        count => format!("{} ({count})", shown(&item.name)),
    };
    Area {
        name,
        bytes: bytes.filter(|(_, bytes)| *bytes > 0).collect(),
        series: None,
        inside: Vec::new(),
    }
}

/// The area of a part that is no module's, and its colour.
fn part(item: &Item<'_>) -> (&'static str, Series) {
    let used = Use::ALL.iter().find(|used| item.bytes[**used as usize] > 0);
    match used {
        None | Some(Use::Code) => ("other", Series(9)),
        Some(Use::Images) => ("images", Series(7)),
        Some(Use::Tables) => ("tables", Series(8)),
        Some(Use::Interface) => ("interface", Series(8)),
        Some(Use::Debug) => ("debug", Series(9)),
        Some(Use::Headers) => ("headers", Series(9)),
        Some(Use::Padding) => ("padding", Series(9)),
    }
}
