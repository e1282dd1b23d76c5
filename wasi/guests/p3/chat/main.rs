//! A server for chats, on TCP: prints `HOST:PORT`, where it listens. Each line that a client sends
//! goes to all others, as `NUMBER: LINE`; clients are numbered from 1, as they arrive. The line
//! `/quit` of any client ends the program.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::pin;
use std::rc::Rc;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, FutureExt as _, Shared, select};
use futures::stream::{StreamExt as _, unfold};
use p3::{LOCALHOST, complain, print, text_of};
use wasip3::clocks::monotonic_clock;
use wasip3::sockets::types::{ErrorCode, IpAddressFamily, TcpSocket};
use wasip3::wit_bindgen::StreamResult;
use wasip3::wit_stream;

/// The most lines that wait for a client; one that reads no faster is put out.
const MAX_LINES: usize = 1024;

/// The most bytes of a line; a client that sends more is put out.
const MAX_LINE: usize = 64 << 10;

/// How long clients may take to read what was said before the end, in nanoseconds.
const FAREWELL: u64 = 1_000_000_000;

struct Chat;

wasip3::cli::command::export!(Chat);

impl wasip3::exports::cli::run::Guest for Chat {
    async fn run() -> Result<(), ()> {
        match serve().await {
            Ok(()) => Ok(()),
            Err(message) => {
                complain(format!("chat: {message}\n")).await;
                Err(())
            }
        }
    }
}

async fn serve() -> Result<(), String> {
    let failed = |error: ErrorCode| error.to_string();
    let socket = TcpSocket::create(IpAddressFamily::Ipv4).map_err(failed)?;
    socket.bind(LOCALHOST).map_err(failed)?;
    let arrivals = socket.listen().map_err(failed)?;
    let address = socket.get_local_address().map_err(failed)?;
    let printed = print(format!("{}\n", text_of(address))).await;
    printed.map_err(|error| format!("{error:?}"))?;

    let room = Room::new();
    // The read that waits for the next client is never given up before the end: one that arrived
    // just then would be lost.
    let arrivals = unfold(arrivals, async |mut arrivals| {
        let socket = arrivals.next().await?;
        Some((socket, arrivals))
    });
    let arrivals = arrivals.take_until(room.end.clone()).enumerate();
    let chat = arrivals.for_each_concurrent(None, |(place, socket)| room.host(place + 1, socket));
    let end = async {
        room.end.clone().await;
        monotonic_clock::wait_for(FAREWELL).await;
    };
    select(pin!(chat), pin!(end)).await;
    Ok(())
}

type Line = Rc<[u8]>;

/// Who is there.
struct Room {
    /// The lines that wait for each client, by its number.
    clients: RefCell<BTreeMap<usize, mpsc::Sender<Line>>>,
    quit: RefCell<Option<oneshot::Sender<()>>>,
    /// Ready when a client has said `/quit`.
    end: Shared<futures::future::Map<oneshot::Receiver<()>, fn(Result<(), oneshot::Canceled>)>>,
}

impl Room {
    fn new() -> Room {
        let (quit, end) = oneshot::channel();
        let end = end.map(drop as fn(_));
        Room {
            clients: RefCell::default(),
            quit: RefCell::new(Some(quit)),
            end: end.shared(),
        }
    }

    /// Serves a client, until it goes or is put out.
    async fn host(&self, number: usize, socket: TcpSocket) {
        let (sender, lines) = mpsc::channel(MAX_LINES);
        self.clients.borrow_mut().insert(number, sender);
        let listen = pin!(self.listen(number, &socket));
        let listen = select(listen, self.end.clone());
        let tell = pin!(tell(&socket, lines));
        let ended = select(listen, tell).await;
        self.clients.borrow_mut().remove(&number);
        if let Either::Left((_, tell)) = ended {
            // It has said all that it will say; it may still read what others have said.
            tell.await;
        }
    }

    /// Takes a client's lines, until it sends no more.
    async fn listen(&self, number: usize, socket: &TcpSocket) {
        let (mut bytes, _ending) = socket.receive();
        let (mut piece, mut rest) = (Vec::with_capacity(4096), Vec::new());
        loop {
            let result;
            (result, piece) = bytes.read(piece).await;
            for part in piece.split_inclusive(|byte| *byte == b'\n') {
                rest.extend_from_slice(part);
                if rest.ends_with(b"\n") {
                    self.say(number, &rest);
                    rest.clear();
                } else if rest.len() > MAX_LINE {
                    return;
                }
            }
            piece.clear();
            if result == StreamResult::Dropped {
                if !rest.is_empty() {
                    self.say(number, &rest);
                }
                return;
            }
        }
    }

    /// Tells all others a line.
    fn say(&self, number: usize, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"/quit" {
            drop(self.quit.take());
            return;
        }
        let line: Line = [format!("{number}: ").as_bytes(), line, b"\n"]
            .concat()
            .into();
        let mut clients = self.clients.borrow_mut();
        // Without a place in its queue a client is put out: its queue ends.
        clients
            .retain(|client, lines| *client == number || lines.try_send(Rc::clone(&line)).is_ok());
    }
}

/// Sends lines to a client, while it takes them.
async fn tell(socket: &TcpSocket, mut lines: mpsc::Receiver<Line>) {
    let (mut sender, receiver) = wit_stream::new();
    let sent = socket.send(receiver);
    while let Some(line) = lines.next().await {
        if !sender.write_all(line.to_vec()).await.is_empty() {
            break;
        }
    }
    drop(sender);
    drop(sent.await);
}
