//! What stands between a client and a server in tests: a forward proxy, a unix socket, servers
//! that close what they kept.
//!
//! In: how it behaves. Out: its address, and what it saw.

#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader,
    copy_bidirectional,
};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// Lines of heads that a relay got, and the peers that connected.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    lines: Arc<Mutex<Vec<String>>>,
    peers: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicU64>,
}

impl Seen {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn peers(&self) -> Vec<String> {
        self.peers.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// Runs a server on a thread of its own, which ends with the process.
fn background<F: Future<Output = ()>>(serve: impl FnOnce() -> F + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(serve());
    });
}

/// A listener on a free port of an address, and what each connection is served by.
fn listen<F: Future<Output = ()> + 'static>(
    address: &str,
    serve: impl Fn(TcpStream, Seen) -> F + Send + 'static,
) -> (u16, Seen) {
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let out = seen.clone();
    background(move || async move {
        let listener = TcpListener::from_std(listener).unwrap();
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                loop {
                    let (stream, peer) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    seen.connections.fetch_add(1, Ordering::Relaxed);
                    seen.peers.lock().unwrap().push(peer.ip().to_string());
                    tokio::task::spawn_local(serve(stream, seen.clone()));
                }
            })
            .await;
    });
    (port, out)
}

/// The lines of a head, without its end; none at the end of the stream.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<Vec<String>> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" if !lines.is_empty() => return Some(lines),
            text => lines.push(text.to_owned()),
        }
    }
}

/// A forward proxy. With a login it wants `Proxy-Authorization` to be just that.
pub(crate) fn proxy(login: Option<&'static str>) -> (u16, Seen) {
    listen("127.0.0.1", move |mut stream, seen| async move {
        let Some(lines) = head(&mut stream).await else { return };
        seen.lines.lock().unwrap().extend(lines.iter().cloned());
        let wanted = login.map(|login| format!("Proxy-Authorization: Basic {login}"));
        if wanted.is_some_and(|wanted| !lines.contains(&wanted)) {
            let refusal =
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            return;
        }
        let words: Vec<&str> = lines[0].split(' ').collect();
        if words[0] == "CONNECT" {
            let Ok(mut inner) = TcpStream::connect(words[1]).await else {
                stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await.unwrap();
                return;
            };
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut inner).await;
            return;
        }
        // One request for a whole URL; the path alone goes on.
        let rest = words[1].strip_prefix("http://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap());
        let mut inner = TcpStream::connect(authority).await.unwrap();
        let mut request = format!("{} {path} HTTP/1.1\r\nConnection: close\r\n", words[0]);
        for line in lines[1..].iter().filter(|line| !line.starts_with("Proxy-")) {
            request += &format!("{line}\r\n");
        }
        inner.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        let _ = copy_bidirectional(&mut stream, &mut inner).await;
    })
}

/// A relay to the server at `behind`, which is `host:port`, on an address.
pub(crate) fn relay(address: &str, behind: &str) -> (u16, Seen) {
    let behind = behind.to_owned();
    listen(address, move |mut stream, _| {
        let behind = behind.clone();
        async move {
            let mut inner = TcpStream::connect(behind).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut inner).await;
        }
    })
}

/// A unix socket before the server at `behind`.
pub(crate) fn unix(path: &Path, behind: &str) {
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    listener.set_nonblocking(true).unwrap();
    let behind = behind.to_owned();
    background(move || async move {
        let listener = UnixListener::from_std(listener).unwrap();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let behind = behind.clone();
            tokio::spawn(async move {
                let mut inner = TcpStream::connect(behind).await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut inner).await;
            });
        }
    });
}

/// How a server ends a connection that it said it would keep.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Farewell {
    /// At once after a reply, without a word: the close is known before the next request.
    Early,
    /// When the second request has come, unread: the close crosses it.
    Crossing,
    /// When the second request has been read.
    Late,
    /// With half of the second reply.
    Midway,
}

/// A server that keeps each connection for one exchange, and says otherwise.
pub(crate) fn fickle(farewell: Farewell) -> (u16, Seen) {
    listen("127.0.0.1", move |mut stream, seen| async move {
        if answer(&mut stream, &seen, "2").await.is_none() {
            return;
        }
        match farewell {
            Farewell::Early => {}
            // Closing with bytes unread resets the connection.
            Farewell::Crossing => {
                let _ = stream.peek(&mut [0]).await;
            }
            Farewell::Late => {
                head(&mut stream).await;
            }
            Farewell::Midway => {
                answer(&mut stream, &seen, "3").await;
            }
        }
    })
}

/// Answers one request with two bytes, and says that they are `length`.
async fn answer<S>(stream: &mut S, seen: &Seen, length: &str) -> Option<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let lines = head(stream).await?;
    let body: usize = lines
        .iter()
        .find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())
        .unwrap_or(0);
    stream.read_exact(&mut vec![0; body]).await.ok()?;
    seen.lines.lock().unwrap().push(lines[0].clone());
    let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nok");
    stream.write_all(reply.as_bytes()).await.ok()
}
