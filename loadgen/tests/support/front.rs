//! What stands before a server in tests: TLS with certificates of our own making, in front of
//! whatever listens behind it.
//!
//! In: who may come in, and how it misbehaves. Out: its address, and what it saw.

#![allow(clippy::unwrap_used)]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{HandshakeKind, RootCertStore, ServerConfig, version};

/// An issuer with the certificates it gave, as PEM files in a folder.
pub(crate) struct Papers {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

/// A certificate and its key.
pub(crate) struct Paper {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Papers {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own, so that no two issuers are taken for one.
        params.distinguished_name.push(DnType::CommonName, folder.path().display().to_string());
        let root = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), root.pem()).unwrap();
        Self { root: root.der().clone(), issuer: Issuer::new(params, key), folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for a name, valid for so many years from now; below 0 it has expired.
    pub(crate) fn give(&self, name: &str, years: i32) -> Paper {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(if years < 0 { 2001 } else { 2100 }, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        std::fs::write(self.path(&format!("{name}.pem")), pem).unwrap();
        Paper { chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }

    /// A certificate that is its own issuer, as `openssl req -x509` makes it.
    pub(crate) fn own(&self, name: &str) -> Paper {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(self.path("own.pem"), certificate.pem()).unwrap();
        Paper { chain: vec![certificate.der().clone()], key: key.serialize_der() }
    }
}

/// How the front behaves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Manners {
    /// Clients must show a certificate of the same issuer.
    pub(crate) wants_client: bool,
    /// TLS 1.2 and nothing newer.
    pub(crate) old: bool,
    /// Each byte of its records is a write of its own.
    pub(crate) in_bytes: bool,
    /// Connections end without `close_notify` once the server behind has closed.
    pub(crate) truncates: bool,
    /// It chooses this protocol.
    pub(crate) protocol: Option<&'static str>,
}

/// A TLS front on a free port, in a thread of its own that ends with the process.
pub(crate) struct Front {
    pub(crate) port: u16,
    /// Handshakes that resumed a session, and that did not.
    pub(crate) resumed: Arc<AtomicU64>,
    pub(crate) full: Arc<AtomicU64>,
    /// Names that clients asked for.
    pub(crate) names: Arc<Mutex<Vec<String>>>,
}

impl Front {
    /// Starts it before the server at `behind`, which is `host:port`.
    pub(crate) fn start(behind: &str, paper: &Paper, papers: &Papers, manners: Manners) -> Self {
        let config = config(paper, papers, manners);
        let (port_out, port) = std::sync::mpsc::channel();
        let behind = behind.to_owned();
        let (resumed, full) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let names = Arc::new(Mutex::new(Vec::new()));
        let seen = (Arc::clone(&resumed), Arc::clone(&full), Arc::clone(&names));
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                port_out.send(listener.local_addr().unwrap().port()).unwrap();
                let acceptor = TlsAcceptor::from(config);
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let share = (acceptor.clone(), behind.clone(), seen.clone());
                    tokio::spawn(serve(stream, share, manners));
                }
            });
        });
        Self { port: port.recv().unwrap(), resumed, full, names }
    }
}

fn config(paper: &Paper, papers: &Papers, manners: Manners) -> Arc<ServerConfig> {
    let versions: &[_] = if manners.old { &[&version::TLS12] } else { &[&version::TLS13] };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .unwrap();
    let builder = if manners.wants_client {
        let mut roots = RootCertStore::empty();
        roots.add(papers.root.clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(paper.key.clone()).unwrap();
    let mut config = builder.with_single_cert(paper.chain.clone(), key).unwrap();
    config.alpn_protocols.extend(manners.protocol.map(|name| name.as_bytes().to_vec()));
    Arc::new(config)
}

type Seen = (Arc<AtomicU64>, Arc<AtomicU64>, Arc<Mutex<Vec<String>>>);

async fn serve(
    stream: TcpStream,
    (acceptor, behind, seen): (TlsAcceptor, String, Seen),
    manners: Manners,
) {
    stream.set_nodelay(true).unwrap();
    let stream = Crumbs { stream, one: manners.in_bytes };
    let Ok(mut tls) = acceptor.accept(stream).await else { return };
    let connection = tls.get_ref().1;
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let count = if resumed { &seen.0 } else { &seen.1 };
    count.fetch_add(1, Ordering::Relaxed);
    if let Some(name) = connection.server_name() {
        seen.2.lock().unwrap().push(name.to_owned());
    }
    let mut inner = TcpStream::connect(behind).await.unwrap();
    if manners.truncates {
        let (mut from, mut to) = inner.split();
        let (mut tls_from, mut tls_to) = tokio::io::split(&mut tls);
        tokio::select! {
            _ = async {
                let _ = tokio::io::copy(&mut from, &mut tls_to).await;
                let _ = tls_to.flush().await;
            } => {}
            _ = async {
                let _ = tokio::io::copy(&mut tls_from, &mut to).await;
                std::future::pending::<()>().await;
            } => {}
        }
        // Dropped without a shutdown, so without `close_notify`.
        return;
    }
    let _ = copy_bidirectional(&mut tls, &mut inner).await;
}

/// A stream that writes one byte at a time, if asked to.
struct Crumbs {
    stream: TcpStream,
    one: bool,
}

impl AsyncRead for Crumbs {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, room)
    }
}

impl AsyncWrite for Crumbs {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let end = if self.one { bytes.len().min(1) } else { bytes.len() };
        Pin::new(&mut self.stream).poll_write(context, &bytes[..end])
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The host and port of a base URL.
pub(crate) fn behind(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, rest)| rest)
}

/// A path as TOML text.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}
