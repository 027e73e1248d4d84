//! A heap profile served over HTTP: by Go, or by anyone who serves `profile.proto`. In: a URL.
//! Out: the profile, and of Go also its goroutines as a census and its own totals. What a profile
//! says is left to `parse`, what goroutines do to `goroutine`.
//!
//! Source: Go's `net/http/pprof` and `runtime/pprof`. Figures are those of the last collection,
//! so one is forced. What has a finalizer, or lies in a `sync.Pool`, outlives the first.

use super::http::{ANSWER_TIMEOUT, Endpoint, SNAPSHOT_TIMEOUT};
use super::{Fetched, Memory, SourceError, process_memory};
use crate::goroutine;
use ebbtide_record::census::CensusCount;
use ebbtide_record::snapshot::{AllocatorTotals, SCHEMA, Sampling};
use ebbtide_record::{Census, Kind, Sidecar};
use hyper::Method;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::OnceCell;

/// Where Go and the probe serve their heap.
pub(crate) const HEAP_PATH: &str = "/debug/pprof/heap";

/// Statuses that say that nothing is served there. Any other may be gone with the next request: a
/// server that is not ready, or busy.
const ABSENT: [u16; 4] = [404, 405, 410, 501];

/// What a page must hold to be Go's index of profiles.
const INDEX_MARK: &str = "goroutine?debug=";

/// Someone who serves a heap profile.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) endpoint: Endpoint,
    /// Folder of the profiles, with a slash at its end.
    folder: String,
    /// The profile in it, with its query.
    profile: String,
    /// What counts as own code among goroutines.
    pub(crate) own: Arc<Vec<String>>,
    /// What else it serves; asked once.
    offers: Arc<OnceCell<Offers>>,
}

/// What a server offers beside the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Offers {
    /// It is Go, with its goroutines in text.
    goroutines: bool,
    /// It has an index, in which goroutines are counted without looking at each.
    index: bool,
}

impl Served {
    /// From a URL: without a path, or with that of an index, the heap is meant. Nothing is sent.
    pub(crate) fn at(url: &str) -> Result<Self, SourceError> {
        let (endpoint, path) = Endpoint::of(url)?;
        let path = match path.as_str() {
            "/" => HEAP_PATH.to_owned(),
            index if index.ends_with("/pprof") => format!("{index}/heap"),
            index if index.ends_with("/pprof/") => format!("{index}heap"),
            _ => path,
        };
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        // Go's figures are those of its last collection; others ignore the word.
        let query = if name == "heap" { "?gc=1" } else { "" };
        Ok(Self {
            endpoint,
            folder: format!("{folder}/"),
            profile: format!("{name}{query}"),
            own: Arc::default(),
            offers: Arc::default(),
        })
    }

    /// Takes a profile; with `settled` after as many collections as finalizers and pools need.
    pub(crate) async fn snapshot(
        &self,
        pid: Option<u32>,
        settled: bool,
    ) -> Result<Fetched, SourceError> {
        let mut bytes = self.ask(&self.profile).await?;
        let offers = self.offers().await;
        if settled && offers.goroutines {
            bytes = self.ask(&self.profile).await?;
        }
        let sidecar = if offers.goroutines { self.sidecar(pid).await } else { None };
        Ok(Fetched { bytes, path: None, sidecar })
    }

    /// How many goroutines there are, by kind alone: looking at each stops the program.
    pub(crate) async fn census(&self) -> Result<Census, SourceError> {
        if !self.offers().await.index {
            let target = format!("`http://{}`", self.endpoint.authority);
            return Err(SourceError::NotOffered { target, what: "a census between snapshots" });
        }
        let page = self.text("").await?;
        let live = goroutines(&page).unwrap_or_default();
        let count = CensusCount { live, ..CensusCount::default() };
        Ok(Census { kinds: [(Kind::Task, count)].into(), ..Census::default() })
    }

    /// What the kernel says of its process. Go's own total between two collections holds what is
    /// garbage already, so it stands for no live heap and is told with snapshots alone.
    pub(crate) async fn memory(&self, pid: Option<u32>) -> Result<Memory, SourceError> {
        match pid {
            Some(pid) => Ok(Memory { pid, process: process_memory(pid)?, ..Memory::default() }),
            None if self.offers().await.index => Ok(Memory::default()),
            None => {
                let target = format!("`http://{}`", self.endpoint.authority);
                let what = "its memory (give its pid as well)";
                Err(SourceError::NotOffered { target, what })
            }
        }
    }

    /// It is Go, as far as it was asked.
    pub(crate) fn is_go(&self) -> bool {
        self.offers.get().is_some_and(|offers| offers.goroutines)
    }

    /// Whether there is an index of Go's profiles where it should be.
    pub(crate) async fn has_index(&self) -> bool {
        self.offers().await.index
    }

    async fn offers(&self) -> Offers {
        // Elsewhere than in Go's own folder nobody knows what a request would do.
        if !self.folder.ends_with("/pprof/") {
            return Offers::default();
        }
        // An error is none of ours to tell: the profile is asked for next, and has the same.
        let asked = self.offers.get_or_try_init(|| async {
            let index = self.there("").await.map(|page| goroutines(&page?));
            if let Ok(Some(_)) = index {
                return Ok(Offers { goroutines: true, index: true });
            }
            // Without an index Go may still serve them one by one.
            let text = self.there("goroutine?debug=1").await?;
            let goroutines = text.and_then(|text| goroutine::census(&text, &self.own)).is_some();
            if !goroutines {
                index?;
            }
            Ok::<_, SourceError>(Offers { goroutines, index: false })
        });
        asked.await.copied().unwrap_or_default()
    }

