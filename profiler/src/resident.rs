//! Resident memory alone: which word a process without a heap to look at may earn. In: the growth
//! of its resident set and the court it stands before. Out: a word, whether more rounds could
//! change it, and the reasons. Pure.
//!
//! Resident memory has no places, holds what the allocator keeps for later, and moves in pages and
//! arenas: a step stays. So all of its scatter is taken for drift, and it is never `leaking`.

use crate::growth::Growth;
use crate::ladder::{CONFIDENCE, Court, doubt, no_longer};
use crate::rules::LOOKS;
use crate::trend::Slope;
use ebbtide_record::Verdict;
use ebbtide_record::event::RoundKind;

/// Measured rounds before which it is not called growing: runtimes fill their arenas for as long
/// as ten rounds of a clean program.
const ROUNDS_MIN: u32 = LOOKS[2];

/// What such a word is worth, and what would tell more.
pub(crate) const NO_PLACE: &str = "resident memory alone was seen, which names no place and holds \
     what the allocator keeps for later: leave `heap` out for a heap with places (Node is asked \
     through its inspector, Go through `net/http/pprof`), add the probe to a program in Rust, or \
     take the heap profiler of its language";

/// What a calm word leaves open.
pub(crate) const ROOM: &str = "memory that was resident and free before may have taken growth in, \
     so what is kept may grow all the same: more operations per round fill that room sooner, and a \
     heap tells";

impl Court<'_> {
    /// The word for growth of resident memory that is sure and above the limit.
    pub(crate) fn word_for_resident(
        &self,
        growth: &Growth,
        over: &dyn Fn(&Slope) -> bool,
        reasons: &mut Vec<String>,
    ) -> (Verdict, bool) {
        let ended = growth.late.is_some_and(|late| over(&late))
            || growth.latest.is_some_and(|latest| over(&latest));
        if let (true, Some((early, _))) = (ended, growth.halves) {
            reasons.push(no_longer(&early));
            return (Verdict::Warming, false);
        }
        let rounds = self.kinds.len();
        if rounds < ROUNDS_MIN as usize {
            reasons.push(format!(
                "it grows, and {rounds} measured rounds are too few to tell that from a runtime \
                 that fills its arenas: at least {ROUNDS_MIN} are needed (`max_rounds`)"
            ));
            return (Verdict::Inconclusive, true);
        }
        // A few arenas are soon more than the limit, and no sign of more to come.
        let (low, interest) =
            (growth.slope.interval(CONFIDENCE).0, self.limits[growth.with].interest);
        if low <= interest {
            reasons.push(format!(
                "it grows, and whether by more than {interest:.0} bytes per operation is not sure \
                 ({low:.0} at least): more operations per round would tell"
            ));
            return (Verdict::Inconclusive, true);
        }
        if let Some(doubt) = doubt(growth) {
            reasons.push(doubt);
            return (Verdict::Inconclusive, true);
        }
        let replayed = growth.by_novelty.filter(|_| self.kinds.contains(&RoundKind::Replay));
        reasons.push(match replayed {
            Some((new, replay)) if replay.lower(CONFIDENCE) <= 0.0 => format!(
                "whether it grows on replayed input too is not sure ({:.1} bytes per operation \
                 with new input, {:.1} when the same comes again): something kept by key is not \
                 excluded",
                new.value, replay.value
            ),
            Some((_, replay)) => format!(
                "replayed input makes it grow as well ({:.1} bytes per operation), so it is not \
                 a cache that fills",
                replay.value
            ),
            None => "no round replayed its input, so a cache that fills is not excluded".to_owned(),
        });
        // Only more new keys can show a bound, as at a site of a heap.
        let by_key =
            replayed.is_some_and(|(new, replay)| replay.upper(CONFIDENCE) < new.lower(CONFIDENCE));
        (Verdict::Growing, by_key)
    }
}
