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
    },
    imports: {
        "wasi:cli/stdin": store | trappable,
        "wasi:cli/stdout": store | trappable,
        "wasi:cli/stderr": store | trappable,
        "wasi:filesystem/types.[method]descriptor.read-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.write-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.append-via-stream": store | trappable,
        "wasi:filesystem/types.[method]descriptor.read-directory": store | trappable,
        default: trappable,
    },
    trappable_error_type: {
        "wasi:filesystem/types/error-code" => crate::filesystem::FsError,
    },
});

/// Programs.
pub(crate) mod command {
    cwasm::bindgen!({ path: "wit/p3", world: "command" });
}
