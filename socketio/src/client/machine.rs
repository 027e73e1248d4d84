//! Socket.IO as its client sees it: namespaces on one session, events, answers, reconnection.
//!
//! Comes in: what the host has from the network, the user's wishes, the time since any fixed
//! moment. Goes out: [`Action`]s for the host, [`Event`]s for the user, each in its order. After
//! every input the host asks for both until there are none.

use super::engine::{Action, Engine, Happening};
use super::event::{EmitError, Event, NamespaceId};
use super::namespace::{Granted, Namespace, Phase};
use super::options::Options;
use super::reason::Reason;
use super::reconnection::Chance;
use crate::acks::AckId;
use crate::frame::Frame;
use crate::packet::{
    Args, Content, Decoder, Encoded, Packet, PacketError, check_credentials, check_event,
    check_namespace,
};
use crate::text::Text;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Namespaces of one client: each is a name that the user chose, and a program has a handful.
const NAMESPACES: usize = 64;

/// A Socket.IO client.
#[derive(Debug)]
pub struct Client {
    options: Arc<Options>,
    engine: Engine,
    decoder: Decoder,
    namespaces: Vec<Namespace>,
    chance: Chance,
    attempts: u32,
    retry_at: Option<Duration>,
    is_open: bool,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

impl Client {
    /// A client that has not begun.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let seed = options.seed;
        Self::seeded(Arc::new(options), seed)
    }

    /// One of many clients with the same options, and a seed of its own in place of theirs.
    #[must_use]
    pub fn seeded(options: Arc<Options>, seed: u64) -> Self {
        Self {
            engine: Engine::new(Arc::clone(&options)),
            decoder: Decoder::new(options.limits),
            namespaces: Vec::new(),
            chance: Chance(seed),
            attempts: 0,
            retry_at: None,
            is_open: false,
            actions: VecDeque::new(),
            events: VecDeque::new(),
            options,
        }
    }

    /// Wants a namespace, with an object as credentials (JSON text), now and after every
    /// reconnection. Opens the session if there is none. Asked again for one that was left or
    /// refused, it connects again; the credentials are replaced.
    ///
    /// # Errors
    /// When the name is none, the credentials are no object, or there are too many namespaces.
    pub fn connect(
        &mut self,
        now: Duration,
        name: &str,
        auth: Option<Text>,
    ) -> Result<NamespaceId, PacketError> {
        check_namespace(name)?;
        auth.as_deref().map_or(Ok(()), check_credentials)?;
        let known = self.namespaces.iter().position(|namespace| namespace.name == name);
        let index = known.unwrap_or(self.namespaces.len());
        if known.is_none() {
            if index == NAMESPACES {
                return Err(PacketError::Namespace(format!("{name} is one too many")));
            }
            self.namespaces.push(Namespace::new(name.into()));
        }
        let namespace = &mut self.namespaces[index];
        namespace.auth = auth;
        if namespace.phase == Phase::Idle {
            namespace.phase = Phase::Wanted;
        }
        if !self.is_open && self.retry_at.is_none() {
            self.open(now);
        }
        self.ask();
        self.digest(now);
        Ok(NamespaceId(u8::try_from(index).expect("there are fewer than 256")))
    }

    /// Sends an event, or keeps it until the namespace is connected.
    ///
    /// # Errors
    /// When a limit is exceeded or the namespace is neither connected nor about to be.
    pub fn emit(
        &mut self,
        now: Duration,
        namespace: NamespaceId,
        name: &str,
        args: &Args,
    ) -> Result<(), EmitError> {
        check_event(name)?;
        self.check(namespace, args)?;
        let encoded = Encoded::event(&self.of(namespace).name, name, args, None);
        self.send(now, namespace, encoded);
        Ok(())
    }

