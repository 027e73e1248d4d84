//! One Engine.IO session as its server sees it: open, heartbeat, upgrade, close.
//!
//! Comes in: requests, WebSocket messages, losses, frames to send, the time. Goes out: [`Output`]s
//! and [`Happening`]s. What waits to be sent waits here, bounded, until the host asks for it: the
//! host asks when the WebSocket can take more. After every input it asks for both.

use super::reason::Reason;
use super::request::{Refusal, Transport};
use super::settings::Settings;
use crate::engine::{EngineError, Handshake, Packet, Payload, join};
use crate::frame::Frame;
use crate::outbox::Outbox;
use crate::text::Text;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a GET that comes during an upgrade may hang: long enough that the upgrade overtakes
/// it, short enough that nobody waits for it. npm's server looks every 100 ms.
const UPGRADE_POLL: Duration = Duration::from_millis(50);
/// How long a session that its client closed by POST still has a word for the client's last GET,
/// which may be overtaken by the POST: they come on two connections.
const PARTING: Duration = Duration::from_secs(1);
/// The content of the packets that try a transport.
const PROBE: &str = "probe";

/// What the host is to do, in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Answer the GET that hangs: with status 200 and these packets, or with a refusal. The
    /// content type is `text/plain; charset=UTF-8`, and nobody may store it.
    Reply(Result<Bytes, Refusal>),
    /// Send a message on the WebSocket.
    Send(Frame),
    /// Close the WebSocket with this code, behind what was sent before. Nothing of it is reported
    /// any more.
    CloseWebSocket(u16),
}

/// What happened in a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Happening {
    /// A message came.
    Message(Frame),
    /// From now on WebSocket.
    Upgraded,
    /// It is over. Outputs may still be there.
    Closed(Reason),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// To be closed as soon as a GET takes the word.
    Closing,
    Closed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Upgrade {
    None,
    /// A WebSocket is there; until when the whole may take.
    Waiting(Duration),
    /// Its probe was answered.
    Probed(Duration),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heartbeat {
    /// The next ping.
    PingAt(Duration),
    /// The pong is due.
    PongBy(Duration),
}

/// A session.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    sid: Text,
    state: State,
    transport: Transport,
    upgrade: Upgrade,
    heartbeat: Heartbeat,
    is_polled: bool,
    is_pushing: bool,
    /// When a GET that hangs is let go without content.
    release_at: Option<Duration>,
    close_by: Option<Duration>,
    /// Until when a closed session waits for its client's last GET.
    part_by: Option<Duration>,
    outbox: Outbox,
    outputs: VecDeque<Output>,
    /// The code to close the WebSocket with, when everything else is out.
    farewell: Option<u16>,
    happenings: VecDeque<Happening>,
}

impl Session {
    /// A session that begins now. `sid` cannot be guessed and is in no use. On polling, the
    /// request that opened it is handed in by [`Session::poll`] at once.
    #[must_use]
    pub fn open(settings: Arc<Settings>, sid: Text, transport: Transport, now: Duration) -> Self {
        let handshake = Handshake {
            sid: sid.clone(),
            can_upgrade: settings.can_upgrade && transport == Transport::Polling,
            ping_interval: settings.ping_interval,
            ping_timeout: settings.ping_timeout,
            max_payload: Some(settings.max_payload),
        };
        let mut outbox = Outbox::default();
        outbox.push(Packet::Open(handshake.encode().into()).encode());
        Self {
            heartbeat: Heartbeat::PingAt(now + settings.ping_interval),
            settings,
            sid,
            state: State::Open,
            transport,
            upgrade: Upgrade::None,
            is_polled: false,
            is_pushing: false,
            release_at: None,
            close_by: None,
            part_by: None,
            outbox,
            outputs: VecDeque::new(),
            farewell: None,
            happenings: VecDeque::new(),
        }
    }

    /// The session's id.
    #[must_use]
    pub fn sid(&self) -> &Text {
        &self.sid
    }

