//! The types and traits of WASI's interfaces.

cwasm::bindgen!({
    path: "wit",
    world: "host",
    with: {
        "wasi:io/error/error": crate::io::IoError,
        "wasi:io/poll/pollable": crate::io::Pollable,
        "wasi:io/streams/input-stream": crate::io::InputStream,
        "wasi:io/streams/output-stream": crate::io::OutputStream,
        "wasi:cli/terminal-input/terminal-input": crate::cli::TerminalInput,
        "wasi:cli/terminal-output/terminal-output": crate::cli::TerminalOutput,
        "wasi:filesystem/types/descriptor": crate::filesystem::Descriptor,
        "wasi:filesystem/types/directory-entry-stream": crate::filesystem::DirectoryEntries,
    },
    trappable_imports: true,
    trappable_error_type: {
        "wasi:io/streams/stream-error" => crate::io::StreamError,
        "wasi:filesystem/types/error-code" => crate::filesystem::FsError,
    },
});

/// Programs.
pub(crate) mod command {
    cwasm::bindgen!({ path: "wit", world: "command" });
}
