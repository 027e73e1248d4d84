//! The listener, the connections, and how they end.
//! In: a configuration and a future that says when to stop. Out: served connections; at the end
//! everything that was in flight is finished, within a bound.
//! Leaves to others: what a request means (`rest`), what a WebSocket says (`session`).

use crate::app::App;
use crate::cluster::ClusterError;
use crate::config::{Config, Database, Limits, SECRET_BYTES};
use crate::cors;
use crate::drain;
use crate::fault::Faults;
use crate::guarded::Guarded;
use crate::headers;
use crate::limits::{Place, Whence};
use crate::link::Link;
use crate::message;
use crate::notifier;
use crate::origin;
use crate::problem::Problem;
use crate::rest;
use crate::sio;
use crate::store::{Caps, Store, StoreError};
use crate::tls::{self, Current, Renewal, TlsError};
use crate::upgrade;
use crate::uploads;
use crate::wire::Alive;
use axum::Router;
use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use ebbtide_probe::{Kind, Reply, Responder, in_flight, track};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tower::Service;
use tracing::Instrument;

/// Bytes of request head taken, and of a body read ahead.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Wait after an accept that failed, for want of files or memory as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Path of the switches of the faults, on the admin listener.
const FAULTS_PATH: &str = "/debug/faults";

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The host has no address.
    #[error(
        "`{host}` has no address: {source} (`127.0.0.1` is this machine alone, `0.0.0.0` all of \
         its networks)"
    )]
    Host {
        /// The name, as told.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {source} ({cure})")]
    Bind {
        /// Host and port, as told.
        address: String,
        /// What the system said.
        source: io::Error,
        /// What helps.
        cure: &'static str,
    },
    /// The secret could be guessed.
    #[error("the secret has {0} bytes, {SECRET_BYTES} are the least (`openssl rand -base64 32`)")]
    Secret(usize),
    /// The certificate or the key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No room stays, so a client would enter none.
    #[error("no room is named (name one in `rooms`, such as `lobby`)")]
    NoRooms,
    /// A room cannot be called so.
    #[error("no room can be called `{room}`: {reason}")]
    Room {
        /// The name.
        room: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database cannot be opened.
    #[error("cannot open the database: {0}")]
    Store(#[from] StoreError),
    /// The processes cannot be joined.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

/// A server that listens, and serves once it is run.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    link: Option<Link>,
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Renewal>>,
}

/// Listens and serves until `shutdown` is ready and everything in flight has ended.
///
/// # Errors
/// As [`Server::bind`].
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    Server::bind(config).await?.run(shutdown).await;
    Ok(())
}

impl Server {
    /// Listens. Connections wait until [`Server::run`].
    ///
    /// # Errors
    /// When the address cannot be listened on, or the configuration contradicts itself.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        if let Some(secret) = config.secret.as_ref().filter(|text| text.len() < SECRET_BYTES) {
            return Err(ServeError::Secret(secret.len()));
        }
        if config.rooms.is_empty() {
            return Err(ServeError::NoRooms);
        }
        for room in &config.rooms {
            message::check_room(room).map_err(|refusal| ServeError::Room {
                room: room.clone(),
                reason: refusal.to_string(),
            })?;
        }
        if config.redis.is_some() && config.database == Database::Memory {
            return Err(ClusterError::NothingShared.into());
        }
        let link = config.redis.as_deref().map(Link::prepare).transpose()?;
        let tls = config.tls.as_ref().map(Renewal::new).transpose()?.map(Arc::new);
        let listener = listen(&config.host, config.port).await?;
        let failed = |source| cannot_bind(&config.host, config.port, source);
        let address = listener.local_addr().map_err(failed)?;
        let Limits { history, accounts, direct, .. } = config.limits;
        let caps = Caps { history, accounts, direct };
        let store = Store::open(&config.database, caps).await?;
        let mut rooms = Vec::new();
        for room in &config.rooms {
            rooms.push(store.ensure_room(room, false).await?);
        }
        for name in &config.admins {
            if !store.set_admin(name, true).await? {
                tracing::warn!(name, "no account of that name can be made an administrator yet");
            }
        }
        let (cluster, link) = link.unzip();
        let app = App::new(&config, &rooms, (store, cluster));
        Ok(Self { app, link, listener, address, tls })
    }

    /// The address it listens on, with the port that was free when none was told.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// What reads a renewed certificate while the server runs, when connections are under TLS.
    #[must_use]
    pub fn renewal(&self) -> Option<Arc<Renewal>> {
        self.tls.clone()
    }

    /// Serves until `shutdown` is ready. Then `/readyz` says so, for as long as
    /// [`crate::Limits::farewell`] while connections are still taken; after it none is, WebSockets
    /// are closed with code 1012 in batches, requests in flight are finished, and what has not
    /// ended when [`crate::Limits::drain`] is over is left behind.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { app, link, listener, address, tls } = self;
        let link = link.map(|link| link.start(app.hub.clone()));
        tracing::info!(%address, "listening");
        let (stop, stopping) = watch::channel(false);
        let (alive, mut last) = mpsc::channel(1);
        let router = rest::router(app.clone());
        let (store, retry) = (app.store.clone(), app.limits.retry);
        let small = Worker(tokio::spawn(uploads::run(app.uploads.clone(), store, retry)));
        let notices = Worker(tokio::spawn(notifier::run(app.hub.clone(), app.limits.notices)));
        let tls = tls.map(|renewal| renewal.current());
        let acceptor = Acceptor { app: app.clone(), router, stopping, alive, tls };
        tokio::select! {
            () = acceptor.accept(&listener) => {}
            () = shutdown => {}
        }
        tracing::info!(sessions = app.registry.len(), "stopping");
        app.drain();
        // Until the time is over: accepting itself has no end.
        let _ = tokio::time::timeout(app.limits.farewell, acceptor.accept(&listener)).await;
        drop(listener);
        // Without a receiver there is nobody to tell.
        let _ = stop.send(true);
        drop(acceptor);
        let end = Instant::now() + app.limits.drain;
        drain::end_sessions(&app.registry, app.limits.drain).await;
        let left = end.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, last.recv()).await.is_err() {
            tracing::warn!(sessions = app.registry.len(), "left behind what has not ended in time");
        }
        if let Some(link) = link {
            link.end().await;
        }
        drop((notices, small));
    }
}

