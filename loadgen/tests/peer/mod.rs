//! Peers for tests: a real HTTP/2 server, and one that does whatever a test wants.
//!
//! In: nothing, or what a connection is to suffer. Out: addresses, and what was seen.

#![allow(clippy::unwrap_used, dead_code)]

use bytes::Bytes;
use ebbtide_loadgen::http2::frame::{self, Head, kind};
use h2::Reason;
use h2::server::SendResponse;
use http::{Request, Response};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a server has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: u32,
    pub(crate) requests: u32,
    pub(crate) paths: Vec<String>,
    pub(crate) at_once: u32,
    pub(crate) most_at_once: u32,
    /// Streams that the client reset.
    pub(crate) cancelled: u32,
}

/// A real HTTP/2 server on a free port, in a thread of its own.
pub(crate) struct H2Server {
    pub(crate) base: String,
    seen: Arc<Mutex<Seen>>,
}

impl H2Server {
    pub(crate) fn start(streams_max: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    log.lock().unwrap().connections += 1;
                    tokio::spawn(serve(stream, streams_max, Arc::clone(&log)));
                }
            });
        });
        Self { base, seen }
    }

    /// What was seen since the last time.
    pub(crate) fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn serve(stream: tokio::net::TcpStream, streams_max: u32, seen: Arc<Mutex<Seen>>) {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(streams_max);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        {
            let mut seen = seen.lock().unwrap();
            seen.requests += 1;
            seen.at_once += 1;
            seen.most_at_once = seen.most_at_once.max(seen.at_once);
            let path = request.uri().path_and_query().map(ToString::to_string);
            seen.paths.push(format!("{} {}", request.method(), path.unwrap_or_default()));
        }
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            answer(request, respond, &seen).await;
            seen.lock().unwrap().at_once -= 1;
        });
    }
}

async fn answer(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: &Mutex<Seen>,
) {
    let (parts, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = incoming.data().await {
        incoming.flow_control().release_capacity(chunk.len()).unwrap();
        body.extend_from_slice(&chunk);
    }
    let (status, text) = match parts.uri.path() {
        "/echo" => (200, Bytes::from(body)),
        "/length" => (200, Bytes::from(body.len().to_string())),
        "/json" => (200, Bytes::from_static(br#"{"token":"t-1","list":[{"id":7}]}"#)),
        "/large" => (200, Bytes::from("x".repeat(3_000_000))),
        "/trailers" => (200, Bytes::from_static(b"with trailers")),
        "/missing" => (404, Bytes::from_static(b"no")),
        "/login" => (302, Bytes::new()),
        "/me" => {
            let cookies = parts.headers.get_all("cookie").iter();
            let known =
                cookies.filter_map(|line| line.to_str().ok()).any(|it| it.contains("sid=1"));
            if known { (200, Bytes::from_static(b"welcome")) } else { (401, Bytes::new()) }
        }
        "/reset" => return respond.send_reset(Reason::REFUSED_STREAM),
        "/hang" => {
            // The reset is the only thing that can come.
            let reset = std::future::poll_fn(|context| respond.poll_reset(context)).await;
            assert_eq!(reset.ok(), Some(Reason::CANCEL));
            seen.lock().unwrap().cancelled += 1;
            return;
        }
        _ => (200, Bytes::from_static(b"ok")),
    };
    let mut response = Response::builder().status(status).header("server", "test");
    if status == 302 {
        response = response.header("location", "/me").header("set-cookie", "sid=1; Path=/");
    }
    let response = response.body(()).unwrap();
    let head_only = parts.method == http::Method::HEAD;
    // A client that is gone needs no answer.
    let Ok(mut send) = respond.send_response(response, head_only) else { return };
    if head_only {
        return;
    }
    let trailers = parts.uri.path() == "/trailers";
    let _ = send.send_data(text, !trailers);
    if trailers {
        let mut fields = http::HeaderMap::new();
        fields.insert("x-sum", http::HeaderValue::from_static("7"));
        let _ = send.send_trailers(fields);
    }
}

/// A server on a free port that does to each connection what a test wants.
pub(crate) struct Peer {
    pub(crate) base: String,
    connections: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) fn start(act: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let act = Arc::new(act);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let act = Arc::clone(&act);
                count.fetch_add(1, Ordering::Relaxed);
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || act(stream));
            }
        });
        Self { base, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A connection seen as frames.
pub(crate) struct Frames {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Frames {
    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream, held: Vec::new() }
    }

    /// Reads the client's greeting and sends settings.
    pub(crate) fn greet(stream: TcpStream, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self::of(stream);
        let mut preface = [0; frame::PREFACE.len()];
        frames.stream.read_exact(&mut preface).unwrap();
        assert_eq!(preface, frame::PREFACE);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(number, value)| [&number.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frames.write(kind::SETTINGS, 0, 0, &payload);
        frames
    }

    /// Writes a frame; a client that is gone ends the test elsewhere.
    pub(crate) fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut out = Vec::new();
        frame::write(&mut out, (kind, flags), stream, payload);
        self.write_bytes(&out);
    }

    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next frame; none at the end.
    pub(crate) fn next_frame(&mut self) -> Option<(Head, Vec<u8>)> {
        loop {
            if let Some(head) = Head::parse(&self.held) {
                let end = frame::HEAD + head.length;
                if self.held.len() >= end {
                    let payload = self.held[frame::HEAD..end].to_vec();
                    self.held.drain(..end);
                    return Some((head, payload));
                }
            }
            let mut buffer = [0; 4_096];
            let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            self.held.extend_from_slice(&buffer[..read]);
        }
    }

    /// The stream of the next request; none at the end.
    pub(crate) fn next_request(&mut self) -> Option<u32> {
        loop {
            let (head, _) = self.next_frame()?;
            if head.kind == kind::HEADERS {
                return Some(head.stream);
            }
        }
    }

    /// Takes what comes until the client closes.
    pub(crate) fn read_to_end(&mut self) {
        let mut buffer = [0; 4_096];
        while self.stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
    }

    pub(crate) fn close(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// Reads requests without bodies; what each asks for.
pub(crate) struct Requests {
    stream: TcpStream,
    held: Vec<u8>,
}

impl Requests {
    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream, held: Vec::new() }
    }

    /// The path of the next request; none at the end.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                let head = String::from_utf8(self.held.drain(..end + 4).collect()).unwrap();
                return head.split(' ').nth(1).map(str::to_owned);
            }
            let mut buffer = [0; 4_096];
            let read = self.stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
            self.held.extend_from_slice(&buffer[..read]);
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A client that is gone ends the test elsewhere.
        let _ = self.stream.write_all(bytes);
    }
}
