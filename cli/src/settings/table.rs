//! The table of settings: each with its name, its kind and range, where it lies in the
//! configuration, and a sentence. Flags, variables, the file, `--print-config` and the page of
//! documentation follow from it.
//! Leaves to others: reading and writing values (`value`).

use super::{Told, limits};
use ebbtide_server::{Database, Network, Rate};
use std::path::PathBuf;
use std::time::Duration;

/// Where the value of a setting lies, and which values it may have.
pub(crate) enum Kind {
    Text(fn(&mut Told) -> &mut String),
    /// A list of words; the last says whether it may be empty.
    Words(fn(&mut Told) -> &mut Vec<String>, bool),
    Port(fn(&mut Told) -> &mut u16),
    Switch(fn(&mut Told) -> &mut bool),
    Secret(fn(&mut Told) -> &mut Option<String>),
    Database(fn(&mut Told) -> &mut Database),
    /// The address of a Redis; an empty one is none.
    Redis(fn(&mut Told) -> &mut Option<String>),
    Path(fn(&mut Told) -> &mut Option<PathBuf>),
    Networks(fn(&mut Told) -> &mut Vec<Network>),
    Rate(fn(&mut Told) -> &mut Rate),
    /// From so many to so many.
    Count(fn(&mut Told) -> &mut usize, usize, usize),
    /// From so many bytes to so many.
    Bytes(fn(&mut Told) -> &mut usize, usize, usize),
    /// Bytes on a disk, from so many to so many.
    Volume(fn(&mut Told) -> &mut u64, u64, u64),
    /// From so many milliseconds to so many seconds.
    Duration(fn(&mut Told) -> &mut Duration, u64, u64),
}

/// What belongs together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Group {
    Server,
    Access,
    Clients,
    Sizes,
    Times,
    Memory,
}

impl Group {
    /// As help and files head it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Server => "Server",
            Self::Access => "Access",
            Self::Clients => "How much one client may ask for",
            Self::Sizes => "Sizes",
            Self::Times => "Times",
            Self::Memory => "Kept in memory",
        }
    }
}

/// A setting.
pub(crate) struct Field {
    pub(crate) group: Group,
    /// In files, and in capitals behind `EBB_SERVER_`.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// A sentence without its end.
    pub(crate) help: &'static str,
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Field {
    /// Its place in the table.
    pub(crate) fn place(&self) -> usize {
        FIELDS.iter().position(|field| field.name == self.name).unwrap_or_default()
    }

    /// Whether it takes several values.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Words(..) | Kind::Networks(_))
    }

    /// The variable that sets it.
    pub(crate) fn variable(&self) -> String {
        format!("{}{}", super::PREFIX, self.name.to_uppercase())
    }

    /// The flag that sets it: of a list, one value at a time.
    pub(crate) fn flag(&self) -> String {
        let name = self.name.replace('_', "-");
        match name.strip_suffix("ies") {
            Some(stem) if self.is_list() => format!("{stem}y"),
            None if self.is_list() => name.trim_end_matches('s').to_owned(),
            _ => name,
        }
    }
}

macro_rules! fields {
    ($($group:ident { $($name:ident: $kind:expr, $help:literal;)* })*) => {
        [ $($(Field {
            group: Group::$group, name: stringify!($name), kind: $kind, help: $help,
        },)*)* ]
    };
}

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_S: u64 = 86_400;
/// More than any machine has open files.
const FILES: usize = 10_000_000;