/// A task of the server's own, which ends with it.
struct Worker(JoinHandle<()>);

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Connections that may wait to be accepted: a thousand clients that come at one moment are met
/// without one of them having to ask twice, which costs it a second. The system may allow less.
const BACKLOG: u32 = 4_096;

/// Listens on the first address of a host that can be listened on.
async fn listen(host: &str, port: u16) -> Result<TcpListener, ServeError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let unknown = |source| ServeError::Host { host: host.to_owned(), source };
    let addresses = tokio::net::lookup_host((bare, port)).await.map_err(unknown)?;
    let mut last = None;
    for address in addresses {
        let open = || -> io::Result<TcpListener> {
            let socket =
                if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            // A server that is started again must not wait for its old connections to be forgotten.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        };
        match open() {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    let nothing = || unknown(io::Error::new(io::ErrorKind::NotFound, "the name stands for none"));
    Err(last.map_or_else(nothing, |source| cannot_bind(host, port, source)))
}

fn cannot_bind(host: &str, port: u16, source: io::Error) -> ServeError {
    let cure = match source.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "no network of this machine has that address: `0.0.0.0` is all that it has"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are the system's: choose a higher one, or let a proxy have it"
        }
        _ => "choose another port, or 0 for a free one",
    };
    ServeError::Bind { address: format!("{host}:{port}"), source, cure }
}

impl Faults {
    /// The path and the answer that switch the faults on an admin listener: GET gives a JSON
    /// object of names and settings, PUT takes one and sets what it names.
    #[must_use]
    pub fn route(self: &Arc<Self>) -> (&'static str, Responder) {
        let faults = self.clone();
        let answer = move |request: &ebbtide_probe::Request| match request.method.as_str() {
            "GET" => Reply::json(200, faults.to_json()),
            "PUT" => match faults.switch_json(&request.body) {
                Ok(()) => Reply::json(200, faults.to_json()),
                Err(error) => Reply::text(400, format!("{error}\n")),
            },
            _ => Reply::text(405, "GET lists the faults, PUT sets them\n"),
        };
        (FAULTS_PATH, Arc::new(answer))
    }
}

/// What a connection is begun with.
struct Acceptor {
    app: Arc<App>,
    router: Router,
    stopping: watch::Receiver<bool>,
    alive: Alive,
    tls: Option<Current>,
}

/// What all requests of one connection share.
struct Shared {
    app: Arc<App>,
    router: Router,
    peer: SocketAddr,
    alive: Alive,
    is_tls: bool,
}

