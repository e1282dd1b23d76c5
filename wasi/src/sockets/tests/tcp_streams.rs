//! The streams of TCP connections.

use super::tcp::{End, pair};
use super::{ANY_PORT, again, block, guest};
use crate::bindings::wasi::io::streams::{HostInputStream, HostOutputStream};
use crate::bindings::wasi::sockets::tcp::{HostTcpSocket, ShutdownType};
use crate::ctx::WasiCtx;
use crate::io::StreamError;

fn shut_down(wasi: &mut WasiCtx, end: &End, directions: ShutdownType) {
    HostTcpSocket::shutdown(wasi, again(&end.socket), directions).unwrap();
}

fn check_write(wasi: &mut WasiCtx, end: &End) -> Result<u64, StreamError> {
    HostOutputStream::check_write(wasi, again(&end.output))
}

fn write(wasi: &mut WasiCtx, end: &End, bytes: &[u8]) -> Result<(), StreamError> {
    HostOutputStream::write(wasi, again(&end.output), bytes.to_vec())
}

fn read(wasi: &mut WasiCtx, end: &End, len: u64) -> Result<Vec<u8>, StreamError> {
    HostInputStream::blocking_read(wasi, again(&end.input), len)
}

fn read_to_end(wasi: &mut WasiCtx, end: &End) -> usize {
    let mut len = 0;
    loop {
        match read(wasi, end, u64::MAX) {
            Ok(bytes) => len += bytes.len(),
            Err(StreamError::Closed) => return len,
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn is_closed<T>(result: Result<T, StreamError>) -> bool {
    matches!(result, Err(StreamError::Closed))
}

/// Writes until nothing more is permitted: so many bytes.
fn fill(wasi: &mut WasiCtx, end: &End) -> usize {
    let mut len = 0;
    loop {
        let permit = check_write(wasi, end).unwrap() as usize;
        if permit == 0 {
            return len;
        }
        write(wasi, end, &vec![1; permit]).unwrap();
        len += permit;
    }
}

#[test]
fn bytes_come_as_they_were_sent() {
    let (mut wasi, network) = guest();
    for local in ANY_PORT {
        let (client, server) = pair(&mut wasi, &network, local);
        for (from, to) in [(&client, &server), (&server, &client)] {
            let nothing = HostInputStream::read(&mut wasi, again(&to.input), 9).unwrap();
            assert!(nothing.is_empty());
            assert!(check_write(&mut wasi, from).unwrap() >= 5);
            write(&mut wasi, from, b"hello").unwrap();
            assert_eq!(read(&mut wasi, to, 4).unwrap(), b"hell");
            assert_eq!(read(&mut wasi, to, 4).unwrap(), b"o");
        }
    }
}

#[test]
fn the_end_comes_to_the_other_side() {
    let (mut wasi, network) = guest();
    let (client, server) = pair(&mut wasi, &network, ANY_PORT[0]);
    check_write(&mut wasi, &client).unwrap();
    write(&mut wasi, &client, b"last").unwrap();
    for _ in 0..2 {
        shut_down(&mut wasi, &client, ShutdownType::Send);
    }
    assert!(is_closed(write(&mut wasi, &client, b"more")));
    assert!(is_closed(check_write(&mut wasi, &client)));
    assert!(is_closed(HostOutputStream::flush(
        &mut wasi,
        again(&client.output)
    )));
    block(&mut wasi, &client.output);
    assert_eq!(read(&mut wasi, &server, 9).unwrap(), b"last");
    assert!(is_closed(read(&mut wasi, &server, 9)));
    assert!(is_closed(HostInputStream::read(
        &mut wasi,
        again(&server.input),
        0
    )));
    // The other direction goes on.
    check_write(&mut wasi, &server).unwrap();
    write(&mut wasi, &server, b"answer").unwrap();
    assert_eq!(read(&mut wasi, &client, 9).unwrap(), b"answer");
}

#[test]
fn what_was_not_read_is_discarded() {
    let (mut wasi, network) = guest();
    let (client, server) = pair(&mut wasi, &network, ANY_PORT[0]);
    check_write(&mut wasi, &server).unwrap();
    write(&mut wasi, &server, b"too late").unwrap();
    block(&mut wasi, &client.input);
    shut_down(&mut wasi, &client, ShutdownType::Receive);
    assert!(is_closed(HostInputStream::read(
        &mut wasi,
        again(&client.input),
        9
    )));
}

#[test]
fn streams_outlive_the_socket() {
    let (mut wasi, network) = guest();
    let (client, server) = pair(&mut wasi, &network, ANY_PORT[0]);
    HostTcpSocket::drop(&mut wasi, again(&client.socket)).unwrap();
    check_write(&mut wasi, &client).unwrap();
    write(&mut wasi, &client, b"still here").unwrap();
    HostOutputStream::drop(&mut wasi, again(&client.output)).unwrap();
    HostInputStream::drop(&mut wasi, again(&client.input)).unwrap();
    assert_eq!(read_to_end(&mut wasi, &server), b"still here".len());
}

#[test]
fn what_is_kept_is_written_before_the_end() {
    let (mut wasi, network) = guest();
    let (client, server) = pair(&mut wasi, &network, ANY_PORT[0]);
    HostTcpSocket::set_send_buffer_size(&mut wasi, again(&client.socket), 1).unwrap();
    let len = fill(&mut wasi, &client);
    assert!(!wasi.behind.is_empty(), "the system took {len} bytes");
    shut_down(&mut wasi, &client, ShutdownType::Send);
    assert!(is_closed(check_write(&mut wasi, &client)));
    assert_eq!(read_to_end(&mut wasi, &server), len);
    assert!(wasi.behind.is_empty());
}

#[test]
fn a_guest_that_waits_for_the_answer_still_sends() {
    let (mut wasi, network) = guest();
    let (client, server) = pair(&mut wasi, &network, ANY_PORT[0]);
    let mut len = fill(&mut wasi, &client);
    assert!(!wasi.behind.is_empty(), "the system took {len} bytes");
    while len > 0 {
        len -= read(&mut wasi, &server, u64::MAX).unwrap().len();
    }
    assert!(wasi.behind.is_empty());
    assert!(check_write(&mut wasi, &client).unwrap() > 0);
}

#[test]
fn nobody_reads_any_more() {
    let (mut wasi, network) = guest();
    let (client, server) = pair(&mut wasi, &network, ANY_PORT[0]);
    HostInputStream::drop(&mut wasi, again(&server.input)).unwrap();
    HostOutputStream::drop(&mut wasi, again(&server.output)).unwrap();
    HostTcpSocket::drop(&mut wasi, again(&server.socket)).unwrap();
    assert!(is_closed(read(&mut wasi, &client, 1)));
    let failed = (0..100).any(|_| {
        let bytes = vec![0; 1000];
        HostOutputStream::blocking_write_and_flush(&mut wasi, again(&client.output), bytes).is_err()
    });
    assert!(failed);
    assert!(is_closed(check_write(&mut wasi, &client)));
    // The connection is gone, but the socket may still be told to end.
    shut_down(&mut wasi, &client, ShutdownType::Both);
}

#[test]
fn more_than_is_permitted_ends_the_call() {
    let (mut wasi, network) = guest();
    let (client, _server) = pair(&mut wasi, &network, ANY_PORT[0]);
    let result = write(&mut wasi, &client, b"x");
    assert!(matches!(result, Err(StreamError::Trap(_))));
}
