//! The rules of judging: what growth is of interest, when the series is looked at, and how much
//! chance of a false word is spent at each look. In: what the scenario says. Out: limits for
//! groups of operations. Applying them is left to `ladder` and `verdict`. Pure.

use crate::growth::Operations;
use std::collections::BTreeMap;

/// Measured rounds after which the series is judged.
pub const LOOKS: [u32; 5] = [8, 12, 16, 24, 32];
/// Chance of a false `leaking` or `growing` over all sites spent at each look: 1 % in all.
pub(crate) const ALPHA_SPENT: [f64; 5] = [0.004, 0.002, 0.002, 0.001, 0.001];
/// Growth of no interest unless the scenario says so, bytes per operation.
pub const LIMIT_BYTES: f64 = 16.0;
/// Growth that must be ruled out for operations that open a connection.
pub const LIMIT_CONNECT_BYTES: f64 = 512.0;
/// The key of the limit for operations that open a connection.
const CONNECTS: &str = "connect *";
/// The key of the limit for all others.
const OTHERS: &str = "*";

/// What growth is of interest.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Bytes per operation of no interest, by operation; `connect *` for all others that open a
    /// connection, `*` for all other others.
    pub limits: BTreeMap<String, f64>,
    /// Sites known to be bounded, with their bound in bytes, by a part of their function's name.
    pub bounded: BTreeMap<String, u64>,
    /// Operations were driven by plan. Without that (a process that is only watched) nothing is
    /// called leaking, since growth may come from more work as well as from a leak.
    pub known_load: bool,
}

impl Rules {
    /// The limit for a group of operations: of what is reported the
    /// smallest of its members', of what must be ruled out the largest.
    #[must_use]
    pub fn limit(&self, operations: &Operations) -> Limit {
        let telling = |name: &&String| !name.starts_with("close ") || operations.members.len() == 1;
        let none = Limit { interest: LIMIT_BYTES, proof: LIMIT_BYTES };
        operations
            .members
            .iter()
            .filter(telling)
            .map(|name| self.limit_of(name))
            .reduce(|a, b| Limit {
                interest: a.interest.min(b.interest),
                proof: a.proof.max(b.proof),
            })
            .unwrap_or(none)
    }

    /// The limit for one operation.
    #[must_use]
    pub fn limit_of(&self, name: &str) -> Limit {
        let others = self.limits.get(OTHERS).copied().unwrap_or(LIMIT_BYTES);
        let connects = name.starts_with("connect ") || name.starts_with("sio_connect ");
        let said =
            self.limits.get(name).or(if connects { self.limits.get(CONNECTS) } else { None });
        match said {
            Some(bytes) => Limit { interest: *bytes, proof: *bytes },
            None if connects => Limit { interest: others, proof: others.max(LIMIT_CONNECT_BYTES) },
            None => Limit { interest: others, proof: others },
        }
    }
}

/// How small growth has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Growth that is sure and larger than this is reported, bytes per operation.
    pub interest: f64,
    /// Growth larger than this must be ruled out for `steady`, bytes per operation. The same,
    /// except for connections: they are expensive to make, so absence is harder to prove than
    /// presence.
    pub proof: f64,
}

/// Index of the look that this many measured rounds are.
pub(crate) fn look(rounds: usize) -> usize {
    LOOKS.iter().rposition(|at| *at as usize <= rounds).unwrap_or(0)
}
