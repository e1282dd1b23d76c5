//! Reads the files that commands are given: once, from start to end, so that pipes work as files
//! do.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use cwasm::{Error, Result};
use cwasm_compiler::preview1;
use cwasm_format::escape;

/// The first bytes of an ELF file, which can only be meant as an artifact.
const ELF: [u8; 4] = *b"\x7fELF";

/// The first bytes of WebAssembly.
const WASM: [u8; 4] = *b"\0asm";

/// An open file of which only the first bytes have been read.
pub(crate) struct Input<'a> {
    pub(crate) name: Name<'a>,
    file: File,
    start: Vec<u8>,
}

/// A file's name on the command line; `-` is standard input.
#[derive(Clone, Copy)]
pub(crate) struct Name<'a>(pub(crate) &'a Path);

/// The kind of a file, by its first bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Artifact,
    Wasm,
    /// Anything else, which can only be text.
    Text,
}

impl Name<'_> {
    pub(crate) fn is_stdin(self) -> bool {
        self.0 == Path::new("-")
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_stdin() {
            true => f.write_str("standard input"),
            false => write!(f, "`{}`", escape::name(&self.0.to_string_lossy())),
        }
    }
}

impl<'a> Input<'a> {
    /// Opens a file and reads its first bytes.
    pub(crate) fn open(path: &'a Path) -> Result<Input<'a>> {
        let name = Name(path);
        let open = || -> io::Result<Input<'a>> {
            let file = match name.is_stdin() {
                true => File::from(io::stdin().as_fd().try_clone_to_owned()?),
                false => File::open(path)?,
            };
            let mut start = Vec::new();
            (&file).take(ELF.len() as u64).read_to_end(&mut start)?;
            Ok(Input { name, file, start })
        };
        open().map_err(|error| cannot_read(name, error))
    }

    pub(crate) fn kind(&self) -> Kind {
        match &self.start[..] {
            start if *start == ELF => Kind::Artifact,
            start if *start == WASM => Kind::Wasm,
            _ => Kind::Text,
        }
    }

    /// Whether it is a file with a name of its own, which can be opened again.
    pub(crate) fn is_named_file(&self) -> bool {
        // `/dev/stdin` and the like may lead to a file.
        let is_descriptor = self.name.0.starts_with("/dev") || self.name.0.starts_with("/proc");
        !self.name.is_stdin() && !is_descriptor && self.is_file()
    }

    /// Whether `other` is the same file.
    pub(crate) fn is_same_file(&self, other: &Path) -> bool {
        use std::os::unix::fs::MetadataExt as _;

        match (self.file.metadata(), other.metadata()) {
            (Ok(own), Ok(other)) => {
                own.is_file() && (own.dev(), own.ino()) == (other.dev(), other.ino())
            }
            _ => false,
        }
    }

    fn is_file(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.is_file())
    }

    /// Reads all bytes.
    pub(crate) fn read(self) -> Result<Vec<u8>> {
        let (name, mut bytes) = (self.name, self.start);
        let mut file = self.file;
        file.read_to_end(&mut bytes)
            .map_err(|error| cannot_read(name, error))?;
        Ok(bytes)
    }

    /// Refuses an artifact.
    pub(crate) fn check_not_compiled(&self) -> Result<()> {
        if self.kind() != Kind::Artifact {
            return Ok(());
        }
        let message = "found an ELF file (an artifact?), expected WebAssembly";
        Err(cannot_compile(self.name, Error::msg(message)))
    }

    /// Reads a component or core module: a binary, or text of at most `text_limit` bytes.
    pub(crate) fn read_wasm(self, text_limit: u64) -> Result<Vec<u8>> {
        self.check_not_compiled()?;
        if self.kind() == Kind::Wasm {
            return self.read();
        }
        let name = self.name;
        let text = self.read_text(text_limit)?;
        parse(&text, name).map_err(|error| cannot_compile(name, error))
    }

    /// As [`read_wasm`](Input::read_wasm); a core module of WASI preview 1 as a component.
    pub(crate) fn read_program(self, text_limit: u64) -> Result<Vec<u8>> {
        let name = self.name;
        let wasm = self.read_wasm(text_limit)?;
        match preview1::is_preview1(&wasm) {
            true => preview1::componentize(&wasm).map_err(|error| cannot_compile(name, error)),
            false => Ok(wasm),
        }
    }

    fn read_text(self, limit: u64) -> Result<Vec<u8>> {
        let (name, mut text) = (self.name, self.start);
        let more = limit.saturating_add(1).saturating_sub(text.len() as u64);
        self.file
            .take(more)
            .read_to_end(&mut text)
            .map_err(|error| cannot_read(name, error))?;
        if text.len() as u64 <= limit {
            return Ok(text);
        }
        let message = format!(
            "found text of more than {limit} bytes, which is the limit: raise it with \
             --text-limit, or give the binary"
        );
        Err(cannot_compile(name, Error::msg(message)))
    }
}

/// Parses a text to a binary.
fn parse(text: &[u8], name: Name<'_>) -> Result<Vec<u8>> {
    let expected = "expected a binary (which starts with `\\0asm`) or text";
    let invalid =
        |found: &str| Error::msg(format!("invalid WebAssembly: found {found}, {expected}"));
    if text.trim_ascii().is_empty() {
        return Err(invalid("nothing"));
    }
    let text = std::str::from_utf8(text).map_err(|_| invalid("bytes that are not UTF-8"))?;
    wat::parse_str(text).map_err(|mut error| {
        error.set_path(name.0);
        Error::msg(format!("invalid WebAssembly: {error}"))
    })
}

/// The error of an input that cannot be compiled.
pub(crate) fn cannot_compile(name: Name<'_>, error: impl Into<Error>) -> Error {
    error.into().context(format!("cannot compile {name}"))
}

fn cannot_read(name: Name<'_>, error: io::Error) -> Error {
    Error::from(error).context(format!("cannot read {name}"))
}
