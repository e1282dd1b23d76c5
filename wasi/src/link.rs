//! The interfaces as a linker gets them.

use cwasm::{Linker, Result};

use crate::bindings::wasi as wit;
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

/// Functions that define packages of a version, whose bindings the module has as `wit`, and
/// interfaces by themselves; `$example` is one of the latter.
macro_rules! packages {
    ($example:literal; $($(#[$docs:meta])* $name:ident: $package:ident { $($interface:ident),* };)*) => {
        $(
            $(#[$docs])*
            ///
            /// # Errors
            /// If one of them is defined already.
            pub fn $name<T: 'static>(
                linker: &mut Linker<T>,
                get: fn(&mut T) -> &mut WasiCtx,
            ) -> Result<()> {
                $(interfaces::$package::$interface::add_to_linker(linker, get)?;)*
                Ok(())
            }
        )*

        /// Single interfaces of WASI, for hosts that want no more of a package.
        ///
        /// ```
        /// use cwasm::{Engine, Linker};
        /// use cwasm_wasi::WasiCtx;
        ///
        /// let mut linker = Linker::<WasiCtx>::new(&Engine::default());
        #[doc = $example]
        /// # Ok::<(), cwasm::Error>(())
        /// ```
        pub mod interfaces {
            $(
                #[doc = concat!("Interfaces of `wasi:", stringify!($package), "`.")]
                pub mod $package {
                    $(
                        #[doc = concat!(
                            "The interface `", stringify!($interface), "` of `wasi:",
                            stringify!($package), "`.",
                        )]
                        pub mod $interface {
                            use cwasm::{Linker, Result};

                            use super::super::super::wit::$package::$interface;

                            use crate::ctx::WasiCtx;

                            /// Defines the interface; `get` finds the state in the store's data.
                            ///
                            /// # Errors
                            /// If it is defined already.
                            pub fn add_to_linker<T: 'static>(
                                linker: &mut Linker<T>,
                                get: fn(&mut T) -> &mut WasiCtx,
                            ) -> Result<()> {
                                $interface::add_to_linker(linker, get)
                            }
                        }
                    )*
                }
            )*
        }
    };
}

#[cfg(feature = "p3")]
pub(crate) use packages;

packages! {
    "cwasm_wasi::interfaces::clocks::wall_clock::add_to_linker(&mut linker, |wasi| wasi)?;";

    /// Defines `wasi:io`: errors, pollables and streams, which most other interfaces use.
    add_io_to_linker: io { error, poll, streams };

    /// Defines `wasi:clocks`.
    add_clocks_to_linker: clocks { monotonic_clock, wall_clock };

    /// Defines `wasi:random`.
    add_random_to_linker: random { random, insecure, insecure_seed };

    /// Defines `wasi:cli`: arguments, environment, standard streams, terminals, exit.
    add_cli_to_linker: cli {
        environment, exit, stdin, stdout, stderr, terminal_input, terminal_output, terminal_stdin,
        terminal_stdout, terminal_stderr
    };

    /// Defines `wasi:filesystem`.
    add_filesystem_to_linker: filesystem { types, preopens };

    /// Defines `wasi:sockets`: TCP, UDP, names.
    add_sockets_to_linker: sockets {
        network, instance_network, tcp, tcp_create_socket, udp, udp_create_socket, ip_name_lookup
    };
}

#[cfg(test)]
mod tests {
    use cwasm::Engine;

    use super::*;

    #[test]
    fn a_package_is_its_interfaces() {
        let mut linker = Linker::<WasiCtx>::new(&Engine::default());
        interfaces::io::poll::add_to_linker(&mut linker, |wasi| wasi).unwrap();
        // It is there, and the others are not.
        assert!(interfaces::io::poll::add_to_linker(&mut linker, |wasi| wasi).is_err());
        assert!(add_io_to_linker(&mut linker, |wasi| wasi).is_err());
        interfaces::io::streams::add_to_linker(&mut linker, |wasi| wasi).unwrap();
        add_clocks_to_linker(&mut linker, |wasi| wasi).unwrap();
        assert!(interfaces::clocks::wall_clock::add_to_linker(&mut linker, |wasi| wasi).is_err());
    }
}
