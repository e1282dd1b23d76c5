//! Programs: arguments, environment, standard streams, exit codes (`wasi:cli`).

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use cwasm::{Error, Resource, Result};
use rustix::stdio;
use rustix::termios::isatty;

use crate::bindings::wasi::cli as wit;
use crate::ctx::WasiCtx;
use crate::io::{FdSink, FdSource, InputStream, OutputBuffer, OutputStream, Shared};

/// The guest has ended itself: the error of a call in which it does, found by
/// [`cwasm::Error::downcast_ref`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 0 is success.
    pub code: u8,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program has ended with exit code {}", self.code)
    }
}

impl std::error::Error for Exit {}

/// Where a guest's standard input comes from.
#[derive(Clone)]
#[non_exhaustive]
pub enum Stdin {
    /// The process's standard input.
    Inherited,
    /// No input: it is at its end.
    Closed,
    /// A file, pipe or socket.
    Descriptor(Arc<OwnedFd>),
    /// A reader of the host's, which may wait: see [`Stdin::reader`].
    Reader(Arc<Mutex<dyn Read + Send>>),
}

/// Where a guest's standard output or error goes.
#[derive(Clone)]
#[non_exhaustive]
pub enum Stdout {
    /// The process's standard output.
    InheritedOutput,
    /// The process's standard error.
    InheritedError,
    /// Nobody reads it: writing fails.
    Closed,
    /// Writing succeeds.
    Discarded,
    /// Memory of the host's.
    Buffer(OutputBuffer),
    /// A file, pipe or socket.
    Descriptor(Arc<OwnedFd>),
    /// A writer of the host's, which may wait: see [`Stdout::writer`].
    Writer(Arc<Mutex<dyn Write + Send>>),
}

impl Stdin {
    /// Input from a reader, which may wait.
    pub fn reader(reader: impl Read + Send + 'static) -> Stdin {
        Stdin::Reader(Arc::new(Mutex::new(reader)))
    }

    /// Input from memory.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Stdin {
        Stdin::reader(Cursor::new(bytes.into()))
    }

    /// A stream with this input, to give to a guest.
    pub fn stream(&self) -> InputStream {
        match self {
            Stdin::Inherited => InputStream::new(FdSource(stdio::stdin())),
            Stdin::Closed => InputStream::closed(),
            Stdin::Descriptor(descriptor) => InputStream::new(FdSource(Arc::clone(descriptor))),
            Stdin::Reader(reader) => InputStream::new(Shared(Arc::clone(reader))),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stdin::Inherited => Some(stdio::stdin()),
            Stdin::Descriptor(descriptor) => Some(descriptor.as_fd()),
            Stdin::Closed | Stdin::Reader(_) => None,
        }
    }
}

impl Stdout {
    /// Output to a writer, which may wait.
    pub fn writer(writer: impl Write + Send + 'static) -> Stdout {
        Stdout::Writer(Arc::new(Mutex::new(writer)))
    }

    /// A stream with this output, to give to a guest.
    pub fn stream(&self) -> OutputStream {
        match self {
            Stdout::InheritedOutput => OutputStream::new(FdSink(stdio::stdout())),
            Stdout::InheritedError => OutputStream::new(FdSink(stdio::stderr())),
            Stdout::Closed => OutputStream::closed(),
            Stdout::Discarded => {
                let sink: Arc<Mutex<dyn Write + Send>> = Arc::new(Mutex::new(std::io::sink()));
                OutputStream::new(Shared(sink))
            }
            Stdout::Buffer(buffer) => OutputStream::new(buffer.clone()),
            Stdout::Descriptor(descriptor) => OutputStream::new(FdSink(Arc::clone(descriptor))),
            Stdout::Writer(writer) => OutputStream::new(Shared(Arc::clone(writer))),
        }
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Stdout::InheritedOutput => Some(stdio::stdout()),
            Stdout::InheritedError => Some(stdio::stderr()),
            Stdout::Descriptor(descriptor) => Some(descriptor.as_fd()),
            Stdout::Closed | Stdout::Discarded | Stdout::Buffer(_) | Stdout::Writer(_) => None,
        }
    }
}

impl From<File> for Stdin {
    fn from(file: File) -> Stdin {
        Stdin::Descriptor(Arc::new(file.into()))
    }
}

impl From<OwnedFd> for Stdin {
    fn from(descriptor: OwnedFd) -> Stdin {
        Stdin::Descriptor(Arc::new(descriptor))
    }
}

impl From<File> for Stdout {
    fn from(file: File) -> Stdout {
        Stdout::Descriptor(Arc::new(file.into()))
    }
}

impl From<OwnedFd> for Stdout {
    fn from(descriptor: OwnedFd) -> Stdout {
        Stdout::Descriptor(Arc::new(descriptor))
    }
}

impl From<OutputBuffer> for Stdout {
    fn from(buffer: OutputBuffer) -> Stdout {
        Stdout::Buffer(buffer)
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").finish_non_exhaustive()
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout").finish_non_exhaustive()
    }
}

/// A terminal that is the standard input.
#[derive(Debug)]
pub struct TerminalInput(());

/// A terminal that is the standard output or error.
#[derive(Debug)]
pub struct TerminalOutput(());

impl wit::environment::Host for WasiCtx {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        Ok(self.env.clone())
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        Ok(self.args.clone())
    }

    fn initial_cwd(&mut self) -> Result<Option<String>> {
        Ok(self.initial_cwd.clone())
    }
}

impl wit::exit::Host for WasiCtx {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        let code = u8::from(status.is_err());
        Err(Error::new(Exit { code }))
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        Err(Error::new(Exit { code }))
    }
}

impl wit::stdin::Host for WasiCtx {
    fn get_stdin(&mut self) -> Result<Resource<InputStream>> {
        Ok(self.table.push(self.stdin.stream())?)
    }
}

impl wit::stdout::Host for WasiCtx {
    fn get_stdout(&mut self) -> Result<Resource<OutputStream>> {
        Ok(self.table.push(self.stdout.stream())?)
    }
}

impl wit::stderr::Host for WasiCtx {
    fn get_stderr(&mut self) -> Result<Resource<OutputStream>> {
        Ok(self.table.push(self.stderr.stream())?)
    }
}

impl wit::terminal_input::Host for WasiCtx {}

impl wit::terminal_input::HostTerminalInput for WasiCtx {
    fn drop(&mut self, terminal: Resource<TerminalInput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl wit::terminal_output::Host for WasiCtx {}

impl wit::terminal_output::HostTerminalOutput for WasiCtx {
    fn drop(&mut self, terminal: Resource<TerminalOutput>) -> Result<()> {
        self.table.delete(terminal)?;
        Ok(())
    }
}

impl wit::terminal_stdin::Host for WasiCtx {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<TerminalInput>>> {
        match self.stdin.descriptor().is_some_and(isatty) {
            true => Ok(Some(self.table.push(TerminalInput(()))?)),
            false => Ok(None),
        }
    }
}

impl wit::terminal_stdout::Host for WasiCtx {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        match self.stdout.descriptor().is_some_and(isatty) {
            true => Ok(Some(self.table.push(TerminalOutput(()))?)),
            false => Ok(None),
        }
    }
}

impl wit::terminal_stderr::Host for WasiCtx {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        match self.stderr.descriptor().is_some_and(isatty) {
            true => Ok(Some(self.table.push(TerminalOutput(()))?)),
            false => Ok(None),
        }
    }
}
