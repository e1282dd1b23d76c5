//! A command that uses WASI 0.2 and 0.3 together: prints, reads the file that its argument names,
//! looks at clocks and waits, each by both. What differs is told on standard error.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use p3::{complain, open, print};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;
use wasip3::cli::environment;
use wasip3::filesystem::types::{DescriptorFlags, OpenFlags};

/// How long timers wait, in nanoseconds.
const TIME: u64 = 50_000_000;

/// How far clocks may be from each other, in seconds.
const NEAR: i64 = 60;

struct Mixed;

wasip3::cli::command::export!(Mixed);

impl wasip3::exports::cli::run::Guest for Mixed {
    async fn run() -> Result<(), ()> {
        match mixed().await {
            Ok(()) => Ok(()),
            Err(message) => {
                complain(format!("mixed: {message}\n")).await;
                Err(())
            }
        }
    }
}

async fn mixed() -> Result<(), String> {
    print_by_2("0.2: output\n")?;
    print_by_3("0.3: output\n").await?;

    let args = environment::get_arguments();
    let path = args.get(1).ok_or("usage: mixed FILE")?;
    let (old, new) = (read_by_2(path)?, read_by_3(path).await?);
    print_by_2(&format!("0.2: {} bytes\n", old.len()))?;
    print_by_3(&format!("0.3: {} bytes\n", new.len())).await?;
    if old != new {
        return Err(format!("{path}: 0.2 and 0.3 read different bytes"));
    }

    clocks()?;
    print_by_2("clocks agree\n")?;
    timers().await?;
    print_by_3("timers are over\n").await
}

fn print_by_2(text: &str) -> Result<(), String> {
    let written = wasip2::cli::stdout::get_stdout().blocking_write_and_flush(text.as_bytes());
    written.map_err(|error| format!("writing by 0.2: {error:?}"))
}

async fn print_by_3(text: &str) -> Result<(), String> {
    let written = print(text).await;
    written.map_err(|error| format!("writing by 0.3: {error:?}"))
}

fn read_by_2(path: &str) -> Result<Vec<u8>, String> {
    use wasip2::filesystem::preopens;
    use wasip2::filesystem::types::{DescriptorFlags, OpenFlags, PathFlags};

    let folders = preopens::get_directories();
    let (folder, _) = folders.first().ok_or("there is no folder")?;
    let rest = path.trim_start_matches('/');
    let flags = (OpenFlags::empty(), DescriptorFlags::READ);
    let opened = folder.open_at(PathFlags::SYMLINK_FOLLOW, rest, flags.0, flags.1);
    let file = opened.map_err(|error| format!("{path}: {error:?}, by 0.2"))?;
    let stream = file.read_via_stream(0);
    let stream = stream.map_err(|error| format!("{path}: {error:?}, by 0.2"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(read) => bytes.extend(read),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(error) => return Err(format!("{path}: {error:?}, by 0.2")),
        }
    }
}

async fn read_by_3(path: &str) -> Result<Vec<u8>, String> {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (stream, ending) = file.read_via_stream(0);
    let bytes = stream.collect().await;
    let ended = ending.await;
    ended.map_err(|error| format!("{path}: {error}, by 0.3"))?;
    Ok(bytes)
}

/// The clocks show the same time, and go on.
fn clocks() -> Result<(), String> {
    let old = wasip2::clocks::wall_clock::now().seconds as i64;
    let new = wasip3::clocks::system_clock::now().seconds;
    if (old - new).abs() > NEAR {
        return Err(format!("the time is {old} s by 0.2, {new} s by 0.3"));
    }
    let old = wasip2::clocks::monotonic_clock::now();
    let new = wasip3::clocks::monotonic_clock::now();
    let (old_later, new_later) = (
        wasip2::clocks::monotonic_clock::now(),
        wasip3::clocks::monotonic_clock::now(),
    );
    match old_later >= old && new_later >= new {
        true => Ok(()),
        false => Err("a monotonic clock went back".to_owned()),
    }
}

/// A `poll` of 0.2, which blocks, while a `wait-for` of 0.3 goes on.
async fn timers() -> Result<(), String> {
    let clock = wasip3::clocks::monotonic_clock::now;
    let start = clock();
    let mut wait = pin!(wasip3::clocks::monotonic_clock::wait_for(TIME));
    let is_over = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_ready())).await;
    if is_over && clock() - start < TIME {
        return Err("`wait-for` was over at once".to_owned());
    }
    let timer = wasip2::clocks::monotonic_clock::subscribe_duration(2 * TIME);
    if poll(&[&timer]) != [0] {
        return Err("`poll` found nothing ready".to_owned());
    }
    if clock() - start < 2 * TIME {
        return Err("`poll` was over too early".to_owned());
    }
    if !is_over {
        wait.await;
    }
    // And the other way round: what 0.2 has begun is over once 0.3 has waited longer.
    let timer = wasip2::clocks::monotonic_clock::subscribe_duration(TIME);
    wasip3::clocks::monotonic_clock::wait_for(2 * TIME).await;
    match timer.ready() {
        true => Ok(()),
        false => Err("a timer of 0.2 was not over after a longer wait by 0.3".to_owned()),
    }
}
