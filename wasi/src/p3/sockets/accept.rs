//! The connections that a listener accepts, as a stream.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_io::{Async, Timer};
use cwasm::{Access, Resource, ResourceTableError, Result, StreamReader, StreamWriter};

use super::tcp::TcpSocket;
use crate::bindings::wasi::sockets::network::ErrorCode;
use crate::ctx::WasiCtx;
use crate::open_files::OpenFiles;
use crate::sockets::Socket;

/// How long a connection waits for room, of the guest's or of the system's, until it is looked for
/// again.
const PAUSE: Duration = Duration::from_millis(50);

/// A stream of the connections that come to a listener. None is accepted before it is asked for.
pub(super) fn stream<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    listener: Arc<Async<Socket>>,
) -> StreamReader<Resource<TcpSocket>> {
    let accessor = access.accessor();
    let (mut writer, connections) = accessor.with(|store| StreamWriter::pair(store));
    let listening = Arc::new(Listening(Mutex::new(State {
        listener: Some(listener),
        pause: None,
        open_files: access.with(|ctx| ctx.open_files.clone()),
        waker: None,
    })));
    // Who is to be woken is known from the first poll on.
    let on_close = Waker::from(Arc::clone(&listening));
    let closed = pin!(writer.closed(accessor));
    let _ = closed.poll(&mut Context::from_waker(&on_close));
    access.spawn(move |access| {
        Box::pin(async move {
            // The error is the store's, which has failed.
            let _ = send(access, &listening, &mut writer).await;
            let _ = access.accessor().with(|store| writer.close(store));
        })
    });
    connections
}

/// A listener until its stream is closed. As a waker, it is woken by that: the system's socket is
/// closed at once, so that the guest can use its address for another one in the next call.
struct Listening(Mutex<State>);

struct State {
    /// `None` when nobody can read the stream any more.
    listener: Option<Arc<Async<Socket>>>,
    /// Until when a connection waits for room.
    pause: Option<Timer>,
    open_files: OpenFiles,
    /// Of the future that waits for a connection.
    waker: Option<Waker>,
}

impl Listening {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next connection; `None` if there will be none.
    async fn accept(&self) -> Option<TcpSocket> {
        let accept = |context: &mut Context<'_>| {
            let mut state = self.state();
            state.waker = Some(context.waker().clone());
            state.poll_accept(context)
        };
        poll_fn(accept).await.ok()
    }

    /// Makes a resource of a connection, when the guest may have one more; `None` if nobody can
    /// read it any more.
    async fn push<T: 'static>(
        &self,
        access: Access<'_, T, WasiCtx>,
        socket: TcpSocket,
    ) -> Result<Option<Resource<TcpSocket>>> {
        while self.state().listener.is_some() {
            match access.with(|ctx| ctx.table.push(socket.clone())) {
                Err(ResourceTableError::Full) => Timer::after(PAUSE).await,
                pushed => return Ok(Some(pushed?)),
            };
        }
        Ok(None)
    }
}

impl Wake for Listening {
    fn wake(self: Arc<Self>) {
        let (listener, waker) = {
            let mut state = self.state();
            (state.listener.take(), state.waker.take())
        };
        drop(listener);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl State {
    /// The next connection. Those that fail before anybody has them are skipped.
    ///
    /// # Errors
    /// The listener's, or it is closed: there will be none.
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<io::Result<TcpSocket>> {
        let Some(listener) = &self.listener else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            if let Some(pause) = &mut self.pause {
                if Pin::new(pause).poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
            }
            let accepted = match self.open_files.place() {
                Ok(place) => listener.get_ref().accept(place),
                Err(_) => Err(ErrorCode::NewSocketLimit),
            };
            let code = match accepted.map(TcpSocket::accepted) {
                Ok(Ok(socket)) => return Poll::Ready(Ok(socket)),
                // There is no room for its registration.
                Ok(Err(_)) => ErrorCode::OutOfMemory,
                Err(code) => code,
            };
            match code {
                ErrorCode::WouldBlock => match listener.poll_readable(context) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                },
                ErrorCode::ConnectionAborted => {}
                ErrorCode::InvalidArgument | ErrorCode::Unknown => {
                    return Poll::Ready(Err(io::ErrorKind::Other.into()));
                }
                _ => self.pause = Some(Timer::after(PAUSE)),
            }
        }
    }
}

/// Writes connections until nobody reads them, or the listener fails.
async fn send<T: 'static>(
    access: Access<'_, T, WasiCtx>,
    listening: &Listening,
    writer: &mut StreamWriter<Resource<TcpSocket>>,
) -> Result<()> {
    let accessor = access.accessor();
    loop {
        // It is also ready when nobody reads any more.
        writer.ready(accessor).await?;
        let Some(socket) = listening.accept().await else {
            return Ok(());
        };
        let Some(socket) = listening.push(access, socket).await? else {
            return Ok(());
        };
        for socket in writer.write(accessor, vec![socket]).await? {
            access.with(|ctx| ctx.table.delete(socket))?;
        }
    }
}
