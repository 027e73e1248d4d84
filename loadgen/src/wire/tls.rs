//! TLS by rustls: the settings of a target as a client's configuration, and the session of one
//! connection, which knows bytes and no socket.
//!
//! In: [`Tls`] settings and the files they name; records from a peer. Out: plain bytes, records to
//! send, or a [`Failure`] in words. Moving records over a socket is left to the wire.

use super::trust;
use crate::sample::{Failure, TlsFault};
use crate::scenario::transport::Tls;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sessions kept for resumption on each thread. A name and its settings make one place, and there
/// is one target.
const SESSIONS: usize = 8;

/// Why there is no TLS client.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be used.
    #[error("`{}`: {cause} (check `{key}` of `[target.tls]`, or `--{key}`)", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The setting that names it.
        key: &'static str,
        /// What is wrong with it.
        cause: String,
    },
    /// The machine trusts no issuer.
    #[error(
        "no issuer of certificates is trusted on this machine: {0} (give the target's with \
         `--ca`, or take any certificate with `--insecure`)"
    )]
    NoRoots(String),
    /// A name that no certificate can carry.
    #[error("`{0}` cannot be the name of a TLS server (give one with `server_name`)")]
    Name(String),
    /// The settings do not go together.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// What the TLS connections of a target have in common.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the files that the settings name. `host` is who is asked for, unless they say so.
    ///
    /// # Errors
    /// When a file cannot be used or nobody is trusted.
    pub(crate) fn new(tls: &Tls, host: &str) -> Result<Self, TlsError> {
        let host = tls.server_name.as_deref().unwrap_or(host);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let verifier = if tls.insecure {
            trust::anyone(&provider)
        } else {
            let issuers = match &tls.ca {
                Some(path) => certificates(path, "ca")?,
                None => issuers_of_system()?,
            };
            trust::issuers(issuers, &provider)?
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &tls.cert {
            None => config.with_no_client_auth(),
            Some(path) => {
                let chain = certificates(path, "cert")?;
                let (key, setting) = match &tls.key {
                    Some(key) => (key, "key"),
                    None => (path, "cert"),
                };
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| unusable(key, setting, &error, "no private key in it"))?;
                config.with_client_auth_cert(chain, key)?
            }
        };
        config.resumption = resumption(tls.resumption);
        Ok(Self { config: Arc::new(config), name })
    }

    /// The same for one thread, whose sessions no other thread waits for.
    pub(crate) fn for_thread(&self, resumed: bool) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = resumption(resumed);
        Self { config: Arc::new(config), name: self.name.clone() }
    }

    /// A session that offers protocols, the dearest first.
    pub(crate) fn session(&self, protocols: &[&[u8]]) -> Result<Session, Failure> {
        let offered = protocols.iter().map(|name| name.to_vec()).collect();
        let (config, name) = (Arc::clone(&self.config), self.name.clone());
        ClientConnection::new_with_alpn(config, name, offered)
            .map(|connection| Session { connection, handshake: 0 })
            .map_err(|error| failure_of(&error))
    }
}

fn resumption(on: bool) -> Resumption {
    if on { Resumption::in_memory_sessions(SESSIONS) } else { Resumption::disabled() }
}

fn unusable(path: &Path, key: &'static str, error: &pem::Error, none: &str) -> TlsError {
    let cause = match error {
        pem::Error::NoItemsFound => none.to_owned(),
        pem::Error::Io(error) => error.to_string(),
        other => format!("not valid PEM: {other}"),
    };
    TlsError::File { path: path.to_owned(), key, cause }
}

fn certificates(path: &Path, key: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = "no certificate in it";
    let bad = |error: &pem::Error| unusable(path, key, error, none);
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| bad(&error))?
        .collect::<Result<_, _>>()
        .map_err(|error| bad(&error))?;
    if found.is_empty() { Err(bad(&pem::Error::NoItemsFound)) } else { Ok(found) }
}

fn issuers_of_system() -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let why = found.errors.first().map_or("none found".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(why));
    }
    Ok(found.certs)
}

/// The TLS session of one connection.
pub(crate) struct Session {
    connection: ClientConnection,
    /// Nanoseconds that the handshake took.
    pub(crate) handshake: u64,
}

impl Session {
    /// Plain bytes into `room`: none while there are none.
    pub(crate) fn take(&mut self, room: &mut [u8]) -> Result<Option<usize>, Failure> {
        match self.connection.reader().read(room) {
            Ok(0) => Err(Failure::Closed),
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(_) => Err(Failure::Tls(TlsFault::Truncated)),
        }
    }

    /// Takes records from the peer, or its end; false when there are none yet.
    pub(crate) fn receive(&mut self, from: &mut dyn Read) -> Result<bool, Failure> {
        let read = match self.connection.read_tls(from) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Failure::of(&error)),
        };
        if read == 0 && self.connection.is_handshaking() {
            return Err(Failure::Tls(TlsFault::Ended));
        }
        self.connection.process_new_packets().map_err(|error| failure_of(&error))?;
        Ok(true)
    }

    /// Takes plain bytes to send, as many as there is room for.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        // It writes to memory, and takes less rather than fail.
        self.connection.writer().write(bytes).unwrap_or(0)
    }

    /// Whether records wait to be sent.
    pub(crate) fn has_records(&self) -> bool {
        self.connection.wants_write()
    }

    /// Sends records.
    pub(crate) fn send(&mut self, to: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(to)
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn close(&mut self) {
        self.connection.send_close_notify();
    }

    /// The protocol that the peer chose of those offered.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }
}

/// The failure that an error of rustls stands for.
fn failure_of(error: &rustls::Error) -> Failure {
    use rustls::CertificateError as Certificate;
    use rustls::Error as E;
    Failure::Tls(match error {
        E::InvalidCertificate(why) => match why {
            Certificate::Expired | Certificate::ExpiredContext { .. } => TlsFault::Expired,
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                TlsFault::NotValidYet
            }
            // An issuer of the same name with another key is another issuer.
            Certificate::UnknownIssuer | Certificate::BadSignature => TlsFault::UnknownIssuer,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            Certificate::Revoked => TlsFault::Revoked,
            Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => {
                TlsFault::WrongPurpose
            }
            // What webpki says of an issuer's certificate that a server shows as its own.
            Certificate::Other(_) => TlsFault::IssuerAsServer,
            _ => TlsFault::BadCertificate,
        },
        E::NoCertificatesPresented => TlsFault::NoCertificate,
        E::InvalidMessage(_) => TlsFault::NotTls,
        E::PeerIncompatible(_) => TlsFault::Incompatible,
        E::NoApplicationProtocol => TlsFault::NoProtocol,
        E::AlertReceived(alert) => TlsFault::Alert(u8::from(*alert)),
        _ => TlsFault::Broken,
    })
}
