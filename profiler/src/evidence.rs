//! Evidence in numbers: what each rung of the ladder measured at a site, in the form that is
//! written down. In: a candidate and the court it stands before. Out: [`Evidence`]. Choosing a
//! word by it is left to `ladder`. Pure.

use crate::ladder::{CONFIDENCE, Candidate, Court};
use crate::rules::look;
use crate::tally::Tally;
use crate::trend::Slope;
use ebbtide_record::Estimate;
use ebbtide_record::event::RoundKind;
use ebbtide_record::evidence::{Bound, CensusEvidence, Evidence, Fading};

/// Margins in chi squared beyond this say no more than this does.
const MARGIN_MAX: f64 = 1e6;
/// A census agrees with a whole number per operation when its interval is this near to it.
const WHOLE_WITHIN: f64 = 0.05;

impl Court<'_> {
    pub(crate) fn evidence(&self, candidate: &Candidate<'_>) -> Evidence {
        let (growth, columns) = (&candidate.growth, &candidate.columns);
        let operation = &self.operations[growth.with].name;
        let told = |slope: Slope| estimate(&slope, operation);
        let sampled = self.series.interval_bytes() > 1.0;
        let replayed = growth.by_novelty.filter(|_| self.kinds.contains(&RoundKind::Replay));
        let margins = self.operations.iter().zip(&growth.margins);
        Evidence {
            net_samples: sampled.then_some(columns.net_samples),
            turnover: sampled.then_some(columns.turnover),
            early: growth.halves.map(|(early, _)| told(early)),
            late: growth.halves.map(|(_, late)| told(late)),
            late_alone: growth.late.map(told),
            on_new: replayed.map(|(new, _)| told(new)),
            inputs_seen: replayed.map(|_| self.inputs_seen(growth.with)),
            fading: growth.fading.map(|fading| Fading {
                lasting: Estimate {
                    value: fading.value,
                    low: fading.interval.0,
                    high: fading.interval.1,
                    confidence: CONFIDENCE,
                    operation: operation.clone(),
                },
                sure: fading.sure,
                subsides: fading.subsides,
            }),
            margins: margins
                .map(|(group, margin)| (group.name.clone(), margin.clamp(0.0, MARGIN_MAX)))
                .collect(),
            census: candidate.tally.map(|tally| self.census(tally, growth.with)),
            ages: self.ages(candidate),
            rest: self.at_rest(&columns.bytes, growth),
            bound: self.bound(candidate),
            ..self.circumstances(growth.with)
        }
    }

    /// What is the same for all sites that grow with an operation.
    pub(crate) fn circumstances(&self, with: usize) -> Evidence {
        let rounds = self.kinds.len();
        Evidence {
            limit: self.limits[with].interest,
            alpha: self.alpha,
            look: look(rounds) as u32 + 1,
            rounds: rounds as u32,
            left_at_rest: self.left_at_rest(),
            ..Evidence::default()
        }
    }

    pub(crate) fn census(&self, tally: &Tally, with: usize) -> CensusEvidence {
        let slope = tally.growth.by_operation[with];
        let per_op = estimate(&slope, &self.operations[with].name);
        let whole = slope.value.round();
        let near = |end: f64| (end - whole).abs() <= WHOLE_WITHIN;
        CensusEvidence {
            kind: tally.kind,
            file: tally.file.clone(),
            line: tally.line,
            whole: (whole >= 1.0 && near(per_op.low) && near(per_op.high)).then_some(whole as u32),
            per_op,
        }
    }

    /// Operations with input not seen before, since the baseline.
    pub(crate) fn inputs_seen(&self, with: usize) -> u64 {
        let counts = self.operations[with].counts.iter().zip(&self.kinds);
        counts.filter(|(_, kind)| **kind == RoundKind::New).map(|(count, _)| *count as u64).sum()
    }

    /// What was left of what the load had raised once the target was at rest: the mean over the
    /// measured rounds of (idle - base) / (busy - base), where the heap under load is known.
    fn left_at_rest(&self) -> Option<f64> {
        let base = self.series.observations().nth(self.series.baseline())?.folded.live_bytes;
        let (mut idle, mut busy) = (0.0, 0.0);
        for point in self.series.worked() {
            let peak = point.observation.busy_bytes? as f64;
            idle += point.observation.folded.live_bytes - base;
            busy += peak - base;
        }
        (busy > 0.0).then(|| (idle / busy).clamp(0.0, 1.0))
    }

    fn bound(&self, candidate: &Candidate<'_>) -> Option<Bound> {
        let track = candidate.track?;
        let (name, bytes) = self.declared(&track.function)?;
        let live = self.series.levels(track).last().copied().unwrap_or(0.0);
        Some(Bound { name: name.clone(), bytes: *bytes, live_bytes: live.max(0.0) as u64 })
    }
}

fn estimate(slope: &Slope, operation: &str) -> Estimate {
    let (low, high) = slope.interval(CONFIDENCE);
    Estimate {
        value: slope.value,
        low,
        high,
        confidence: CONFIDENCE,
        operation: operation.to_owned(),
    }
}