impl Acceptor {
    /// Takes connections for ever.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            self.app.metrics.connection();
            let is_proxy = self.app.proxies.iter().any(|network| network.contains(peer.ip()));
            let Some(place) = self.app.gate.admit(peer.ip(), is_proxy) else { continue };
            // Only makes small writes wait; a connection without it works as well.
            let _ = stream.set_nodelay(true);
            give_up_after(&stream, self.app.limits.silence);
            let shared = Shared {
                app: self.app.clone(),
                router: self.router.clone(),
                peer,
                alive: self.alive.clone(),
                is_tls: self.tls.is_some(),
            };
            let tls = self.tls.as_ref().map(|current| current.borrow().clone());
            let stopping = self.stopping.clone();
            tokio::spawn(connection((stream, tls), Arc::new(shared), place, stopping));
        }
    }
}

/// Lets the kernel end a connection whose other end takes nothing for so long, whether it has gone
/// or does not read (TCP_USER_TIMEOUT). Without it a session has its heartbeat, and an answer to
/// who never reads it would wait for ever.
fn give_up_after(stream: &TcpStream, patience: Duration) {
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, millis) {
        tracing::debug!(%error, "a connection has no time limit for sending");
    }
}

/// Serves one connection until it ends or becomes a WebSocket.
async fn connection(
    (stream, tls): (TcpStream, Option<Arc<ServerConfig>>),
    shared: Arc<Shared>,
    place: Place,
    mut stopping: watch::Receiver<bool>,
) {
    let _counted = track(Kind::Task);
    let stream = match tls::begin(stream, tls).await {
        Ok(stream) => stream,
        Err(error) => {
            shared.app.metrics.refused("tls");
            tracing::debug!(%error, peer = %shared.peer, "a TLS handshake failed");
            return;
        }
    };
    let timeout = shared.app.limits.header_timeout;
    let (metrics, place) = (shared.app.metrics.clone(), Arc::new(place));
    let service = service_fn(move |request| respond(shared.clone(), place.clone(), request));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(READ_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stopped(&mut stopping) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        metrics.refused("broken");
        tracing::debug!(%error, "a connection broke");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the server itself has gone, which is the same.
    let _ = stopping.wait_for(|&stops| stops).await;
}

/// What a request is measured under that no route took.
const NO_ROUTE: &str = "none";

/// Answers one request.
async fn respond(
    shared: Arc<Shared>,
    place: Arc<Place>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let begun = Instant::now();
    let flight = in_flight();
    let app = &shared.app;
    let id = headers::request_id(request.headers());
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let origin =
        origin.filter(|_| origin::is_allowed(request.headers(), shared.peer, &app.origins));
    let is_upgrade = upgrade::is_asked(&request);
    let is_sio = sio::is_asked(request.uri().path());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let answered = answer(&shared, place, request, origin.is_some());
    let mut response = answered.instrument(span.clone()).await;
    if let Some(origin) = origin.filter(|_| !is_upgrade) {
        cors::open(response.headers_mut(), origin);
    }
    headers::protect(&mut response, id, shared.is_tls);
    let route = response.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let route = route.unwrap_or(match (is_upgrade, is_sio) {
        (true, _) => "/ws",
        (_, true) => "/socket.io/",
        _ => NO_ROUTE,
    });
    let (status, took) = (response.status(), begun.elapsed());
    app.metrics.request((route, method.as_str()), status.as_u16(), took);
    let _entered = span.enter();
    let (status, micros) = (status.as_u16(), u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    if status >= 500 {
        tracing::warn!(%method, route, status, micros, "failed");
    } else {
        tracing::debug!(%method, route, status, micros, "answered");
    }
    Ok(response.map(|body| Body::new(Guarded::hold(body, flight))))
}

async fn answer(
    shared: &Shared,
    place: Arc<Place>,
    mut request: hyper::Request<Incoming>,
    origin_is_allowed: bool,
) -> Response<Body> {
    let app = &shared.app;
    let from = Whence::of(shared.peer, request.headers(), &app.proxies);
    if let Err(wait) = app.gate.request(from, request.uri().path()) {
        app.metrics.limited("request");
        return Problem::too_many(wait).into_response();
    }
    request.extensions_mut().insert(from);
    if app.disturbance.strike().await {
        // FAULT(error)
        let detail = "this fails because the fault `error` is on";
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail).into_response();
    }
    if upgrade::is_asked(&request) {
        return upgrade::answer(app, from, request, (shared.alive.clone(), place));
    }
    if sio::is_asked(request.uri().path()) {
        return sio::answer(app, from, request, (shared.alive.clone(), place)).await;
    }
    if let Some(response) = cors::preflight(&request, origin_is_allowed) {
        return response;
    }
    // A router is always ready.
    let Ok(response) = shared.router.clone().call(request).await;
    response
}
