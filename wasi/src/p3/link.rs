//! The interfaces as a linker gets them.

use cwasm::{Linker, Result};

use super::bindings::wasi as wit;
use crate::ctx::WasiCtx;
use crate::link::packages;

/// Defines all interfaces of WASI 0.3 but `wasi:http`; `get` finds the state in the store's data.
///
/// # Errors
/// If one of them is defined already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &mut WasiCtx,
) -> Result<()> {
    add_clocks_to_linker(linker, get)?;
    add_random_to_linker(linker, get)?;
    add_cli_to_linker(linker, get)?;
    add_filesystem_to_linker(linker, get)?;
    add_sockets_to_linker(linker, get)
}

packages! {
    "cwasm_wasi::p3::interfaces::clocks::system_clock::add_to_linker(&mut linker, |wasi| wasi)?;";

    /// Defines `wasi:clocks`.
    add_clocks_to_linker: clocks { monotonic_clock, system_clock };

    /// Defines `wasi:random`.
    add_random_to_linker: random { random, insecure, insecure_seed };

    /// Defines `wasi:cli`: arguments, environment, standard streams, terminals, exit.
    add_cli_to_linker: cli {
        environment, exit, stdin, stdout, stderr, terminal_input, terminal_output,
        terminal_stdin, terminal_stdout, terminal_stderr
    };

    /// Defines `wasi:filesystem`.
    add_filesystem_to_linker: filesystem { types, preopens };

    /// Defines `wasi:sockets`: TCP, UDP, names.
    add_sockets_to_linker: sockets { types, ip_name_lookup };
}
