//! What changes about rooms and accounts, told to those it concerns.
//! In: changes that the store has made. Out: an event with a number in the room's own list, in one
//! order with what is said there, told to everyone in the room; who may no longer be in a room is
//! out of it; notifications for who was let in, put out, or given a role.
//! Leaves to others: who may change what (`api`, `auth::access`), the change itself (`store`).

use crate::auth::Identity;
use crate::auth::access::{self, Action, Who};
use crate::clock::unix_ms;
use crate::hub::Hub;
use crate::letter::Letter;
use crate::mailbox;
use crate::message::Person;
use crate::notices::{Occasion, system};
use crate::store::{Author, Happening, Role, Room, RoomView, StoreError, UserId};
use crate::subscriber::Subscriber;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What happened to somebody in a room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    Joined,
    /// Let in by somebody, or given another role.
    Given(Role),
    Left,
    PutOut,
}

impl Turn {
    fn event(self) -> &'static str {
        match self {
            Self::Joined => "member:joined",
            Self::Given(_) => "member:changed",
            Self::Left => "member:left",
            Self::PutOut => "member:removed",
        }
    }

    /// What the user is told who did not do it.
    fn words(self) -> &'static str {
        match self {
            Self::Given(Role::Moderator) => "made you a moderator",
            Self::Given(Role::Member) | Self::Joined => "let you in",
            Self::PutOut | Self::Left => "put you out",
        }
    }
}

impl Hub {
    /// A room was made: its first event; told in the first room if everyone may see it, and to
    /// who made it.
    pub(crate) async fn room_made(self: &Arc<Self>, room: &Room, by: &Identity, first: &str) {
        let body = described(room, &by.name);
        self.note(room, "room:created", body.clone(), String::new()).await;
        let content = format!("{} has made the room `{}`.", by.name, room.name);
        let letter = letter("room:created", body, &content);
        if room.public {
            self.publish(first, &letter, None);
        }
        self.tell(&[by.user], &letter);
    }

    /// A room has another title, or is open to others than before.
    pub(crate) async fn room_changed(self: &Arc<Self>, room: &Room, by: &str) {
        if let Some(known) = self.state().rooms.room_mut(&room.name) {
            known.is_public = room.public;
        }
        let content = format!("The room is now called “{}”.", room.title);
        self.note(room, "room:updated", described(room, by), content).await;
        if !room.public {
            self.clear_out(room).await;
        }
    }

    /// A room is no more: whoever is in it is told, and is out of it.
    pub(crate) fn room_removed(&self, room: &Room, by: &str) {
        let content = format!("The room `{}` has been removed.", room.name);
        self.publish(&room.name, &letter("room:deleted", described(room, by), &content), None);
        for client in self.clients_in(&room.name) {
            self.leave(&room.name, &client);
        }
        // One that stays empty would be entered under the number of the room that is gone.
        self.state().rooms.remove(&room.name);
    }

    /// Somebody has become a member, or is none any more, or one of another kind.
    pub(crate) async fn member_changed(
        self: &Arc<Self>,
        room: &Room,
        (user, name): (UserId, &str),
        turn: Turn,
        by: &Identity,
    ) {
        let role = match turn {
            Turn::Given(role) => Some(role),
            Turn::Joined => Some(Role::Member),
            Turn::Left | Turn::PutOut => None,
        };
        let person = Person { id: user.0, name };
        let body = json!({
            "room": room.name, "user": person, "role": role.map(Role::word), "by": by.name,
        });
        let content = format!("{name}: {}", turn.event().trim_start_matches("member:"));
        self.note(room, turn.event(), body, content).await;
        if role.is_none() && (turn == Turn::PutOut || !room.public) {
            for client in self.mailboxes.of(user) {
                self.leave(&room.name, &client);
            }
        }
        if by.user != user {
            let author = Author::User { id: by.user, name: by.name.as_str().into() };
            self.notices.note(Occasion::room(user, &room.name, &author, turn.words()));
        }
    }

    /// An account has another name: its clients are called so in all their rooms, and those who
    /// share a room with one are told once.
    pub(crate) fn user_changed(&self, user: UserId, before: &str, name: &str) {
        let clients = self.mailboxes.of(user);
        let mut rooms: Vec<Arc<str>> = Vec::new();
        for client in &clients {
            client.call_identity(name);
            self.call(client, name);
            rooms.extend(client.with_rooms(|own| own.clone()));
        }
        rooms.sort_unstable();
        rooms.dedup();
        let content = format!("{before} is now called {name}.");
        for room in rooms {
            let body = json!({
                "room": &*room, "user": Person { id: user.0, name }, "before": before,
            });
            self.publish(&room, &letter("user:updated", body, &content), None);
        }
    }

    /// Notes what happened in a room, and tells everyone in it under the number it was given.
    async fn note(self: &Arc<Self>, room: &Room, kind: &'static str, body: Value, content: String) {
        let (hub, name) = (self.clone(), room.name.clone());
        let text = body.to_string();
        let happening = Happening { room: room.id, kind, body: &text };
        let (told, done) = oneshot::channel();
        let noted = self.store.note(happening, move |stored| {
            match stored {
                Ok(Some(stored)) => hub.noted(&name, kind, (body, content), stored.id.seq),
                Ok(None) => {}
                Err(error) => unnoted(&error, kind),
            }
            // Whoever asked may have gone.
            let _ = told.send(());
        });
        match noted {
            Ok(()) => drop(done.await),
            Err(error) => unnoted(&error, kind),
        }
    }

    /// Tells what was noted. Called in the order of the numbers, on the store's own thread.
    fn noted(&self, name: &str, kind: &'static str, (body, content): (Value, String), seq: i64) {
        let mut body = body;
        body["seq"] = seq.into();
        body["timestamp"] = unix_ms().into();
        let letter = letter(kind, body, &content);
        self.announce(name, u64::try_from(seq).unwrap_or(0), letter);
    }

    fn clients_in(&self, room: &str) -> Vec<Arc<Subscriber>> {
        self.with_rooms(|rooms| {
            let found = rooms.room(room).into_iter();
            found.flat_map(|room| room.members.values().cloned()).collect()
        })
    }

    /// Puts out who may not see a room any more, and tells them.
    async fn clear_out(&self, room: &Room) {
        for client in self.clients_in(&room.name) {
            let identity = client.identity();
            let role = match &identity {
                // Without an answer nobody stays who may have no right to.
                Some(identity) => self.store.role(room.id, identity.user).await.unwrap_or(None),
                None => None,
            };
            let who = Who { identity: identity.as_deref(), open: self.bounds.open };
            let view = RoomView { room: room.clone(), role };
            if access::may(who, Action::See, &view).is_err() {
                let body = json!({ "room": room.name });
                let content = format!("The room `{}` is closed to you.", room.name);
                let letter = letter("room:deleted", body, &content);
                mailbox::hand(&client, &letter, Some(&letter.frames_in("/")));
                self.leave(&room.name, &client);
            }
        }
    }
}

fn unnoted(error: &StoreError, kind: &str) {
    tracing::warn!(%error, kind, "what happened in a room could not be noted");
}

/// A room as its events show it.
fn described(room: &Room, by: &str) -> Value {
    json!({ "room": room.name, "title": room.title, "public": room.public, "by": by })
}

/// An event, which plain clients get as a message of the server's own.
fn letter(kind: &'static str, body: Value, content: &str) -> Letter {
    let text = body.to_string();
    let mut plain = body;
    plain["content"] = content.into();
    Letter::message(system(kind, plain), kind, text)
}
