//! Classes that grew between the two whole heaps of a run, with who keeps the newest of them. In
//! goes the state, out goes a table, or nothing where no heap was compared. Sites, which say where
//! the memory is made, are left to `memory`.

use super::Style;
use super::clean;
use super::table::{Cell, Paint, Table};
use crate::figures;
use ebbtide_record::State;
use ebbtide_record::verdict::ClassGrowth;
use std::fmt::Write as _;

/// Classes listed; the others are in the report.
const LISTED: usize = 5;

pub(super) fn classes(state: &State, style: Style<'_>) -> String {
    let classes = &state.memory.classes;
    if classes.is_empty() {
        return String::new();
    }
    let shown = &classes[..classes.len().min(LISTED)];
    let mut table = Table::default();
    let heads = ["class", "instances", "per operation", "", "own bytes", "kept bytes"];
    table.row(heads.iter().map(|head| Cell::left(head).paint(Paint::Quiet)).collect());
    for class in shown {
        table.row(vec![
            Cell::left(&class.class),
            Cell::right(figures::count(class.instances)),
            Cell::right(format!("+{}", figures::number(class.per_op))),
            Cell::left(per(class)),
            Cell::right(figures::bytes_change(class.own_bytes as f64)),
            Cell::right(figures::bytes_change(class.kept_bytes as f64)),
        ]);
    }
    table.fit(style.width() - 4, 24);
    let mut out = style.heading("Classes") + &table.lines(4, style.color);
    for class in shown.iter().filter(|class| !class.held_by.is_empty()) {
        let begin = format!("{} is kept by ", clean(&class.class));
        let room = (style.width() - 4).saturating_sub(begin.chars().count());
        let way = last(&clean(&class.held_by.join(" > ")), room);
        let _ = writeln!(out, "    {}", style.paint(Paint::Quiet, &format!("{begin}{way}")));
    }
    out
}

fn per(class: &ClassGrowth) -> String {
    match class.operation.as_str() {
        "" => String::new(),
        operation => format!("per {operation}"),
    }
}

/// As much of the end as fits: who keeps it is what the reader knows.
fn last(way: &str, room: usize) -> String {
    let chars = way.chars().count();
    if chars <= room {
        return way.to_owned();
    }
    format!("…{}", way.chars().skip(chars - room.saturating_sub(1)).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_told_with_the_end_of_the_way_to_it() {
        let mut state = State::default();
        let style = Style { width: 100, ..Style::default() };
        assert_eq!(classes(&state, style), "");
        state.memory.classes = vec![ClassGrowth {
            class: "Session".to_owned(),
            instances: 36_000,
            per_op: 1.0,
            operation: "GET /login".to_owned(),
            own_bytes: 2_000_000,
            kept_bytes: 3_000_000,
            held_by: vec!["x".repeat(90), "Store.sessions".to_owned(), "Map (table)".to_owned()],
            ..ClassGrowth::default()
        }];
        let told = classes(&state, style);
        assert!(told.contains("36,000") && told.contains("+1.00  per GET /login"), "{told}");
        let last = told.lines().last().unwrap_or_default();
        assert!(last.contains("Session is kept by …xx"), "{last}");
        assert!(last.ends_with("x > Store.sessions > Map (table)"), "{last}");
        assert!(told.lines().all(|line| line.chars().count() <= 100), "{told}");
    }
}
