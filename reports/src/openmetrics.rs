//! The end figures of a run in OpenMetrics text 1.0, for a push gateway or a textfile collector.
//! In goes the state, out goes text that ends with `# EOF`.
//!
//! Names are k6's behind `ebbtide_`, in base units: times in seconds, shares from 0 to 1. Trends
//! are summaries with quantiles, counters end in `_total`. Tags of sub-metrics are labels.

use ebbtide_record::{Metric, MetricType, State};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Quantiles of a trend: label and key.
const QUANTILES: [(&str, &str); 5] =
    [("0.5", "med"), ("0.9", "p(90)"), ("0.95", "p(95)"), ("0.99", "p(99)"), ("0.999", "p(99.9)")];

/// The exposition.
#[must_use]
pub fn render(state: &State) -> String {
    let mut families: BTreeMap<&str, Vec<(&str, &Metric)>> = BTreeMap::new();
    for (name, metric) in &state.metrics {
        let (base, tags) = name.split_once('{').unwrap_or((name, ""));
        families.entry(base).or_default().push((tags.trim_end_matches('}'), metric));
    }
    let mut out = String::new();
    for (base, members) in families {
        family(&mut out, base, &members);
    }
    memory(&mut out, state);
    out.push_str("# EOF\n");
    out
}

fn family(out: &mut String, base: &str, members: &[(&str, &Metric)]) {
    let Some((_, first)) = members.first() else { return };
    let (unit, scale) = match (first.contains.as_str(), first.metric_type) {
        (_, MetricType::Rate) => ("_ratio", 1.0),
        ("time", _) => ("_seconds", 1_000.0),
        ("data", _) => ("_bytes", 1.0),
        _ => ("", 1.0),
    };
    let name = format!("ebbtide_{}{unit}", plain(base));
    let kind = match first.metric_type {
        MetricType::Counter => "counter",
        MetricType::Gauge | MetricType::Rate => "gauge",
        MetricType::Trend => "summary",
    };
    let _ = writeln!(out, "# TYPE {name} {kind}");
    if let Some(unit) = unit.strip_prefix('_') {
        let _ = writeln!(out, "# UNIT {name} {unit}");
    }
    for (tags, metric) in members.iter().filter(|(_, m)| m.metric_type == first.metric_type) {
        let labels = labels(tags);
        let value = |key: &str| metric.value(key).filter(|value| value.is_finite());
        match metric.metric_type {
            MetricType::Counter => line(out, &format!("{name}_total"), &labels, value("count")),
            MetricType::Gauge => {
                line(out, &name, &labels, value("value").map(|value| value / scale));
            }
            MetricType::Rate => line(out, &name, &labels, value("rate")),
            MetricType::Trend => {
                for (quantile, key) in QUANTILES {
                    let mut labels = labels.clone();
                    labels.push(("quantile".to_owned(), quantile.to_owned()));
                    line(out, &name, &labels, value(key).map(|value| value / scale));
                }
                let sum = value("avg").zip(value("count")).map(|(avg, n)| avg * n / scale);
                line(out, &format!("{name}_sum"), &labels, sum);
                line(out, &format!("{name}_count"), &labels, value("count"));
            }
        }
    }
}

fn memory(out: &mut String, state: &State) {
    let verdict = state.memory.verdict.key();
    let _ = writeln!(out, "# TYPE ebbtide_memory info");
    let _ = writeln!(out, "ebbtide_memory_info{{verdict=\"{verdict}\"}} 1");
    if let Some(ended) = &state.ended {
        let _ = writeln!(out, "# TYPE ebbtide_exit_code gauge");
        let _ = writeln!(out, "ebbtide_exit_code {}", ended.exit_code);
    }
}

fn line(out: &mut String, name: &str, labels: &[(String, String)], value: Option<f64>) {
    let Some(value) = value else { return };
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let braces =
        if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    let _ = writeln!(out, "{name}{braces} {value}");
}

/// `name:login,team:core` as labels. A value may hold a comma: a part without a colon belongs to
/// the one before it.
pub(crate) fn labels(tags: &str) -> Vec<(String, String)> {
    let mut labels: Vec<(String, String)> = Vec::new();
    for part in tags.split(',').filter(|part| !part.is_empty()) {
        match (part.split_once(':'), labels.last_mut()) {
            (Some((name, value)), _) => labels.push((plain(name.trim()), value.trim().to_owned())),
            (None, Some((_, value))) => {
                value.push(',');
                value.push_str(part);
            }
            (None, None) => {}
        }
    }
    labels
}

/// A name of letters, digits and `_`.
pub(crate) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
