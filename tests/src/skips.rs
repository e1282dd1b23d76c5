//! The list of what is known to fail: `skips.txt`.
//!
//! ```text
//! # a comment
//! exceptions/throw.wast          no exceptions yet
//! values/realloc.wast:80        the reason
//! as-component linking.wast:3   the reason
//! on-its-own linking.wast:9     the reason
//! folder/                       the reason
//! http_*                        the reason
//! ```
//!
//! A path that ends with `/` stands for all files of such a folder, one that ends with `*` for all
//! files whose names begin like that. A path without a line stands for whatever fails in the file;
//! with a line, for the directive that starts there. `as-component` and `on-its-own` restrict an
//! entry to one of the two paths of core modules. Paths are compared with the end of a script's
//! path. What is listed and passes is a failure: a file of which nothing fails, a line that passes
//! or where no directive starts.

use std::collections::BTreeMap;

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Skips {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    line: Option<usize>,
    reason: String,
    /// Whether it is only for modules wrapped into components, or only for others.
    as_component: Option<bool>,
}

/// The entries of the list for one script.
#[derive(Debug, Default)]
pub struct FileSkips {
    /// Why any directive may fail.
    pub whole: Option<String>,
    /// Lines of directives that fail, and why.
    pub lines: BTreeMap<usize, String>,
}

impl Skips {
    /// The list in `skips.txt`.
    pub fn built_in() -> Skips {
        match Skips::parse(include_str!("../skips.txt")) {
            Ok(skips) => skips,
            Err(message) => panic!("tests/skips.txt: {message}"),
        }
    }

    /// Reads a list.
    ///
    /// # Errors
    /// If a line has no reason, or its line number is none.
    pub fn parse(text: &str) -> Result<Skips, String> {
        let mut entries = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (as_component, entry) = match line.split_once(char::is_whitespace) {
                Some(("as-component", entry)) => (Some(true), entry.trim_start()),
                Some(("on-its-own", entry)) => (Some(false), entry.trim_start()),
                _ => (None, line),
            };
            let Some((place, reason)) = entry.split_once(char::is_whitespace) else {
                return Err(format!("no reason is given: `{line}`"));
            };
            let (path, number) = match place.split_once(':') {
                Some((path, number)) => {
                    let number = number
                        .parse()
                        .map_err(|_| format!("no line number: `{line}`"))?;
                    (path, Some(number))
                }
                None => (place, None),
            };
            entries.push(Entry {
                path: path.to_owned(),
                line: number,
                reason: reason.trim_start().to_owned(),
                as_component,
            });
        }
        Ok(Skips { entries })
    }

    /// The entries for the script at `path`, when its core modules are wrapped or not.
    pub fn of_file(&self, path: &str, as_component: bool) -> FileSkips {
        let mut found = FileSkips::default();
        for entry in &self.entries {
            if !ends_with_path(path, &entry.path)
                || entry.as_component.is_some_and(|only| only != as_component)
            {
                continue;
            }
            let reason = entry.reason.clone();
            match entry.line {
                Some(line) => drop(found.lines.insert(line, reason)),
                None => found.whole = Some(reason),
            }
        }
        found
    }
}

/// Whether `path` ends with all components of `end`, or with others that `end` stands for.
fn ends_with_path(path: &str, end: &str) -> bool {
    if end.ends_with('/') {
        return format!("/{path}").contains(&format!("/{end}"));
    }
    let (path, end) = match end.strip_suffix('*') {
        Some(start) => {
            let name = path.rfind('/').map_or(0, |at| at + 1);
            let kept = start.rsplit('/').next().unwrap_or(start).len();
            match path.get(..name + kept) {
                Some(path) => (path, start),
                None => return false,
            }
        }
        None => (path, end),
    };
    path.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}
