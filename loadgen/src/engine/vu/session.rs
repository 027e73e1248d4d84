//! A Socket.IO client on real connections: what its state machine asks for is done here, as far
//! as it can be done without waiting, whenever the user's task is polled.
//!
//! In: the user's wishes, by way of the machine. Out: events, and replies handed to the machine.
//! Long polling is an HTTP client for what hangs and one for what is sent; a WebSocket is a socket
//! as in any other step. What events mean is left to `chat.rs`.

use crate::engine::local::Local;
use crate::http::client::{HttpClient, Wanted};
use crate::plan::Heads;
use crate::sample::Failure;
use crate::websocket::frame::Opcode;
use crate::websocket::socket::{Handshake, Socket};
use crate::wire::watch::Watch;
use bytes::Bytes;
use ebbtide_socketio::client::{Action, Client};
use ebbtide_socketio::{Frame, Text};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A POST connection that was idle for this long, nanoseconds, is made anew: Node's servers close
/// theirs after five seconds, and a request that meets the close is lost.
const IDLE_MAX: u64 = 4_000_000_000;

/// What is wanted of each reply.
const WANTED: Wanted = Wanted { head: false, body: true, heads: Heads::Never };

/// An exchange under way.
type Work<T> = Pin<Box<dyn Future<Output = T>>>;

/// A reply, and the client that took it.
struct Exchanged {
    client: HttpClient,
    reply: Result<(u16, Bytes), Failure>,
}

/// One of the two HTTP connections of long polling.
#[derive(Default)]
struct Line {
    client: Option<HttpClient>,
    /// When it was used last, nanoseconds since the engine began.
    used: u64,
    work: Option<Work<Exchanged>>,
}

/// The connections of a Socket.IO client.
pub(super) struct Session {
    pub(super) client: Client,
    local: Rc<Local>,
    /// Of its own: what hangs here does not end with the time limit of a step.
    pub(super) watch: Rc<Watch>,
    /// Headers of all requests, each with its line end.
    headers: Vec<u8>,
    socket: Option<Socket>,
    opening: Option<Work<Result<Socket, Failure>>>,
    get: Line,
    post: Line,
    /// For when the task is to be polled.
    wake: u64,
    /// Where masks and keys come from.
    random: u64,
    /// Why the last connection or request failed.
    pub(super) failure: Option<Failure>,
}

impl Session {
    pub(super) fn new(
        local: &Rc<Local>,
        flow: usize,
        client: Client,
        (headers, random): (Vec<u8>, u64),
    ) -> Self {
        Self {
            client,
            local: Rc::clone(local),
            watch: local.watch(flow),
            headers,
            socket: None,
            opening: None,
            get: Line::default(),
            post: Line::default(),
            wake: u64::MAX,
            random,
            failure: None,
        }
    }

