//! Writes as values: a few statements that happen together or not at all.
//! In: steps, each a statement with its parameters and what must come of it. Out: the row that
//! each step gave. A program can be run again from the start, by either database, alone or in one
//! transaction with others: that is what makes commits in groups possible.
//! Leaves to others: running it (`sqlite`, `postgres`).

use super::StoreError;
use super::value::{Cells, Value};

/// A statement and what must come of it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) sql: &'static str,
    values: Vec<Value>,
    pub(super) then: Then,
}

/// How a program goes on after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Then {
    /// With the next step, whatever came.
    On,
    /// With the next step if there was a row; without one the program is undone.
    Need,
    /// With the next step if there was no row; with one the program is done.
    Unless,
}

/// Statements that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Program(Vec<Step>);

/// What came of a program.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The first row of each step that was run.
    pub(super) rows: Vec<Option<Cells>>,
    /// Rows given or changed by each step that was run.
    pub(super) counts: Vec<u64>,
    /// The step that needed a row and had none: nothing has happened.
    pub(super) stopped: Option<usize>,
}

/// What is to be done after a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Course {
    Next,
    Done,
    Undo,
}

impl Program {
    /// Adds a step.
    pub(super) fn step(mut self, sql: &'static str, values: Vec<Value>, then: Then) -> Self {
        self.0.push(Step { sql, values, then });
        self
    }

    /// The row that others may wait for: what its first step that needs one names, such as a room.
    pub(super) fn place(&self) -> Option<i64> {
        let needs = self.0.iter().find(|step| step.then == Then::Need)?;
        match needs.values.first() {
            Some(Value::Int(id)) => Some(*id),
            _ => None,
        }
    }

    /// The steps in order.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl Step {
    /// The parameters, with those that come from rows of earlier steps put in.
    pub(super) fn values(&self, before: &Outcome) -> Vec<Value> {
        let cell = |step: usize, index: usize| {
            let row = before.rows.get(step).and_then(Option::as_ref);
            row.and_then(|row| row.0.get(index)).cloned().unwrap_or(Value::Null)
        };
        let resolve = |value: &Value| match value {
            Value::Of(step, index) => cell(*step, *index),
            value => value.clone(),
        };
        self.values.iter().map(resolve).collect()
    }
}

impl Outcome {
    /// Takes down what a step gave; says how the program goes on.
    pub(super) fn enter(&mut self, then: Then, row: Option<Cells>, count: u64) -> Course {
        let course = match (then, row.is_some()) {
            (Then::Need, false) => Course::Undo,
            (Then::Unless, true) => Course::Done,
            _ => Course::Next,
        };
        if course == Course::Undo {
            self.stopped = Some(self.rows.len());
        }
        self.rows.push(row);
        self.counts.push(count);
        course
    }

    /// The row of a step, if it was run and gave one.
    pub(super) fn row(&self, step: usize) -> Option<&Cells> {
        self.rows.get(step).and_then(Option::as_ref)
    }

    /// The row of a step that cannot have gone without.
    pub(super) fn expect(&self, step: usize) -> Result<&Cells, StoreError> {
        self.row(step).ok_or_else(|| StoreError::Shape(format!("a row of step {step}")))
    }
}

/// Hears what came of a program, on the thread that writes: it must be short and never wait.
pub(super) type Done = Box<dyn FnOnce(Result<Outcome, StoreError>) + Send>;

/// A program, and who hears what came of it.
pub(super) struct Job {
    pub(super) program: Program,
    pub(super) done: Done,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("program", &self.program).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_decide_how_a_program_goes_on() {
        let some = || Some(Cells(vec![Value::Int(7)]));
        for (then, row, course) in [
            (Then::On, None, Course::Next),
            (Then::On, some(), Course::Next),
            (Then::Need, None, Course::Undo),
            (Then::Need, some(), Course::Next),
            (Then::Unless, None, Course::Next),
            (Then::Unless, some(), Course::Done),
        ] {
            let mut outcome = Outcome::default();
            assert_eq!(outcome.enter(then, row.clone(), 0), course, "{then:?} {row:?}");
            assert_eq!(outcome.stopped.is_some(), course == Course::Undo);
        }
    }

    #[test]
    fn a_place_is_what_is_needed() {
        let step = |program: Program, id, then| program.step("", vec![Value::Int(id)], then);
        let program = step(Program::default(), 3, Then::Unless);
        assert_eq!(program.place(), None);
        assert_eq!(step(program, 7, Then::Need).place(), Some(7));
    }

    #[test]
    fn later_steps_take_values_of_earlier_ones() {
        let program = Program::default().step("", vec![Value::Of(0, 0), Value::Of(1, 0)], Then::On);
        let mut outcome = Outcome::default();
        outcome.enter(Then::On, Some(Cells(vec![Value::Int(7)])), 1);
        assert_eq!(program.steps()[0].values(&outcome), [Value::Int(7), Value::Null]);
    }
}
