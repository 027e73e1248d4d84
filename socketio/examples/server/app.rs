//! What the example answers: what the published suites ask for, and a few events that let a test
//! reach the rest.
//!
//! Comes in: what happens in a session or a connection. Goes out: what is sent back. Bytes on
//! sockets are left to `carrier`.

use ebbtide_socketio::packet::Args;
use ebbtide_socketio::server::{Connection, Event, Grant, Happening, MemberId, Session};
use ebbtide_socketio::{Frame, Text, engine};
use std::time::Duration;

/// One client.
pub(crate) enum App {
    /// Engine.IO alone: every message goes back.
    Echo(Box<Session>),
    /// Socket.IO.
    Chat(Box<Connection>),
}

impl App {
    /// The session, for who carries it.
    pub(crate) fn session(&mut self) -> &mut Session {
        match self {
            Self::Echo(session) => session,
            Self::Chat(connection) => connection.session(),
        }
    }

    pub(crate) fn tick(&mut self, now: Duration) {
        match self {
            Self::Echo(session) => session.tick(now),
            Self::Chat(connection) => connection.tick(now),
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match self {
            Self::Echo(session) => session.next_deadline(),
            Self::Chat(connection) => connection.next_deadline(),
        }
    }

    /// Answers whatever has happened.
    pub(crate) fn answer(&mut self, now: Duration) {
        match self {
            Self::Echo(session) => {
                while let Some(happening) = session.next_happening() {
                    if let Happening::Message(frame) = happening {
                        session.send(std::iter::once(engine::Packet::Message(frame).encode()));
                    }
                }
            }
            Self::Chat(connection) => {
                while let Some(event) = connection.next_event(now) {
                    // A client that has gone meanwhile needs no answer.
                    let _ = answer(connection, now, event);
                }
            }
        }
    }
}

type Answered = Result<(), ebbtide_socketio::server::SendError>;

fn answer(connection: &mut Connection, now: Duration, event: Event) -> Answered {
    match event {
        Event::Request { member, namespace, auth, .. } => {
            greet(connection, member, &namespace, auth)
        }
        Event::Message { member, name, args, ack } => match (name.as_str(), ack) {
            ("message", _) => connection.emit(member, "message-back", &args),
            ("message-with-ack", Some(ack)) => connection.answer(member, ack, &args),
            // Asks the client in turn, and tells what it said.
            ("ask-me", _) => {
                let deadline = Some(now + Duration::from_secs(5));
                connection.emit_with_ack(member, ("question", &args), deadline).map(|_| ())
            }
            ("put-me-out", _) => connection.disconnect(member),
            ("close", _) => {
                connection.close(now);
                Ok(())
            }
            _ => Ok(()),
        },
        Event::Answer { member, args, .. } => connection.emit(member, "answered", &args),
        Event::AnswerLost { member, is_late: true, .. } => {
            connection.emit(member, "not-answered", &Args::none())
        }
        Event::AnswerLost { .. }
        | Event::Upgraded
        | Event::Disconnected { .. }
        | Event::Closed { .. } => Ok(()),
    }
}

/// `/` and `/custom` are open to all, `/guarded` to who knows the word.
fn greet(
    connection: &mut Connection,
    member: MemberId,
    namespace: &str,
    auth: Option<Text>,
) -> Answered {
    let knows_the_word = auth.as_deref().is_some_and(|auth| auth.contains("\"sesame\""));
    match namespace {
        "/" | "/custom" => {}
        "/guarded" if knows_the_word => {}
        "/guarded" => {
            let refusal = r#"{"message":"not authorized","data":{"code":401}}"#;
            return connection.refuse(member, refusal);
        }
        _ => return connection.refuse(member, r#"{"message":"Invalid namespace"}"#),
    }
    connection.accept(member, &Grant { sid: super::host::new_id(), pid: None })?;
    let auth = auth.unwrap_or_else(|| Text::fixed("{}"));
    connection.emit(member, "auth", &Args::trusted(auth))
}

/// A message as the machine takes it.
pub(crate) fn text_frame(bytes: hyper::body::Bytes) -> Option<Frame> {
    Text::from_utf8(bytes).ok().map(Frame::Text)
}