    /// Does all that can be done now.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        loop {
            let now = self.now();
            let mut moved = self.poll_opening(context, now);
            moved |= self.poll_lines(context, now);
            moved |= self.read(now);
            if self.client.next_deadline().is_some_and(|deadline| deadline <= now) {
                self.client.tick(now);
            }
            moved |= self.act();
            if !moved {
                break;
            }
        }
        let deadline = self.client.next_deadline().map_or(u64::MAX, |at| at.as_nanos() as u64);
        // An earlier poll is asked for already; then comes the next look. To ask for each deadline
        // would leave a moment behind for every answer that is waited for.
        let is_past = self.wake <= self.local.latest();
        if deadline != u64::MAX && (deadline < self.wake || is_past) {
            self.wake = deadline;
            self.local.reactor.poll_at(deadline);
        }
    }

    /// Whether nothing waits to be sent, or to be heard of as sent.
    pub(super) fn is_idle(&self) -> bool {
        self.client.queued_bytes() == 0 && self.post.work.is_none()
    }

    /// The time as the machine counts it.
    pub(super) fn now(&self) -> Duration {
        Duration::from_nanos(self.local.now())
    }

    fn poll_opening(&mut self, context: &mut Context<'_>, now: Duration) -> bool {
        let Some(work) = &mut self.opening else { return false };
        let Poll::Ready(opened) = work.as_mut().poll(context) else { return false };
        self.opening = None;
        match opened {
            Ok(socket) => {
                self.socket = Some(socket);
                self.client.websocket_opened(now);
            }
            Err(failure) => {
                self.failure = Some(failure);
                self.client.websocket_lost(now);
            }
        }
        true
    }

    fn poll_lines(&mut self, context: &mut Context<'_>, now: Duration) -> bool {
        let mut moved = false;
        if let Some(reply) = self.get.poll(context, now) {
            moved = true;
            match reply {
                Ok((status, body)) => self.client.poll_reply(now, status, body),
                Err(failure) => self.request_lost(failure, now),
            }
        }
        if let Some(reply) = self.post.poll(context, now) {
            moved = true;
            match reply {
                Ok((status, _)) => self.client.push_reply(now, status),
                Err(failure) => self.request_lost(failure, now),
            }
        }
        moved
    }

    fn request_lost(&mut self, failure: Failure, now: Duration) {
        self.failure = Some(failure);
        self.client.request_lost(now);
    }

    /// Takes the messages that have come on the WebSocket.
    fn read(&mut self, now: Duration) -> bool {
        let mut moved = false;
        while let Some(socket) = &mut self.socket {
            match socket.poll_message(&self.local) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {
                    moved = true;
                    let bytes = Bytes::copy_from_slice(socket.message());
                    let frame = if socket.is_text() {
                        // The socket has checked that it is UTF-8.
                        Frame::Text(Text::from_utf8(bytes).unwrap_or_default())
                    } else {
                        Frame::Binary(bytes)
                    };
                    self.client.websocket_message(now, frame);
                }
                Poll::Ready(Err(failure)) => {
                    moved = true;
                    self.failure = Some(failure);
                    self.socket = None;
                    self.client.websocket_lost(now);
                }
            }
        }
        moved
    }

    /// Does what the machine asks for; true when it asked for something.
    pub(super) fn act(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.client.next_action() {
            moved = true;
            match action {
                Action::Get { target } => {
                    let request = self.request("GET", &target, None);
                    self.get.start((&self.local, &self.watch), request);
                }
                Action::Post { target, body } => {
                    let request = self.request("POST", &target, Some(&body));
                    self.post.start((&self.local, &self.watch), request);
                }
                Action::OpenWebSocket { target } => self.open(&target),
                Action::Send(frame) => self.queue(&frame),
                Action::CloseWebSocket => {
                    self.opening = None;
                    self.close_socket();
                }
                Action::Abandon => {
                    self.opening = None;
                    self.get = Line::default();
                    self.post = Line::default();
                    self.close_socket();
                }
            }
        }
        if let Some(socket) = self.socket.as_mut().filter(|_| moved) {
            socket.flush_some();
        }
        moved
    }

    fn queue(&mut self, frame: &Frame) {
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let mask = self.random >> 32;
        let Some(socket) = &mut self.socket else { return };
        let sent = match frame {
            Frame::Text(text) => socket.queue(Opcode::Text, text.as_bytes(), mask),
            Frame::Binary(bytes) => socket.queue(Opcode::Binary, bytes, mask),
        };
        self.local.note(|recorder| recorder.counters.bytes_sent += sent as u64);
    }

    fn close_socket(&mut self) {
        if let Some(mut socket) = self.socket.take() {
            socket.say_farewell();
        }
    }

    fn request(&self, method: &str, target: &str, body: Option<&Bytes>) -> Vec<u8> {
        let mut request = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        request.extend_from_slice(&self.headers);
        match body {
            Some(body) => {
                let length = body.len();
                let head = format!(
                    "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n"
                );
                request.extend_from_slice(head.as_bytes());
                request.extend_from_slice(body);
            }
            None => request.extend_from_slice(b"\r\n"),
        }
        self.local.note(|recorder| recorder.counters.bytes_sent += request.len() as u64);
        request
    }

    fn open(&mut self, target: &str) {
        let mut head = format!("GET {target} HTTP/1.1\r\n").into_bytes();
        head.extend_from_slice(&self.headers);
        head.extend_from_slice(
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        );
        self.random = self.random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        let random = [self.random, self.random.rotate_left(29)];
        let (local, watch) = (Rc::clone(&self.local), Rc::clone(&self.watch));
        self.opening = Some(Box::pin(async move {
            let ask = Handshake { head: &mut head, random, protocols: &[], tap: None };
            Socket::connect(ask, (&local, &watch)).await
        }));
    }
}

impl Line {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        now: Duration,
    ) -> Option<Result<(u16, Bytes), Failure>> {
        let Poll::Ready(done) = self.work.as_mut()?.as_mut().poll(context) else { return None };
        self.work = None;
        self.client = Some(done.client);
        self.used = now.as_nanos() as u64;
        Some(done.reply)
    }

    fn start(&mut self, (local, watch): (&Rc<Local>, &Rc<Watch>), request: Vec<u8>) {
        let fresh = local.now().saturating_sub(self.used) > IDLE_MAX;
        let kept = self.client.take().filter(|_| !fresh);
        let client = kept.unwrap_or_else(|| HttpClient::new(None, false));
        let (local, watch) = (Rc::clone(local), Rc::clone(watch));
        self.work = Some(Box::pin(exchange(local, watch, client, request)));
    }
}

async fn exchange(
    local: Rc<Local>,
    watch: Rc<Watch>,
    mut client: HttpClient,
    request: Vec<u8>,
) -> Exchanged {
    if !client.is_open()
        && let Err(failure) = client.open(&local, &watch).await
    {
        return Exchanged { client, reply: Err(failure) };
    }
    let reply = client.exchange(&request, WANTED, (&local, &watch)).await;
    let reply = reply.map(|reply| {
        local.note(|recorder| recorder.counters.bytes_received += reply.bytes);
        (reply.status, Bytes::from(std::mem::take(&mut client.kept.body)))
    });
    Exchanged { client, reply }
}
