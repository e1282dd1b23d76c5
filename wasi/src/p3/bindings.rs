//! The types and traits of WASI's interfaces, version 0.3.

cwasm::bindgen!({
    path: "wit/p3",
    world: "host",
    with: {
        "wasi:cli/terminal-input/terminal-input": crate::cli::TerminalInput,
        "wasi:cli/terminal-output/terminal-output": crate::cli::TerminalOutput,
        "wasi:filesystem/types/advice": crate::bindings::wasi::filesystem::types::Advice,
        "wasi:filesystem/types/descriptor": crate::filesystem::Descriptor,
        "wasi:filesystem/types/descriptor-flags":
            crate::bindings::wasi::filesystem::types::DescriptorFlags,
        "wasi:filesystem/types/metadata-hash-value":
            crate::bindings::wasi::filesystem::types::MetadataHashValue,
        "wasi:filesystem/types/open-flags": crate::bindings::wasi::filesystem::types::OpenFlags,
        "wasi:filesystem/types/path-flags": crate::bindings::wasi::filesystem::types::PathFlags,
        "wasi:sockets/types/ip-address": crate::bindings::wasi::sockets::network::IpAddress,
        "wasi:sockets/types/ip-address-family":
            crate::bindings::wasi::sockets::network::IpAddressFamily,
        "wasi:sockets/types/ip-socket-address":
            crate::bindings::wasi::sockets::network::IpSocketAddress,
        "wasi:sockets/types/ipv4-socket-address":
            crate::bindings::wasi::sockets::network::Ipv4SocketAddress,
        "wasi:sockets/types/ipv6-socket-address":
            crate::bindings::wasi::sockets::network::Ipv6SocketAddress,
        "wasi:sockets/types/tcp-socket": crate::p3::TcpSocket,
        "wasi:sockets/types/udp-socket": crate::p3::UdpSocket,
    },
    imports: {
        "wasi:cli/stdin": store | trappable,
        "wasi:cli/stdout": store | trappable,
        "wasi:cli/stderr": store | trappable,
        "wasi:filesystem/types.[method]descriptor.read-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.write-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.append-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.read-directory": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.listen": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.send": store | trappable,
        "wasi:sockets/types.[method]tcp-socket.receive": store | trappable,
        default: trappable,
    },
    trappable_error_type: {
        "wasi:filesystem/types/error-code" => crate::filesystem::FsError,
        "wasi:sockets/types/error-code" => crate::sockets::SocketError,
        "wasi:sockets/ip-name-lookup/error-code" => crate::sockets::SocketError,
    },
});

/// Programs.
pub(crate) mod command {
    cwasm::bindgen!({ path: "wit/p3", world: "command" });
}
