//! A chat room on socketioxide, for `cargo xtask bench server`: `room:join` and `message:send` as
//! `ebb serve` takes them, `message:new` to everyone in the room.
//! In: nothing. Out: `listening on PORT` on stdout, then a server until it is killed.

use serde::{Deserialize, Serialize};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Packets queued for a client; with its 128 it loses messages at 32 in flight.
const QUEUE: usize = 1_024;

#[derive(Deserialize)]
struct Join {
    room: String,
}

#[derive(Deserialize)]
struct Send {
    room: String,
    content: String,
}

#[derive(Serialize)]
struct New {
    id: u64,
    room: String,
    seq: u64,
    content: String,
    timestamp: u64,
}

static SEQ: AtomicU64 = AtomicU64::new(0);

async fn connected(socket: SocketRef) {
    socket.on("room:join", async |socket: SocketRef, Data(join): Data<Join>, ack: AckSender| {
        socket.join(join.room);
        let _ = ack.send(&true);
    });
    socket.on("message:send", async |io: SocketIo, Data(Send { room, content }): Data<Send>| {
        let seq = SEQ.fetch_add(1, Relaxed) + 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let timestamp = u64::try_from(now.as_millis()).unwrap_or(0);
        let new = New { id: seq, room: room.clone(), seq, content, timestamp };
        let _ = io.to(room).emit("message:new", &new).await;
    });
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let (layer, io) = SocketIo::builder().max_buffer_size(QUEUE).build_layer();
    io.ns("/", connected);
    let app = axum::Router::new().layer(layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on {}", listener.local_addr()?.port());
    axum::serve(listener, app).await
}
