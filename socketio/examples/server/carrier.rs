//! One client's task: carries a session over the requests and the WebSocket that belong to it.
//!
//! Comes in: requests, through a channel; the WebSocket; the time. Goes out: replies and messages.
//! The session decides everything; this only waits for what comes first. A WebSocket that does
//! not take what is sent lets the session's queue grow to its bound, and nothing else wait.

use super::app::{App, text_frame};
use ebbtide_socketio::Frame;
use ebbtide_socketio::server::{Output, Refusal};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};
use tokio_tungstenite::tungstenite::{Error, Utf8Bytes};

pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Verdict<T> = oneshot::Sender<Result<T, Refusal>>;

/// How long a client may take to say goodbye on its WebSocket.
const GOODBYE: Duration = Duration::from_secs(1);

/// How late the clock may be looked at while there is something else to do.
const LATE: Duration = Duration::from_millis(20);

/// What comes to a client's task.
pub(crate) enum Input {
    /// A GET, and where its reply goes.
    Poll(Verdict<Bytes>),
    /// The head of a POST.
    BeginPush(Verdict<()>),
    /// Its body.
    Push(Bytes, Verdict<()>),
    /// It broke off.
    PushLost,
    /// A handshake to upgrade.
    BeginUpgrade(Verdict<()>),
    /// The WebSocket, or none when the handshake came to nothing.
    WebSocket(Option<Box<Socket>>),
}

/// A client's task.
pub(crate) struct Carrier {
    pub(crate) app: App,
    pub(crate) inputs: mpsc::Receiver<Input>,
    /// What the session's times are counted from.
    pub(crate) start: Instant,
    pub(crate) hanging: Option<Verdict<Bytes>>,
    pub(crate) socket: Option<Line>,
}

/// A WebSocket, read and written at the same time.
pub(crate) struct Line {
    stream: SplitStream<Socket>,
    outlet: Outlet,
}

/// The half that writes: one message in hand, and whether anything is to be flushed.
struct Outlet {
    sink: SplitSink<Socket, Message>,
    waiting: Option<Message>,
    is_unflushed: bool,
}

/// What came first.
enum Turn {
    Input(Option<Input>),
    PollLost,
    Message(Option<Result<Message, Error>>),
    Written(Result<(), Error>),
    Time,
}

impl Carrier {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Runs until the session is over and everything is out.
    pub(crate) async fn run(mut self) {
        loop {
            let now = self.now();
            self.app.answer(now);
            self.carry();
            let is_idle = self.socket.as_ref().is_none_or(|line| !line.outlet.has_work());
            if self.app.session().is_closed() && is_idle {
                return;
            }
            let deadline = self.app.next_deadline().unwrap_or(now + GOODBYE);
            let turn = tokio::select! {
                // What came before the time was up is looked at first.
                biased;
                input = self.inputs.recv() => Turn::Input(input),
                () = lost(&mut self.hanging) => Turn::PollLost,
                turn = turn_of(&mut self.socket) => turn,
                () = tokio::time::sleep_until((self.start + deadline).into()) => Turn::Time,
            };
            if matches!(turn, Turn::Time) {
                self.catch_up().await;
            }
            self.take(turn);
            let now = self.now();
            // A client that never pauses does not stop the clock.
            if now > deadline + LATE {
                self.app.tick(now);
            }
        }
    }

    /// A pong may have come by a POST that the server has not got to: it gets there now, in two
    /// steps, head and body.
    async fn catch_up(&mut self) {
        for _ in 0..3 {
            tokio::task::yield_now().await;
            while let Ok(input) = self.inputs.try_recv() {
                let now = self.now();
                self.take_input(now, input);
            }
        }
    }

    fn take(&mut self, turn: Turn) {
        let now = self.now();
        match turn {
            Turn::Input(Some(input)) => self.take_input(now, input),
            // The host is gone; so are we.
            Turn::Input(None) => self.app.session().close(now),
            Turn::PollLost => {
                self.hanging = None;
                self.app.session().poll_lost(now);
            }
            Turn::Message(Some(Ok(Message::Text(text)))) => {
                if let Some(frame) = text_frame(text.into()) {
                    self.app.session().websocket_message(now, frame);
                }
            }
            Turn::Message(Some(Ok(Message::Binary(bytes)))) => {
                self.app.session().websocket_message(now, Frame::Binary(bytes));
            }
            // Pings are answered by tungstenite with the next flush.
            Turn::Message(Some(Ok(_))) => {
                if let Some(line) = &mut self.socket {
                    line.outlet.is_unflushed = true;
                }
            }
            Turn::Message(Some(Err(_)) | None) | Turn::Written(Err(_)) => {
                self.socket = None;
                self.app.session().websocket_lost(now);
            }
            Turn::Written(Ok(())) => {}
            Turn::Time if self.app.session().is_closed() => self.socket = None,
            Turn::Time => self.app.tick(now),
        }
    }

