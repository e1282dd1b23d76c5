//! That `docs/async-traps.md` and the tests have the same rows, with the same traps.

use std::collections::{BTreeMap, BTreeSet};

use cwasm::TrapCode;

use super::{cancels, defined, ends, error_contexts, payloads, rejected, results, tasks};

/// A row: how it ends, by the names of trap codes.
type Rows = BTreeMap<String, BTreeSet<String>>;

fn page() -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/async-traps.md");
    std::fs::read_to_string(path).unwrap()
}

/// The cells of the rows of tables whose first cell is a name that starts so.
fn cells(page: &str, starts: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<String> = line
            .strip_prefix("| ")?
            .strip_suffix(" |")?
            .split(" | ")
            .map(str::to_owned)
            .collect();
        cells[0].starts_with(starts).then_some(cells)
    });
    rows.collect()
}

/// The words of a cell that are code.
fn code(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// What tests of traps check.
fn tested() -> Rows {
    let mut found = Rows::new();
    let mut add = |id: &str, code: TrapCode| {
        found
            .entry(id.to_owned())
            .or_default()
            .insert(format!("{code:?}"));
    };
    let tables = [
        tasks::ROWS,
        ends::ROWS,
        error_contexts::ROWS,
        results::STREAM_ROWS,
        results::FUTURE_ROWS,
        results::CHAR_ROWS,
        results::TEXTS_ROWS,
        results::REALLOC_ROWS,
    ];
    for row in tables.into_iter().flatten() {
        row.cases.iter().for_each(|(_, code)| add(row.id, *code));
    }
    cancels::ROWS
        .iter()
        .for_each(|(id, _, code)| add(id, *code));
    add(cancels::LATE.0, cancels::LATE.1);
    payloads::ROWS
        .iter()
        .for_each(|(id, _, code)| add(id, *code));
    found
}

#[test]
fn the_page_has_the_rows_that_are_tested() {
    let page = page();
    let listed = cells(&page, "A");
    let mut found = Rows::new();
    for cells in &listed {
        assert_eq!(cells.len(), 6, "{cells:?}");
        let before = found.insert(cells[0].clone(), code(&cells[3]));
        assert_eq!(before, None, "{} stands twice", cells[0]);
    }
    let tested = tested();
    for (id, codes) in &tested {
        assert_eq!(found.get(id), Some(codes), "{id}: on the page and tested");
    }
    for id in found.keys() {
        assert!(
            tested.contains_key(id),
            "{id} is on the page, and not tested"
        );
    }
}

#[test]
fn the_page_has_the_messages_of_the_traps() {
    let page = page();
    let used: BTreeSet<String> = tested().into_values().flatten().collect();
    let listed: BTreeMap<String, String> = cells(&page, "`")
        .into_iter()
        .map(|cells| (cells[0].trim_matches('`').to_owned(), cells[1].clone()))
        .collect();
    let known: BTreeMap<String, String> = TrapCode::ALL
        .iter()
        .map(|code| (format!("{code:?}"), code.to_string()))
        .filter(|(name, _)| used.contains(name))
        .collect();
    assert_eq!(listed, known);
}

#[test]
fn the_page_has_the_components_that_are_refused() {
    let listed: BTreeSet<String> = cells(&page(), "R")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let tested: BTreeSet<String> = rejected::ROWS
        .iter()
        .map(|(id, _)| (*id).to_owned())
        .collect();
    assert_eq!(listed, tested);
}

#[test]
fn the_page_has_what_does_not_trap() {
    let page = page();
    let listed: Vec<String> = ["N", "D"]
        .iter()
        .flat_map(|start| cells(&page, start))
        .map(|row| row[0].clone())
        .collect();
    for row in defined::ROWS {
        assert!(
            listed.iter().any(|id| id == row.id),
            "{} is not on the page",
            row.id
        );
    }
}

/// The page names tests, or what the names of several begin with.
#[test]
fn the_page_names_tests_that_are_there() {
    let sources = [
        include_str!("mod.rs"),
        include_str!("cancels.rs"),
        include_str!("defined.rs"),
        include_str!("payloads.rs"),
        include_str!("rejected.rs"),
    ];
    let page = page();
    let mut named = 0;
    for cells in ["A", "N", "D", "R"]
        .iter()
        .flat_map(|start| cells(&page, start))
    {
        for test in code(&cells[cells.len() - 1]) {
            let name = format!("#[test]\nfn {test}");
            assert!(
                sources.iter().any(|source| source.contains(&name)),
                "{test}"
            );
            named += 1;
        }
    }
    assert!(named > 100, "{named} names of tests");
}
