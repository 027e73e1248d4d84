//! Requests to sessions: the listener, the map from ids to clients' tasks, HTTP.
//!
//! Comes in: connections. Goes out: replies; and clients' tasks, started when a session opens and
//! forgotten when it ends. One thread serves all, so that requests are met in the order in which
//! they came. What the sessions decide is left to the crate.

use super::app::App;
use super::carrier::{Carrier, Input, Line, Socket};
use ebbtide_socketio::Text;
use ebbtide_socketio::server::{Connection, Refusal, Route, Session, Settings, Transport};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Requests of one session are one GET, one POST, one handshake; more is a fault of the client.
const INPUTS: usize = 16;
/// The code of RFC 6455 for an end that means no harm.
const NORMAL: u16 = 1000;
/// tungstenite's own is 128 KiB for each connection.
const READ_BUFFER: usize = 4096;

/// Which protocol is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Engine,
    SocketIo,
}

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Engine => "/engine.io/",
            Self::SocketIo => "/socket.io/",
        }
    }
}

/// The server.
pub(crate) struct Host {
    kind: Kind,
    settings: Arc<Settings>,
    start: Instant,
    clients: RefCell<HashMap<Text, mpsc::Sender<Input>>>,
}

/// An id that cannot be guessed without the process's secret.
pub(crate) fn new_id() -> Text {
    let half = || RandomState::new().hash_one(Instant::now());
    format!("{:016x}{:016x}", half(), half()).into()
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime needs nothing but a few file descriptors");
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

impl Host {
    pub(crate) fn new(kind: Kind, settings: Settings) -> Rc<Self> {
        let (settings, clients) = (Arc::new(settings), RefCell::default());
        Rc::new(Self { kind, settings, start: Instant::now(), clients })
    }

    /// Serves whoever connects, for ever.
    pub(crate) async fn serve(self: Rc<Self>, listener: TcpListener) -> std::io::Result<()> {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let host = Rc::clone(&self);
            let service = service_fn(move |request| {
                let host = Rc::clone(&host);
                async move { Ok::<_, std::convert::Infallible>(host.respond(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades();
            // How a connection ends is seen by whoever waited for it.
            tokio::task::spawn_local(async move { drop(connection.await) });
        }
    }

    async fn respond(self: Rc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if !request.uri().path().starts_with(self.kind.path().trim_end_matches('/')) {
            return reply(404, Bytes::new());
        }
        let answered = self.route(request).await;
        answered.unwrap_or_else(|refusal| reply(refusal.status(), refusal.body().into()))
    }

    async fn route(
        self: Rc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let key = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned();
        match Route::of(request.method().as_str(), &query, key.is_some())? {
            Route::Open(Transport::Polling) => {
                let client = self.open(Transport::Polling, None);
                poll(&client).await
            }
            Route::Open(Transport::WebSocket) => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::task::spawn_local(async move {
                    if let Some(socket) = self.websocket(upgrade).await {
                        self.open(Transport::WebSocket, Some(socket));
                    }
                });
                Ok(switch(key))
            }
            Route::Poll(sid) => poll(&self.client(&sid)?).await,
            Route::Push(sid) => self.push(&self.client(&sid)?, request.into_body()).await,
            Route::Upgrade(sid) => {
                let client = self.client(&sid)?;
                let is_wanted = ask(&client, Input::BeginUpgrade).await;
                if is_wanted == Err(Refusal::UnknownSession) {
                    return Err(Refusal::UnknownSession);
                }
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::task::spawn_local(async move {
                    let socket = self.websocket(upgrade).await;
                    match (is_wanted, socket) {
                        // One too many is opened and closed: a browser is not told a status.
                        (Err(_), Some(socket)) => Line::new(socket).close(NORMAL).await,
                        (Err(_), None) => {}
                        (Ok(()), socket) => {
                            let socket = Input::WebSocket(socket.map(Box::new));
                            drop(client.send(socket).await);
                        }
                    }
                });
                Ok(switch(key))
            }
        }
    }

    /// Begins a session and its task.
    fn open(self: &Rc<Self>, transport: Transport, socket: Option<Socket>) -> mpsc::Sender<Input> {
        let (sid, now) = (new_id(), self.start.elapsed());
        let session = Session::open(Arc::clone(&self.settings), sid.clone(), transport, now);
        let app = match self.kind {
            Kind::Engine => App::Echo(Box::new(session)),
            Kind::SocketIo => App::Chat(Box::new(Connection::new(session, now))),
        };
        let (client, inputs) = mpsc::channel(INPUTS);
        self.clients.borrow_mut().insert(sid.clone(), client.clone());
        let socket = socket.map(Line::new);
        let carrier = Carrier { app, inputs, start: self.start, hanging: None, socket };
        let host = Rc::clone(self);
        tokio::task::spawn_local(async move {
            carrier.run().await;
            host.clients.borrow_mut().remove(&sid);
        });
        client
    }

    fn client(&self, sid: &str) -> Result<mpsc::Sender<Input>, Refusal> {
        self.clients.borrow().get(&Text::from(sid)).cloned().ok_or(Refusal::UnknownSession)
    }

    async fn push(
        &self,
        client: &mpsc::Sender<Input>,
        body: Incoming,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        ask(client, Input::BeginPush).await?;
        let mut guard = Unfinished(Some(client.clone()));
        let body = Limited::new(body, self.settings.max_payload).collect().await;
        let body = body.map_err(|_| Refusal::TooLarge)?.to_bytes();
        guard.0 = None;
        ask(client, |verdict| Input::Push(body, verdict)).await?;
        Ok(reply(200, Bytes::from_static(b"ok")))
    }

    async fn websocket(&self, upgrade: hyper::upgrade::OnUpgrade) -> Option<Socket> {
        let stream = TokioIo::new(upgrade.await.ok()?);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .max_message_size(Some(self.settings.max_payload))
            .max_frame_size(Some(self.settings.max_payload));
        Some(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
    }
}

/// A POST whose body has not come yet: dropped, it tells.
struct Unfinished(Option<mpsc::Sender<Input>>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            // With a full channel the client breaks the rules in other ways already.
            drop(client.try_send(Input::PushLost));
        }
    }
}

/// Asks a client's task, which is gone when its session is.
async fn ask<T>(
    client: &mpsc::Sender<Input>,
    input: impl FnOnce(oneshot::Sender<Result<T, Refusal>>) -> Input,
) -> Result<T, Refusal> {
    let (verdict, answer) = oneshot::channel();
    client.send(input(verdict)).await.map_err(|_| Refusal::UnknownSession)?;
    answer.await.map_err(|_| Refusal::UnknownSession)?
}

async fn poll(client: &mpsc::Sender<Input>) -> Result<Response<Full<Bytes>>, Refusal> {
    ask(client, Input::Poll).await.map(|body| reply(200, body))
}

fn reply(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("one of a few constants");
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=UTF-8");
    headers.insert(header::CONTENT_TYPE, text);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The suites run in a browser as well, from a file.
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// The reply that makes a connection a WebSocket.
fn switch(key: Option<HeaderValue>) -> Response<Full<Bytes>> {
    let mut response = reply(101, Bytes::new());
    let accept = derive_accept_key(key.as_ref().map_or(b"", HeaderValue::as_bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