    fn take_input(&mut self, now: Duration, input: Input) {
        let session = self.app.session();
        // Who no longer waits for a verdict needs none.
        match input {
            Input::Poll(verdict) => match session.poll(now) {
                Ok(()) => self.hanging = Some(verdict),
                Err(refusal) => drop(verdict.send(Err(refusal))),
            },
            Input::BeginPush(verdict) => drop(verdict.send(session.begin_push())),
            Input::Push(body, verdict) => drop(verdict.send(session.push(now, body))),
            Input::PushLost => session.push_lost(now),
            Input::BeginUpgrade(verdict) => drop(verdict.send(session.begin_upgrade(now))),
            Input::WebSocket(Some(socket)) => self.socket = Some(Line::new(*socket)),
            Input::WebSocket(None) => session.websocket_lost(now),
        }
    }

    /// Carries out what the session wants, as far as the WebSocket takes it.
    fn carry(&mut self) {
        while self.socket.as_mut().is_none_or(|line| line.outlet.is_ready()) {
            let Some(output) = self.app.session().next_output() else { return };
            match output {
                Output::Reply(reply) => {
                    if let Some(verdict) = self.hanging.take() {
                        drop(verdict.send(reply));
                    }
                }
                Output::Send(frame) => {
                    if let Some(line) = &mut self.socket {
                        line.outlet.waiting = Some(message_of(frame));
                    }
                }
                Output::CloseWebSocket(code) => {
                    if let Some(line) = self.socket.take() {
                        tokio::task::spawn_local(line.close(code));
                    }
                }
            }
        }
    }
}

impl Line {
    pub(crate) fn new(socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        Self { stream, outlet: Outlet { sink, waiting: None, is_unflushed: false } }
    }

    /// Says goodbye behind what was sent, and waits for the answer within a bound.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: Utf8Bytes::default() };
        let goodbye = async {
            self.outlet.sink.send(Message::Close(Some(frame))).await?;
            while let Some(message) = self.stream.next().await {
                message?;
            }
            Ok::<(), Error>(())
        };
        // A client that does not answer is not waited for.
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
    }
}

impl Outlet {
    fn has_work(&self) -> bool {
        self.waiting.is_some() || self.is_unflushed
    }

    /// Whether another message can be taken at once; hands over the one that waits.
    fn is_ready(&mut self) -> bool {
        if self.waiting.is_some() {
            // An error comes again, where it is looked at.
            let _ = self.write().now_or_never();
        }
        self.waiting.is_none()
    }

    /// Hands the message that waits to the sink; nothing is lost when this is dropped before.
    async fn write(&mut self) -> Result<(), Error> {
        std::future::poll_fn(|context| self.sink.poll_ready_unpin(context)).await?;
        if let Some(message) = self.waiting.take() {
            self.sink.start_send_unpin(message)?;
            self.is_unflushed = true;
        }
        Ok(())
    }

    /// What is next to be done; for ever when there is nothing.
    async fn work(&mut self) -> Result<(), Error> {
        if self.waiting.is_some() {
            return self.write().await;
        }
        if !self.is_unflushed {
            return std::future::pending().await;
        }
        self.sink.flush().await?;
        self.is_unflushed = false;
        Ok(())
    }
}

fn message_of(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => {
            Message::Text(Utf8Bytes::try_from(text.into_bytes()).expect("a text is UTF-8"))
        }
        Frame::Binary(bytes) => Message::Binary(bytes),
    }
}

/// Ends when nobody waits any longer for the reply to the GET that hangs.
async fn lost(hanging: &mut Option<Verdict<Bytes>>) {
    match hanging {
        Some(verdict) => verdict.closed().await,
        None => std::future::pending().await,
    }
}

/// Whatever the WebSocket does next.
async fn turn_of(line: &mut Option<Line>) -> Turn {
    let Some(Line { stream, outlet }) = line else { return std::future::pending().await };
    tokio::select! {
        message = stream.next() => Turn::Message(message),
        result = outlet.work() => Turn::Written(result),
    }
}
