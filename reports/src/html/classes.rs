//! Classes that grew between the two whole heaps of a run. In: the state. Out: a table of how many
//! there are per operation, what they keep, and the way from the root to one of the newest; nothing
//! where no heap was compared. Sites are left to `memory`.

use super::markup::{Cell, escaped, row, table};
use crate::figures;
use ebbtide_record::State;
use ebbtide_record::verdict::ClassGrowth;

/// Columns of the table.
const COLUMNS: [&str; 6] =
    ["class", "#instances", "#per operation", "#own bytes", "#kept bytes", "newest kept by"];

pub(super) fn section(state: &State) -> String {
    let classes = &state.memory.classes;
    if classes.is_empty() {
        return String::new();
    }
    let rows: String = classes.iter().map(class_row).collect();
    format!(
        "<h2 id=\"classes\">Classes</h2>\n<p class=\"soft\">Whole heaps before and after the \
         measured rounds, compared by constructor.</p>\n{}",
        table("", &COLUMNS, &rows)
    )
}

fn class_row(class: &ClassGrowth) -> String {
    let per = match class.operation.as_str() {
        "" => String::new(),
        operation => format!("<small>per {}</small>", escaped(operation)),
    };
    let way: Vec<String> =
        class.held_by.iter().map(|step| format!("<code>{}</code>", escaped(step))).collect();
    row(&[
        Cell::markup("name", format!("<code>{}</code>", escaped(&class.class))),
        Cell::figure(figures::count(class.instances)),
        Cell::markup("num", format!("+{}{per}", escaped(&figures::number(class.per_op)))),
        Cell::figure(figures::bytes_change(class.own_bytes as f64)),
        Cell::figure(figures::bytes_change(class.kept_bytes as f64)),
        Cell::markup("", way.join(" &rsaquo; ")),
    ])
}
