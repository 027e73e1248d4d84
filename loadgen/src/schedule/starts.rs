//! The arrivals of an open flow, one after the other: evenly spaced, or as a Poisson process.
//! Pure.
//!
//! In: how arrivals come, a seed, a segment. Out: the numbers of the segment's arrivals, each with
//! its position: how many arrivals the rate has brought by then. A Poisson process of the
//! schedule's rate is one of rate 1 whose time is that position, so that ramps need nothing of
//! their own. The n-th position follows from the seed alone, whoever asks for it: each gap is
//! drawn from its own number, and all segments add up the same gaps in the same order.

use super::Schedule;
use crate::scenario::Arrivals;
use crate::segment::Segment;
use crate::template::mix;

/// An arrival.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// Its number in the whole load, from 0.
    pub number: u64,
    /// Arrivals that the rate has brought by then; its number when they come evenly.
    pub position: f64,
}

/// Arrivals without end, in order; [`Schedule::time_of`] says when each is due.
#[derive(Clone, Debug)]
pub struct Starts {
    arrivals: Arrivals,
    state: u64,
    segment: Segment,
    /// The next number.
    number: u64,
    /// Sum of the gaps before it.
    sum: f64,
}

impl Starts {
    /// The arrivals of a segment. `flow` and `input_round` keep the draws of flows and passes
    /// apart.
    #[must_use]
    pub fn new(
        arrivals: Arrivals,
        (seed, flow, input_round): (u64, usize, u32),
        segment: Segment,
    ) -> Self {
        let state = [u64::from(input_round), flow as u64]
            .into_iter()
            .fold(mix(seed ^ POISSON), |state, value| mix(state ^ mix(value)));
        Self { arrivals, state, segment, number: 0, sum: 0.0 }
    }

    /// The gap before arrival `number`, exponential with mean 1: `-ln(1 - u)` with `u` of 53 bits
    /// in [0, 1).
    fn gap(&self, number: u64) -> f64 {
        let bits = mix(self.state.wrapping_add(number.wrapping_mul(GOLDEN))) >> 11;
        let uniform = bits as f64 / (1_u64 << 53) as f64;
        -(-uniform).ln_1p()
    }
}

/// Keeps these draws apart from those of requests.
const POISSON: u64 = 0x506F_6973_736F_6E21;

/// Step of splitmix64, of which these draws are the sequence.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Iterator for Starts {
    type Item = Start;

    fn next(&mut self) -> Option<Start> {
        match self.arrivals {
            Arrivals::Even => {
                let number = self.segment.nth(self.number);
                self.number += 1;
                Some(Start { number, position: number as f64 })
            }
            Arrivals::Poisson => loop {
                let number = self.number;
                self.sum += self.gap(number);
                self.number += 1;
                if self.segment.holds(number) {
                    return Some(Start { number, position: self.sum });
                }
            },
        }
    }
}

impl Schedule {
    /// The arrivals of a segment up to the schedule's end.
    pub fn starts(&self, starts: Starts) -> impl Iterator<Item = Start> + '_ {
        starts.take_while(|start| !self.is_past(start.position))
    }
}
