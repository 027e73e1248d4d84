//! Every event of Socket.IO and every message of the plain protocol: its name, who says it, what it
//! carries, what it is answered with.
//! In: nothing. Out: tables. An event that is not in the table of those that are asked is refused
//! (`sio`), one that is not in the table of those that are told is never said (`letter`), and the
//! document at `/docs/asyncapi.json` is made of both: none of the three can be without the others.
//! Leaves to others: what the events do.

use ebbtide_socketio::packet::MAIN;

/// The namespace of what concerns one user alone.
pub(crate) const NOTIFICATIONS: &str = "/notifications";

/// What a field holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Holds {
    Text,
    Number,
    Flag,
    /// Any JSON, handed on as it came.
    Any,
    /// `{"name": TEXT}`, with the number of the account in `id` when it is one.
    Person,
    /// A list of people.
    People,
    /// A list of events: `{"event", "seq", "data"}`.
    Events,
    /// A list of notifications.
    Notifications,
    /// Bytes beside the JSON.
    Bytes,
}

/// A field: its name, what it holds, whether it is always there, and what it means.
pub(crate) type Field = (&'static str, Holds, bool, &'static str);

/// An event or a message.
#[derive(Debug)]
pub(crate) struct Word {
    pub(crate) name: &'static str,
    /// The namespace of an event; of a plain message, none.
    pub(crate) namespace: Option<&'static str>,
    pub(crate) about: &'static str,
    pub(crate) carries: &'static [Field],
    /// What it is answered with when an answer is asked for.
    pub(crate) answer: &'static [Field],
}

const fn event(name: &'static str, about: &'static str, carries: &'static [Field]) -> Word {
    Word { name, namespace: Some(MAIN), about, carries, answer: &[] }
}

const fn personal(name: &'static str, about: &'static str, carries: &'static [Field]) -> Word {
    Word { name, namespace: Some(NOTIFICATIONS), about, carries, answer: &[] }
}

const fn plain(name: &'static str, about: &'static str, carries: &'static [Field]) -> Word {
    Word { name, namespace: None, about, carries, answer: &[] }
}

impl Word {
    const fn answered(mut self, answer: &'static [Field]) -> Self {
        self.answer = answer;
        self
    }
}

use Holds::{Any, Bytes, Events, Flag, Notifications, Number, People, Person, Text};

const ROOM: Field = ("room", Text, true, "What the room goes by.");
const OWN_ROOM: Field = ("room", Text, false, "The room; the first you are in unless said.");
const CONTENT: Field = ("content", Text, true, "What is said.");
const KEY: Field = ("key", Text, false, "The sender's own, unique for it: kept once under it.");
const STAMP: Field = ("stamp", Any, false, "The sender's own, handed on as it came, not kept.");
const SEQ: Field = ("seq", Number, true, "Its number among all that happens in the room.");
const TIME: Field = ("timestamp", Number, true, "Unix time in milliseconds.");
const UNREAD: Field = ("unread", Number, true, "Notifications that are unread.");
const BY: Field = ("by", Text, true, "The name of who did it.");
const USER: Field = ("user", Person, true, "Whom it is about.");
const PUBLIC: Field = ("public", Flag, true, "Everyone may see and enter the room.");
const TITLE: Field = ("title", Text, true, "The room's title.");
const ROLE: Field = ("role", Text, false, "`member` or `moderator`; nothing for none.");
const READ_ID: Field = ("id", Number, false, "The notification; without it, all.");

