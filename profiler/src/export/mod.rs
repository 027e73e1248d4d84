//! Stacks in the forms that other tools read, one file per form. In: [`crate::stacks::Stacks`]
//! of one snapshot or two. Out: text or bytes. Which stacks go in, and where the file goes, is
//! left to the caller. Pure.

mod flame;
pub mod flamegraph;
pub mod folded;
pub mod pprof;
pub mod speedscope;

/// What the stacks are a picture of.
#[derive(Clone, Copy, Debug)]
pub struct Title<'a> {
    /// What was compared: names of files.
    pub name: &'a str,
    /// Two snapshots were compared; else there is one, the later one.
    pub compared: bool,
    /// Of all that was ever allocated, not of what is live.
    pub cumulative: bool,
    /// Name and version of the tool.
    pub tool: &'a str,
}

/// Bytes as the whole number that all of these forms want.
fn whole(bytes: f64) -> u64 {
    bytes.round().max(0.0) as u64
}
