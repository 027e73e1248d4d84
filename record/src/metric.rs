//! Metrics in the shape of k6's `handleSummary`: times in milliseconds, names as k6 has them.
//! In: nothing. Out: the form, and the three shapes that are made from counts alone.
//! Measuring is left to the load engine, judging thresholds too.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Metrics by name, with sub-metrics as `name{tag:value}`.
pub type Metrics = BTreeMap<String, Metric>;

/// Values by k6's key: `avg`, `p(95)`, `count`, `rate`, `passes`, `fails`, `value`.
pub type Values = BTreeMap<String, f64>;

/// What a metric measures over time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricType {
    /// A sum: `count`, `rate` per second.
    #[default]
    Counter,
    /// The last value: `value`, `min`, `max`.
    Gauge,
    /// A share: `rate` from 0 to 1, `passes`, `fails`.
    Rate,
    /// A distribution: `avg min med max p(90) p(95) p(99) p(99.9) count`.
    Trend,
}

/// One metric.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Metric {
    /// What it measures.
    #[serde(rename = "type")]
    pub metric_type: MetricType,
    /// `default`, `time` (milliseconds) or `data` (bytes).
    pub contains: String,
    /// Its values.
    pub values: Values,
    /// Thresholds on it, by expression.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<String, ThresholdResult>,
}

/// How a threshold ended.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ThresholdResult {
    /// The condition held.
    pub ok: bool,
}

impl Metric {
    /// The value under `key`, if the metric has it.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<f64> {
        self.values.get(key).copied()
    }

    /// A counter of `count` over `seconds`.
    #[must_use]
    pub fn counter(count: f64, seconds: f64) -> Self {
        let rate = if seconds > 0.0 { count / seconds } else { 0.0 };
        Self::of(MetricType::Counter, "default", &[("count", count), ("rate", rate)])
    }

    /// A rate of `passes` among `passes + fails`; with none of either the rate is 0.
    #[must_use]
    pub fn rate(passes: u64, fails: u64) -> Self {
        let (passes, fails) = (passes as f64, fails as f64);
        let rate = if passes + fails > 0.0 { passes / (passes + fails) } else { 0.0 };
        Self::of(
            MetricType::Rate,
            "default",
            &[("rate", rate), ("passes", passes), ("fails", fails)],
        )
    }

    /// A metric of the given values.
    #[must_use]
    pub fn of(metric_type: MetricType, contains: &str, values: &[(&str, f64)]) -> Self {
        Self {
            metric_type,
            contains: contains.to_owned(),
            values: values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
            thresholds: BTreeMap::new(),
        }
    }
}
