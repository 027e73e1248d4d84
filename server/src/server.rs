//! The listener, the connections, and how they end.
//! In: a configuration and a future that says when to stop. Out: served connections; at the end
//! everything that was in flight is finished, within a bound.
//! Leaves to others: what a request means (`rest`), what a WebSocket says (`session`).

use crate::app::App;
use crate::config::{Config, SECRET_BYTES};
use crate::fault::Faults;
use crate::guarded::Guarded;
use crate::message;
use crate::problem::Problem;
use crate::rest;
use crate::sio;
use crate::store::{Store, StoreError};
use crate::upgrade;
use crate::wire::Alive;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use ebbtide_probe::{Kind, Reply, Responder, in_flight, track};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tower::Service;

/// Bytes of request head taken, and of a body read ahead.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Wait after an accept that failed, for want of files or memory as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Sessions closed together when the server stops.
const DRAIN_BATCH: usize = 100;

/// Time between two such batches, so that clients do not come back all at once.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

/// Path of the switches of the faults, on the admin listener.
const FAULTS_PATH: &str = "/debug/faults";

/// A server that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {source} (choose another port, or 0 for a free one)")]
    Bind {
        /// Host and port, as told.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The secret could be guessed.
    #[error("the secret has {0} bytes, {SECRET_BYTES} are the least (`openssl rand -base64 32`)")]
    Secret(usize),
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
}

/// A server that listens, and serves once it is run.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    address: SocketAddr,
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
        let failed = |source| {
            let address = format!("{}:{}", config.host, config.port);
            ServeError::Bind { address, source }
        };
        let host = config.host.trim_start_matches('[').trim_end_matches(']');
        let listener = listen(host, config.port).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let store = Store::open(&config.database, config.limits.history).await?;
        let mut rooms = Vec::new();
        for room in &config.rooms {
            rooms.push(store.ensure_room(room, false).await?);
        }
        for name in &config.admins {
            if !store.set_admin(name, true).await? {
                tracing::warn!(name, "no account of that name can be made an administrator yet");
            }
        }
        Ok(Self { app: App::new(&config, &rooms, store), listener, address })
    }

    /// The address it listens on, with the port that was free when none was told.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` is ready. Then no connection is taken any more, WebSockets are
    /// closed with code 1001 in batches, requests in flight are finished, and what has not ended
    /// when [`crate::Limits::drain`] is over is left behind.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self { app, listener, address } = self;
        tracing::info!(%address, "listening");
        let (stop, stopping) = watch::channel(false);
        let (alive, mut last) = mpsc::channel(1);
        let router = rest::router(app.clone());
        let acceptor = Acceptor { app: app.clone(), router, stopping, alive };
        tokio::select! {
            () = acceptor.accept(&listener) => {}
            () = shutdown => {}
        }
        drop(listener);
        app.drain();
        // Without a receiver there is nobody to tell.
        let _ = stop.send(true);
        drop(acceptor);
        let end = Instant::now() + app.limits.drain;
        let mut after = Some(0);
        while let Some(number) = after {
            after = app.registry.end_some(number, DRAIN_BATCH);
            if after.is_some() {
                tokio::time::sleep(DRAIN_PAUSE).await;
            }
        }
        let left = end.saturating_duration_since(Instant::now());
        if tokio::time::timeout(left, last.recv()).await.is_err() {
            tracing::warn!(sessions = app.registry.len(), "left behind what has not ended in time");
        }
    }
}

/// Connections that may wait to be accepted: a thousand clients that come at one moment are met
/// without one of them having to ask twice, which costs it a second. The system may allow less.
const BACKLOG: u32 = 4_096;

/// Listens on the first address of a host that can be listened on.
async fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
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
            Err(error) => last = error,
        }
    }
    Err(last)
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
}

/// What all requests of one connection share.
struct Shared {
    app: Arc<App>,
    router: Router,
    peer: SocketAddr,
    alive: Alive,
}

impl Acceptor {
    /// Takes connections for ever.
    async fn accept(&self, listener: &TcpListener) {
        let places = Arc::new(Semaphore::new(self.app.limits.connections));
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
            let Ok(place) = places.clone().try_acquire_owned() else {
                self.app.metrics.refused();
                continue;
            };
            // Only makes small writes wait; a connection without it works as well.
            let _ = stream.set_nodelay(true);
            let shared = Shared {
                app: self.app.clone(),
                router: self.router.clone(),
                peer,
                alive: self.alive.clone(),
            };
            tokio::spawn(connection(stream, Arc::new(shared), place, self.stopping.clone()));
        }
    }
}

/// Serves one connection until it ends or becomes a WebSocket.
async fn connection(
    stream: TcpStream,
    shared: Arc<Shared>,
    place: OwnedSemaphorePermit,
    mut stopping: watch::Receiver<bool>,
) {
    let _counted = track(Kind::Task);
    let timeout = shared.app.limits.header_timeout;
    let place = Arc::new(place);
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
        tracing::debug!(%error, "a connection broke");
    }
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the server itself has gone, which is the same.
    let _ = stopping.wait_for(|&stops| stops).await;
}

/// Answers one request.
async fn respond(
    shared: Arc<Shared>,
    place: Arc<OwnedSemaphorePermit>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let begun = Instant::now();
    let flight = in_flight();
    let app = &shared.app;
    let response = if app.disturbance.strike().await {
        // FAULT(error)
        let detail = "this fails because the fault `error` is on";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail).into_response()
    } else if upgrade::is_asked(&request) {
        upgrade::answer(app, shared.peer, request, (shared.alive.clone(), place))
    } else if sio::is_asked(request.uri().path()) {
        sio::answer(app, shared.peer, request, (shared.alive.clone(), place)).await
    } else {
        // A router is always ready.
        let Ok(response) = shared.router.clone().call(request).await;
        response
    };
    app.metrics.request(response.status().as_u16(), begun.elapsed());
    Ok(protect(response).map(|body| Body::new(Guarded::hold(body, flight))))
}

/// Headers that every answer carries.
fn protect(mut response: Response<Body>) -> Response<Body> {
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}
