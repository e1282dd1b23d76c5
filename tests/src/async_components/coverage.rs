//! Whether there is a case for each way in which each component of a folder can be run.

use std::collections::BTreeMap;
use std::path::Path;

use super::cases::{Case, Part};
use super::compose::Surface;
use crate::Report;

/// Components that can be run alone only: they import nothing but what hosts have, and what they
/// export (`run`, `start`, `short-reads`), no other one imports. If there is one more of them, or
/// one of them fits another component, that is a failure.
const ALONE: [&str; 6] = [
    "async-intertask-communication",
    "async-poll-stackless",
    "async-poll-synchronous",
    "async-readiness",
    "async-short-reads",
    "async-synchronous-transmit",
];

/// Compares the cases with what is in the folder: each component must be run alone, and each two
/// of which one imports what the other exports, both in one component and through the host.
pub(super) fn check(folder: &Path, cases: &[Case]) -> Report {
    let mut report = Report::default();
    let surfaces = match surfaces(folder) {
        Ok(surfaces) => surfaces,
        Err(error) => {
            report.fail(error);
            return report;
        }
    };
    let mut check = |is_there: bool, message: String| match is_there {
        true => report.passed += 1,
        false => report.fail(message),
    };
    let has_case = |part: Part<'_>| cases.iter().any(|case| case.part == part);
    for (name, surface) in &surfaces {
        check(
            has_case(Part::Alone(name)),
            format!("no case runs {name} alone"),
        );
        let mut fits = false;
        for (other, exports) in &surfaces {
            fits |= exports.fits(surface) || surface.fits(exports);
            if !exports.fits(surface) {
                continue;
            }
            let (callee, caller) = (other.as_str(), name.as_str());
            for part in [
                Part::Composed { callee, caller },
                Part::Linked { callee, caller },
            ] {
                check(has_case(part), format!("there is no case of {part}"));
            }
        }
        check(
            fits != ALONE.contains(&name.as_str()),
            format!("{name} fits another component, or is not in the list of those that do not"),
        );
    }
    report
}

fn surfaces(folder: &Path) -> Result<BTreeMap<String, Surface>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let surface = Surface::of(&std::fs::read(&path).map_err(failed)?)?;
        found.insert(name.into_owned(), surface);
    }
    Ok(found)
}
