//! The background job that makes small pictures. The list of what is to be made is in the
//! database: it is bounded by what is uploaded, and outlives the process.
//! In: uploads whose small picture is waited for. Out: files, and in the database what became of
//! each. What fails for want of a disk or of memory is tried again, with growing pauses; a picture
//! that cannot be read is not.
//! Leaves to others: pictures (`picture`), who is shown one (`api`).

use super::picture::{PictureError, make_small};
use super::{Kind, Uploads};
use crate::store::{Store, StoreError, Waiting};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Pictures made at one time: each takes a core, and 256 MiB at most, which is half of what a small
/// container has.
const WORKERS: usize = 1;

/// Jobs taken from the list at a time.
const AT_ONCE: usize = 16;

/// Times that one is tried.
const TRIES: i64 = 3;

/// How often the list is looked at unasked: another process may have left something.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What has become of jobs, and the bell that calls for the worker.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    bell: Notify,
    made: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
}

impl Jobs {
    /// There is something to do.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Small pictures made, tries that are to be made again, pictures given up.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 3] {
        [("made", &self.made), ("retried", &self.retried), ("failed", &self.failed)]
            .map(|(name, count)| (name, count.load(Relaxed)))
    }
}

/// Does what is on the list, until the task is aborted. `pause` lies behind the first try.
pub(crate) async fn run(uploads: Arc<Uploads>, store: Store, pause: Duration) {
    uploads.clear().await;
    loop {
        let retried = uploads.jobs.retried.load(Relaxed);
        match work(&uploads, &store, pause).await {
            // There may be more.
            Ok(count) if count >= AT_ONCE => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "small pictures have to wait"),
        }
        // By then everything that was put off just now is due.
        let was_put_off = uploads.jobs.retried.load(Relaxed) > retried;
        let wait = if was_put_off { wait(pause, TRIES) } else { LOOK_EVERY };
        tokio::select! {
            () = uploads.jobs.bell.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long a job that was tried so often is put off.
fn wait(pause: Duration, tries: i64) -> Duration {
    pause.saturating_mul(1 << tries.clamp(0, TRIES))
}

/// Does what is due, some at a time; gives how many there were.
async fn work(uploads: &Arc<Uploads>, store: &Store, pause: Duration) -> Result<usize, StoreError> {
    let due = store.small_waiting(AT_ONCE as i64).await?;
    let count = due.len();
    let mut running = JoinSet::new();
    for job in due {
        if running.len() >= WORKERS {
            running.join_next().await;
        }
        let (uploads, store) = (uploads.clone(), store.clone());
        running.spawn(async move { one(&uploads, &store, &job, pause).await });
    }
    while running.join_next().await.is_some() {}
    Ok(count)
}

async fn one(uploads: &Uploads, store: &Store, job: &Waiting, pause: Duration) {
    let tries = job.tries + 1;
    let made = if tries > TRIES {
        // Each try was begun and none has ended: the process has gone with them.
        Err(PictureError::Broken("it was too much".to_owned()))
    } else {
        // Noted before, so that a picture that takes the process along is not tried for ever.
        let noted = store.set_small(job.id, "waiting", tries, Some(wait(pause, tries))).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "a small picture has to wait");
            return;
        }
        let (from, to) = (uploads.file(&job.hash), uploads.small(&job.hash));
        let kind = Kind::of(&job.media_type);
        // A decoder that panics has failed, and takes nothing along.
        let made = tokio::task::spawn_blocking(move || make(&from, &to, kind)).await;
        made.unwrap_or_else(|_| Err(PictureError::Broken("it was too much".to_owned())))
    };
    let (state, again) = match &made {
        Ok(()) => ("made", None),
        Err(PictureError::File(_)) if tries < TRIES => ("waiting", Some(wait(pause, tries))),
        Err(_) => ("failed", None),
    };
    if let Err(error) = &made {
        tracing::warn!(upload = job.id, tries, %error, "no small picture was made");
    }
    let count = match state {
        "made" => &uploads.jobs.made,
        "waiting" => &uploads.jobs.retried,
        _ => &uploads.jobs.failed,
    };
    count.fetch_add(1, Relaxed);
    if let Err(error) = store.set_small(job.id, state, tries, again).await {
        // It is still on the list, and made again: the same file in the same place.
        tracing::warn!(%error, "what became of a small picture could not be noted");
    }
}

fn make(from: &Path, to: &Path, kind: Option<Kind>) -> Result<(), PictureError> {
    let kind = kind.ok_or_else(|| PictureError::Broken("of no kind".to_owned()))?;
    let small = make_small(std::fs::File::open(from)?, kind)?;
    let folder = to.parent().ok_or_else(|| io::Error::other("no folder"))?;
    std::fs::create_dir_all(folder)?;
    // Whoever looks finds it whole or not at all.
    let part = to.with_extension(format!("{}", std::process::id()));
    std::fs::write(&part, small)?;
    Ok(std::fs::rename(&part, to)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Database};
    use crate::store::{Caps, NewAccount, NewUpload};

    #[tokio::test]
    async fn a_picture_that_takes_the_process_along_is_given_up() {
        let config = Config::default();
        let caps = Caps { history: 8, accounts: 8, direct: 8 };
        let store = Store::open(&Database::Memory, caps).await.unwrap();
        let uploads = Arc::new(Uploads::new(&config));
        let ada = NewAccount { name: "Ada", password: "x", admin: false };
        let user = store.add_account(ada).await.unwrap().unwrap();
        let (hash, name, media_type) = ("00ff", "a.png", "image/png");
        let size = Some((1, 1));
        let new = NewUpload { hash, user, name, media_type, bytes: 1, size, is_waiting: true };
        let (id, _) = store.add_upload(new).await.unwrap();
        // The process has gone after it noted its last try.
        store.set_small(id, "waiting", TRIES, None).await.unwrap();
        assert_eq!(work(&uploads, &store, Duration::ZERO).await.unwrap(), 1);
        assert_eq!(store.upload(id).await.unwrap().unwrap().small, "failed");
        assert_eq!(uploads.jobs.counts()[2].1, 1);
        // A try that has begun is noted, whatever becomes of it.
        store.set_small(id, "waiting", 0, None).await.unwrap();
        let due = store.small_waiting(1).await.unwrap();
        one(&uploads, &store, &due[0], Duration::from_secs(600)).await;
        assert!(store.small_waiting(1).await.unwrap().is_empty(), "it is put off");
    }
}