/// What clients ask, as events of Socket.IO.
pub(crate) static ASKED: [Word; 9] = [
    event("room:join", "Enters a room.", &[ROOM]).answered(&[
        ROOM,
        ("seq", Number, true, "Number of the newest of what is not told any more."),
        ("members", Number, true, "Clients in the room."),
    ]),
    event("room:leave", "Leaves a room.", &[ROOM]).answered(&[ROOM]),
    event(
        "sync",
        "Gives what was missed in a room, which it enters; then all follows live.",
        &[
            ("room", Text, false, "The room."),
            ("direct", Flag, false, "Private messages are meant instead of a room."),
            ("after", Number, true, "Number of the last that is known."),
        ],
    )
    .answered(&[
        ("events", Events, true, "In order."),
        ("seq", Number, true, "Number of the newest."),
        ("more", Flag, true, "There is more: ask again after the last of these."),
        ("too_old", Flag, true, "What came right after the number is not kept any more."),
    ]),
    event(
        "message:send",
        "Says something in a room that one is in.",
        &[
            OWN_ROOM,
            CONTENT,
            KEY,
            STAMP,
            ("attachment", Bytes, false, "Handed on to who is here, not kept."),
        ],
    )
    .answered(&[("id", Text, true, "Names it for ever."), SEQ]),
    event(
        "message:direct",
        "Says something to one user: kept between accounts alone.",
        &[
            ("to", Text, true, "The name of whom it is for."),
            CONTENT,
            KEY,
            STAMP,
            ("room", Text, false, "Where a guest is to be found."),
        ],
    )
    .answered(&[("id", Number, false, "Names it for ever, between accounts."), TIME]),
    event(
        "typing",
        "Somebody writes; ends by itself after some seconds.",
        &[OWN_ROOM, ("typing", Flag, false, "False: not any more.")],
    ),
    event("presence:list", "Who is in a room.", &[OWN_ROOM]).answered(&[
        ROOM,
        ("users", People, true, "Those with a name."),
        ("guests", Number, true, "How many have none."),
    ]),
    event(
        "auth:renew",
        "Shows a new access token before the old one ends.",
        &[("token", Text, true, "Of the same account.")],
    )
    .answered(&[("expires_ms", Number, true, "Unix time at which it ends.")]),
    personal(
        "notification:read",
        "One notification was read, or all.",
        &[READ_ID, ("all", Flag, false, "All.")],
    )
    .answered(&[READ_ID, UNREAD]),
];

/// What clients are told, as events of Socket.IO. Events of the main namespace have a second
/// argument, a text: what to come back with to be given what was missed.
pub(crate) static TOLD: [Word; 18] = [
    event(
        "message:new",
        "Something was said in a room.",
        &[
            ("id", Text, true, "Names it for ever."),
            ROOM,
            SEQ,
            CONTENT,
            ("username", Text, false, "The name of who said it."),
            ("user", Person, false, "The account, unless it was a guest."),
            KEY,
            TIME,
            STAMP,
            ("attachment", Bytes, false, "What was sent along."),
        ],
    ),
    event(
        "message:direct",
        "Something was said to you alone, or by you to somebody.",
        &[
            ("id", Number, false, "Names it for ever, between accounts."),
            ("from", Number, false, "The sender's account."),
            ("username", Text, false, "The sender's name."),
            ("user", Person, false, "The sender, when it is an account."),
            ("to", Text, true, "The name of whom it is for."),
            ("to_id", Number, false, "Its account."),
            ("room", Text, false, "Where guests found each other."),
            CONTENT,
            KEY,
            TIME,
            STAMP,
        ],
    ),
    event(
        "typing",
        "Somebody writes, or no longer does.",
        &[ROOM, USER, ("typing", Flag, true, "")],
    ),
    event("presence:online", "The first window of somebody has come.", &[ROOM, USER]),
    event("presence:offline", "The last window of somebody has gone.", &[ROOM, USER]),
    event("room:created", "A room was made.", &[ROOM, TITLE, PUBLIC, BY]),
    event("room:updated", "A room was changed.", &[ROOM, TITLE, PUBLIC, BY, SEQ, TIME]),
    event("room:deleted", "A room is gone, or closed to you: you are out of it.", &[ROOM]),
    event("member:joined", "Somebody has become a member.", &[ROOM, USER, ROLE, BY, SEQ, TIME]),
    event(
        "member:changed",
        "Somebody was let in, or given a role.",
        &[ROOM, USER, ROLE, BY, SEQ, TIME],
    ),
    event("member:left", "Somebody is no member any more.", &[ROOM, USER, BY, SEQ, TIME]),
    event("member:removed", "Somebody was put out.", &[ROOM, USER, BY, SEQ, TIME]),
    event(
        "user:updated",
        "Somebody in the room has another name.",
        &[ROOM, USER, ("before", Text, true, "The name so far.")],
    ),
    event(
        "server:drain",
        "The server stops: come back, to another one if there is one.",
        &[("reconnect", Flag, true, "Always so.")],
    ),
    event(
        "error",
        "Something that was asked without wanting an answer could not be done.",
        &[
            ("code", Text, true, "A word a program can act on."),
            ("message", Text, true, "What is wrong, and what to do."),
            ("event", Text, false, "What was asked."),
        ],
    ),
    personal(
        "notification:new",
        "Something you should know of.",
        &[
            ("id", Number, true, "Names it for ever."),
            ("kind", Text, true, "`mention`, `direct`, `room` or `system`."),
            ("priority", Text, true, "`low`, `normal`, `high` or `urgent`."),
            ("body", Any, true, "`content`, and by kind `from`, `room`, `seq`, `message`."),
            TIME,
            ("read", Flag, true, "You have read it."),
            UNREAD,
        ],
    ),
    personal(
        "notification:batch",
        "Those of low and normal priority of the last seconds.",
        &[("notifications", Notifications, true, "Oldest first."), UNREAD],
    ),
    personal(
        "notification:read",
        "Another window of yours has read one, or all.",
        &[READ_ID, ("all", Flag, true, "All were read."), UNREAD],
    ),
];

