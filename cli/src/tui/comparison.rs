//! Two snapshots of a run side by side, from what the events say of them. In: the state and two
//! places in its list of snapshots. Out: live bytes of each site in both. Pure.
//! Choosing the places is left to `app`, ordering and drawing to others.

use ebbtide_record::State;
use ebbtide_record::event::{SiteLive, SnapshotTaken};
use ebbtide_record::state::At;
use std::collections::BTreeMap;

/// Two snapshots.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison<'a> {
    /// The baseline.
    pub(crate) before: &'a At<SnapshotTaken>,
    /// The one compared with it.
    pub(crate) after: &'a At<SnapshotTaken>,
}

/// A site in either snapshot.
#[derive(Clone, Debug)]
pub(crate) struct ComparedSite<'a> {
    /// Its names, from the later one that has it.
    pub(crate) site: &'a SiteLive,
    /// Live bytes before; `None` when it was not among the largest sites then.
    pub(crate) before: Option<f64>,
    /// Live bytes after, likewise.
    pub(crate) after: Option<f64>,
}

impl ComparedSite<'_> {
    /// Growth, bytes. A site that is missing counts as empty.
    pub(crate) fn growth(&self) -> f64 {
        self.after.unwrap_or(0.0) - self.before.unwrap_or(0.0)
    }
}

impl<'a> Comparison<'a> {
    /// The comparison that the choices mean: against the first snapshot unless a baseline is
    /// chosen, of the newest unless another one is. `None` when nothing is chosen.
    pub(crate) fn between(
        state: &'a State,
        baseline: Option<usize>,
        compared: Option<usize>,
    ) -> Option<Self> {
        if baseline.is_none() && compared.is_none() {
            return None;
        }
        let before = state.snapshots.get(baseline.unwrap_or(0))?;
        let after = match compared {
            Some(place) => state.snapshots.get(place)?,
            None => state.snapshots.last()?,
        };
        Some(Self { before, after })
    }

    /// All sites of both.
    pub(crate) fn sites(&self) -> Vec<ComparedSite<'a>> {
        let mut sites: BTreeMap<&str, ComparedSite<'a>> = BTreeMap::new();
        for site in &self.before.value.sites {
            let before = Some(site.live_bytes);
            sites.insert(&site.id, ComparedSite { site, before, after: None });
        }
        for site in &self.after.value.sites {
            let entry =
                sites.entry(&site.id).or_insert(ComparedSite { site, before: None, after: None });
            entry.site = site;
            entry.after = Some(site.live_bytes);
        }
        sites.into_values().collect()
    }

    /// The operation done most often in between, and how often.
    pub(crate) fn operation(&self) -> Option<(&'a str, u64)> {
        self.after
            .value
            .operations
            .iter()
            .map(|(name, count)| {
                let earlier = self.before.value.operations.get(name).copied().unwrap_or(0);
                (name.as_str(), count.saturating_sub(earlier))
            })
            .filter(|(_, count)| *count > 0)
            .max_by_key(|(_, count)| *count)
    }
}
