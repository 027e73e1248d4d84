//! TLS of the server's own listener, for machines without a proxy in front.
//! In: two PEM files. Out: what makes accepted connections TLS ones, or what is wrong with the
//! files. A renewed certificate is read when the program says so, for new connections.
//! Leaves to others: getting certificates, and noticing new ones.

use crate::config::Tls;
use crate::stream::Stream;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Time a client has for the handshake: two round trips of the slowest links there are.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file of certificates cannot be read.
    #[error("cannot read certificates from `{0}`: {1} (a PEM file, the server's own first)")]
    Certificate(PathBuf, String),
    /// The file of the key cannot be read.
    #[error("cannot read a private key from `{0}`: {1} (a PEM file: PKCS 8, PKCS 1 or SEC 1)")]
    Key(PathBuf, String),
    /// The two do not fit.
    #[error("the certificate and the key cannot be used together: {0}")]
    Pair(String),
}

/// Reads certificate and key.
fn read(tls: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    let certificate =
        |error: &dyn ToString| TlsError::Certificate(tls.certificate.clone(), error.to_string());
    let chain = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| certificate(&error))?;
    if chain.is_empty() {
        return Err(certificate(&"there is none in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .map_err(|error| TlsError::Key(tls.key.clone(), error.to_string()))?;
    let pair = |error: rustls::Error| TlsError::Pair(error.to_string());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What new connections are begun with.
pub(crate) type Current = watch::Receiver<Arc<ServerConfig>>;

/// Reads certificate and key again, for the connections that come afterwards.
#[derive(Debug)]
pub struct Renewal {
    files: Tls,
    current: watch::Sender<Arc<ServerConfig>>,
}

impl Renewal {
    pub(crate) fn new(files: &Tls) -> Result<Self, TlsError> {
        Ok(Self { current: watch::Sender::new(read(files)?), files: files.clone() })
    }

    pub(crate) fn current(&self) -> Current {
        self.current.subscribe()
    }

    /// Reads both files again.
    ///
    /// # Errors
    /// When one of them is of no use; then everything stays as it was.
    pub fn renew(&self) -> Result<(), TlsError> {
        self.current.send_replace(read(&self.files)?);
        Ok(())
    }
}

/// The connection as it is to be served: after the handshake, where there is one.
pub(crate) async fn begin(stream: TcpStream, tls: Option<Arc<ServerConfig>>) -> io::Result<Stream> {
    let Some(tls) = tls else { return Ok(Stream::Plain(stream)) };
    let handshake =
        tokio::time::timeout(HANDSHAKE_PATIENCE, TlsAcceptor::from(tls).accept(stream)).await;
    let stream = handshake.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    Ok(Stream::Tls(Box::new(stream)))
}
