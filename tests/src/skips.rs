//! The list of what is known to fail: `skips.txt`.
//!
//! ```text
//! # a comment
//! exceptions/throw.wast          no exceptions yet
//! values/realloc.wast:80        the reason
//! ```
//!
//! A path without a line stands for whatever fails in the file; with a line, for the directive that
//! starts there. Paths are compared with the end of a script's path. What is listed and passes is a
//! failure: a file of which nothing fails, a line that passes or where no directive starts.

/// The list.
#[derive(Clone, Debug, Default)]
pub struct Skips {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    path: String,
    line: Option<usize>,
}

/// What the list says of one script.
#[derive(Debug, Default)]
pub(crate) struct FileSkips {
    /// Whether any directive may fail.
    pub(crate) whole: bool,
    /// Lines of directives that fail.
    pub(crate) lines: Vec<usize>,
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
            let Some((place, _reason)) = line.split_once(char::is_whitespace) else {
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
            });
        }
        Ok(Skips { entries })
    }

    pub(crate) fn of_file(&self, path: &str) -> FileSkips {
        let mut found = FileSkips::default();
        for entry in &self.entries {
            if !ends_with_path(path, &entry.path) {
                continue;
            }
            match entry.line {
                Some(line) => found.lines.push(line),
                None => found.whole = true,
            }
        }
        found
    }
}

/// Whether `path` ends with all components of `end`.
fn ends_with_path(path: &str, end: &str) -> bool {
    path.strip_suffix(end)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_compared_by_component() {
        let list = "# why\n\na/b.wast  x\nb.wast:7 y\n";
        let skips = Skips::parse(list).unwrap();
        let found = skips.of_file("x/a/b.wast");
        assert!(found.whole);
        assert_eq!(found.lines, [7]);
        let found = skips.of_file("x/ab.wast");
        assert!(!found.whole && found.lines.is_empty());
    }

    #[test]
    fn entries_need_reasons() {
        assert!(Skips::parse("a.wast").is_err());
        assert!(Skips::parse("a.wast:x y").is_err());
    }
}
