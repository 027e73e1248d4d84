//! One self-contained HTML file.

use ebbtide_record::State;

/// The page.
#[must_use]
pub fn render(_state: &State) -> String {
    String::new()
}
