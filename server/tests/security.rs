//! What every answer carries, which pages may read it, and the same under TLS.
//! In: requests of pages and programs. Out: headers; certificates, also renewed ones.
//! Which origins may open WebSockets is left to `sio` and to the unit tests of the check.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod support;

use ebbtide_server::{Config, Server, Tls, TlsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use support::{soon, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    soon("an answer", stream.read_to_string(&mut reply)).await.unwrap();
    reply
}

/// A request with an origin, and with `more` header lines.
fn of_page(method: &str, path: &str, origin: &str, more: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: chat.example\r\nconnection: close\r\n\
         origin: {origin}\r\n{more}\r\n"
    )
}

#[tokio::test]
async fn every_answer_is_protected_and_has_an_id() {
    let server = start(Config::default()).await;
    for path in ["/", "/healthz", "/metrics", "/api/v1/rooms", "/api/v1/users/me", "/nothing"] {
        let reply = server.reply("GET", path, "").await;
        let headers = reply.headers();
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(headers[name], value, "{path} {name}");
        }
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}: {policy}");
        assert_eq!(headers["x-request-id"].len(), 16, "{path}");
        // In the clear a browser would not believe it, and a proxy has its own.
        assert!(!headers.contains_key("strict-transport-security"), "{path}");
    }
    let named =
        "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-request-id: a.b-1\r\n\r\n";
    assert!(raw(server.address, named).await.contains("x-request-id: a.b-1\r\n"));
}

#[tokio::test]
async fn pages_of_the_allow_list_may_read_answers() {
    let origins = vec!["https://app.example".to_owned()];
    let server = start(Config { origins, ..Config::default() }).await;
    let asks = "access-control-request-method: PATCH\r\n\
        access-control-request-headers: authorization\r\n";
    for (origin, allowed) in [
        ("https://app.example", true),
        ("http://localhost:3000", true),
        ("https://chat.example", true),
        ("https://app.example.evil", false),
        ("https://evil.example", false),
        ("null", false),
    ] {
        let head = format!("access-control-allow-origin: {origin}\r\n");
        let reply =
            raw(server.address, &of_page("OPTIONS", "/api/v1/users/me", origin, asks)).await;
        let status = if allowed { "204" } else { "403" };
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{origin}: {reply}");
        assert_eq!(reply.contains(&head), allowed, "{origin}: {reply}");
        assert_eq!(reply.contains("access-control-allow-methods: "), allowed, "{origin}: {reply}");
        // The answer itself is for everybody; the browser keeps it from a page that may not read.
        let reply = raw(server.address, &of_page("GET", "/api/v1/rooms", origin, "")).await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{origin}: {reply}");
        assert_eq!(reply.contains(&head), allowed, "{origin}: {reply}");
        assert!(!reply.contains("access-control-allow-credentials"), "{origin}: {reply}");
        assert_eq!(reply.contains("vary: origin"), allowed, "{origin}: {reply}");
        // Socket.IO answers for itself, once.
        let path = "/socket.io/?EIO=4&transport=polling";
        let reply = raw(server.address, &of_page("GET", path, origin, "")).await;
        let count = reply.matches("access-control-allow-origin: ").count();
        assert_eq!(count, usize::from(allowed), "{origin}: {reply}");
    }
}

/// A certificate for `localhost` and its key, put into files.
fn certify(folder: &Path) -> (Tls, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = Tls { certificate: folder.join("cert.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let der = CertificateDer::from_pem_file(&files.certificate).unwrap();
    (files, der)
}

async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
    soon("the handshake", handshake).await
}

#[tokio::test]
async fn under_tls_everything_is_the_same_and_certificates_are_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let (files, first) = certify(folder.path());
    let config = Config { port: 0, tls: Some(files.clone()), ..Config::default() };
    let server = Server::bind(config).await.unwrap();
    let (address, renewal) = (server.local_addr(), server.renewal().unwrap());
    tokio::spawn(server.run(std::future::pending()));

    let mut stream = connect(address, &first).await.unwrap();
    stream.write_all(of_page("GET", "/healthz", "x", "").as_bytes()).await.unwrap();
    let mut reply = String::new();
    soon("an answer", stream.read_to_string(&mut reply)).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert!(reply.contains("strict-transport-security: max-age="), "{reply}");

    let stream = connect(address, &first).await.unwrap();
    let url = format!("wss://localhost:{}/ws", address.port());
    let (mut socket, _) =
        soon("the handshake", tokio_tungstenite::client_async(url, stream)).await.unwrap();
    let welcome = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
    assert!(welcome.to_text().unwrap().contains("welcome"), "{welcome}");

    // Who speaks in the clear is cut, and others go on.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(of_page("GET", "/healthz", "x", "").as_bytes()).await.unwrap();
    let mut nothing = Vec::new();
    // Cut with or without an alert.
    let _ = soon("the end", plain.read_to_end(&mut nothing)).await;
    assert!(!nothing.starts_with(b"HTTP"), "answered in the clear");

    let (_, second) = certify(folder.path());
    assert!(connect(address, &second).await.is_err(), "nobody said that it is there");
    renewal.renew().unwrap();
    assert!(connect(address, &second).await.is_ok());
    assert!(connect(address, &first).await.is_err());
    std::fs::write(&files.key, "no key").unwrap();
    assert!(matches!(renewal.renew(), Err(TlsError::Key(..))));
    assert!(connect(address, &second).await.is_ok(), "a bad file takes nothing away");
    // Connections of the first certificate go on.
    let ping =
        tokio_tungstenite::tungstenite::Message::text(r#"{"type":"user","content":"still"}"#);
    futures_util::SinkExt::send(&mut socket, ping).await.unwrap();
    let said = futures_util::StreamExt::next(&mut socket).await.unwrap().unwrap();
    assert!(said.to_text().unwrap().contains("still"), "{said}");
}

#[tokio::test]
async fn certificates_that_are_of_no_use_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (files, _) = certify(folder.path());
    let other = tempfile::tempdir().unwrap();
    let (others, _) = certify(other.path());
    let (nowhere, empty) = (folder.path().join("nowhere.pem"), folder.path().join("empty.pem"));
    std::fs::write(&empty, "").unwrap();
    let of = |certificate: &Path, key: &Path| Tls {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    for (tls, says) in [
        (of(&nowhere, &files.key), "nowhere.pem"),
        (of(&empty, &files.key), "there is none in it"),
        (of(&files.certificate, &empty), "a private key"),
        (of(&files.certificate, &others.key), "cannot be used together"),
    ] {
        let error = Server::bind(Config { port: 0, tls: Some(tls), ..Config::default() }).await;
        let error = error.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
