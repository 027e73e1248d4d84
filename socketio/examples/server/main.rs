//! A server of Engine.IO and Socket.IO: the crate's machines on tokio, hyper and tungstenite, with
//! the behaviour that the protocols' published suites ask for.
//!
//! Comes in: flags, see [`USAGE`]. Goes out: the address that is listened on, and replies. It is
//! made to be read and to be tested; what a server beyond that needs is left away.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod app;
mod carrier;
mod host;

use ebbtide_socketio::server::Settings;
use host::{Host, Kind};
use std::time::Duration;

const USAGE: &str = "\
usage: server [--engine] [--port N] [--ping-interval MS] [--ping-timeout MS]
              [--connect-timeout MS] [--max-payload BYTES]

--engine          Engine.IO alone below /engine.io/, every message sent back;
                  otherwise Socket.IO below /socket.io/
--port N          0 takes a free one (3000)

The suites want: --ping-interval 300 --ping-timeout 200 --connect-timeout 1000";

fn main() {
    let (kind, port, settings) = match read_flags(std::env::args().skip(1)) {
        Ok(flags) => flags,
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}");
            std::process::exit(2);
        }
    };
    let host = Host::new(kind, settings);
    let served = host::block_on(async move {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        println!("listening on {}", listener.local_addr()?);
        host.serve(listener).await
    });
    if let Err(error) = served {
        eprintln!("port {port}: {error}");
        std::process::exit(1);
    }
}

fn read_flags(mut words: impl Iterator<Item = String>) -> Result<(Kind, u16, Settings), String> {
    let (mut kind, mut port, mut settings) = (Kind::SocketIo, 3000, Settings::default());
    while let Some(word) = words.next() {
        if word == "--engine" {
            kind = Kind::Engine;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("`{word}` wants a value"))?;
        let number: u32 = value.parse().map_err(|_| format!("`{word} {value}`: not a number"))?;
        let time = Duration::from_millis(number.into());
        match word.as_str() {
            "--port" => {
                port = u16::try_from(number).map_err(|_| format!("`{number}` is no port"))?;
            }
            "--ping-interval" => settings.ping_interval = time,
            "--ping-timeout" => settings.ping_timeout = time,
            "--connect-timeout" => settings.connect_timeout = time,
            "--max-payload" => settings.max_payload = number as usize,
            _ => return Err(format!("`{word}` is unknown")),
        }
    }
    Ok((kind, port, settings))
}
