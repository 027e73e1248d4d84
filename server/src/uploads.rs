//! Files that users have sent: on their way in, where they lie, and on their way out.
//! In: bytes as they come, at most so many files at a time and so many bytes each. Out: files that
//! are whole, under the name of their content's hash, which nobody chose; what they are by their
//! content. What is not whole is removed, at once or at the next start.
//! Leaves to others: who may (`auth::access`), what is known of a file (`store`), forms and
//! headers (`api`).

mod multipart;
mod picture;
mod sniff;
mod thumbs;

pub(crate) use multipart::{Form, FormError, Piece};
pub(crate) use picture::PictureError;
pub(crate) use sniff::Kind;
pub(crate) use thumbs::{Jobs, run};

use crate::auth;
use crate::config::{Config, Database};
use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};
use sniff::SNIFFED_BYTES;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Files that may be coming in at one time. Each has a file open, and a portion in memory.
const AT_ONCE: usize = 64;

/// After this time a file that is not whole is nobody's any more: no request lasts as long.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// Where files are that are not whole, that are, and small pictures of them.
const INCOMING: &str = "incoming";
const FILES: &str = "files";
const SMALL: &str = "small";

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("{0} files are coming in already, try again in a moment")]
    Busy(usize),
    #[error("the file has more than {0} bytes, which is as many as are taken")]
    TooLong(u64),
    #[error("the file is empty, or of a kind that is not taken")]
    Kind,
    #[error("{0}")]
    Picture(#[from] PictureError),
    #[error("the file could not be kept: {0}")]
    File(#[from] io::Error),
}

/// Where files lie.
#[derive(Debug)]
pub(crate) struct Uploads {
    folder: PathBuf,
    /// Removed with the server, when nothing else is kept either.
    is_passing: bool,
    places: Arc<Semaphore>,
    most: u64,
    pub(crate) jobs: Jobs,
}

/// A file that is coming in; removed when it does not become whole.
pub(crate) struct Incoming {
    path: PathBuf,
    file: File,
    hash: Context,
    begin: Vec<u8>,
    bytes: u64,
    most: u64,
    _place: OwnedSemaphorePermit,
}

/// A file that is whole, and where it should be.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) hash: String,
    pub(crate) bytes: u64,
    pub(crate) kind: Kind,
    /// Width and height of a picture.
    pub(crate) size: Option<(u32, u32)>,
}

impl Uploads {
    /// As the configuration says: in a folder that is named, or beside the database.
    pub(crate) fn new(config: &Config) -> Self {
        let (folder, is_passing) = match (&config.uploads, &config.database) {
            (Some(folder), _) => (folder.clone(), false),
            (None, Database::File(file)) => {
                let mut name = file.clone().into_os_string();
                name.push(".uploads");
                (name.into(), false)
            }
            (None, Database::Postgres(_)) => ("ebbtide-uploads".into(), false),
            (None, Database::Memory) => {
                // Nobody can have made it before, with something in it.
                let name = auth::random_secret().unwrap_or_default();
                (std::env::temp_dir().join(format!("ebbtide-{name}")), true)
            }
        };
        let (places, jobs) = (Arc::new(Semaphore::new(AT_ONCE)), Jobs::default());
        Self { folder, is_passing, places, most: config.limits.upload_bytes, jobs }
    }

    /// Begins a file.
    pub(crate) async fn begin(&self) -> Result<Incoming, UploadError> {
        let place = self.places.clone().try_acquire_owned();
        let place = place.map_err(|_| UploadError::Busy(AT_ONCE))?;
        let name = auth::random_secret().ok_or_else(|| io::Error::other("no randomness"))?;
        let path = self.folder.join(INCOMING).join(name);
        let file = match create(&path).await {
            // The first of all, or somebody has cleared the folder.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                tokio::fs::create_dir_all(self.folder.join(INCOMING)).await?;
                create(&path).await?
            }
            file => file?,
        };
        let (hash, begin) = (Context::new(&SHA256), Vec::new());
        Ok(Incoming { path, file, hash, begin, bytes: 0, most: self.most, _place: place })
    }

    /// Puts a file that has come to its end where it belongs.
    pub(crate) async fn finish(&self, mut incoming: Incoming) -> Result<Whole, UploadError> {
        let is_whole = incoming.bytes <= SNIFFED_BYTES as u64;
        let kind = sniff::sniff(&incoming.begin, is_whole).ok_or(UploadError::Kind)?;
        incoming.file.flush().await?;
        incoming.file.sync_all().await?;
        let mut size = None;
        if kind.is_picture() {
            let path = incoming.path.clone();
            let measure = move || picture::measure(std::fs::File::open(path)?, kind);
            let measured = tokio::task::spawn_blocking(measure).await;
            size = Some(measured.map_err(io::Error::other)??);
        }
        let hash = HEXLOWER.encode(incoming.hash.clone().finish().as_ref());
        let path = self.file(&hash);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        // The same content may be there already: then this takes its place, and nothing changes.
        tokio::fs::rename(&incoming.path, &path).await?;
        Ok(Whole { hash, bytes: incoming.bytes, kind, size })
    }

    /// Where the content of that hash lies.
    pub(crate) fn file(&self, hash: &str) -> PathBuf {
        self.place(FILES, hash)
    }

    /// Where a small picture of it lies.
    pub(crate) fn small(&self, hash: &str) -> PathBuf {
        self.place(SMALL, hash)
    }

    /// A hash is hexadecimal digits: no part of it leads elsewhere.
    fn place(&self, what: &str, hash: &str) -> PathBuf {
        self.folder.join(what).join(hash.get(..2).unwrap_or_default()).join(hash)
    }

    /// Removes what was coming in when another process ended.
    pub(crate) async fn clear(&self) {
        let folder = self.folder.join(INCOMING);
        let cleared = tokio::task::spawn_blocking(move || clear(&folder)).await;
        if let Ok(Err(error)) = cleared {
            tracing::warn!(%error, "files that are not whole could not be removed");
        }
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        if self.is_passing {
            // It is not there when nobody has sent anything.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

async fn create(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path).await
}

fn clear(folder: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        // Another process may be writing to it, and may remove it first.
        let Ok(changed) = entry.metadata().and_then(|file| file.modified()) else { continue };
        if SystemTime::now().duration_since(changed).is_ok_and(|age| age > FORGOTTEN) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(())
}

impl Incoming {
    /// Takes some more of it.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.most {
            return Err(UploadError::TooLong(self.most));
        }
        let missing = SNIFFED_BYTES.saturating_sub(self.begin.len()).min(bytes.len());
        self.begin.extend_from_slice(&bytes[..missing]);
        self.hash.update(bytes);
        Ok(self.file.write_all(bytes).await?)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // One that has become whole is elsewhere by now.
        let _ = std::fs::remove_file(&self.path);
    }
}
