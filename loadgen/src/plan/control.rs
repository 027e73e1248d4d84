//! Control instructions: jumps, and what decides them. Pure.
//!
//! In: nothing. Out: the types that the compiler fills and the engine obeys. None of them waits for
//! anything.

use crate::template::Template;
use regex::Regex;
use serde::{Serialize, Serializer};

/// An instruction that decides which is next.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlOp {
    /// Goes on at one of several places, by weight.
    Choose {
        /// Sum of the weights so far, and the place.
        upto: Vec<(u64, usize)>,
    },
    /// Goes on at `to` unless the condition is what it should be.
    Unless {
        /// What is looked at.
        condition: Box<ConditionOp>,
        /// What it should be.
        is: bool,
        /// Place of the next instruction if it is not.
        to: usize,
    },
    /// Goes on at a place.
    Jump(usize),
    /// Begins a loop whose counter may be left over from a turn that was not finished.
    Reset(usize),
    /// Enters a group, whose duration goes to this slot.
    Enter(usize),
    /// Leaves the innermost group.
    Leave,
    /// Gives variables their values, by place.
    Set(Vec<(usize, Template)>),
    /// Ends the iteration as failed, for the reason at this place of [`super::Plan::reasons`].
    Fail(u16),
    /// Ends the iteration.
    Stop,
}

/// What must hold: all tests.
#[derive(Clone, Debug, Serialize)]
pub struct ConditionOp {
    /// The value that is tested.
    pub value: Template,
    /// The tests.
    pub tests: Vec<TestOp>,
}

/// One test, as [`crate::scenario::Test`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TestOp {
    /// The value is not empty, or it is.
    Exists(bool),
    /// The value is the text.
    Equals(Template),
    /// The value is not the text.
    NotEquals(Template),
    /// The text is in the value.
    Contains(Template),
    /// The expression finds something.
    Matches(#[serde(serialize_with = "pattern")] Regex),
    /// The value is the smaller number.
    Less(Template),
    /// The value is the larger number.
    Greater(Template),
    /// A random number below 2^64 is below this: a probability times 2^64.
    Chance(u128),
}

fn pattern<S: Serializer>(regex: &Regex, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(regex.as_str())
}

/// A probability as a bound of random numbers below 2^64: with 1 every one is below it.
pub(crate) fn chance_bound(probability: f64) -> u128 {
    let whole = u128::from(u64::MAX) + 1;
    ((probability * whole as f64) as u128).min(whole)
}
