//! The interfaces as a linker gets them.

use cwasm::{Linker, Result};

use crate::bindings::wasi::{cli, clocks, filesystem, io, random, sockets};
use crate::ctx::WasiCtx;

/// Defines all interfaces of WASI 0.2 but `wasi:http`; `get` finds the state in the store's data.
///
/// # Errors
/// If one of them is defined already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &mut WasiCtx,
) -> Result<()> {
    add_io_to_linker(linker, get)?;
    add_clocks_to_linker(linker, get)?;
    add_random_to_linker(linker, get)?;
    add_cli_to_linker(linker, get)?;
    add_filesystem_to_linker(linker, get)?;
    add_sockets_to_linker(linker, get)
}

macro_rules! packages {
    ($($(#[$docs:meta])* $name:ident: $($interface:path),*;)*) => {$(
        $(#[$docs])*
        ///
        /// # Errors
        /// If one of them is defined already.
        pub fn $name<T: 'static>(
            linker: &mut Linker<T>,
            get: fn(&mut T) -> &mut WasiCtx,
        ) -> Result<()> {
            $({
                use $interface as interface;
                interface::add_to_linker(linker, get)?;
            })*
            Ok(())
        }
    )*};
}

packages! {
    /// Defines `wasi:io`: errors, pollables and streams, which most other interfaces use.
    add_io_to_linker: io::error, io::poll, io::streams;

    /// Defines `wasi:clocks`.
    add_clocks_to_linker: clocks::monotonic_clock, clocks::wall_clock;

    /// Defines `wasi:random`.
    add_random_to_linker: random::random, random::insecure, random::insecure_seed;

    /// Defines `wasi:cli`: arguments, environment, standard streams, terminals, exit.
    add_cli_to_linker:
        cli::environment, cli::exit, cli::stdin, cli::stdout, cli::stderr, cli::terminal_input,
        cli::terminal_output, cli::terminal_stdin, cli::terminal_stdout, cli::terminal_stderr;

    /// Defines `wasi:filesystem`.
    add_filesystem_to_linker: filesystem::types, filesystem::preopens;

    /// Defines `wasi:sockets`: TCP, UDP, names.
    add_sockets_to_linker:
        sockets::network, sockets::instance_network, sockets::tcp, sockets::tcp_create_socket,
        sockets::udp, sockets::udp_create_socket, sockets::ip_name_lookup;
}
