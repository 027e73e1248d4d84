//! A shop that keeps for each request what it is told to: nothing, a leak of so many bytes, or
//! one of the things that look like a leak and are none.
//! In: `--port N --model MODEL --bytes B --keys N --rate N --leaky PATH --seed N`. Out: a line with
//! the truth, then HTTP until SIGTERM: `POST /orders`, `POST /carts` (a key, a blank, a text),
//! `GET /ready`. What is kept is left to `shop` and `models`.

mod models;
mod random;
mod shop;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use shop::{Settings, Shop};
use std::error::Error;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: ebbtide_probe::Allocator = ebbtide_probe::Allocator;

/// Bytes of one request's body.
const MAX_BODY_BYTES: usize = 16 * 1_024;

fn main() -> Result<(), Box<dyn Error>> {
    let _probe = ebbtide_probe::start()?;
    let (port, settings) = arguments()?;
    println!("truth: {}", settings.truth());
    let shop = Arc::new(Shop::open(&settings)?);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?
        .block_on(serve(port, shop))
}

/// Pairs of a name and a value.
fn arguments() -> Result<(u16, Settings), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mut port, mut settings) = (0, Settings::default());
    for pair in words.chunks(2) {
        let [name, value] = pair else { return Err(format!("`{}` takes a value", pair[0]).into()) };
        match name.as_str() {
            "--port" => port = value.parse()?,
            "--model" => settings.model.clone_from(value),
            "--bytes" => settings.bytes = value.parse()?,
            "--keys" => settings.keys = value.parse()?,
            "--rate" => settings.rate = value.parse()?,
            "--leaky" => settings.leaky.clone_from(value),
            "--seed" => settings.seed = value.parse()?,
            _ => return Err(format!("`{name}` is no setting").into()),
        }
    }
    Ok((port, settings))
}

async fn serve(port: u16, shop: Arc<Shop>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut terminated = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            _ = terminated.recv() => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _peer) = accepted?;
                let shop = Arc::clone(&shop);
                let service = hyper::service::service_fn(move |request| {
                    answer(Arc::clone(&shop), request)
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        eprintln!("connection: {error}");
                    }
                });
            }
        }
    }
}

async fn answer(
    shop: Arc<Shop>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
    let _flying = ebbtide_probe::in_flight();
    let path = request.uri().path().to_owned();
    let (status, text) = match (request.method(), path.as_str()) {
        (&Method::GET, "/ready") => (StatusCode::OK, "ready\n".to_owned()),
        (&Method::POST, "/orders" | "/carts") => {
            let body = Limited::new(request.into_body(), MAX_BODY_BYTES).collect().await?;
            let body = body.to_bytes();
            let text = std::str::from_utf8(&body)?;
            let (key, _text) = text.split_once(' ').unwrap_or((text, ""));
            (StatusCode::CREATED, shop.take(&path, key))
        }
        _ => (StatusCode::NOT_FOUND, "there are /ready, /orders and /carts\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    Ok(response)
}
