//! The server's end against others: the cases of the published suites, spoken by hand, and npm's
//! own client; both against the example server, which runs in this process.
//!
//! Node and its packages come by `cargo xtask setup`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

#[path = "../examples/server/app.rs"]
mod app;
#[path = "../examples/server/carrier.rs"]
mod carrier;
#[path = "../examples/server/host.rs"]
mod host;

use ebbtide_socketio::server::Settings;
use host::{Host, Kind};
use std::time::Duration;

/// What the suites ask for, with more time: three beats of 300 ms in a second leave a busy machine
/// no room.
fn suite_settings() -> Settings {
    Settings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(10),
        ..Settings::default()
    }
}

/// The address of a server that runs until the process ends.
fn serve(kind: Kind, settings: Settings) -> String {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let host = Host::new(kind, settings);
        host::block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            host.serve(listener).await.unwrap();
        });
    });
    format!("http://{}", receiver.recv().unwrap())
}

#[test]
fn the_cases_of_the_published_suites_pass() {
    let engine = serve(Kind::Engine, suite_settings()) + "/engine.io/";
    let socket = serve(Kind::SocketIo, suite_settings()) + "/socket.io/";
    let said = support::run_script("protocol.cjs", "ws", &[&engine, &socket]);
    assert!(said.contains("Engine.IO: 25 of 25"), "{said}");
    assert!(said.contains("Socket.IO: 32 of 32"), "{said}");
}

#[test]
fn npms_client_is_served_over_every_transport() {
    let address = serve(Kind::SocketIo, Settings::default());
    let said = support::run_script("client.cjs", "socket.io-client", &[&address]);
    for transports in ["polling", "websocket", "polling then websocket"] {
        assert!(said.contains(&format!("\n{transports}: 12 of 12")), "{said}");
    }
}
