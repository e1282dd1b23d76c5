//! `cwasm serve`: answers HTTP requests by instances of a component.
//!
//! ```text
//! listener -> connection (a task, hyper) -> Guests: queue -> slot -> blocking thread -> instance
//!                                        <- Response <- response-outparam.set
//! ```
//!
//! Each request has a store and an instance of its own, in a thread of the runtime's pool for as
//! long as its `handle` runs. Connections are driven by other threads, so that a slow client holds
//! no instance that has already answered.

mod guests;
mod metrics;
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

use crate::args::ServeArgs;
use crate::input::Name;
use crate::load::{linked, open};
use crate::{open_files, output};

use self::guests::Guests;
use self::metrics::Metrics;
use self::server::Server;

/// The export that answers requests.
const HANDLER: &str = "wasi:http/incoming-handler@";

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
        debug: true,
        interruptible: true,
        ..Options::default()
    };
    let component = open(&engine, &args.file, &args.limits, &options)?;
    let mut exports = component.exports();
    if !exports.any(|(name, _)| name.starts_with(HANDLER)) {
        return Err(Error::msg(format!(
            "{} does not answer HTTP requests (it does not export `wasi:http/incoming-handler`)",
            Name(&args.file)
        )));
    }
    let linked = linked(&engine, &component)?;
    // Connections are files, too.
    open_files::raise();
    let runtime = runtime(max_concurrent);
    let runtime = runtime.map_err(|error| Error::from(error).context("cannot start"))?;
    let metrics = Arc::new(Metrics::default());
    let client = HttpClient::on(runtime.handle().clone());
    let guests = Guests::new(args, max_concurrent, linked, client, Arc::clone(&metrics))?;
    runtime.block_on(async {
        let listener = listen(args.addr).await?;
        if let Some(address) = args.metrics {
            let listener = listen(address).await?;
            output::note(&format!(
                "metrics on http://{}/metrics",
                listener.local_addr()?
            ));
            tokio::spawn(metrics::serve(listener, Arc::clone(&metrics)));
        }
        output::note(&format!("listening on http://{}", listener.local_addr()?));
        Server::new(args, guests, metrics).run(listener).await
    })?;
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