    /// A text, or `None` where nothing of the kind is served.
    async fn there(&self, what: &str) -> Result<Option<String>, SourceError> {
        match self.text(what).await {
            Ok(text) => Ok(Some(text)),
            Err(SourceError::Answer { .. }) => Ok(None),
            Err(SourceError::Refused { status, .. }) if ABSENT.contains(&status) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn goroutines(&self) -> Option<Census> {
        goroutine::census(&self.text("goroutine?debug=1").await.ok()?, &self.own)
    }

    /// What Go tells beside its heap. What cannot be had is left out: the heap counts.
    async fn sidecar(&self, pid: Option<u32>) -> Option<Sidecar> {
        let at_unix_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let mut census = self.goroutines().await?;
        census.at_unix_ms = at_unix_ms;
        let text = self.text("heap?debug=1").await.unwrap_or_default();
        let process = pid.and_then(|pid| process_memory(pid).ok());
        Some(Sidecar {
            schema: SCHEMA.to_owned(),
            pid: pid.unwrap_or_default(),
            at_unix_ms,
            trigger: "http".to_owned(),
            sampling: sampling(&text).unwrap_or_default(),
            process: process.unwrap_or_default(),
            allocator: totals(&text).unwrap_or_default(),
            census,
            ..Sidecar::default()
        })
    }

    async fn ask(&self, what: &str) -> Result<Vec<u8>, SourceError> {
        let path = format!("{}{what}", self.folder);
        self.endpoint.ask(Method::GET, &path, SNAPSHOT_TIMEOUT).await
    }

    async fn text(&self, what: &str) -> Result<String, SourceError> {
        let path = format!("{}{what}", self.folder);
        let body = self.endpoint.ask(Method::GET, &path, ANSWER_TIMEOUT).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }
}

/// The number that an index has for goroutines: in the cell before their name.
fn goroutines(page: &str) -> Option<u64> {
    let (before, _) = page.split_once(INDEX_MARK)?;
    let before = &before[..before.rfind("</td>")?];
    before.rsplit('>').next()?.trim().parse().ok()
}

/// `heap profile: ... @ heap/1048576`: twice the mean bytes between two samples.
fn sampling(text: &str) -> Option<Sampling> {
    let (_, twice) = text.lines().next()?.rsplit_once("@ heap/")?;
    Some(Sampling { mean_bytes: twice.trim().parse::<u64>().ok()? / 2 })
}

/// Go's own totals, at the end of its profile in text, under the names of the form.
fn totals(text: &str) -> Option<AllocatorTotals> {
    let (_, figures) = text.rsplit_once("# runtime.MemStats")?;
    let figure = |name: &str| -> Option<u64> {
        let line = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))?;
        line.trim().parse().ok()
    };
    let released = figure("# HeapReleased")?;
    Some(AllocatorTotals {
        allocated_bytes: figure("# HeapAlloc")?,
        active_bytes: figure("# HeapInuse")?,
        resident_bytes: figure("# HeapSys")?.saturating_sub(released),
        retained_bytes: released,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lead_to_the_heap() {
        for (url, folder, profile) in [
            ("http://h:1", "/debug/pprof/", "heap?gc=1"),
            ("http://h:1/debug/pprof", "/debug/pprof/", "heap?gc=1"),
            ("http://h:1/debug/pprof/", "/debug/pprof/", "heap?gc=1"),
            ("http://h:1/debug/pprof/heap", "/debug/pprof/", "heap?gc=1"),
            ("http://h:1/debug/pprof/heap?gc=0", "/debug/pprof/", "heap?gc=0"),
            ("http://h:1/admin/debug/pprof/", "/admin/debug/pprof/", "heap?gc=1"),
            ("http://h:1/heapdump", "/", "heapdump"),
        ] {
            let served = Served::at(url).unwrap();
            assert_eq!((served.folder.as_str(), served.profile.as_str()), (folder, profile));
        }
    }

    #[test]
    fn an_index_tells_how_many_goroutines_there_are() {
        let page = "<tr><td>7</td><td><a href='allocs?debug=1'>allocs</a></td></tr>\n\
                    <tr><td>303</td><td><a href='goroutine?debug=1'>goroutine</a></td></tr>";
        assert_eq!(goroutines(page), Some(303));
        assert_eq!(goroutines("<a href='goroutine?debug=1'>"), None);
        assert_eq!(goroutines("{}"), None);
    }

    #[test]
    fn totals_stand_behind_the_profile() {
        let text = "heap profile: 9: 34928 [9: 34928] @ heap/1048576\n1: 16 [1: 16] @ 0x1\n\n\
                    # runtime.MemStats\n# Alloc = 5\n# HeapAlloc = 527632\n# HeapSys = 3211264\n\
                    # HeapIdle = 1\n# HeapInuse = 1490944\n# HeapReleased = 778240\n";
        assert_eq!(sampling(text), Some(Sampling { mean_bytes: 524_288 }));
        let totals = totals(text).unwrap();
        assert_eq!((totals.allocated_bytes, totals.resident_bytes), (527_632, 2_433_024));
        assert_eq!(super::totals("heap profile: 0"), None);
    }
}
