//! A rest: what a site did while time passed and no operation was done. In: a column with its
//! growth and the court it stands before. Out: what that says of its growth: that it goes with
//! the clock, that time gives it back, or neither. Driving a rest is left to the caller. Pure.

use crate::growth::Growth;
use crate::ladder::{Contents, Court};
use crate::series::Column;
use crate::trend;
use ebbtide_record::Verdict;
use ebbtide_record::evidence::Rest;

/// The name of what growth goes with when it goes with the clock.
pub(crate) const SECOND: &str = "second";
/// Standard errors by which something must have happened in a rest.
const SURELY: f64 = 2.5;
/// Share of what as much time brings under load from which on the clock explains growth.
const BY_CLOCK: f64 = 0.5;
/// Share of all growth that must have gone, beyond what was there before it, for time to give it
/// back.
const GIVEN_BACK: f64 = 0.1;
impl Court<'_> {
    /// What a column did in the last rest; `None` when there was none.
    pub(crate) fn at_rest(&self, column: &Column, growth: &Growth) -> Option<Rest> {
        let at = self.kinds.len();
        let seconds = self.series.seconds().filter(|seconds| seconds.len() == at + 1)?;
        let mut counts = self.operations[growth.with].counts.clone();
        counts.push(0.0);
        let mut resting = vec![0.0; at];
        resting.push(1.0);
        let fit = trend::fit(&column.increments(), &[counts.clone(), resting], &column.noise)?;
        let working: f64 = seconds.iter().sum::<f64>() - seconds[at];
        let grown: f64 = fit.terms[0].value * counts.iter().sum::<f64>();
        Some(Rest {
            seconds: seconds[at],
            grown_bytes: fit.terms[1].value,
            error_bytes: fit.terms[1].se,
            at_work_bytes: grown * seconds[at] / working.max(f64::MIN_POSITIVE),
        })
    }

    /// Holds a word for growth against the rest. Returns growth per second when that is what it
    /// goes with.
    pub(crate) fn weigh_rest(
        &self,
        (column, growth): (&Column, &Growth),
        unit: &str,
        word: &mut Verdict,
        reasons: &mut Vec<String>,
    ) -> Option<Contents> {
        if !matches!(word, Verdict::Leaking | Verdict::Growing) {
            return None;
        }
        let rest = self.at_rest(column, growth)?;
        let (grown, surely) = (rest.grown_bytes, SURELY * rest.error_bytes);
        let total = column.levels.last()? - column.levels.first()?;
        let length = rest.seconds;
        if grown > surely && grown >= BY_CLOCK * rest.at_work_bytes {
            reasons.push(format!(
                "it grows with the clock and not with the work: {grown:.0} {unit} in {length:.0} s \
                 in which nothing was done, {:.0} in as much time under load",
                rest.at_work_bytes
            ));
            let seconds = self.series.seconds()?;
            let slope = trend::fit(&column.increments(), &[seconds], &column.noise)?.terms[0];
            return Some(Contents::by_clock(&slope));
        }
        // What the site held before it was measured may go as well, beside a leak.
        let given = -grown - column.levels.first()?.max(0.0);
        if given > surely && given >= GIVEN_BACK * (total - grown) {
            *word = Verdict::Inconclusive;
            reasons.push(format!(
                "time gives it back: {:.0} of the {:.0} {unit} it had grown by went in \
                 {length:.0} s in which nothing was done; let the run last several times as long \
                 as it is kept",
                -grown,
                total - grown
            ));
        } else if -grown > surely {
            reasons.push(format!(
                "{:.0} {unit} went in {length:.0} s in which nothing was done, hardly more than it \
                 held before it was measured",
                -grown
            ));
        } else if surely < rest.at_work_bytes.max(0.0) {
            reasons.push(format!(
                "in {length:.0} s in which nothing was done it did not grow, nor was it given \
                 back; what is kept for longer than the run looks the same"
            ));
        } else {
            reasons.push(format!(
                "a rest of {length:.0} s is too short to say whether it goes with the clock"
            ));
        }
        None
    }
}
