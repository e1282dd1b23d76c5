//! The state of WASI for one store, and how a host chooses what a guest may do.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use cwasm::ResourceTable;

use crate::cli::{Stdin, Stdout};
use crate::clocks::{MonotonicClock, SystemClocks, WallClock};
use crate::filesystem::{DirPerms, FilePerms, Preopen};
#[cfg(feature = "http")]
use crate::http::HttpState;
use crate::io::{Signal, now};
use crate::open_files::OpenFiles;
#[cfg(feature = "p3")]
use crate::p3::{Pool, Writes};
#[cfg(feature = "p3")]
use crate::quota::Quota;
use crate::random::Random;
use crate::sockets::{NetworkPolicy, SocketUse};

/// The most handles that a guest may have, unless the host says otherwise.
const MAX_RESOURCES: usize = 100_000;

/// The state of WASI for one store: made by [`WasiCtxBuilder`], given to a linker by
/// [`add_to_linker`](crate::add_to_linker).
pub struct WasiCtx {
    pub(crate) table: ResourceTable,
    /// Wakes the guest when another thread has done something for it.
    pub(crate) signal: Arc<Signal>,
    pub(crate) open_files: OpenFiles,
    /// Numbers of the output streams that keep bytes.
    pub(crate) behind: BTreeSet<u32>,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) initial_cwd: Option<String>,
    pub(crate) stdin: Stdin,
    pub(crate) stdout: Stdout,
    pub(crate) stderr: Stdout,
    pub(crate) preopens: Vec<Preopen>,
    pub(crate) monotonic_clock: Box<dyn MonotonicClock>,
    pub(crate) wall_clock: Box<dyn WallClock>,
    pub(crate) random: Random,
    pub(crate) network: NetworkPolicy,
    /// Threads that may block.
    #[cfg(feature = "p3")]
    pub(crate) pool: Pool,
    /// Writes that have taken bytes of the guest's.
    #[cfg(feature = "p3")]
    pub(crate) writes: Writes,
    /// Bodies of messages that are on their way.
    #[cfg(all(feature = "http", feature = "p3"))]
    pub(crate) bodies: Writes,
    /// Streams that the host reads or writes.
    #[cfg(feature = "p3")]
    pub(crate) streams: Quota,
    #[cfg(feature = "http")]
    pub(crate) http: HttpState,
    /// When waits end, by the system's monotonic clock in nanoseconds.
    pub(crate) deadline: Option<u64>,
}

impl WasiCtx {
    /// A builder.
    pub fn builder() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }

    /// The guest's handles, for values of the host's own.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Ends waits of the guest after this time from now, with an error: a guest that runs is
    /// interrupted by the store's deadline, one that waits for time or input by this. `None` lets
    /// it wait for ever, as at first.
    pub fn set_deadline(&mut self, after: Option<Duration>) {
        self.deadline = after.map(|after| {
            let nanoseconds = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            now().saturating_add(nanoseconds)
        });
    }
}

impl fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasiCtx")
            .field("args", &self.args)
            .field("preopens", &self.preopens.len())
            .finish_non_exhaustive()
    }
}

/// Makes a [`WasiCtx`].
///
/// At first a guest has no arguments, no environment, no folders, no network, no input, and its
/// output is discarded. It has the system's clocks and random numbers.
///
/// ```
/// use cwasm_wasi::{DirPerms, FilePerms, WasiCtxBuilder};
///
/// # let folder = tempfile::tempdir()?;
/// let wasi = WasiCtxBuilder::new()
///     .inherit_stdio()
///     .args(["program", "--verbose"])
///     .env("LANG", "C")
///     .preopened_dir(folder.path(), "/", DirPerms::all(), FilePerms::all())?
///     .build();
/// # drop(wasi);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub struct WasiCtxBuilder {
    pub(crate) ctx: WasiCtx,
}