    /// Sends an event whose answer is awaited, until `deadline` if there is one. It comes as
    /// [`Event::Answer`], or [`Event::AnswerLost`] says that it does not.
    ///
    /// # Errors
    /// As [`Client::emit`], and when too many answers are awaited.
    pub fn emit_with_ack(
        &mut self,
        now: Duration,
        namespace: NamespaceId,
        (name, args): (&str, &Args),
        deadline: Option<Duration>,
    ) -> Result<AckId, EmitError> {
        let pending: usize = self.namespaces.iter().map(|one| one.acks.len()).sum();
        if pending >= self.options.pending_acks {
            return Err(EmitError::TooManyAcks(pending));
        }
        check_event(name)?;
        self.check(namespace, args)?;
        let target = self.of_mut(namespace);
        let id = target.acks.open(deadline);
        let encoded = Encoded::event(&target.name, name, args, Some(id.0));
        self.send(now, namespace, encoded);
        Ok(id)
    }

    /// Answers an event of the server. An answer to a connection that has ended is dropped.
    ///
    /// # Errors
    /// When a limit is exceeded.
    pub fn answer(
        &mut self,
        now: Duration,
        namespace: NamespaceId,
        ack: AckId,
        args: &Args,
    ) -> Result<(), EmitError> {
        if self.of(namespace).phase == Phase::Connected {
            self.check(namespace, args)?;
            let encoded = Encoded::ack(&self.of(namespace).name, ack.0, args);
            self.send(now, namespace, encoded);
        }
        Ok(())
    }

    /// Leaves a namespace. The session ends with the last one.
    pub fn disconnect(&mut self, now: Duration, namespace: NamespaceId) {
        let target = self.of_mut(namespace);
        if matches!(target.phase, Phase::Asked | Phase::Connected) {
            let goodbye = Packet { namespace: target.name.clone(), content: Content::Disconnect };
            self.push(&Encoded::packet(&goodbye));
        }
        self.end(namespace, Reason::IoClientDisconnect);
        self.close_when_idle(now);
        self.digest(now);
    }

    /// Leaves all namespaces and ends the session.
    pub fn close(&mut self, now: Duration) {
        for index in 0..self.namespaces.len() {
            self.disconnect(now, NamespaceId(u8::try_from(index).expect("fewer than 256")));
        }
        self.retry_at = None;
        self.engine.close(now);
        self.digest(now);
    }

    /// The reply to [`Action::Get`], whole.
    pub fn poll_reply(&mut self, now: Duration, status: u16, body: Bytes) {
        self.engine.poll_reply(now, status, body);
        self.digest(now);
    }

    /// The reply to [`Action::Post`]; its body does not matter.
    pub fn push_reply(&mut self, now: Duration, status: u16) {
        self.engine.push_reply(status);
        self.digest(now);
    }

    /// A GET or a POST got no reply.
    pub fn request_lost(&mut self, now: Duration) {
        self.engine.request_lost();
        self.digest(now);
    }

    /// The WebSocket of [`Action::OpenWebSocket`] is open.
    pub fn websocket_opened(&mut self, now: Duration) {
        self.engine.websocket_opened();
        self.digest(now);
    }

    /// A message of the WebSocket.
    pub fn websocket_message(&mut self, now: Duration, frame: Frame) {
        self.engine.websocket_message(now, frame);
        self.digest(now);
    }

    /// The WebSocket could not be opened, or is gone.
    pub fn websocket_lost(&mut self, now: Duration) {
        self.engine.websocket_lost();
        self.digest(now);
    }

    /// The time has come that [`Client::next_deadline`] named. Harmless at any other time.
    pub fn tick(&mut self, now: Duration) {
        for index in 0..self.namespaces.len() {
            let namespace = NamespaceId(u8::try_from(index).expect("fewer than 256"));
            for ack in self.namespaces[index].acks.expire(now) {
                self.events.push_back(Event::AnswerLost { namespace, ack, is_late: true });
            }
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.open(now);
        }
        self.engine.tick(now);
        self.digest(now);
    }

