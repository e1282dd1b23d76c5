//! Programs: arguments, environment, standard streams, exit codes (`wasi:cli`).

use std::io;
use std::sync::Arc;

use cwasm::{Access, Accessor, FutureReader, Resource, Result, StreamReader};
use rustix::stdio;

use super::Pool;
use super::bindings::wasi::cli as wit;
use super::bindings::wasi::cli::types::ErrorCode;
use super::bytes::{Reading, Streaming, read_stream, write_stream};
use super::descriptors::{Descriptor, Empty, Shared, Taker};
use crate::bindings::wasi::cli::{
    environment, exit, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use crate::cli::{Stdin, Stdout, TerminalInput, TerminalOutput};
use crate::ctx::WasiCtx;
use crate::io::Sink as _;
use crate::open_files::OpenFiles;

fn code_of(error: io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ErrorCode::Pipe,
        io::ErrorKind::InvalidData => ErrorCode::IllegalByteSequence,
        _ => ErrorCode::Io,
    }
}

/// What an input or output of a guest takes.
struct Means {
    open_files: OpenFiles,
    pool: Pool,
    streaming: Streaming,
}

impl Means {
    fn of(ctx: &WasiCtx) -> Result<Means> {
        Ok(Means {
            open_files: ctx.open_files.clone(),
            pool: ctx.pool.clone(),
            streaming: ctx.streaming()?,
        })
    }
}

impl Stdin {
    /// A stream of the guest's with this input.
    fn read<T: 'static>(&self, accessor: &Accessor<T>, means: Means) -> Reading<ErrorCode> {
        let Means {
            open_files,
            pool,
            streaming,
        } = means;
        match self {
            Stdin::Inherited => {
                let source = Descriptor::new(stdio::stdin(), &open_files, &pool);
                read_stream(accessor, Ok(source), code_of, streaming)
            }
            Stdin::Closed => read_stream(accessor, Ok(Empty), code_of, streaming),
            Stdin::Descriptor(descriptor) => {
                let source = Descriptor::new(Arc::clone(descriptor), &open_files, &pool);
                read_stream(accessor, Ok(source), code_of, streaming)
            }
            Stdin::Reader(reader) => {
                read_stream(accessor, Ok(Shared::new(reader, &pool)), code_of, streaming)
            }
        }
    }
}

impl Stdout {
    /// Writes the bytes of a stream of the guest's to this output.
    fn write<T: 'static>(
        &self,
        accessor: &Accessor<T>,
        bytes: StreamReader<u8>,
        means: Means,
    ) -> FutureReader<Result<(), ErrorCode>> {
        let Means {
            open_files,
            pool,
            streaming,
        } = means;
        match self {
            Stdout::InheritedOutput => {
                let sink = Descriptor::new(stdio::stdout(), &open_files, &pool);
                write_stream(accessor, bytes, Ok(sink), code_of, streaming)
            }
            Stdout::InheritedError => {
                let sink = Descriptor::new(stdio::stderr(), &open_files, &pool);
                write_stream(accessor, bytes, Ok(sink), code_of, streaming)
            }
            Stdout::Closed => {
                let sink = Taker(|_: &[u8]| Err(io::ErrorKind::BrokenPipe.into()));
                write_stream(accessor, bytes, Ok(sink), code_of, streaming)
            }
            Stdout::Discarded => {
                let sink = Taker(|bytes: &[u8]| Ok(bytes.len()));
                write_stream(accessor, bytes, Ok(sink), code_of, streaming)
            }
            Stdout::Buffer(buffer) => {
                let mut buffer = buffer.clone();
                let sink = Taker(move |bytes: &[u8]| buffer.write(bytes));
                write_stream(accessor, bytes, Ok(sink), code_of, streaming)
            }
            Stdout::Descriptor(descriptor) => {
                let sink = Descriptor::new(Arc::clone(descriptor), &open_files, &pool);
                write_stream(accessor, bytes, Ok(sink), code_of, streaming)
            }
            Stdout::Writer(writer) => write_stream(
                accessor,
                bytes,
                Ok(Shared::new(writer, &pool)),
                code_of,
                streaming,
            ),
        }
    }
}

impl wit::environment::Host for WasiCtx {
    fn get_environment(&mut self) -> Result<Vec<(String, String)>> {
        environment::Host::get_environment(self)
    }

    fn get_arguments(&mut self) -> Result<Vec<String>> {
        environment::Host::get_arguments(self)
    }

    fn get_initial_cwd(&mut self) -> Result<Option<String>> {
        environment::Host::initial_cwd(self)
    }
}

impl wit::exit::Host for WasiCtx {
    fn exit(&mut self, status: Result<(), ()>) -> Result<()> {
        exit::Host::exit(self, status)
    }

    fn exit_with_code(&mut self, code: u8) -> Result<()> {
        exit::Host::exit_with_code(self, code)
    }
}

impl wit::stdin::Host for WasiCtx {
    fn read_via_stream<T: 'static>(access: Access<'_, T, WasiCtx>) -> Result<Reading<ErrorCode>> {
        let (stdin, means) = access.with(|ctx| (ctx.stdin.clone(), Means::of(ctx)));
        Ok(stdin.read(access.accessor(), means?))
    }
}

impl wit::stdout::Host for WasiCtx {
    fn write_via_stream<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        let (stdout, means) = access.with(|ctx| (ctx.stdout.clone(), Means::of(ctx)));
        Ok(stdout.write(access.accessor(), data, means?))
    }
}

impl wit::stderr::Host for WasiCtx {
    fn write_via_stream<T: 'static>(
        access: Access<'_, T, WasiCtx>,
        data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), ErrorCode>>> {
        let (stderr, means) = access.with(|ctx| (ctx.stderr.clone(), Means::of(ctx)));
        Ok(stderr.write(access.accessor(), data, means?))
    }
}

impl wit::terminal_input::Host for WasiCtx {}

impl wit::terminal_input::HostTerminalInput for WasiCtx {
    fn drop(&mut self, terminal: Resource<TerminalInput>) -> Result<()> {
        terminal_input::HostTerminalInput::drop(self, terminal)
    }
}

impl wit::terminal_output::Host for WasiCtx {}

impl wit::terminal_output::HostTerminalOutput for WasiCtx {
    fn drop(&mut self, terminal: Resource<TerminalOutput>) -> Result<()> {
        terminal_output::HostTerminalOutput::drop(self, terminal)
    }
}

impl wit::terminal_stdin::Host for WasiCtx {
    fn get_terminal_stdin(&mut self) -> Result<Option<Resource<TerminalInput>>> {
        terminal_stdin::Host::get_terminal_stdin(self)
    }
}

impl wit::terminal_stdout::Host for WasiCtx {
    fn get_terminal_stdout(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        terminal_stdout::Host::get_terminal_stdout(self)
    }
}

impl wit::terminal_stderr::Host for WasiCtx {
    fn get_terminal_stderr(&mut self) -> Result<Option<Resource<TerminalOutput>>> {
        terminal_stderr::Host::get_terminal_stderr(self)
    }
}
