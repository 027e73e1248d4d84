//! What the server is told when it starts, and the limits it keeps.
//! In: values from the program's arguments. Out: [`Config`] and [`Limits`], with defaults that are
//! right for one machine. Leaves to others: reading flags, environment and files.

use crate::fault::Faults;
use crate::limits::{Measure, Network, Rate};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The least a secret may have: a shorter one is weaker than what it signs with (RFC 7518 section
/// 3.2).
pub const SECRET_BYTES: usize = 32;

/// Everything the server is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name or address to listen on; loopback unless said.
    pub host: String,
    /// Port to listen on; 0 takes a free one, see [`crate::Server::local_addr`].
    pub port: u16,
    /// The switches of the faults; shared with who turns them while the server runs.
    pub faults: Arc<Faults>,
    /// Guests may read and write in public rooms. Without it everyone needs an account.
    pub open: bool,
    /// What access tokens are signed with, [`SECRET_BYTES`] at least; several processes share one.
    /// Without it one is made up, and the tokens end with the process.
    pub secret: Option<String>,
    /// Accounts that may do everything, by name. Those that are not there yet do not become so.
    pub admins: Vec<String>,
    /// Rooms that stay when nobody is in them. The first is the one a client enters unasked.
    pub rooms: Vec<String>,
    /// Origins of pages that may connect, such as `https://chat.example`; `*` is all. Pages of this
    /// server, and of other ports of the same machine, need not be named.
    pub origins: Vec<String>,
    /// Where everything is kept.
    pub database: Database,
    /// Certificate and key; without them connections are in the clear.
    pub tls: Option<Tls>,
    /// Proxies whose `x-forwarded-for` is believed.
    pub proxies: Vec<Network>,
    /// The folder of uploaded files. Without it they lie beside the database's file, in
    /// `ebbtide-uploads` where the database is elsewhere, or as long as the process lives.
    pub uploads: Option<PathBuf>,
    /// The Redis that joins this process to others with the same database, such as
    /// `redis://127.0.0.1:6379`.
    pub redis: Option<String>,
    /// The bounds of everything.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 8080,
            faults: Arc::default(),
            open: true,
            secret: None,
            admins: Vec::new(),
            rooms: vec!["lobby".to_owned()],
            origins: Vec::new(),
            database: Database::default(),
            tls: None,
            proxies: Vec::new(),
            uploads: None,
            redis: None,
            limits: Limits::default(),
        }
    }
}

/// What the server shows that it is who it says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tls {
    /// The chain of certificates, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
}

/// Where everything is kept.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Database {
    /// In memory, as long as the process lives. Of each room the newest messages alone are kept,
    /// see [`Limits::history`].
    #[default]
    Memory,
    /// In a file of SQLite, made when it is not there.
    File(PathBuf),
    /// In a database of PostgreSQL, `postgres://user:password@host/name`.
    Postgres(String),
}

/// The bounds of everything a client can make the server keep or wait for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at one time; more are closed at once. A process has 20,000 open files on many
    /// machines; some are needed for other things.
    pub connections: usize,
    /// Connections at one time of one address, or of one /64 of IPv6: an office behind one
    /// address has so many people.
    pub connections_per_address: usize,
    /// Connections begun by an address.
    pub connects: Rate,
    /// Requests of an address, and of an account.
    pub requests: Rate,
    /// Attempts of an address to log in or register, and to log in to an account: each is a
    /// password that is hashed.
    pub logins: Rate,
    /// Events of an address, and of an account, over WebSockets.
    pub events: Rate,
    /// Addresses and accounts whose rates are remembered; some fifty bytes each.
    pub buckets: usize,
    /// Whether clients of this machine have no limits of their own.
    pub loopback_is_exempt: bool,
    /// Bytes of one WebSocket message that is taken; a longer one is answered with an error.
    pub message_bytes: usize,
    /// Bytes of one request body.
    pub body_bytes: usize,
    /// Bytes of one uploaded file.
    pub upload_bytes: u64,
    /// Bytes of all files that one account has uploaded, beyond which no more are taken.
    pub upload_quota: u64,
    /// Bytes that may wait for one client. Who is slower is closed with code 1013.
    pub queue_bytes: usize,
    /// Rooms one client may be in.
    pub rooms_per_client: usize,
    /// Rooms at one time.
    pub rooms: usize,
    /// Messages kept of each room, in memory.
    pub history: usize,
    /// Accounts, in memory.
    pub accounts: usize,
    /// Messages between two users that are kept, of all together, in memory.
    pub direct: usize,
    /// Request log entries kept.
    pub log_entries: usize,
    /// Time between two pings.
    pub ping_every: Duration,
    /// Silence after which a client counts as gone.
    pub silence: Duration,
    /// How long notifications of low and normal priority wait to be told together.
    pub notices: Duration,
    /// How long somebody counts as typing who does not say so again.
    pub typing: Duration,
    /// Time a session of Socket.IO has to enter a namespace.
    pub hello: Duration,
    /// Time a client has to send a request's headers.
    pub header_timeout: Duration,
    /// Time a client has to send a request's body.
    pub body_timeout: Duration,
    /// Time in which a server that is to stop says so on `/readyz` and still takes connections, so
    /// that a load balancer sees it.
    pub farewell: Duration,
    /// Time a client has to send a file.
    pub upload_timeout: Duration,
    /// Wait before a background job that failed is tried again; it grows with each try.
    pub retry: Duration,
    /// Time the server waits for what is in flight when it stops.
    pub drain: Duration,
}

impl Limits {
    /// How much one client may ask for.
    pub(crate) fn measure(&self) -> Measure {
        Measure {
            connections: self.connections,
            connections_per_address: self.connections_per_address,
            connects: self.connects,
            requests: self.requests,
            logins: self.logins,
            events: self.events,
            buckets: self.buckets,
            loopback_is_exempt: self.loopback_is_exempt,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 19_900,
            connections_per_address: 512,
            connects: Rate::new(100, 1_000),
            requests: Rate::new(50, 200),
            logins: Rate::new(1, 20),
            events: Rate::new(50, 200),
            buckets: 65_536,
            loopback_is_exempt: true,
            message_bytes: 64 << 10,
            body_bytes: 64 << 10,
            upload_bytes: 10 << 20,
            upload_quota: 256 << 20,
            queue_bytes: 1 << 20,
            rooms_per_client: 16,
            rooms: 4_096,
            history: 128,
            accounts: 10_000,
            direct: 10_000,
            log_entries: 256,
            ping_every: Duration::from_secs(25),
            silence: Duration::from_secs(60),
            notices: Duration::from_secs(2),
            typing: Duration::from_secs(5),
            hello: Duration::from_secs(45),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            farewell: Duration::ZERO,
            upload_timeout: Duration::from_secs(300),
            retry: Duration::from_secs(2),
            drain: Duration::from_secs(10),
        }
    }
}
