//! A frame: one function at one line. In: names and paths as a compiler wrote them. Out: the
//! same as a person reads them (`hub::Room::subscribe`, `server/src/hub.rs`), equal for equal
//! code. Finding them is left to `symbol`, choosing among them to `site`. Pure.

/// One function at one line of a file.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Frame {
    /// Function, demangled, without hash; or `0x` and the address when it has no name.
    pub function: String,
    /// Source file as the compiler was given it; empty when unknown.
    pub file: String,
    /// Line, from 1; 0 when unknown.
    pub line: u32,
}
