//! Setup and teardown: steps that one user takes once, before or after the load.
//!
//! In: a pass over one of these parts. Out: samples like those of any flow, the variables that the
//! steps have set, or why they failed. What is done with either is left to the caller.

use super::Engine;
use super::local::Local;
use super::vu::Vu;
use crate::plan::Part;
use crate::sample::Failure;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::PoisonError;

/// Variables by name.
pub type Values = BTreeMap<String, String>;

/// What the one user left behind.
#[derive(Default)]
pub(crate) struct Left {
    values: Values,
    failure: Option<Failure>,
}

/// Takes the steps of a flow once.
pub(super) async fn run(local: Rc<Local>, flow: usize) {
    local.plan_vus(1);
    let mut user = Vu::new(&local, flow);
    let result = user.once().await;
    let left = Left { values: user.values(), failure: result.err() };
    user.leave().await;
    *local.shared.left.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
}

impl Engine {
    /// What the steps of setup or teardown have set, once [`Engine::next`] gives no more.
    ///
    /// # Errors
    /// Which step failed, and why: one whose exchange failed, whose checks did not all hold, or
    /// whose status is 400 or above where no check asks for it; and a variable that flows read
    /// and setup left empty.
    pub fn left(&self) -> Result<Values, String> {
        let part = self.part.word();
        let left = self.shared.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(why) = self.totals.failure_of(&self.plan, self.part) {
            return Err(format!("{part} failed at {why}"));
        }
        match left {
            None => Err(format!("{part} was cut short")),
            Some(Left { failure: Some(Failure::Interrupted), .. }) if !self.shared.is_over() => {
                let flow = self.plan.flows.iter().find(|flow| flow.part == self.part);
                let limit = flow.map_or(0.0, |flow| flow.executor.time_limit().as_secs_f64());
                Err(format!("{part} did not end within {limit} s (raise its `timeout`)"))
            }
            Some(Left { failure: Some(Failure::Interrupted), .. }) => {
                Err(format!("{part} was interrupted"))
            }
            Some(Left { failure: Some(failure), .. }) => {
                let why = self.totals.words(failure);
                Err(format!("{part} failed: {why}"))
            }
            Some(Left { values, failure: None }) => match self.unset(&values) {
                Some(name) => Err(format!("{part} left `{name}` empty, which flows read")),
                None => Ok(values),
            },
        }
    }

    /// A variable that flows read from setup, and that has no value.
    fn unset(&self, values: &Values) -> Option<&str> {
        let read = self.plan.flows.iter().flat_map(|flow| &flow.given);
        let mut read = read.filter(|_| self.part == Part::Setup).map(|(_, name)| name.as_str());
        read.find(|name| values.get(*name).is_none_or(String::is_empty))
    }
}
