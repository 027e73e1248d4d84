//! The summary as JSON, for programs: exactly one document, keys in a fixed order, two spaces
//! deep, with a line end. In goes the summary, out goes the text of `summary.json`; numbers that
//! are no numbers become null, as JSON has no word for them.

use ebbtide_record::Summary;

/// The text of `summary.json` and of `--json`.
///
/// # Panics
/// Never: a summary is made of maps with string keys, lists and plain values.
#[must_use]
pub fn render(summary: &Summary) -> String {
    let mut text = serde_json::to_string_pretty(summary)
        .expect("a summary has string keys alone and no writer that fails");
    text.push('\n');
    text
}
