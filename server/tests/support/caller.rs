//! A client of the REST interface that holds the server to its own document.
//! In: a method, a path, a JSON body, a token. Out: status and JSON; a failure when the document
//! does not name the status, or the answer is not of the type it should be.
//! Leaves to others: what is right (the tests).
#![allow(dead_code, reason = "each test file uses a part of it")]

use super::{Running, soon};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A client with or without an account.
#[derive(Clone)]
pub struct Caller {
    address: std::net::SocketAddr,
    document: Value,
    pub token: Option<String>,
}

impl Caller {
    /// A guest.
    pub async fn new(server: &Running) -> Self {
        let (status, _, text) = server.ask("GET", "/docs/openapi.json", "").await;
        assert_eq!(status, 200);
        let document = serde_json::from_str(&text).unwrap();
        Self { address: server.address, document, token: None }
    }

    /// An account of that name, made now; and what it was given.
    pub async fn register(&self, name: &str) -> (Self, Value) {
        let body = json!({ "username": name, "password": "correct horse" });
        let (status, session) = self.call("POST", "/auth/register", Some(body)).await;
        assert_eq!(status, 201, "{session}");
        (self.with(session["access_token"].as_str().unwrap()), session)
    }

    /// The same client with a token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The operations of the document: method and path, as it has them.
    pub fn operations(&self) -> Vec<(String, String)> {
        let paths = self.document["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        });
        all.collect()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, None).await
    }

    /// A request below `/api/v1`, with a JSON body.
    pub async fn call(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let body = body.map(|body| body.to_string());
        self.send(method, path, body.as_deref(), "application/json").await
    }

    /// A request below `/api/v1`, with any body.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&str>,
        kind: &str,
    ) -> (u16, Value) {
        let body = body.map(|body| (Bytes::from(body.to_owned()), kind));
        let reply = self.exchange(method, path, body).await;
        let text = String::from_utf8(reply.body().to_vec()).unwrap();
        let kind = reply.headers().get("content-type").map(|kind| kind.to_str().unwrap());
        let is_json = kind.is_some_and(|kind| kind.ends_with("json"));
        let what = format!("{method} {path}: {text}");
        let value = if is_json { serde_json::from_str(&text).expect(&what) } else { json!(text) };
        (reply.status().as_u16(), value)
    }

    /// A request below `/api/v1`, with a body and its type; the whole reply.
    pub async fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<(Bytes, &str)>,
    ) -> Response<Bytes> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let (mut sender, connection) = handshake;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", "localhost")
            .header("connection", "close");
        if let Some((_, kind)) = &body {
            request = request.header("content-type", *kind);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = body.map(|(body, _)| body).unwrap_or_default();
        let request = request.body(Full::new(body)).unwrap();
        let reply = soon("a reply", sender.send_request(request)).await.unwrap();
        let (parts, body) = reply.into_parts();
        let read = soon("a body", body.collect()).await.unwrap().to_bytes();
        let status = parts.status.as_u16();
        let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap());
        let what = format!("{method} {path}: {status} {}", String::from_utf8_lossy(&read));
        self.check((method, path), (status, kind.unwrap_or_default()), &what);
        Response::from_parts(parts, read)
    }

    /// Whether the document names the status, with the type of its answer.
    fn check(&self, (method, path): (&str, &str), (status, kind): (u16, &str), what: &str) {
        let path = format!("/api/v1{}", path.split('?').next().unwrap());
        let fits = |template: &str| {
            let (ours, theirs) = (template.split('/'), path.split('/'));
            ours.clone().count() == theirs.clone().count()
                && ours.zip(theirs).all(|(ours, theirs)| ours == theirs || ours.starts_with('{'))
        };
        let paths = self.document["paths"].as_object().unwrap();
        // A path without a variable goes before one with it.
        let found =
            paths.get_key_value(&path).or_else(|| paths.iter().find(|(path, _)| fits(path)));
        let Some((_, methods)) = found else { return assert_eq!(status, 404, "{what}") };
        let Some(operation) = methods.get(method.to_lowercase()) else {
            return assert_eq!(status, 405, "{what}");
        };
        let answer = &operation["responses"][status.to_string()];
        assert!(answer.is_object(), "not documented: {what}");
        if let Some(content) = answer.get("content") {
            assert!(content.get(kind).is_some(), "type `{kind}`: {what}");
        }
        if status >= 400 {
            assert_eq!(kind, "application/problem+json", "{what}");
        }
    }
}
