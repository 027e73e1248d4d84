//! What Go's runtime keeps for goroutines: its record of each and what they wait with, allocated on
//! a stack that shows nothing of who started them. In: a series, and the counts that grow. Out: the
//! series with that memory at the place whose goroutines grow in number, which it belongs to. Pure.
//!
//! Source: `malg`, `newproc1`, `allgadd` and `acquireSudog` of Go's `runtime/proc.go`. Go keeps the
//! record of a goroutine that has ended for the next one, so none is left where none grows.

use crate::frame::same_file;
use crate::growth::Operations;
use crate::series::{Series, SiteTrack};
use crate::site;
use crate::tally::Tally;
use ebbtide_record::Kind;
use ebbtide_record::verdict::FrameLine;
use std::borrow::Cow;

/// What allocates for a goroutine, in functions of the runtime.
const FOR_GOROUTINES: &[&str] =
    &["runtime.malg", "runtime.newproc1", "runtime.allgadd", "runtime.acquireSudog"];

/// All that stands on such a stack is of this package.
const RUNTIME: &str = "runtime.";

/// The share of all new goroutines that must wait in one place for what Go keeps of them to be
/// told there, whatever operations they come with: it keeps as much of each.
const SHARE_MIN: f64 = 0.8;

/// The series with what Go keeps for goroutines at the place that they are of, where they grow in
/// number at one place.
pub(crate) fn settled<'a>(
    series: &'a Series,
    tallies: &[Tally],
    operations: &[Operations],
) -> Cow<'a, Series> {
    let kept = || series.sites().iter().filter(|(_, site)| of_go(&site.stack));
    let came = |tally: &Tally| {
        let growth = &tally.growth;
        growth.slope.value * operations.get(growth.with).map_or(0.0, Operations::total)
    };
    let goroutines = || tallies.iter().filter(|tally| is_of_goroutines(tally));
    let all: f64 = goroutines().map(came).sum();
    let most = goroutines().max_by(|a, b| came(a).total_cmp(&came(b)));
    let (Some((_, largest)), Some(most)) = (kept().next(), most) else {
        return Cow::Borrowed(series);
    };
    if came(most) < all * SHARE_MIN {
        return Cow::Borrowed(series);
    }
    let same =
        |site: &SiteTrack| site.function == most.function && same_file(&site.file, &most.file);
    let there = series.sites().iter().find(|(_, site)| same(site)).map(|(id, _)| id.clone());
    let (function, file, line) = (most.function.clone(), most.file.clone(), most.line);
    let id = there.unwrap_or_else(|| site::id(&function, &file));
    let mut stack = largest.stack.clone();
    stack.push(FrameLine { function, file, line, own: true });
    let kept: Vec<String> = kept().map(|(id, _)| id.clone()).collect();
    Cow::Owned(series.gathered(&kept, &id, stack))
}

/// Why a place that allocates nothing holds memory.
pub(crate) fn reason(site: &SiteTrack) -> Option<String> {
    let (last, before) = site.stack.split_last()?;
    (last.own && of_go(before)).then(|| {
        "nothing is allocated there: it is what Go itself keeps of each goroutine that waits \
         there, apart from its stack, which Go does not count as heap"
            .to_owned()
    })
}

/// All on a stack is Go's runtime, at work for a goroutine.
fn of_go(stack: &[FrameLine]) -> bool {
    let works = |frame: &FrameLine| FOR_GOROUTINES.contains(&frame.function.as_str());
    stack.iter().all(|frame| frame.function.starts_with(RUNTIME)) && stack.iter().any(works)
}

