//! Control steps as typed: what decides which steps are taken, how often, and under what name.
//! Pure.
//!
//! In: nothing. Out: the types that the reader fills and the plan compiles to jumps.

use super::{Capture, Step, Template, Verb};
use std::time::Duration;

/// What a control step does.
#[derive(Clone, Debug, PartialEq)]
pub enum Control {
    /// Waits for a time drawn from an exponential distribution, as the pauses between requests of
    /// many people together are.
    Pause {
        /// Mean of the distribution.
        mean: Duration,
        /// What is drawn above it counts as this.
        max: Option<Duration>,
    },
    /// Takes one of several lists of steps, by weight.
    OneOf(Vec<Choice>),
    /// Takes one list of steps or the other.
    If {
        /// What must hold.
        condition: Condition,
        /// Taken when it does.
        steps: Vec<Step>,
        /// Taken when it does not.
        otherwise: Vec<Step>,
    },
    /// Repeats steps while or until a condition holds.
    While {
        /// Looked at before each turn, or for `until` after it.
        condition: Condition,
        /// The loop ends when the condition holds, not when it does not.
        until: bool,
        /// Turns at most.
        max: u32,
        /// What is repeated.
        steps: Vec<Step>,
    },
    /// Steps under a common name, as k6's `group`.
    Group {
        /// Its name; nested ones are joined by `::`.
        name: String,
        /// What is in it.
        steps: Vec<Step>,
    },
    /// Gives variables their values.
    Set(Vec<(String, Template)>),
    /// Ends the iteration as failed.
    Fail(String),
    /// Ends the iteration.
    Stop,
    /// Steps that several flows have in common.
    Use {
        /// Name of the list.
        list: String,
        /// Its steps.
        steps: Vec<Step>,
    },
}

/// One of several lists of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its share, relative to the others.
    pub weight: u32,
    /// What is done; nothing when empty.
    pub steps: Vec<Step>,
}

/// What must hold for steps to be taken: all of its tests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Condition {
    /// The value that is tested; empty when chance alone decides.
    pub value: Template,
    /// Every one must hold.
    pub tests: Vec<Test>,
}

/// One test of a condition.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// The value is not empty; or with `false`, it is.
    Exists(bool),
    /// The value is the text.
    Equals(Template),
    /// The value is not the text.
    NotEquals(Template),
    /// The text is in the value.
    Contains(Template),
    /// The regular expression, which has been seen to compile, finds something in the value.
    Matches(String),
    /// Value and text are numbers, and the value is the smaller one.
    Less(Template),
    /// Value and text are numbers, and the value is the larger one.
    Greater(Template),
    /// It happens with this probability.
    Chance(f64),
}

impl Test {
    /// The template in it, if there is one.
    pub(crate) fn template(&self) -> Option<&Template> {
        match self {
            Self::Equals(text)
            | Self::NotEquals(text)
            | Self::Contains(text)
            | Self::Less(text)
            | Self::Greater(text) => Some(text),
            Self::Exists(_) | Self::Matches(_) | Self::Chance(_) => None,
        }
    }
}

impl Control {
    /// Its condition, if it has one.
    pub(crate) fn condition(&self) -> Option<&Condition> {
        match self {
            Self::If { condition, .. } | Self::While { condition, .. } => Some(condition),
            _ => None,
        }
    }
}

/// Steps inside a step, and where in it they stand.
pub(crate) type Inside<'a> = Vec<(String, &'a [Step])>;

impl Verb {
    /// Lists of steps inside the step; of alternatives, one entry each.
    pub(crate) fn inside(&self) -> Inside<'_> {
        fn one(steps: &[Step]) -> Inside<'_> {
            vec![(".steps".to_owned(), steps)]
        }
        match self {
            Self::Repeat { steps, .. } => one(steps),
            // Each by itself: none of them sees what another captures.
            Self::Parallel(steps) => steps
                .iter()
                .enumerate()
                .map(|(index, step)| (format!(".parallel[{index}]"), std::slice::from_ref(step)))
                .collect(),
            Self::Control(control) => match control {
                Control::While { steps, .. } | Control::Group { steps, .. } => one(steps),
                Control::Use { list, steps } => vec![(format!(".{list}"), steps)],
                Control::If { steps, otherwise, .. } => {
                    vec![(".steps".to_owned(), steps), (".else".to_owned(), otherwise)]
                }
                Control::OneOf(choices) => choices
                    .iter()
                    .enumerate()
                    .map(|(index, it)| (format!(".one_of[{index}].steps"), it.steps.as_slice()))
                    .collect(),
                Control::Pause { .. } | Control::Set(_) | Control::Fail(_) | Control::Stop => {
                    Vec::new()
                }
            },
            _ => Vec::new(),
        }
    }

    /// Whether the lists inside know nothing of each other: at most one is taken, or all at once.
    pub(crate) fn is_choice(&self) -> bool {
        let choice = matches!(self, Self::Control(Control::If { .. } | Control::OneOf(_)));
        choice || matches!(self, Self::Parallel(_))
    }

    /// Names of the variables that the step gives values.
    pub(crate) fn sets(&self) -> Vec<&str> {
        fn names(captures: &[Capture]) -> Vec<&str> {
            captures.iter().map(|capture| capture.name.as_str()).collect()
        }
        match self {
            Self::Http(http) => names(&http.captures),
            Self::Await(wait) => names(&wait.captures),
            Self::Sio(sio) => names(sio.captures()),
            Self::Control(Control::Set(values)) => {
                values.iter().map(|(name, _)| name.as_str()).collect()
            }
            _ => Vec::new(),
        }
    }
}