/// What plain clients send, by `type`.
pub(crate) static PLAIN_ASKED: [Word; 4] = [
    plain(
        "user",
        "Says something, in a room or to one user.",
        &[
            CONTENT,
            ("username", Text, false, "A guest's name."),
            ("room", Text, false, "Entered if need be; the first you are in unless said."),
            ("to", Text, false, "The only user it is for."),
            KEY,
            ("id", Any, false, "Your own, comes back as it went."),
            ("timestamp", Any, false, "Your own, comes back as it went."),
            STAMP,
        ],
    ),
    plain("join", "Enters a room.", &[ROOM]),
    plain("leave", "Leaves a room.", &[ROOM]),
    plain("read", "One notification was read, or all.", &[READ_ID]),
];

/// What plain clients are told, by `type`.
pub(crate) static PLAIN_TOLD: [Word; 3] = [
    plain(
        "user",
        "Something was said.",
        &[
            CONTENT,
            ("username", Text, false, "The name of who said it."),
            ("room", Text, false, "Where, unless it was said to one account alone."),
            ("to", Text, false, "The only user it is for."),
            KEY,
            ("id", Any, false, "The sender's own."),
            ("seq", Number, false, "Its number in the room."),
            ("direct", Number, false, "Its number, between accounts."),
            ("timestamp", Any, true, "The sender's own, or Unix time in milliseconds."),
            STAMP,
        ],
    ),
    plain(
        "system",
        "The server says something; its fields are those of the event it names.",
        &[
            (
                "event",
                Text,
                true,
                "`welcome`, `joined`, `left`, `notification`, `room:updated`, ...",
            ),
            CONTENT,
            ("room", Text, false, "Where."),
            ("timestamp", Number, true, "Unix time in milliseconds."),
        ],
    ),
    plain(
        "error",
        "What you sent was not done; the connection stays.",
        &[("code", Text, true, "A word a program can act on."), CONTENT],
    ),
];

/// Whether clients may ask so in that namespace.
pub(crate) fn is_asked(namespace: &str, name: &str) -> bool {
    ASKED.iter().any(|word| word.namespace == Some(namespace) && word.name == name)
}

/// Whether clients are ever told so.
pub(crate) fn is_told(name: &str) -> bool {
    TOLD.iter().any(|word| word.name == name)
}
