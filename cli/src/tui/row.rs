//! The table of sites: which sites it has, in which order. In: the app. Out: rows of values, not
//! yet of text. A site stands in it once the heap was seen; its verdict comes when it is judged.
//! Writing them as text is left to the views.

use super::app::App;
use super::comparison::Comparison;
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{Kind, State, Verdict};
use ebbtide_reports::finding::place;
use std::cmp::Ordering;

/// The order of the table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Sort {
    /// The worst word first, then the fastest growth.
    #[default]
    Verdict,
    /// The fastest growth first.
    Growth,
    /// The largest first.
    Live,
    /// By name.
    Site,
}

impl Sort {
    /// The order after this one.
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Verdict => Self::Growth,
            Self::Growth => Self::Live,
            Self::Live => Self::Site,
            Self::Site => Self::Verdict,
        }
    }

    /// Its name.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Growth => "growth",
            Self::Live => "live",
            Self::Site => "site",
        }
    }
}

/// One site.
#[derive(Clone, Debug)]
pub(crate) struct SiteRow<'a> {
    /// Its identifier.
    pub(crate) id: &'a str,
    /// Function, file and line.
    pub(crate) place: String,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Live bytes at the newest snapshot (or the compared one); `None` when it is not among the
    /// largest sites there.
    pub(crate) live_bytes: Option<f64>,
    /// Live bytes at the baseline, when two snapshots are compared.
    pub(crate) before_bytes: Option<f64>,
    /// Growth from the first snapshot or the baseline, bytes.
    pub(crate) growth_bytes: f64,
    /// What was found, once it is judged.
    pub(crate) judged: Option<&'a SiteVerdict>,
}

impl SiteRow<'_> {
    /// Growth by which rows are ordered: per operation when it is known.
    fn rank(&self) -> f64 {
        self.judged.map_or(self.growth_bytes, |site| site.growth_per_op.value)
    }

    /// The word for it.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.judged.map(|site| site.verdict)
    }
}

/// The rows of the table, filtered and in order.
pub(crate) fn rows_of(app: &App) -> Vec<SiteRow<'_>> {
    let comparison = app.comparison();
    let mut rows = match &comparison {
        Some(comparison) => compared(app.shown(), comparison),
        None => over_all(app.shown()),
    };
    let filter = app.filter.to_lowercase();
    rows.retain(|row| {
        filter.is_empty()
            || row.place.to_lowercase().contains(&filter)
            || row.kind.key().contains(&filter)
            || row.verdict().is_some_and(|verdict| verdict.key().contains(&filter))
    });
    let by_growth: fn(&SiteRow<'_>, &SiteRow<'_>) -> Ordering = if comparison.is_some() {
        |a, b| b.growth_bytes.total_cmp(&a.growth_bytes)
    } else {
        |a, b| b.rank().total_cmp(&a.rank())
    };
    rows.sort_by(|a, b| {
        match app.order() {
            Sort::Verdict => word_order(a).cmp(&word_order(b)),
            Sort::Growth => Ordering::Equal,
            Sort::Live => b.live_bytes.unwrap_or(0.0).total_cmp(&a.live_bytes.unwrap_or(0.0)),
            Sort::Site => a.place.cmp(&b.place),
        }
        .then_with(|| by_growth(a, b))
        .then_with(|| a.place.cmp(&b.place))
    });
    rows
}

fn word_order(row: &SiteRow<'_>) -> Verdict {
    row.verdict().unwrap_or(Verdict::NotWatched)
}

fn compared<'a>(state: &'a State, comparison: &Comparison<'a>) -> Vec<SiteRow<'a>> {
    comparison
        .sites()
        .into_iter()
        .map(|pair| SiteRow {
            id: &pair.site.id,
            place: place(&pair.site.function, &pair.site.file, pair.site.line),
            kind: pair.site.kind,
            live_bytes: pair.after,
            before_bytes: pair.before,
            growth_bytes: pair.growth(),
            judged: state.memory.sites.iter().find(|site| site.id == pair.site.id),
        })
        .collect()
}

/// Sites that were judged, and sites of the newest snapshot that were not.
fn over_all(state: &State) -> Vec<SiteRow<'_>> {
    let newest = state.snapshots.last();
    let first = state.snapshots.first();
    let before = |id: &str| {
        first
            .and_then(|taken| taken.value.sites.iter().find(|site| site.id == id))
            .map(|site| site.live_bytes)
    };
    let mut rows: Vec<SiteRow<'_>> = state
        .memory
        .sites
        .iter()
        .map(|site| SiteRow {
            id: &site.id,
            place: place(&site.function, &site.file, site.line),
            kind: site.kind,
            live_bytes: Some(site.live_bytes as f64),
            before_bytes: before(&site.id),
            growth_bytes: site.live_bytes as f64 - before(&site.id).unwrap_or(0.0),
            judged: Some(site),
        })
        .collect();
    for site in newest.iter().flat_map(|taken| &taken.value.sites) {
        if rows.iter().any(|row| row.id == site.id) {
            continue;
        }
        rows.push(SiteRow {
            id: &site.id,
            place: place(&site.function, &site.file, site.line),
            kind: site.kind,
            live_bytes: Some(site.live_bytes),
            before_bytes: before(&site.id),
            growth_bytes: site.live_bytes - before(&site.id).unwrap_or(0.0),
            judged: None,
        });
    }
    rows
}
