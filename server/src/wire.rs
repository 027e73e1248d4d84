//! What all WebSockets of the server have in common: their buffers, and frames as messages.
//! In: a connection that became a WebSocket, frames that wait for a client. Out: the socket with
//! nothing of the handshake held any more, messages ready to be written.
//! Leaves to others: the handshake (`upgrade`, `sio`), what is said (`session`, `sio`).

use crate::limits::Place;
use crate::stream::Stream;
use ebbtide_socketio::Frame;
use futures_util::{Sink, Stream as _};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, frame};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Allocated per connection at once, and grown for long messages.
const READ_BUFFER_BYTES: usize = 1_024;

/// Messages are written together until there are so many bytes of them.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// Held by each connection, so that the server knows when the last has ended.
pub(crate) type Alive = mpsc::Sender<()>;

/// What a session holds of the server: its sign of life, and its place among the connections.
pub(crate) type Held = (Alive, Arc<Place>);

/// A WebSocket of this server.
pub(crate) type Socket = WebSocketStream<Stream>;

/// A WebSocket that is read and written at the same time. What is fed waits to be flushed until
/// there is nothing more to read or to feed: one write for all of it.
#[derive(Debug)]
pub(crate) struct Line {
    socket: Box<Socket>,
    is_unflushed: bool,
}

impl Line {
    pub(crate) fn new(socket: Box<Socket>) -> Self {
        Self { socket, is_unflushed: false }
    }

    /// Ready when another message can be fed.
    pub(crate) fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut *self.socket).poll_ready(context)
    }

    /// Feeds a message. Without having been ready before, for small ones only.
    pub(crate) fn feed(&mut self, message: Message) -> Result<(), Error> {
        self.is_unflushed = true;
        Pin::new(&mut *self.socket).start_send(message)
    }

    /// Reads; when there is nothing to read, flushes what was fed.
    pub(crate) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Message, Error>>> {
        if let Poll::Ready(message) = Pin::new(&mut *self.socket).poll_next(context) {
            // A ping is answered with the next flush.
            self.is_unflushed = true;
            return Poll::Ready(message);
        }
        if self.is_unflushed {
            match Pin::new(&mut *self.socket).poll_flush(context) {
                Poll::Ready(Ok(())) => self.is_unflushed = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Some(Err(error))),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    /// The socket, to say goodbye on.
    pub(crate) fn into_socket(self) -> Box<Socket> {
        self.socket
    }
}

/// Takes over a connection whose handshake is answered; messages beyond the limit end it. None
/// when the connection was lost.
pub(crate) async fn accept(upgrade: OnUpgrade, message_bytes: usize) -> Option<Box<Socket>> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes));
    let upgraded = upgrade.await.ok()?;
    // Taking the bare stream lets hyper's box and its read buffer go.
    let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>() else {
        tracing::error!("an upgraded connection is not one of ours");
        return None;
    };
    let stream = parts.io.into_inner();
    let role = Role::Server;
    let socket = if parts.read_buf.is_empty() {
        drop(parts.read_buf);
        WebSocketStream::from_raw_socket(stream, role, Some(config)).await
    } else {
        let read = parts.read_buf.to_vec();
        drop(parts.read_buf);
        WebSocketStream::from_partially_read(stream, read, role, Some(config)).await
    };
    // Boxed, because a task has a place for each function a value is passed through.
    Some(Box::new(socket))
}

/// A frame as the socket takes it. Text goes as a frame of its own making: it is known to be
/// UTF-8, and would be looked through once more for each receiver.
pub(crate) fn message_of(frame: Frame) -> Message {
    let (bytes, kind) = match frame {
        Frame::Text(text) => (text.into_bytes(), Data::Text),
        Frame::Binary(bytes) => (bytes, Data::Binary),
    };
    Message::Frame(frame::Frame::message(bytes, OpCode::Data(kind), true))
}
