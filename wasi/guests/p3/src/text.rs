//! Texts for people.

use futures::join;
use wasip3::cli::types::ErrorCode;
use wasip3::cli::{stderr, stdout};
use wasip3::wit_bindgen::{FutureReader, StreamReader};
use wasip3::wit_stream;

/// Writes to standard output, and waits until all is written.
pub async fn print(text: impl Into<String>) -> Result<(), ErrorCode> {
    write(text.into(), stdout::write_via_stream).await
}

/// Writes to standard error. That it cannot be written, nobody could be told.
pub async fn complain(text: impl Into<String>) {
    let _ = write(text.into(), stderr::write_via_stream).await;
}

async fn write(
    text: String,
    take: fn(StreamReader<u8>) -> FutureReader<Result<(), ErrorCode>>,
) -> Result<(), ErrorCode> {
    let (mut sender, receiver) = wit_stream::new();
    let written = take(receiver);
    let send = async {
        // What is left over says only that nobody takes it; why, `written` says.
        sender.write_all(text.into_bytes()).await;
        drop(sender);
    };
    join!(send, written.into_future()).1
}
