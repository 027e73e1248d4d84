//! Why a site got its word, what it most likely is, and what to do about it. In: the verdict of a
//! run as it was recorded, and one of its sites. Out: an [`Explanation`]: the evidence rung by
//! rung with the numbers of this run, a likely cause with its cure, and what to measure next.
//!
//! Judging is left to the profiler, and how it looks to the renderers: text, HTML and the screen.

mod cause;
mod choose;
mod cure;
mod language;
mod next;
mod rungs;

pub use cause::{Cause, Likely};
pub use choose::{NotChosen, choose};
pub use cure::Cure;
pub use language::Language;
pub use next::Onward;
pub use rungs::{Bearing, Rung};

use ebbtide_record::event::RunStarted;
use ebbtide_record::verdict::SiteVerdict;
use ebbtide_record::{MemoryVerdict, State, Verdict};
use serde::Serialize;

/// Everything that an explanation draws on.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The site.
    pub site: &'a SiteVerdict,
    /// What was found in the run as a whole.
    pub memory: &'a MemoryVerdict,
    /// How the run began, where that is known.
    pub started: Option<&'a RunStarted>,
    /// The run's folder as a person would type it, where there is one.
    pub folder: Option<&'a str>,
}

impl<'a> Case<'a> {
    /// The case of a site of a recorded run.
    #[must_use]
    pub fn of(state: &'a State, site: &'a SiteVerdict, folder: Option<&'a str>) -> Self {
        Self { site, memory: &state.memory, started: state.started.as_ref(), folder }
    }

    /// The operation that growth is counted per: `connect /ws`, or `operation` where nobody knows.
    #[must_use]
    pub fn operation(&self) -> &'a str {
        let said = [Some(&self.site.growth_per_op), self.site.objects_per_op.as_ref()];
        let names = said.into_iter().flatten().map(|estimate| estimate.operation.as_str());
        names.into_iter().find(|name| !name.is_empty()).unwrap_or("operation")
    }

    /// Whether it grows, or may.
    fn grows(&self) -> bool {
        matches!(self.site.verdict, Verdict::Leaking | Verdict::Growing | Verdict::Inconclusive)
    }

    /// Growth of no interest, bytes per operation: as judged, or as the run has it.
    fn limit(&self) -> f64 {
        if !self.site.evidence.is_empty() {
            return self.site.evidence.limit;
        }
        let limits = &self.memory.limits;
        limits.get(self.operation()).or_else(|| limits.get("*")).copied().unwrap_or(0.0)
    }
}

/// Why a site got its word, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The evidence, in the order in which it is asked for.
    pub rungs: Vec<Rung>,
    /// What it most likely is; absent where nothing grows.
    pub likely: Option<Likely>,
    /// What is wrong in such code, and how it is mended; absent where nothing grows.
    pub cure: Option<Cure>,
    /// What to do or to measure next, the most useful first.
    pub onward: Vec<Onward>,
}

impl Explanation {
    /// Explains a site.
    #[must_use]
    pub fn of(case: &Case<'_>) -> Self {
        let likely = case.grows().then(|| Likely::of(case));
        let cure = likely.as_ref().map(|likely| Cure::of(likely.cause, Language::of(case.site)));
        Self { rungs: rungs::of(case), likely, cure, onward: next::of(case) }
    }
}
