//! Control steps into instructions: what is between exchanges, and how often. Pure.
//!
//! In: a control step. Out: its instruction; the steps inside it are compiled before.

use super::Compiler;
use crate::plan::Op;
use crate::scenario::Step;

impl Compiler<'_, '_> {
    /// Compiles the steps of a loop; the jump back to them is the instruction after.
    pub(super) fn repeat_op(
        &mut self,
        (count, steps): (u32, &[Step]),
        times: f64,
        depth: usize,
    ) -> Op {
        let to = self.ops.len();
        self.loops = self.loops.max(depth + 1);
        self.steps(steps, times * f64::from(count), depth + 1);
        Op::Again { to, times: count, counter: depth }
    }
}