/// All settings.
pub(crate) static FIELDS: [Field; 43] = fields! {
    Server {
        host: Kind::Text(|told| &mut told.config.host), "Address to listen on";
        port: Kind::Port(|told| &mut told.config.port), "Port to listen on; 0 takes a free one";
        database: Kind::Database(|told| &mut told.config.database),
            "Where all is kept: `memory`, a file of SQLite, or postgres://user:password@host/name";
        uploads: Kind::Path(|told| &mut told.config.uploads),
            "Folder of uploaded files; beside a database's file, or `ebbtide-uploads`, unless said";
        redis: Kind::Redis(|told| &mut told.config.redis),
            "Joins processes that share a database: the address of their Redis, redis://host:6379";
        rooms: Kind::Words(|told| &mut told.config.rooms, false),
            "A room that is always there; repeatable, the first is where clients begin";
    }
    Access {
        open: Kind::Switch(|told| &mut told.config.open),
            "Whether guests may read and write in public rooms, or accounts alone";
        secret: Kind::Secret(|told| &mut told.config.secret),
            "What access tokens are signed with; made up for this process when it is not set";
        admins: Kind::Words(|told| &mut told.config.admins, true),
            "An account that may do everything; repeatable";
        origins: Kind::Words(|told| &mut told.config.origins, true),
            "Origin of a page that may connect, such as https://chat.example, or `*`; repeatable";
        proxies: Kind::Networks(|told| &mut told.config.proxies),
            "Address or network of proxies whose x-forwarded-for is believed; repeatable";
        tls_certificate: Kind::Path(|told| &mut told.certificate),
            "Chain of certificates for TLS, PEM; read again on SIGHUP";
        tls_key: Kind::Path(|told| &mut told.key), "Private key of the certificate, PEM";
    }
    Clients {
        connections: Kind::Count(|told| &mut limits(told).connections, 1, FILES),
            "Connections at one time";
        connections_per_address:
            Kind::Count(|told| &mut limits(told).connections_per_address, 1, FILES),
            "Connections at one time of one address";
        connects: Kind::Rate(|told| &mut limits(told).connects), "Connections begun by an address";
        requests: Kind::Rate(|told| &mut limits(told).requests),
            "Requests of an address, and of an account";
        logins: Kind::Rate(|told| &mut limits(told).logins),
            "Passwords tried by an address, and on an account";
        events: Kind::Rate(|told| &mut limits(told).events),
            "Events over sockets, of an address and of an account";
        buckets: Kind::Count(|told| &mut limits(told).buckets, 32, FILES),
            "Addresses and accounts whose rates are remembered, for each rate";
        loopback_is_exempt: Kind::Switch(|told| &mut limits(told).loopback_is_exempt),
            "Whether clients of this machine have no limits by address and account";
        rooms_per_client: Kind::Count(|told| &mut limits(told).rooms_per_client, 1, 4_096),
            "Rooms one client may be in";
        rooms_at_most: Kind::Count(|told| &mut limits(told).rooms, 1, 1_000_000),
            "Rooms at one time";
    }
    Sizes {
        message_bytes: Kind::Bytes(|told| &mut limits(told).message_bytes, 64, 16 * MIB),
            "Bytes of one message over a socket";
        body_bytes: Kind::Bytes(|told| &mut limits(told).body_bytes, 64, 256 * MIB),
            "Bytes of the body of a request";
        upload_bytes: Kind::Volume(|told| &mut limits(told).upload_bytes, 64, GIB),
            "Bytes of one uploaded file";
        upload_quota: Kind::Volume(|told| &mut limits(told).upload_quota, 64, 1_024 * GIB),
            "Bytes of all files that one account has uploaded";
        queue_bytes: Kind::Bytes(|told| &mut limits(told).queue_bytes, 16 * KIB, 1_024 * MIB),
            "Bytes that may wait for a client; who is slower is closed with code 1013";
        log_entries: Kind::Count(|told| &mut limits(told).log_entries, 1, 1_000_000),
            "Entries kept by /api/v1/log";
    }
    Times {
        ping_every: Kind::Duration(|told| &mut limits(told).ping_every, 100, DAY_S),
            "Time between two pings";
        silence: Kind::Duration(|told| &mut limits(told).silence, 200, DAY_S),
            "Silence after which a client counts as gone";
        notices: Kind::Duration(|told| &mut limits(told).notices, 10, 3_600),
            "How long notifications of low and normal priority wait to be told together";
        typing: Kind::Duration(|told| &mut limits(told).typing, 100, 3_600),
            "How long somebody counts as typing who does not say so again";
        hello: Kind::Duration(|told| &mut limits(told).hello, 100, 3_600),
            "Time a session of Socket.IO has to enter a namespace";
        header_timeout: Kind::Duration(|told| &mut limits(told).header_timeout, 100, 3_600),
            "Time a client has to send the head of a request";
        body_timeout: Kind::Duration(|told| &mut limits(told).body_timeout, 100, 3_600),
            "Time a client has to send the body of a request";
        upload_timeout: Kind::Duration(|told| &mut limits(told).upload_timeout, 100, DAY_S),
            "Time a client has to send a file";
        retry: Kind::Duration(|told| &mut limits(told).retry, 10, 3_600),
            "Wait before a background job that failed is tried again; it grows with each try";
        farewell: Kind::Duration(|told| &mut limits(told).farewell, 0, 600),
            "Time in which a server that is to stop says so on /readyz and still takes connections";
        drain: Kind::Duration(|told| &mut limits(told).drain, 0, 3_600),
            "Time a server that stops waits for what is in flight";
    }
    Memory {
        history: Kind::Count(|told| &mut limits(told).history, 1, 10_000_000),
            "Messages of each room";
        accounts: Kind::Count(|told| &mut limits(told).accounts, 1, 10_000_000), "Accounts";
        direct: Kind::Count(|told| &mut limits(told).direct, 1, 10_000_000),
            "Messages between two users, of all together";
    }
};
