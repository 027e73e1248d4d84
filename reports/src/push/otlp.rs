//! OTLP metrics over HTTP in their JSON encoding. In go samples and their time, out comes the
//! body of a POST. Protocol: OpenTelemetry Protocol 1.x, `opentelemetry/proto/metrics/v1`; in
//! JSON 64-bit integers are strings and enumerations numbers.

use super::{Run, Sample};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Headers that go with the body.
pub const HEADERS: [(&str, &str); 1] = [("content-type", "application/json")];

/// Where receivers listen when the URL has no path.
pub const PATH: &str = "/v1/metrics";

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u32 = 2;

/// The body of a POST.
#[must_use]
pub fn body(run: &Run, samples: &[Sample], at_unix_ms: u64) -> Vec<u8> {
    let nanoseconds = |ms: u64| (u128::from(ms) * 1_000_000).to_string();
    let attribute =
        |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let mut points: BTreeMap<(&str, bool), Vec<Value>> = BTreeMap::new();
    for sample in samples {
        let labels = sample.labels.iter().map(|(name, value)| attribute(name, value));
        points.entry((sample.name, sample.is_counter)).or_default().push(json!({
            "attributes": labels.collect::<Vec<_>>(),
            "startTimeUnixNano": nanoseconds(run.started_unix_ms),
            "timeUnixNano": nanoseconds(at_unix_ms),
            "asDouble": sample.value,
        }));
    }
    let metrics: Vec<Value> = points
        .into_iter()
        .map(|((name, is_counter), points)| {
            let unit = match name {
                name if name.contains("_bytes") => "By",
                name if name.ends_with("_seconds") => "s",
                _ => "1",
            };
            if is_counter {
                json!({ "name": name, "unit": unit, "sum": { "dataPoints": points,
                    "aggregationTemporality": CUMULATIVE, "isMonotonic": true } })
            } else {
                json!({ "name": name, "unit": unit, "gauge": { "dataPoints": points } })
            }
        })
        .collect();
    let resource = [
        attribute("service.name", "ebb"),
        attribute("ebbtide.run", &run.name),
        attribute("ebbtide.run_id", &run.started_unix_ms.to_string()),
    ];
    json!({ "resourceMetrics": [{
        "resource": { "attributes": resource },
        "scopeMetrics": [{ "scope": { "name": "ebbtide" }, "metrics": metrics }],
    }] })
    .to_string()
    .into_bytes()
}
