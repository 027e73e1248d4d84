//! A file for <https://www.speedscope.app>: weighted stacks, one profile for what grew, one for
//! what shrank, and the two snapshots. In: stacks. Out: JSON.
//!
//! Source: speedscope `file-format-schema.json`, of which `sampled` profiles with the unit bytes
//! are used. It knows no weight below 0, hence one profile for each direction.

use super::{Title, whole};
use crate::stacks::Stacks;
use serde_json::{Value, json};

/// The name of a profile, and its bytes of those before and after.
type Column = (&'static str, fn((f64, f64)) -> f64);

/// The document.
#[must_use]
pub fn write(stacks: &Stacks, title: &Title<'_>) -> String {
    let frames: Vec<Value> = stacks
        .frames
        .iter()
        .map(|line| {
            let mut frame = json!({ "name": line.function });
            if !line.file.is_empty() {
                frame["file"] = json!(line.file);
            }
            if line.line > 0 {
                frame["line"] = json!(line.line);
            }
            frame
        })
        .collect();
    let columns: &[Column] = if title.compared {
        &[
            ("growth", |(before, after)| after - before),
            ("shrinkage", |(before, after)| before - after),
            ("before", |(before, _)| before),
            ("after", |(_, after)| after),
        ]
    } else if title.cumulative {
        &[("allocated", |(_, after)| after)]
    } else {
        &[("live", |(_, after)| after)]
    };
    let profiles: Vec<Value> =
        columns.iter().map(|(name, bytes)| profile(stacks, name, *bytes)).collect();
    let document = json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "shared": { "frames": frames },
        "profiles": profiles,
        "name": title.name,
        "activeProfileIndex": 0,
        "exporter": title.tool,
    });
    format!("{document}\n")
}

fn profile(stacks: &Stacks, name: &str, bytes: fn((f64, f64)) -> f64) -> Value {
    let mut samples = Vec::new();
    let mut weights = Vec::new();
    for row in &stacks.rows {
        let weight = whole(bytes(row.bytes()));
        if weight > 0 {
            samples.push(row.frames.iter().rev().copied().collect::<Vec<u32>>());
            weights.push(weight);
        }
    }
    json!({
        "type": "sampled",
        "name": name,
        "unit": "bytes",
        "startValue": 0,
        "endValue": weights.iter().sum::<u64>(),
        "samples": samples,
        "weights": weights,
    })
}
