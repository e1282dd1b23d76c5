//! Running the command, and a folder for its files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use tempfile::TempDir;

/// The exit code after a trap.
pub(crate) const TRAPPED: i32 = 134;

pub(crate) fn greet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/greet/greet.wasm")
}

pub(crate) fn cwasm(args: &[&str]) -> Ran {
    let mut command = Command::cargo_bin("cwasm").unwrap();
    Ran(command.args(args).output().unwrap())
}

/// A finished command.
pub(crate) struct Ran(pub(crate) Output);

impl Ran {
    pub(crate) fn stdout(&self) -> &str {
        std::str::from_utf8(&self.0.stdout).unwrap()
    }

    pub(crate) fn stderr(&self) -> &str {
        std::str::from_utf8(&self.0.stderr).unwrap()
    }

    /// It succeeded and printed exactly this.
    #[track_caller]
    pub(crate) fn prints(&self, expected: &str) -> &Ran {
        assert_eq!(self.0.status.code(), Some(0), "{}", self.stderr());
        assert_eq!(self.stdout(), expected);
        self
    }

    /// It failed with this exit code, printed nothing, and said all of this.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, expected: &[&str]) -> &Ran {
        assert_eq!(self.0.status.code(), Some(code), "{}", self.stderr());
        assert_eq!(self.stdout(), "");
        for part in expected {
            assert!(
                self.stderr().contains(part),
                "no `{part}` in:\n{}",
                self.stderr()
            );
        }
        self
    }
}

/// A folder with files for one test.
pub(crate) struct Folder(pub(crate) TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(TempDir::new().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn greet(&self) -> String {
        self.file("greet.wasm", fs::read(greet()).unwrap())
    }

    /// The artifact of `greet.wasm`.
    pub(crate) fn compiled(&self) -> String {
        let artifact = self.path("greet.cwasm");
        cwasm(&["compile", &self.greet(), "-o", &artifact]).prints("");
        artifact
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}
