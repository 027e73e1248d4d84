//! How an exchange ended when it did not end well: one word per reason, the same in every report.
//! Pure.
//!
//! In: errors of the system and of protocols. Out: [`Failure`]s. Counting them is left to the
//! recorder.

use std::fmt;
use std::io;

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer closed the connection before its reply was complete.
    Closed,
    /// The time limit passed.
    TimedOut,
    /// No route, or the network is down.
    Unreachable,
    /// No local port is left.
    Ports,
    /// No file descriptor is left.
    Files,
    /// The reply is not HTTP, or a frame not WebSocket.
    Protocol,
    /// The reply is larger than a generator should hold.
    TooLarge,
    /// The WebSocket handshake was answered by this status instead of 101.
    Handshake(u16),
    /// The socket is not open: the peer closed it, or it never opened.
    NotOpen,
    /// The awaited message did not come in time.
    NotReceived,
    /// The Socket.IO client is not connected, and not about to be.
    NoClient,
    /// The Socket.IO server refused the namespace.
    ConnectRefused,
    /// The Socket.IO session could not change from polling to WebSocket.
    NotUpgraded,
    /// An event could not be sent: its limits, or those of what waits, are exceeded.
    NotEmitted,
    /// No acknowledgement came in time.
    NoAck,
    /// The acknowledgement is not the one that was expected.
    WrongAck,
    /// The HTTP status is 400 or above.
    Status(u16),
    /// A step of the scenario says so, for the reason at this place of the plan's.
    Asked(u16),
    /// The end of the load cut it short. Not counted as failed.
    Interrupted,
    /// TLS did not come about, or broke.
    Tls(TlsFault),
    /// The proxy answered the request for a tunnel by this status.
    Proxy(u16),
    /// The time limit of connections passed.
    NotConnected,
    /// Another error of the system, by its number.
    System(i32),
    /// The peer ended the HTTP/2 stream, by its code.
    StreamReset(u32),
    /// The peer ended the HTTP/2 connection, by its code.
    GoAway(u32),
    /// The peer does not keep to HTTP/2.
    Http2(&'static str),
    /// A reply came that nobody had asked for.
    Unasked,
}

/// Why TLS did not come about, or broke.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TlsFault {
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotValidYet,
    /// Nobody who is trusted vouches for the certificate.
    UnknownIssuer,
    /// The server shows an issuer's certificate as its own.
    IssuerAsServer,
    /// The certificate is for others.
    WrongName,
    /// The certificate was taken back.
    Revoked,
    /// The certificate is not one for servers.
    WrongPurpose,
    /// The certificate cannot be read, or its signature is wrong.
    BadCertificate,
    /// The server shows no certificate.
    NoCertificate,
    /// What came is no TLS.
    NotTls,
    /// Nothing that both sides can do.
    Incompatible,
    /// None of the application protocols that were offered.
    NoProtocol,
    /// The server gave up, by the number of its alert (RFC 8446, section 6).
    Alert(u8),
    /// The connection ended during the handshake.
    Ended,
    /// The connection ended without the word that it would.
    Truncated,
    /// The server did what it may not.
    Broken,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "certificate has expired",
            Self::NotValidYet => "certificate is not valid yet (are the clocks right?)",
            Self::UnknownIssuer => "unknown issuer (give its CA with --ca, or --insecure)",
            Self::IssuerAsServer => {
                "certificate of an issuer, unknown here (give it with --ca, or --insecure)"
            }
            Self::WrongName => "certificate is for another name (give it with --server-name)",
            Self::Revoked => "certificate is revoked",
            Self::WrongPurpose => "certificate is not one for servers",
            Self::BadCertificate => "certificate is not valid",
            Self::NoCertificate => "server shows no certificate",
            Self::NotTls => "server does not speak TLS (is it http:// or ws://?)",
            Self::Incompatible => "no version or cipher in common",
            Self::NoProtocol | Self::Alert(120) => "no application protocol in common",
            Self::Alert(42 | 43 | 45 | 46) => "server refused the client certificate",
            Self::Alert(48) => "server does not know the issuer of the client certificate",
            Self::Alert(116) => "server wants a client certificate (give --cert and --key)",
            Self::Alert(112) => "server does not know the name (give it with --server-name)",
            Self::Alert(40) => "server refused the handshake (does it want --cert and --key?)",
            Self::Alert(number) => return write!(f, "server gave up with alert {number}"),
            Self::Ended => "connection ended during the handshake",
            Self::Truncated => "connection ended without close_notify",
            Self::Broken => "server broke the protocol",
        })
    }
}

impl Failure {
    /// Whether the exchange was cut by the end of the load, and says nothing of the target.
    #[must_use]
    pub fn is_cut(self) -> bool {
        self == Self::Interrupted
    }

    /// The failure that an error of the system stands for.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::ConnectionReset | Kind::BrokenPipe | Kind::ConnectionAborted => Self::Reset,
            Kind::UnexpectedEof => Self::Closed,
            Kind::TimedOut => Self::TimedOut,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            Kind::AddrNotAvailable | Kind::AddrInUse => Self::Ports,
            _ => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => Self::Files,
                number => Self::System(number.unwrap_or(0)),
            },
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Reset => "connection reset",
            Self::Closed => "connection closed before the reply",
            Self::TimedOut => "timed out",
            Self::Unreachable => "host unreachable",
            Self::Ports => "no local port left",
            Self::Files => "no file descriptor left",
            Self::Protocol => "not a valid reply",
            Self::TooLarge => "reply too large",
            Self::Handshake(status) => return write!(f, "websocket refused with status {status}"),
            Self::NotOpen => "websocket not open",
            Self::NotReceived => "awaited message not received",
            Self::NoClient => "socket.io not connected",
            Self::ConnectRefused => "socket.io namespace refused",
            Self::NotUpgraded => "socket.io not upgraded to websocket",
            Self::NotEmitted => "event could not be sent",
            Self::NoAck => "acknowledgement not received",
            Self::WrongAck => "acknowledgement not as expected",
            Self::Status(status) => return write!(f, "status {status}"),
            // Whoever has the plan says which.
            Self::Asked(_) => "a step failed the iteration",
            Self::Interrupted => "interrupted",
            Self::NotConnected => "no connection in time",
            Self::Proxy(status) => return write!(f, "proxy refused with status {status}"),
            Self::Tls(fault) => return write!(f, "tls: {fault}"),
            Self::StreamReset(code) => {
                return write!(f, "http2: stream reset ({})", reason(*code));
            }
            Self::GoAway(code) => return write!(f, "http2: goaway ({})", reason(*code)),
            Self::Http2(what) => return write!(f, "http2: {what}"),
            Self::Unasked => "reply that nobody asked for",
            Self::System(number) => {
                return write!(f, "{}", io::Error::from_raw_os_error(*number));
            }
        })
    }
}

/// The name of an HTTP/2 error code (RFC 9113, section 7).
fn reason(code: u32) -> &'static str {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    NAMES.get(code as usize).copied().unwrap_or("unknown code")
}
