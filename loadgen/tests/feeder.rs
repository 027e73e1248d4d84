//! Rows of data: which iteration gets which, whatever the users, threads and segments.
//!
//! In: numbers of iterations, and scenarios. Out: verdicts of `cargo test`.

#![allow(clippy::unwrap_used)]

use ebbtide_loadgen::feeder::{Exhausted, Pick, Turn};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A turn of a user that numbers its iterations itself.
fn own(vu: u64, iteration: u64, vus: u64) -> Turn {
    Turn { vu, sequence: iteration * vus + vu, stride: vus, share: (0, 1), ..Turn::default() }
}

proptest! {
    /// No row goes to two users, over all flows that share the table.
    #[test]
    fn a_unique_row_belongs_to_one_user(
        rows in 1_usize..200,
        users in prop::collection::vec(1_u64..12, 1..4),
        iterations in 1_u64..40,
        repeat in any::<bool>(),
    ) {
        let exhausted = if repeat { Exhausted::Repeat } else { Exhausted::Stop };
        let mut owners: BTreeMap<usize, (usize, u64)> = BTreeMap::new();
        let mut taken = 0;
        for (flow, vus) in users.iter().enumerate() {
            for vu in 0..*vus {
                for iteration in 0..iterations {
                    let share = (flow as u64, users.len() as u64);
                    let turn = Turn { share, ..own(vu, iteration, *vus) };
                    let Some(row) = Pick::Unique.row(exhausted, rows, &turn) else { continue };
                    prop_assert!(row < rows);
                    let owner = owners.entry(row).or_insert((flow, vu));
                    prop_assert_eq!(*owner, (flow, vu), "row {}", row);
                    taken += 1;
                }
            }
        }
        if !repeat {
            prop_assert_eq!(taken, owners.len(), "no row twice");
        }
    }

    /// Users take all rows before one is out of rows, and those of an open flow likewise.
    #[test]
    fn all_rows_are_taken(rows in 1_usize..300, vus in 1_u64..20, open in any::<bool>()) {
        let taken: BTreeSet<usize> = (0..rows as u64)
            .map(|sequence| {
                let stride = if open { 0 } else { vus };
                let turn = Turn { vu: sequence % vus, sequence, stride, share: (0, 1), random: 0 };
                Pick::Unique.row(Exhausted::Stop, rows, &turn).unwrap()
            })
            .collect();
        prop_assert_eq!(taken.len(), rows);
        let after = Turn { sequence: rows as u64, share: (0, 1), ..Turn::default() };
        prop_assert_eq!(Pick::Unique.row(Exhausted::Stop, rows, &after), None);
        prop_assert_eq!(Pick::Unique.row(Exhausted::Fault, rows, &after), None);
    }

    /// The other ways to pick always give a row.
    #[test]
    fn there_is_always_a_row(rows in 1_usize..300, vu in 0_u64..50, iteration: u64, random: u64) {
        let sequence = iteration;
        let turn = Turn { vu, sequence, stride: 50, random, share: (0, 1) };
        for pick in [Pick::Sequential, Pick::Random, Pick::PerVu] {
            prop_assert!(pick.row(Exhausted::Stop, rows, &turn).unwrap() < rows);
        }
    }
}

#[test]
fn rows_are_taken_as_the_documentation_says() {
    // Users, rows, how; the rows of the first iterations of user 1.
    let table: [(u64, usize, Pick, Exhausted, &[Option<usize>]); 6] = [
        (3, 7, Pick::Unique, Exhausted::Stop, &[Some(1), Some(4), None, None]),
        (3, 7, Pick::Unique, Exhausted::Repeat, &[Some(1), Some(4), Some(1), Some(4)]),
        (3, 1, Pick::Unique, Exhausted::Repeat, &[None]),
        (3, 4, Pick::Sequential, Exhausted::Stop, &[Some(1), Some(0), Some(3), Some(2)]),
        (3, 2, Pick::PerVu, Exhausted::Stop, &[Some(1), Some(1), Some(1)]),
        (2, 9, Pick::Unique, Exhausted::Fault, &[Some(1), Some(3), Some(5), Some(7), None]),
    ];
    for (vus, rows, pick, exhausted, expected) in table {
        let found: Vec<Option<usize>> = (0..expected.len() as u64)
            .map(|iteration| pick.row(exhausted, rows, &own(1, iteration, vus)))
            .collect();
        assert_eq!(found, expected, "{pick:?} {exhausted:?} {vus} of {rows}");
    }
}
