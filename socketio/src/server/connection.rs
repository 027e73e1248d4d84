//! Socket.IO as its server sees one client: namespaces on a session, events, answers.
//!
//! Comes in: what happens in the session, what the owner wants, the time. Goes out: [`Event`]s in
//! the order in which the client sent. The host feeds the [`Session`] inside with what comes from
//! the network; after every input it asks for events until there are none, and then for the
//! session's outputs.

use super::event::{Event, Grant, MemberId, Recovery, SendError};
use super::reason::Reason;
use super::session::{Happening, Session};
use crate::acks::{AckId, Acks};
use crate::packet::{Args, Content, Decoder, Encoded, Packet, check_credentials, check_event};
use crate::text::Text;
use std::collections::VecDeque;
use std::time::Duration;

/// A client with its namespaces.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    decoder: Decoder,
    members: Vec<Member>,
    next_member: u64,
    /// Namespaces that the owner ended: what the client sent before it knew is no fault of its.
    ended: VecDeque<Text>,
    /// Until when a namespace is to be connected.
    connect_by: Option<Duration>,
    events: VecDeque<Event>,
}

/// A namespace that the client is in, or wants to be.
#[derive(Debug)]
struct Member {
    id: MemberId,
    namespace: Text,
    is_accepted: bool,
    acks: Acks,
}

/// What recovery reads in the credentials.
#[derive(serde::Deserialize)]
struct Wanted {
    pid: Option<String>,
    offset: Option<String>,
}

impl Connection {
    /// A client whose session begins now.
    #[must_use]
    pub fn new(session: Session, now: Duration) -> Self {
        Self {
            decoder: Decoder::new(session.settings().limits),
            connect_by: Some(now + session.settings().connect_timeout),
            session,
            members: Vec::new(),
            next_member: 0,
            ended: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The session: for the host, which feeds it and carries out what it puts out.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What the owner is to be told next.
    pub fn next_event(&mut self, now: Duration) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            match self.session.next_happening()? {
                Happening::Upgraded => return Some(Event::Upgraded),
                Happening::Closed(reason) => self.closed(reason),
                Happening::Message(frame) => match self.decoder.take(frame) {
                    Ok(None) => {}
                    Ok(Some(packet)) => self.receive(now, packet),
                    Err(_) => self.session.finish(Reason::ParseError),
                },
            }
        }
    }

    /// Lets a client into the namespace that it asked for.
    ///
    /// # Errors
    /// When it is gone, or was answered already.
    pub fn accept(&mut self, member: MemberId, grant: &Grant) -> Result<(), SendError> {
        let found = self.members.iter_mut().find(|one| one.id == member && !one.is_accepted);
        let found = found.ok_or(SendError::NotConnected)?;
        found.is_accepted = true;
        let quote = |text: &Text| serde_json::Value::from(text.as_str()).to_string();
        let mut payload = format!("{{\"sid\":{}", quote(&grant.sid));
        if let Some(pid) = &grant.pid {
            payload.push_str(",\"pid\":");
            payload.push_str(&quote(pid));
        }
        payload.push('}');
        let (namespace, payload) = (found.namespace.clone(), Some(payload.into()));
        self.connect_by = None;
        self.push(&Packet { namespace, content: Content::Connect(payload) });
        Ok(())
    }

    /// Refuses a client with a JSON object: `{"message":"..."}`, and `data` if there is more.
    ///
    /// # Errors
    /// When it is gone, or was answered already, or the text is no JSON object.
    pub fn refuse(&mut self, member: MemberId, payload: &str) -> Result<(), SendError> {
        check_credentials(payload)?;
        let index = self.members.iter().position(|one| one.id == member && !one.is_accepted);
        let index = index.ok_or(SendError::NotConnected)?;
        let namespace = self.members.swap_remove(index).namespace;
        self.push(&Packet { namespace, content: Content::ConnectError(payload.into()) });
        Ok(())
    }

    /// Sends a packet that was encoded for this namespace, to this client or to many.
    ///
    /// # Errors
    /// When the client is not in the namespace. A client whose queue overflows is closed, which
    /// comes as an event.
    pub fn send(&mut self, member: MemberId, encoded: &Encoded) -> Result<(), SendError> {
        self.accepted(member)?;
        self.session.send(encoded.frames());
        Ok(())
    }

    /// Sends an event.
    ///
    /// # Errors
    /// When the client is not in the namespace or the name is reserved.
    pub fn emit(&mut self, member: MemberId, name: &str, args: &Args) -> Result<(), SendError> {
        check_event(name)?;
        let namespace = self.accepted(member)?.namespace.clone();
        self.session.send(Encoded::event(&namespace, name, args, None).frames());
        Ok(())
    }

    /// Sends an event whose answer is awaited, until `deadline` if there is one.
    ///
    /// # Errors
    /// As [`Connection::emit`], and when too many answers are awaited.
    pub fn emit_with_ack(
        &mut self,
        member: MemberId,
        (name, args): (&str, &Args),
        deadline: Option<Duration>,
    ) -> Result<AckId, SendError> {
        check_event(name)?;
        let pending: usize = self.members.iter().map(|one| one.acks.len()).sum();
        if pending >= self.session.settings().pending_acks {
            return Err(SendError::TooManyAcks(pending));
        }
        let found = self.accepted(member)?;
        let id = found.acks.open(deadline);
        let encoded = Encoded::event(&found.namespace, name, args, Some(id.0));
        self.session.send(encoded.frames());
        Ok(id)
    }