    /// How messages go by now.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// What this session keeps to.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it is over and may be forgotten: what is left are outputs. A session that its client
    /// closed by POST is kept for a second, for the client's last GET.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed && self.part_by.is_none()
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// A GET came; [`Output::Reply`] answers it, now or later.
    ///
    /// # Errors
    /// When the session has ended or goes over WebSocket, or a GET hangs already, which ends it.
    pub fn poll(&mut self, now: Duration) -> Result<(), Refusal> {
        self.tick(now);
        if self.part_by.take().is_some() {
            self.is_polled = true;
            self.reply(Packet::Noop.encode());
            return Ok(());
        }
        self.check_polling()?;
        if self.is_polled {
            self.finish(Reason::TransportError);
            return Err(Refusal::BadRequest);
        }
        self.is_polled = true;
        self.release_at = match self.upgrade {
            Upgrade::Probed(_) => Some(now + UPGRADE_POLL),
            Upgrade::None | Upgrade::Waiting(_) => None,
        };
        self.flush();
        Ok(())
    }

    /// The connection of the GET that hangs is gone.
    pub fn poll_lost(&mut self, now: Duration) {
        self.tick(now);
        if std::mem::take(&mut self.is_polled) {
            self.finish(Reason::TransportError);
        }
    }

    /// A POST begins; its body follows by [`Session::push`].
    ///
    /// # Errors
    /// When the session has ended or goes over WebSocket, or another POST is under way, which
    /// ends it.
    pub fn begin_push(&mut self) -> Result<(), Refusal> {
        // No tick: who speaks before the time was found to be up is alive.
        self.check_polling()?;
        if self.is_pushing {
            self.finish(Reason::TransportError);
            return Err(Refusal::BadRequest);
        }
        self.is_pushing = true;
        Ok(())
    }

    /// The body of the POST, whole. When taken, the reply is 200 with `ok`.
    ///
    /// # Errors
    /// When the session has ended meanwhile, or the body cannot be read or is too large, which
    /// ends it.
    pub fn push(&mut self, now: Duration, body: Bytes) -> Result<(), Refusal> {
        if !std::mem::take(&mut self.is_pushing) || self.state == State::Closed {
            return Err(Refusal::UnknownSession);
        }
        let packets = match Payload::read(body, self.settings.max_payload) {
            Ok(packets) => packets,
            Err(error) => return Err(self.refuse(&error)),
        };
        for packet in packets {
            match packet {
                // Its own end lets the GET go without a word.
                Ok(Packet::Close) => {
                    self.part_by = (!self.is_polled).then_some(now + PARTING);
                    self.reply(Packet::Noop.encode());
                    self.finish(Reason::TransportClose);
                }
                Ok(packet) => self.receive(now, packet),
                Err(error) => return Err(self.refuse(&error)),
            }
            if self.state == State::Closed {
                break;
            }
        }
        self.flush();
        Ok(())
    }

    /// The POST broke off, or its body is larger than `max_payload`.
    pub fn push_lost(&mut self, now: Duration) {
        self.tick(now);
        if std::mem::take(&mut self.is_pushing) {
            self.finish(Reason::TransportError);
        }
    }

    /// A WebSocket wants to take over.
    ///
    /// # Errors
    /// When the session has ended; or when one has taken over already or tries to: then the
    /// handshake is completed and the WebSocket closed, as npm's server does it, and the session
    /// goes on.
    pub fn begin_upgrade(&mut self, now: Duration) -> Result<(), Refusal> {
        self.tick(now);
        self.check_polling()?;
        if self.upgrade != Upgrade::None || !self.settings.can_upgrade {
            return Err(Refusal::BadRequest);
        }
        self.upgrade = Upgrade::Waiting(now + self.settings.upgrade_timeout);
        Ok(())
    }

