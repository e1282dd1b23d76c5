//! `cwasm serve`: answers HTTP requests by instances of a component.
//!
//! ```text
//! listener -> connection (a task, hyper) -> Guests: queue -> slot -> blocking thread -> instance
//!                                        <- Response <- response-outparam.set      (WASI 0.2)
//!                                                  slot -> task -> instance
//!                                        <- Response <- `handle` returns           (WASI 0.3)
//! ```
//!
//! Of WASI 0.2, each request has a store and an instance of its own, in a thread of the runtime's
//! pool for as long as its `handle` runs. Connections are driven by other threads, so that a slow
//! client holds no instance that has already answered. Of WASI 0.3, an instance is a task of the
//! runtime, and answers as many requests as `--reuse` and `--concurrent` say.

mod coredumps;
mod engine_metrics;
mod guests;
mod instances;
mod metrics;
mod name;
mod observed;
mod server;

use std::io;
use std::sync::Arc;

use cwasm::{Config, Engine, Error, Result};
use cwasm_compiler::Options;
use cwasm_wasi::http::HttpClient;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::args::{ServeArgs, default_options};
use crate::input::Name;
use crate::load::{linked, open};
use crate::profile::Profiling;
use crate::wasi::Version;
use crate::{open_files, output};

use self::guests::Guests;
use self::metrics::Metrics;
use self::server::Server;

/// The export that answers requests, of WASI 0.2.
const HANDLER: &str = "wasi:http/incoming-handler@";

/// The same of WASI 0.3.
const HANDLER_P3: &str = "wasi:http/handler@";

/// Threads that look up names for guests, beside those that run guests.
const LOOKUP_THREADS: usize = 16;

/// The stack of a thread that runs guests: what they may use of it is limited by the engine.
const STACK_SIZE: usize = 4 << 20;

/// Answers requests until a signal comes.
pub(crate) fn serve(args: &ServeArgs) -> Result<()> {
    // More than there can be.
    let max_concurrent = args.max_concurrent.get().min(Semaphore::MAX_PERMITS);
    let mut config = Config::new();
    config.max_idle_instances(max_concurrent);
    let engine = Engine::new(&config)?;
    // A request that computes for too long can be stopped.
    let options = Options {
        debug: cwasm_compiler::Debug::Inside,
        interruptible: true,
        ..default_options()
    };
    let component = open(&engine, &args.file, &args.limits, &options)?;
    let mut names = component.exports().map(|(name, _)| name);
    let version = names.find_map(|name| {
        let is_p3 = name.starts_with(HANDLER_P3) && Version::of(name) == Version::P3;
        let version = is_p3.then_some(Version::P3);
        version.or_else(|| name.starts_with(HANDLER).then_some(Version::P2))
    });
    let Some(version) = version else {
        return Err(Error::msg(format!(
            "{} does not answer HTTP requests (it exports neither `wasi:http/incoming-handler` nor \
             `wasi:http/handler`)",
            Name(&args.file)
        )));
    };
    if version == Version::P2 && (args.reuse.get(), args.concurrent.get()) != (1, 1) {
        return Err(Error::msg(
            "an instance of WASI 0.2 answers one request: --reuse and --concurrent are for 0.3",
        ));
    }
    let linked = linked(&engine, &component)?;
    // Connections are files, too.
    open_files::raise();
    let runtime = runtime(max_concurrent);
    let runtime = runtime.map_err(|error| Error::from(error).context("cannot start"))?;
    let metrics = Arc::new(Metrics::default());
    let client = HttpClient::on(runtime.handle().clone());
    let guests = Guests::new(
        args,
        max_concurrent,
        linked,
        client,
        Arc::clone(&metrics),
        version,
    )?;
    let profiling = Profiling::start(&args.profile, &args.file)?;
    let served = runtime.block_on(async {
        let listener = listen(args.addr).await?;
        if let Some(address) = args.metrics {
            let listener = listen(address).await?;
            output::note(&format!(
                "metrics on http://{}/metrics",
                listener.local_addr()?
            ));
            let serving = metrics::serve(listener, Arc::clone(&metrics), engine.clone());
            tokio::spawn(serving);
        }
        output::note(&format!("listening on http://{}", listener.local_addr()?));
        Server::new(args, guests, metrics).run(listener).await
    });
    if let Some(profiling) = profiling {
        profiling.end();
    }
    served?;
    // Guests that cannot be stopped have had their time.
    runtime.shutdown_background();
    Ok(())
}

fn runtime(max_concurrent: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .max_blocking_threads(max_concurrent + LOOKUP_THREADS)
        .thread_stack_size(STACK_SIZE)
        .thread_name("cwasm-serve")
        .enable_all()
        .build()
}

async fn listen(address: std::net::SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|error| Error::from(error).context(format!("cannot listen on {address}")))
}