    /// Answers an event of the client.
    ///
    /// # Errors
    /// When the client is not in the namespace.
    pub fn answer(&mut self, member: MemberId, ack: AckId, args: &Args) -> Result<(), SendError> {
        let namespace = self.accepted(member)?.namespace.clone();
        self.session.send(Encoded::ack(&namespace, ack.0, args).frames());
        Ok(())
    }

    /// Puts a client out of a namespace. The session goes on.
    ///
    /// # Errors
    /// When it is not in it.
    pub fn disconnect(&mut self, member: MemberId) -> Result<(), SendError> {
        let namespace = self.accepted(member)?.namespace.clone();
        let content = Content::Disconnect;
        self.push(&Packet { namespace: namespace.clone(), content });
        if self.ended.len() == self.session.settings().namespaces {
            self.ended.pop_front();
        }
        self.ended.push_back(namespace);
        self.remove(member, Reason::ServerNamespaceDisconnect);
        Ok(())
    }

    /// Ends the session behind what waits; see [`Session::close`].
    pub fn close(&mut self, now: Duration) {
        self.session.close(now);
    }

    /// The time has come that [`Connection::next_deadline`] named. Harmless at any other time.
    pub fn tick(&mut self, now: Duration) {
        self.session.tick(now);
        if self.connect_by.is_some_and(|by| by <= now) {
            self.connect_by = None;
            self.session.close(now);
        }
        for one in &mut self.members {
            let late = one.acks.expire(now).into_iter();
            let member = one.id;
            self.events.extend(late.map(|ack| Event::AnswerLost { member, ack, is_late: true }));
        }
    }

    /// When [`Connection::tick`] wants to be called; none when it is over.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let acks = self.members.iter().filter_map(|one| one.acks.next_deadline());
        let session = self.session.next_deadline()?;
        acks.chain(self.connect_by).chain([session]).min()
    }

    /// Whether the client is in this namespace.
    #[must_use]
    pub fn is_connected(&self, member: MemberId) -> bool {
        self.members.iter().any(|one| one.id == member && one.is_accepted)
    }

    fn accepted(&mut self, member: MemberId) -> Result<&mut Member, SendError> {
        let found = self.members.iter_mut().find(|one| one.id == member && one.is_accepted);
        found.ok_or(SendError::NotConnected)
    }

    fn push(&mut self, packet: &Packet) {
        self.session.send(Encoded::packet(packet).frames());
    }

    fn receive(&mut self, now: Duration, packet: Packet) {
        let known = self.members.iter().find(|one| one.namespace == packet.namespace);
        let member = known.filter(|one| one.is_accepted).map(|one| one.id);
        match (packet.content, member) {
            (Content::Connect(auth), None) if known.is_none() => {
                self.ask(now, &packet.namespace, auth);
            }
            (Content::Disconnect, Some(member)) => {
                self.remove(member, Reason::ClientNamespaceDisconnect);
            }
            (Content::Event { name, args, ack }, Some(member)) => {
                let ack = ack.map(AckId);
                self.events.push_back(Event::Message { member, name, args, ack });
            }
            (Content::Ack { id, args }, Some(member)) => {
                let ack = AckId(id);
                let is_awaited = self.accepted(member).is_ok_and(|one| one.acks.close(ack));
                if is_awaited {
                    self.events.push_back(Event::Answer { member, ack, args });
                }
            }
            (_, None) if self.ended.contains(&packet.namespace) => {}
            // Before it is connected, twice, or what only a server says: npm's server closes, too.
            _ => self.session.close(now),
        }
    }

    fn ask(&mut self, now: Duration, namespace: &Text, auth: Option<Text>) {
        if self.members.len() >= self.session.settings().namespaces {
            return self.session.close(now);
        }
        let id = MemberId(self.next_member);
        self.next_member += 1;
        let namespace = namespace.detached();
        self.ended.retain(|ended| *ended != namespace);
        let acks = Acks::default();
        self.members.push(Member { id, namespace: namespace.clone(), is_accepted: false, acks });
        let wanted = auth.as_deref().and_then(|auth| serde_json::from_str::<Wanted>(auth).ok());
        let recovery = wanted.and_then(|wanted| {
            let offset = wanted.offset.map(Text::from);
            wanted.pid.map(|pid| Recovery { pid: pid.into(), offset })
        });
        self.events.push_back(Event::Request { member: id, namespace, auth, recovery });
    }

    fn remove(&mut self, member: MemberId, reason: Reason) {
        let Some(index) = self.members.iter().position(|one| one.id == member) else { return };
        let mut gone = self.members.remove(index);
        let lost = gone.acks.abandon().into_iter();
        self.events.extend(lost.map(|ack| Event::AnswerLost { member, ack, is_late: false }));
        self.events.push_back(Event::Disconnected { member, reason });
    }

    fn closed(&mut self, reason: Reason) {
        for member in self.members.iter().map(|one| one.id).collect::<Vec<_>>() {
            self.remove(member, reason);
        }
        self.connect_by = None;
        self.events.push_back(Event::Closed { reason });
    }
}
