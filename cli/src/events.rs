//! The flags of `ebb load` that speak Socket.IO.
//!
//! In: words as typed, through clap. Out: a [`Talk`]. What is emitted is the body, which is read
//! with the rest of the order.

use clap::{Args, ValueEnum};
use ebbtide_loadgen::Talk;
use ebbtide_loadgen::scenario::socketio::Transports;

/// Whether Socket.IO is spoken, and how.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Events {
    /// Speak Socket.IO at the server's /socket.io/. As with socket.io-client the URL's path is the
    /// namespace and its query goes with each request. With -b '["event", ARGUMENT, ...]' events
    /// are emitted, at the rate -r or with --ack; without it connections are held
    #[arg(long, conflicts_with_all = ["method", "har", "http2", "pipelining", "no_keepalive"],
          help_heading = "Protocol")]
    socketio: bool,
    /// Wait for the acknowledgement of each event, for as long as --timeout says
    #[arg(long, requires = "socketio", help_heading = "Protocol")]
    ack: bool,
    /// What Socket.IO goes over: long polling and then an upgrade, or one of them alone
    #[arg(
        long,
        requires = "socketio",
        value_enum,
        default_value = "polling,websocket",
        value_name = "WAYS",
        help_heading = "Protocol"
    )]
    transports: Ways,
}

/// What a session of Socket.IO goes over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Ways {
    /// Long polling, then WebSocket where the server offers it.
    #[value(name = "polling,websocket")]
    Both,
    /// WebSocket at once.
    Websocket,
    /// Long polling to the end.
    Polling,
}

impl Events {
    /// What the flags amount to; none when Socket.IO is not spoken.
    pub(crate) fn talk(self) -> Option<Talk> {
        let transports = match self.transports {
            Ways::Both => Transports::PollingThenWebSocket,
            Ways::Websocket => Transports::WebSocket,
            Ways::Polling => Transports::Polling,
        };
        self.socketio.then_some(Talk { ack: self.ack, transports })
    }
}