impl Default for WasiCtxBuilder {
    fn default() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl WasiCtxBuilder {
    /// A builder for a guest that may do nothing.
    pub fn new() -> WasiCtxBuilder {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        WasiCtxBuilder {
            ctx: WasiCtx {
                table,
                signal: Arc::default(),
                open_files: OpenFiles::default(),
                behind: BTreeSet::new(),
                args: Vec::new(),
                env: Vec::new(),
                initial_cwd: None,
                stdin: Stdin::Closed,
                stdout: Stdout::Discarded,
                stderr: Stdout::Discarded,
                preopens: Vec::new(),
                monotonic_clock: Box::new(SystemClocks::new()),
                wall_clock: Box::new(SystemClocks::new()),
                random: Random::default(),
                network: NetworkPolicy::default(),
                #[cfg(feature = "p3")]
                pool: Pool::default(),
                #[cfg(feature = "p3")]
                writes: Writes::default(),
                #[cfg(all(feature = "http", feature = "p3"))]
                bodies: Writes::default(),
                #[cfg(feature = "p3")]
                streams: Quota::new(MAX_RESOURCES),
                #[cfg(feature = "http")]
                http: HttpState::default(),
                deadline: None,
            },
        }
    }

    /// Sets the guest's standard input.
    pub fn stdin(mut self, stdin: impl Into<Stdin>) -> WasiCtxBuilder {
        self.ctx.stdin = stdin.into();
        self
    }

    /// Sets the guest's standard output.
    pub fn stdout(mut self, stdout: impl Into<Stdout>) -> WasiCtxBuilder {
        self.ctx.stdout = stdout.into();
        self
    }

    /// Sets the guest's standard error.
    pub fn stderr(mut self, stderr: impl Into<Stdout>) -> WasiCtxBuilder {
        self.ctx.stderr = stderr.into();
        self
    }

    /// Gives the guest the process's standard input.
    pub fn inherit_stdin(self) -> WasiCtxBuilder {
        self.stdin(Stdin::Inherited)
    }

    /// Gives the guest the process's standard output.
    pub fn inherit_stdout(self) -> WasiCtxBuilder {
        self.stdout(Stdout::InheritedOutput)
    }

    /// Gives the guest the process's standard error.
    pub fn inherit_stderr(self) -> WasiCtxBuilder {
        self.stderr(Stdout::InheritedError)
    }

    /// Gives the guest the process's standard input, output and error.
    pub fn inherit_stdio(self) -> WasiCtxBuilder {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Adds an argument; the first is the program's name.
    pub fn arg(mut self, arg: impl Into<String>) -> WasiCtxBuilder {
        self.ctx.args.push(arg.into());
        self
    }

    /// Adds arguments; the first is the program's name.
    pub fn args(mut self, args: impl IntoIterator<Item: Into<String>>) -> WasiCtxBuilder {
        self.ctx.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Adds a variable to the environment.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> WasiCtxBuilder {
        self.ctx.env.push((name.into(), value.into()));
        self
    }

    /// Adds variables to the environment.
    pub fn envs(
        mut self,
        envs: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> WasiCtxBuilder {
        let envs = envs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.ctx.env.extend(envs);
        self
    }

    /// Adds the process's environment, but variables that are not UTF-8.
    pub fn inherit_env(self) -> WasiCtxBuilder {
        let envs = std::env::vars_os();
        let envs = envs.filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        self.envs(envs)
    }

    /// Sets the folder that the guest is in at first, a path of the guest's.
    pub fn initial_cwd(mut self, path: impl Into<String>) -> WasiCtxBuilder {
        self.ctx.initial_cwd = Some(path.into());
        self
    }

    /// Opens the folder `host_path` for the guest, which finds it at `guest_path`.
    ///
    /// # Errors
    /// The system's, if the folder cannot be opened.
    pub fn preopened_dir(
        mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl Into<String>,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> io::Result<WasiCtxBuilder> {
        let dir = Dir::open_ambient_dir(host_path, ambient_authority())?;
        let preopen = Preopen::new(dir, guest_path.into(), dir_perms, file_perms);
        self.ctx.preopens.push(preopen);
        Ok(self)
    }

    /// Sets the monotonic clock that the guest sees. Guests still wait by the system's.
    pub fn monotonic_clock(mut self, clock: impl MonotonicClock + 'static) -> WasiCtxBuilder {
        self.ctx.monotonic_clock = Box::new(clock);
        self
    }

    /// Sets the clock of dates that the guest sees.
    pub fn wall_clock(mut self, clock: impl WallClock + 'static) -> WasiCtxBuilder {
        self.ctx.wall_clock = Box::new(clock);
        self
    }

    /// Sets the source of random bytes, which fills all of a slice.
    pub fn secure_random(
        mut self,
        source: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> WasiCtxBuilder {
        self.ctx.random.secure = Some(Box::new(source));
        self
    }

    /// Sets the source of random bytes that nothing secret depends on.
    pub fn insecure_random(
        mut self,
        source: impl FnMut(&mut [u8]) + Send + 'static,
    ) -> WasiCtxBuilder {
        self.ctx.random.insecure = Some(Box::new(source));
        self
    }

    /// Sets the seed with which guests protect their hash tables.
    pub fn insecure_random_seed(mut self, seed: u128) -> WasiCtxBuilder {
        self.ctx.random.seed = Some(seed);
        self
    }

    /// Allows TCP, to the addresses that [`socket_addr_check`](Self::socket_addr_check) allows:
    /// true at first.
    pub fn allow_tcp(mut self, allow: bool) -> WasiCtxBuilder {
        self.ctx.network.tcp = allow;
        self
    }

    /// Allows UDP, as [`allow_tcp`](Self::allow_tcp).
    pub fn allow_udp(mut self, allow: bool) -> WasiCtxBuilder {
        self.ctx.network.udp = allow;
        self
    }

    /// Allows names to be looked up: false at first.
    pub fn allow_ip_name_lookup(mut self, allow: bool) -> WasiCtxBuilder {
        self.ctx.network.name_lookup = allow;
        self
    }

    /// Sets the check of each address that the guest binds to, connects to or sends to. At first
    /// none is allowed.
    pub fn socket_addr_check(
        mut self,
        check: impl Fn(SocketAddr, SocketUse) -> bool + Send + Sync + 'static,
    ) -> WasiCtxBuilder {
        self.ctx.network.check = Arc::new(check);
        self
    }

    /// Allows all of the network: TCP, UDP, all addresses, names.
    pub fn inherit_network(self) -> WasiCtxBuilder {
        self.allow_tcp(true)
            .allow_udp(true)
            .allow_ip_name_lookup(true)
            .socket_addr_check(|_, _| true)
    }

    /// Sets how many handles the guest may have at a time: streams, descriptors, pollables,
    /// sockets; and as many streams of WASI 0.3 that the host reads or writes. 100,000 at first.
    pub fn max_resources(mut self, count: usize) -> WasiCtxBuilder {
        self.ctx.table.set_max_capacity(count);
        #[cfg(feature = "p3")]
        {
            self.ctx.streams = Quota::new(count);
        }
        self
    }

    /// Sets how many files, folders and sockets the guest may have open at a time, of all that the
    /// system lets the process have. 512 at first; folders that it was given do not count.
    pub fn max_open_files(mut self, count: usize) -> WasiCtxBuilder {
        self.ctx.open_files = OpenFiles::new(count);
        self
    }

    /// The state, for one store.
    pub fn build(self) -> WasiCtx {
        self.ctx
    }
}

impl fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WasiCtxBuilder").field(&self.ctx).finish()
    }
}