    /// When [`Client::tick`] wants to be called.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let acks = self.namespaces.iter().filter_map(|namespace| namespace.acks.next_deadline());
        acks.chain(self.retry_at).chain(self.engine.next_deadline()).min()
    }

    /// What the host is to do next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front().or_else(|| self.engine.next_action())
    }

    /// What the user is to be told next.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether a namespace is connected.
    #[must_use]
    pub fn is_connected(&self, namespace: NamespaceId) -> bool {
        self.of(namespace).phase == Phase::Connected
    }

    /// The name of a namespace.
    #[must_use]
    pub fn name(&self, namespace: NamespaceId) -> &Text {
        &self.of(namespace).name
    }

    /// Whether messages go over WebSocket.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        self.engine.is_websocket()
    }

    /// Bytes that wait to be sent.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        let waiting: usize = self.namespaces.iter().map(Namespace::waiting_bytes).sum();
        waiting + self.engine.queued_bytes()
    }

    fn of(&self, namespace: NamespaceId) -> &Namespace {
        &self.namespaces[usize::from(namespace.0)]
    }

    fn of_mut(&mut self, namespace: NamespaceId) -> &mut Namespace {
        &mut self.namespaces[usize::from(namespace.0)]
    }

    fn check(&self, namespace: NamespaceId, args: &Args) -> Result<(), EmitError> {
        let target = self.of(namespace);
        if !target.is_active() {
            return Err(EmitError::NotConnected(target.name.clone()));
        }
        let size = args.check(self.options.limits)?;
        let (waiting, limit) = (self.queued_bytes(), self.options.queue_bytes);
        if waiting + size > limit {
            return Err(EmitError::QueueFull { waiting, limit });
        }
        Ok(())
    }

    fn send(&mut self, now: Duration, namespace: NamespaceId, encoded: Encoded) {
        let target = self.of_mut(namespace);
        if target.phase == Phase::Connected {
            self.push(&encoded);
            self.digest(now);
        } else {
            target.keep(encoded);
        }
    }

    fn push(&mut self, encoded: &Encoded) {
        for frame in encoded.frames() {
            self.engine.send(frame);
        }
    }

    /// A new session in place of the old one, whose last actions are kept.
    fn open(&mut self, now: Duration) {
        while let Some(action) = self.engine.next_action() {
            self.actions.push_back(action);
        }
        self.engine = Engine::new(Arc::clone(&self.options));
        self.decoder = Decoder::new(self.options.limits);
        self.is_open = true;
        self.engine.open(now);
    }

    /// Asks for the namespaces that are wanted, once the session is open.
    fn ask(&mut self) {
        if self.engine.sid().is_none() {
            return;
        }
        for index in 0..self.namespaces.len() {
            let namespace = &mut self.namespaces[index];
            if namespace.phase == Phase::Wanted {
                namespace.phase = Phase::Asked;
                let request = namespace.request();
                self.push(&request);
            }
        }
    }

    /// Takes what the session has to tell.
    fn digest(&mut self, now: Duration) {
        while let Some(happening) = self.engine.next_happening() {
            match happening {
                Happening::Opened(handshake) => {
                    self.attempts = 0;
                    self.events.push_back(Event::Opened { sid: handshake.sid });
                    self.ask();
                }
                Happening::Upgraded => self.events.push_back(Event::Upgraded),
                Happening::UpgradeFailed => self.events.push_back(Event::UpgradeFailed),
                Happening::Message(frame) => match self.decoder.take(frame) {
                    Ok(None) => {}
                    Ok(Some(packet)) => self.receive(now, packet),
                    Err(_) => self.engine.finish(Reason::ParseError),
                },
                Happening::Closed(reason) => self.closed(now, reason),
            }
        }
    }

    fn receive(&mut self, now: Duration, packet: Packet) {
        let name = &packet.namespace;
        let found = self.namespaces.iter().position(|one| one.name == **name);
        // A namespace that nobody asked for is not ours to judge.
        let Some(index) = found else { return };
        let namespace = NamespaceId(u8::try_from(index).expect("fewer than 256"));
        let target = &mut self.namespaces[index];
        match (packet.content, target.phase) {
            (Content::Connect(payload), Phase::Asked) => self.granted(namespace, payload),
            (Content::ConnectError(payload), Phase::Asked) => {
                target.phase = Phase::Idle;
                target.take_waiting();
                target.take_early();
                let message = message_of(&payload);
                self.abandon_acks(namespace);
                self.events.push_back(Event::ConnectError { namespace, message, payload });
            }
            (Content::Disconnect, Phase::Connected) => {
                self.end(namespace, Reason::IoServerDisconnect);
                self.close_when_idle(now);
            }
            (Content::Event { name, args, ack }, Phase::Connected) => {
                target.note_offset(&args);
                let ack = ack.map(AckId);
                self.events.push_back(Event::Message { namespace, name, args, ack });
            }
            (Content::Event { name, args, ack }, Phase::Asked) => {
                let is_kept = target.keep_early((name, args, ack), self.options.body_bytes);
                self.require(is_kept);
            }
            (Content::Ack { id, args }, Phase::Connected) => {
                let ack = AckId(id);
                // One that nobody awaits any more was too late, which has been said.
                if target.acks.close(ack) {
                    self.events.push_back(Event::Answer { namespace, ack, args });
                }
            }
            // What was under way when the namespace was left.
            _ => {}
        }
    }

    /// Ends the session over a server that sends more than is held for it.
    fn require(&mut self, is_kept: bool) {
        if !is_kept {
            self.engine.finish(Reason::ParseError);
        }
    }

    fn granted(&mut self, namespace: NamespaceId, payload: Option<Text>) {
        let granted = payload.and_then(|text| serde_json::from_str::<Granted>(&text).ok());
        // Without a sid it is a server of Socket.IO 2, with which there is nothing to be had.
        let Some(granted) = granted else { return self.engine.finish(Reason::ParseError) };
        let target = self.of_mut(namespace);
        let is_recovered = target.grant(granted);
        let sid = target.sid.clone().unwrap_or_default();
        let waiting = target.take_waiting();
        let early = target.take_early();
        early.iter().for_each(|(_, args, _)| target.note_offset(args));
        self.events.push_back(Event::Connected { namespace, sid, is_recovered });
        self.events.extend(early.into_iter().map(|(name, args, ack)| Event::Message {
            namespace,
            name,
            args,
            ack: ack.map(AckId),
        }));
        for encoded in &waiting {
            self.push(encoded);
        }
    }

    /// A namespace ends for good: nothing brings it back but the user.
    fn end(&mut self, namespace: NamespaceId, reason: Reason) {
        let target = self.of_mut(namespace);
        let was_connected = target.phase == Phase::Connected;
        target.phase = Phase::Idle;
        target.sid = None;
        target.take_waiting();
        target.take_early();
        self.abandon_acks(namespace);
        if was_connected {
            self.events.push_back(Event::Disconnected { namespace, reason });
        }
    }

    fn abandon_acks(&mut self, namespace: NamespaceId) {
        for ack in self.of_mut(namespace).acks.abandon() {
            self.events.push_back(Event::AnswerLost { namespace, ack, is_late: false });
        }
    }

    fn close_when_idle(&mut self, now: Duration) {
        if !self.namespaces.iter().any(Namespace::is_active) {
            self.retry_at = None;
            self.engine.close(now);
        }
    }

    fn closed(&mut self, now: Duration, reason: Reason) {
        self.is_open = false;
        for index in 0..self.namespaces.len() {
            let namespace = NamespaceId(u8::try_from(index).expect("fewer than 256"));
            let target = self.of_mut(namespace);
            let was_connected = target.phase == Phase::Connected;
            target.take_early();
            if target.is_active() {
                target.phase = Phase::Wanted;
            }
            if was_connected {
                target.sid = None;
                self.abandon_acks(namespace);
                self.events.push_back(Event::Disconnected { namespace, reason });
            }
        }
        let is_wanted = self.namespaces.iter().any(Namespace::is_active);
        if is_wanted && reason == Reason::IoClientDisconnect {
            // Asked for while the session before was saying goodbye.
            self.events.push_back(Event::Closed { reason, retry_in: Some(Duration::ZERO) });
            return self.open(now);
        }
        let policy = self.options.reconnection.filter(|_| is_wanted);
        let chance = self.chance.next();
        let retry_in = policy.and_then(|policy| policy.next_delay(self.attempts, chance));
        self.attempts = self.attempts.saturating_add(1);
        self.retry_at = retry_in.map(|delay| now + delay);
        self.events.push_back(Event::Closed { reason, retry_in });
    }
}

/// The words of a refusal: `message` of an object, or the string.
fn message_of(payload: &Text) -> Text {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum Refusal {
        Object { message: String },
        Words(String),
    }
    match serde_json::from_str(payload) {
        Ok(Refusal::Object { message }) => message.into(),
        Ok(Refusal::Words(words)) => words.into(),
        Err(_) => payload.clone(),
    }
}
