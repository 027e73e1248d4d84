//! Control steps into instructions: jumps, loops, groups and values. Pure.
//!
//! In: a control step. Out: its instructions in the program, those of the steps inside it among
//! them. Operations inside a branch count by its probability where that is known, by half where a
//! variable decides, and once where a condition ends a loop.

use super::Compiler;
use crate::plan::control::chance_bound;
use crate::plan::{ConditionOp, ControlOp, Op, SlotKind, TestOp};
use crate::scenario::{Choice, Condition, Control, Step, Test};
use regex::Regex;

/// Share of the iterations in which a variable is taken to decide for a branch.
const BRANCH_SHARE: f64 = 0.5;

/// A place that is filled in once it is known.
const NOT_YET: usize = usize::MAX;

impl Compiler<'_, '_> {
    /// Compiles the steps of a loop, and the jump back to them.
    pub(super) fn repeat(&mut self, (count, steps): (u32, &[Step]), times: f64, depth: usize) {
        let to = self.ops.len();
        self.loops = self.loops.max(depth + 1);
        self.inside(".steps", steps, (times * f64::from(count), depth + 1));
        self.ops.push(Op::Again { to, times: count, counter: depth });
    }

    pub(super) fn control(&mut self, step: &Step, control: &Control, at: (f64, usize)) {
        match control {
            Control::Pause { mean, max } => {
                self.ops.push(Op::Pause { mean: *mean, max: *max });
            }
            Control::OneOf(choices) => self.one_of(choices, at),
            Control::If { condition, steps, otherwise } => {
                self.branch(step, (condition, steps, otherwise), at);
            }
            Control::While { condition, until, max, steps } => {
                self.while_loop(step, (condition, *until, *max), steps, at);
            }
            Control::Group { name, steps } => self.group(step, (name, steps), at),
            Control::Set(values) => {
                let values = values.iter().map(|(name, value)| {
                    let place = self.captures.iter().position(|known| known == name);
                    (place.unwrap_or_default(), self.bind(value, step.line))
                });
                let values = values.collect();
                self.push(ControlOp::Set(values));
            }
            Control::Fail(reason) => {
                let place = self.reason(reason);
                self.push(ControlOp::Fail(place));
            }
            Control::Stop => {
                self.push(ControlOp::Stop);
            }
            Control::Use { list, steps } => self.inside(&format!(".{list}"), steps, at),
        }
    }

    /// Adds an instruction, and says where it is.
    fn push(&mut self, op: ControlOp) -> usize {
        self.ops.push(Op::Control(op));
        self.ops.len() - 1
    }

    /// Compiles steps that stand at a place within the step.
    fn inside(&mut self, place: &str, steps: &[Step], (times, depth): (f64, usize)) {
        let length = self.path.len();
        self.path.push_str(place);
        self.steps(steps, times, depth);
        self.path.truncate(length);
    }

    fn one_of(&mut self, choices: &[Choice], (times, depth): (f64, usize)) {
        let total: u64 = choices.iter().map(|choice| u64::from(choice.weight)).sum();
        let choose = self.push(ControlOp::Choose { upto: Vec::new() });
        let (mut upto, mut ends, mut sum) = (Vec::new(), Vec::new(), 0);
        for (index, choice) in choices.iter().enumerate() {
            sum += u64::from(choice.weight);
            upto.push((sum, self.ops.len()));
            let share = times * f64::from(choice.weight) / total as f64;
            self.inside(&format!(".one_of[{index}].steps"), &choice.steps, (share, depth));
            ends.push(self.push(ControlOp::Jump(NOT_YET)));
        }
        self.ops[choose] = Op::Control(ControlOp::Choose { upto });
        for end in ends {
            self.land(end);
        }
    }

    /// Lets a jump lead to the next instruction.
    fn land(&mut self, place: usize) {
        let next = self.ops.len();
        if let Op::Control(ControlOp::Jump(to) | ControlOp::Unless { to, .. }) =
            &mut self.ops[place]
        {
            *to = next;
        }
    }

    fn branch(
        &mut self,
        step: &Step,
        (condition, steps, otherwise): (&Condition, &[Step], &[Step]),
        (times, depth): (f64, usize),
    ) {
        let share = share(condition);
        let unless = self.unless(step, condition, true);
        self.inside(".steps", steps, (times * share, depth));
        if otherwise.is_empty() {
            return self.land(unless);
        }
        let end = self.push(ControlOp::Jump(NOT_YET));
        self.land(unless);
        self.inside(".else", otherwise, (times * (1.0 - share), depth));
        self.land(end);
    }

    fn unless(&mut self, step: &Step, condition: &Condition, is: bool) -> usize {
        let value = self.bind(&condition.value, step.line);
        let tests = condition.tests.iter().filter_map(|test| self.test(step, test)).collect();
        let condition = Box::new(ConditionOp { value, tests });
        self.push(ControlOp::Unless { condition, is, to: NOT_YET })
    }

    fn test(&mut self, step: &Step, test: &Test) -> Option<TestOp> {
        let mut bind = |text| self.bind(text, step.line);
        Some(match test {
            Test::Exists(exists) => TestOp::Exists(*exists),
            Test::Equals(text) => TestOp::Equals(bind(text)),
            Test::NotEquals(text) => TestOp::NotEquals(bind(text)),
            Test::Contains(text) => TestOp::Contains(bind(text)),
            Test::Less(text) => TestOp::Less(bind(text)),
            Test::Greater(text) => TestOp::Greater(bind(text)),
            // The reader has seen that it compiles.
            Test::Matches(pattern) => TestOp::Matches(Regex::new(pattern).ok()?),
            Test::Chance(probability) => TestOp::Chance(chance_bound(*probability)),
        })
    }

    fn while_loop(
        &mut self,
        step: &Step,
        (condition, until, max): (&Condition, bool, u32),
        steps: &[Step],
        (times, depth): (f64, usize),
    ) {
        self.loops = self.loops.max(depth + 1);
        self.push(ControlOp::Reset(depth));
        let to = self.ops.len();
        let before = (!until).then(|| self.unless(step, condition, true));
        self.inside(".steps", steps, (times, depth + 1));
        let after = until.then(|| self.unless(step, condition, false));
        self.ops.push(Op::Again { to, times: max, counter: depth });
        for unless in before.into_iter().chain(after) {
            self.land(unless);
        }
    }

    fn group(&mut self, step: &Step, (name, steps): (&str, &[Step]), at: (f64, usize)) {
        let outer = self.tags.clone();
        let parent = outer.get("group").map_or("", String::as_str);
        let path = format!("{parent}::{name}");
        self.tags.insert("group".to_owned(), path.clone());
        self.tags.extend(step.tags.clone());
        let slot = self.slot(SlotKind::Group, path, &Default::default());
        self.push(ControlOp::Enter(slot));
        self.inside(".steps", steps, at);
        self.push(ControlOp::Leave);
        self.tags = outer;
    }

    /// Place of a reason to fail.
    fn reason(&mut self, reason: &str) -> u16 {
        let known = self.plan.reasons.iter().position(|known| known == reason);
        let place = known.unwrap_or_else(|| {
            self.plan.reasons.push(reason.to_owned());
            self.plan.reasons.len() - 1
        });
        // Reasons past the last place share it: nobody reads as many.
        u16::try_from(place).unwrap_or(u16::MAX)
    }
}

/// Share of the iterations in which a condition is taken to hold.
fn share(condition: &Condition) -> f64 {
    let shares = condition.tests.iter().map(|test| match test {
        Test::Chance(probability) => *probability,
        _ => BRANCH_SHARE,
    });
    shares.product()
}