    /// A message of the WebSocket.
    pub fn websocket_message(&mut self, now: Duration, frame: Frame) {
        if self.state == State::Closed || !self.has_websocket() {
            return;
        }
        match (Packet::decode(frame), self.upgrade) {
            (Ok(packet), Upgrade::None) => self.receive(now, packet),
            (Err(_), Upgrade::None) => self.finish(Reason::ParseError),
            (Ok(Packet::Ping(content)), Upgrade::Waiting(until)) if content == PROBE => {
                self.upgrade = Upgrade::Probed(until);
                self.outputs.push_back(Output::Send(Packet::Pong(content).encode()));
                // The client sends no further request once it knows.
                self.reply(Packet::Noop.encode());
            }
            (Ok(Packet::Upgrade), Upgrade::Probed(_)) => self.finish_upgrade(),
            _ => self.fail_upgrade(),
        }
    }

    /// The WebSocket is gone.
    pub fn websocket_lost(&mut self, now: Duration) {
        self.tick(now);
        match (self.upgrade, self.transport) {
            (Upgrade::None, Transport::WebSocket) => {
                self.finish(Reason::TransportClose);
                self.farewell = None;
            }
            (Upgrade::None, Transport::Polling) => {}
            _ => self.upgrade = Upgrade::None,
        }
    }

    /// Queues frames that are packets already, such as those of `Encoded::frames`. What exceeds
    /// the bound ends the session, with everything that waits.
    pub fn send(&mut self, frames: impl Iterator<Item = Frame>) {
        if self.state != State::Open {
            return;
        }
        for frame in frames {
            self.outbox.push(frame);
        }
        if self.outbox.bytes() > self.settings.queue_bytes {
            return self.finish(Reason::QueueOverflow);
        }
        self.flush();
    }

    /// Ends the session behind what waits: a WebSocket at once, polling with its next GET.
    pub fn close(&mut self, now: Duration) {
        if self.state != State::Open {
            return;
        }
        if self.transport == Transport::WebSocket {
            return self.finish_behind(Reason::ForcedServerClose);
        }
        self.outbox.push(Packet::Close.encode());
        self.state = State::Closing;
        self.close_by = Some(now + self.settings.close_timeout);
        self.flush();
    }

    /// Ends the session because its client is too slow for the owner: what waits is dropped, and
    /// the WebSocket closed with 1013.
    pub fn overflow(&mut self) {
        self.finish(Reason::QueueOverflow);
    }

    /// The time has come that [`Session::next_deadline`] named. Harmless at any other time.
    pub fn tick(&mut self, now: Duration) {
        if self.state == State::Closed {
            self.part_by = self.part_by.filter(|by| now < *by);
            return;
        }
        if self.close_by.is_some_and(|by| by <= now) {
            return self.finish(Reason::ForcedServerClose);
        }
        if self.release_at.is_some_and(|at| at <= now) {
            self.reply(Packet::Noop.encode());
        }
        match self.upgrade {
            Upgrade::Waiting(until) | Upgrade::Probed(until) if until <= now => self.fail_upgrade(),
            _ => {}
        }
        match self.heartbeat {
            Heartbeat::PingAt(at) if at <= now => self.ping(at, now),
            Heartbeat::PongBy(by) if by <= now => self.finish(Reason::PingTimeout),
            _ => {}
        }
    }

