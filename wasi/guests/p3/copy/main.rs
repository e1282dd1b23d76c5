//! Copies bytes: between files, standard input and output, and to a TCP socket.
//!
//! ```text
//! copy [--through] FROM TO
//!   FROM       a path, or - for standard input
//!   TO         a path, - for standard output, or tcp:HOST:PORT
//!   --through  the bytes come through the memory of this program; else the stream of one end is
//!              handed to the other, and this program sees none of them
//! ```

use std::pin::Pin;

use futures::future::try_join;
use futures::try_join;
use p3::{complain, connect, open};
use wasip3::cli::{environment, stdin, stdout};
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags};
use wasip3::sockets::types::TcpSocket;
use wasip3::wit_bindgen::{StreamReader, StreamResult, StreamWriter};
use wasip3::wit_stream;

/// The most bytes that are in memory, if they come through it.
const PIECE: usize = 64 << 10;

struct Copy;

wasip3::cli::command::export!(Copy);

impl wasip3::exports::cli::run::Guest for Copy {
    async fn run() -> Result<(), ()> {
        match copy().await {
            Ok(()) => Ok(()),
            Err(message) => {
                complain(format!("copy: {message}\n")).await;
                Err(())
            }
        }
    }
}

async fn copy() -> Result<(), String> {
    let args = environment::get_arguments();
    let args: Vec<&str> = args.iter().skip(1).map(String::as_str).collect();
    let (through, from, to) = match args[..] {
        ["--through", from, to] => (true, from, to),
        [from, to] if from != "--through" => (false, from, to),
        _ => return Err("usage: copy [--through] FROM TO".to_owned()),
    };
    // Both are opened before a byte goes: without a source the target is left alone.
    let (bytes, read) = source(from).await?;
    let target = Target::open(to).await?;
    let ends = |read: Ending, written: Ending| {
        try_join(
            async {
                read.await
                    .map_err(|error| format!("reading {from}: {error}"))
            },
            async {
                written
                    .await
                    .map_err(|error| format!("writing {to}: {error}"))
            },
        )
    };
    if !through {
        ends(read, target.take(bytes)).await?;
        return Ok(());
    }
    let (sender, receiver) = wit_stream::new();
    let written = target.take(receiver);
    try_join!(pump(bytes, sender), ends(read, written))?;
    Ok(())
}

/// How one end came to its end.
type Ending = Pin<Box<dyn Future<Output = Result<(), String>>>>;

async fn source(from: &str) -> Result<(StreamReader<u8>, Ending), String> {
    if from == "-" {
        let (bytes, read) = stdin::read_via_stream();
        let ending = async { read.await.map_err(|error| format!("{error:?}")) };
        return Ok((bytes, Box::pin(ending)));
    }
    let file = open(from, OpenFlags::empty(), DescriptorFlags::READ).await?;
    let (bytes, read) = file.read_via_stream(0);
    let ending = async move {
        let read = read.await;
        drop(file);
        read.map_err(|error| error.to_string())
    };
    Ok((bytes, Box::pin(ending)))
}

/// Where bytes go.
enum Target {
    Stdout,
    File(Descriptor),
    Tcp(TcpSocket),
}

impl Target {
    async fn open(to: &str) -> Result<Target, String> {
        if to == "-" {
            return Ok(Target::Stdout);
        }
        if let Some(address) = to.strip_prefix("tcp:") {
            return connect(address).await.map(Target::Tcp);
        }
        let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let file = open(to, how, DescriptorFlags::WRITE).await?;
        Ok(Target::File(file))
    }

    /// Takes all bytes of a stream.
    fn take(self, bytes: StreamReader<u8>) -> Ending {
        Box::pin(async move {
            match &self {
                Target::Stdout => {
                    let written = stdout::write_via_stream(bytes).await;
                    written.map_err(|error| format!("{error:?}"))
                }
                Target::File(file) => {
                    let written = file.write_via_stream(bytes, 0).await;
                    written.map_err(|error| error.to_string())
                }
                Target::Tcp(socket) => {
                    let sent = socket.send(bytes).await;
                    sent.map_err(|error| error.to_string())
                }
            }
        })
    }
}

/// Reads pieces and writes them, until one of the ends is closed; why, those who closed it say.
async fn pump(mut from: StreamReader<u8>, mut to: StreamWriter<u8>) -> Result<(), String> {
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let result;
        (result, piece) = from.read(piece).await;
        piece = to.write_all(piece).await;
        let is_taken = piece.is_empty();
        if !is_taken || result == StreamResult::Dropped {
            return Ok(());
        }
    }
}
