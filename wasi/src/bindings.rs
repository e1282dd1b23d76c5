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
        "wasi:sockets/network/network": crate::sockets::Network,
        "wasi:sockets/tcp/tcp-socket": crate::sockets::TcpSocket,
        "wasi:sockets/udp/udp-socket": crate::sockets::UdpSocket,
        "wasi:sockets/udp/incoming-datagram-stream": crate::sockets::IncomingDatagrams,
        "wasi:sockets/udp/outgoing-datagram-stream": crate::sockets::OutgoingDatagrams,
        "wasi:sockets/ip-name-lookup/resolve-address-stream": crate::sockets::ResolvedAddresses,
    },
    trappable_imports: true,
    trappable_error_type: {
        "wasi:io/streams/stream-error" => crate::io::StreamError,
        "wasi:filesystem/types/error-code" => crate::filesystem::FsError,
        "wasi:sockets/network/error-code" => crate::sockets::SocketError,
    },
});

/// Programs.
pub(crate) mod command {
    cwasm::bindgen!({ path: "wit", world: "command" });
}