    /// When [`Session::tick`] wants to be called; none when it is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.state == State::Closed {
            return self.part_by;
        }
        let heartbeat = match self.heartbeat {
            Heartbeat::PingAt(at) | Heartbeat::PongBy(at) => at,
        };
        let upgrade = match self.upgrade {
            Upgrade::Waiting(until) | Upgrade::Probed(until) => Some(until),
            Upgrade::None => None,
        };
        [Some(heartbeat), upgrade, self.release_at, self.close_by].into_iter().flatten().min()
    }

    /// What to do next. Messages for a WebSocket are handed out one by one: who asks for the next
    /// one before the WebSocket takes it moves the queue out of its bound.
    pub fn next_output(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let is_websocket = self.transport == Transport::WebSocket;
        let frame = if is_websocket { self.outbox.pop() } else { None };
        frame.map(Output::Send).or_else(|| self.farewell.take().map(Output::CloseWebSocket))
    }

    /// What happened next.
    pub fn next_happening(&mut self) -> Option<Happening> {
        self.happenings.pop_front()
    }

    /// Ends the session; what waits is dropped.
    pub(super) fn finish(&mut self, reason: Reason) {
        self.outbox.clear();
        self.finish_behind(reason);
    }

    /// Ends the session; what waits for a WebSocket still goes out.
    fn finish_behind(&mut self, reason: Reason) {
        if self.state == State::Closed {
            return;
        }
        self.reply(Packet::Close.encode());
        if self.has_websocket() {
            self.farewell = Some(reason.close_code());
        }
        self.state = State::Closed;
        self.happenings.push_back(Happening::Closed(reason));
    }

    fn check_polling(&self) -> Result<(), Refusal> {
        if self.state == State::Closed {
            return Err(Refusal::UnknownSession);
        }
        match self.transport {
            Transport::Polling => Ok(()),
            Transport::WebSocket => Err(Refusal::BadRequest),
        }
    }

    fn has_websocket(&self) -> bool {
        self.transport == Transport::WebSocket || self.upgrade != Upgrade::None
    }

    fn refuse(&mut self, error: &EngineError) -> Refusal {
        self.finish(Reason::ParseError);
        match error {
            EngineError::TooLarge { .. } => Refusal::TooLarge,
            _ => Refusal::BadRequest,
        }
    }

    fn receive(&mut self, now: Duration, packet: Packet) {
        match packet {
            Packet::Message(frame) if self.state == State::Open => {
                self.happenings.push_back(Happening::Message(frame));
            }
            Packet::Message(_) | Packet::Noop => {}
            Packet::Pong(_) => {
                self.heartbeat = Heartbeat::PingAt(now + self.settings.ping_interval);
            }
            Packet::Close => self.finish(Reason::TransportClose),
            Packet::Open(_) | Packet::Ping(_) | Packet::Upgrade => self.finish(Reason::ParseError),
        }
    }

    /// The client's time begins when the ping goes out. When none can go out because no GET hangs,
    /// it begins when the ping was due, so that a late clock gives an absent client no more time;
    /// only after a standstill of our own does it get the whole.
    fn ping(&mut self, due: Duration, now: Duration) {
        let timeout = self.settings.ping_timeout;
        let goes_out = self.transport == Transport::WebSocket || self.is_polled;
        let from = if goes_out || now >= due + timeout / 2 { now } else { due };
        self.heartbeat = Heartbeat::PongBy(from + timeout);
        self.send(std::iter::once(Packet::Ping(Text::new()).encode()));
    }

    fn finish_upgrade(&mut self) {
        if self.is_polled {
            self.is_polled = false;
            self.outputs.push_back(Output::Reply(Err(Refusal::BadRequest)));
        }
        self.release_at = None;
        self.upgrade = Upgrade::None;
        self.transport = Transport::WebSocket;
        self.happenings.push_back(Happening::Upgraded);
        if self.state == State::Closing {
            self.finish_behind(Reason::ForcedServerClose);
        }
    }

    fn fail_upgrade(&mut self) {
        self.upgrade = Upgrade::None;
        self.farewell = Some(Reason::TransportError.close_code());
    }

    /// Answers the GET that hangs, if one does.
    fn reply(&mut self, frame: Frame) {
        if std::mem::take(&mut self.is_polled) {
            self.outputs.push_back(Output::Reply(Ok(join(&[frame]))));
            self.release_at = None;
        }
    }

    /// Answers the GET that hangs with everything that waits.
    fn flush(&mut self) {
        if self.transport == Transport::WebSocket || !self.is_polled || self.outbox.is_empty() {
            return;
        }
        let body = join(&self.outbox.take_body(usize::MAX));
        self.is_polled = false;
        self.release_at = None;
        self.outputs.push_back(Output::Reply(Ok(body)));
        if self.state == State::Closing {
            self.finish(Reason::ForcedServerClose);
        }
    }
}