/// The runtime of Go counts goroutines; a probe counts tasks of Rust.
fn is_of_goroutines(tally: &Tally) -> bool {
    matches!(tally.kind, Kind::Task | Kind::Connection) && tally.file.ends_with(".go")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::growth;
    use crate::profile::Cell;
    use crate::series::Observation;
    use crate::site::{Folded, FoldedCell, FoldedSite};
    use crate::tally;
    use ebbtide_record::Census;
    use ebbtide_record::census::{CensusCount, CensusSite};
    use ebbtide_record::event::RoundKind;

    fn line(function: &str) -> FrameLine {
        FrameLine { function: function.to_owned(), ..FrameLine::default() }
    }

    /// Rounds in each of which `waits` goroutines more wait at each of the places.
    fn rounds(waits: &[(&str, u64)]) -> Series {
        let mut series = Series::default();
        for round in 0..6_u32 {
            let done = u64::from(round);
            let count = |more| CensusCount { live: 5 + more * done, ..CensusCount::default() };
            let site = |(function, more): &(&str, u64)| CensusSite {
                kind: Kind::Task,
                function: (*function).to_owned(),
                file: "app/main.go".to_owned(),
                line: 7 + *more as u32,
                count: count(*more),
                age_s: None,
            };
            let cell = Cell { live_bytes: 4e4 * done as f64, ..Cell::default() };
            let heap = FoldedSite {
                id: "go".to_owned(),
                function: "runtime.systemstack".to_owned(),
                stack: ["runtime.malg", "runtime.systemstack"].map(|at| line(at).into()).into(),
                cells: vec![FoldedCell { stack: 1, cell }],
                ..FoldedSite::default()
            };
            series.push(Observation {
                round,
                kind: if round == 0 { RoundKind::Warmup } else { RoundKind::New },
                operations: [("GET /".to_owned(), 100)].into(),
                folded: Folded { sites: vec![heap], ..Folded::default() },
                census: Census {
                    schema: "ebbtide/census/1".to_owned(),
                    sites: waits.iter().map(site).collect(),
                    ..Census::default()
                },
                ..Observation::default()
            });
        }
        series
    }

    #[test]
    fn goroutines_of_rare_operations_are_weighed_by_how_many_they_are() {
        let growth = |with, value| growth::Growth {
            with,
            slope: crate::trend::Slope { value, ..crate::trend::Slope::default() },
            ..growth_of_nothing()
        };
        let counts = |count| Operations { counts: vec![count; 5], ..Operations::default() };
        let operations = [counts(1_000.0), counts(10.0)];
        let series = rounds(&[]);
        // Per operation the rare one leaves twice as many; in all, the other leaves fifty times as
        // many.
        let tally = |function: &str, with, value| Tally {
            kind: Kind::Task,
            function: function.to_owned(),
            file: "app/main.go".to_owned(),
            line: 7,
            live: 1,
            column: crate::series::Column::default(),
            growth: growth(with, value),
        };
        let tallies = [tally("main.rare", 1, 1.0), tally("main.wait", 0, 0.5)];
        let settled = settled(&series, &tallies, &operations);
        let functions = settled.sites().values().map(|site| site.function.as_str());
        assert_eq!(functions.collect::<Vec<_>>(), ["main.wait"]);
    }

    fn growth_of_nothing() -> growth::Growth {
        growth::Growth {
            with: 0,
            slope: crate::trend::Slope::default(),
            by_operation: Vec::new(),
            margins: Vec::new(),
            halves: None,
            late: None,
            latest: None,
            by_novelty: None,
            filled: None,
            lasting: None,
            fading: None,
            evenness: 0.0,
        }
    }

    fn settle(series: &Series) -> Series {
        let operations = growth::group(series.worked());
        let kinds: Vec<RoundKind> =
            series.worked().iter().map(|point| point.observation.kind).collect();
        settled(series, &tally::growing(series, &operations, &kinds), &operations).into_owned()
    }

    #[test]
    fn what_go_keeps_is_where_its_goroutines_wait() {
        let series = settle(&rounds(&[("main.wait", 100), ("main.rare", 0)]));
        let sites: Vec<&SiteTrack> = series.sites().values().collect();
        assert_eq!(sites.len(), 1);
        assert_eq!((sites[0].function.as_str(), sites[0].line), ("main.wait", 107));
        assert_eq!(series.levels(sites[0]).last(), Some(&2e5));
        assert!(sites[0].stack.last().is_some_and(|frame| frame.own));
        assert!(reason(sites[0]).is_some());
    }

    #[test]
    fn where_nothing_waits_or_several_do_it_stays_with_the_runtime() {
        for waits in [&[][..], &[("main.wait", 0)], &[("main.a", 90), ("main.b", 100)]] {
            let series = settle(&rounds(waits));
            let functions: Vec<&str> =
                series.sites().values().map(|site| site.function.as_str()).collect();
            assert_eq!(functions, ["runtime.systemstack"], "{waits:?}");
        }
    }
}
