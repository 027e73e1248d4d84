//! Thresholds in k6's grammar: conditions on the summary that decide the exit code. Pure.
//!
//! In: conditions as written, metrics as measured. Out: the conditions that failed, and a mark
//! on each metric. When they are judged is left to the caller. A condition on a metric that was
//! never measured holds, as in k6.

use crate::fault::did_you_mean;
use ebbtide_record::metric::ThresholdResult;
use ebbtide_record::{Metric, MetricType, Metrics};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use MetricType::{Counter, Gauge, Rate, Trend};

/// All metrics there are, with their types.
pub const METRICS: [(&str, MetricType); 54] = [
    ("http_reqs", Counter),
    ("http_req_failed", Rate),
    ("http_req_duration", Trend),
    ("http_req_latency", Trend),
    ("http_req_blocked", Trend),
    ("http_req_connecting", Trend),
    ("http_req_tls_handshaking", Trend),
    ("http_req_sending", Trend),
    ("http_req_waiting", Trend),
    ("http_req_receiving", Trend),
    ("http_reconnects", Counter),
    ("iterations", Counter),
    ("iteration_duration", Trend),
    ("iteration_latency", Trend),
    ("group_duration", Trend),
    ("dropped_iterations", Counter),
    ("interrupted_iterations", Counter),
    ("vus", Gauge),
    ("vus_max", Gauge),
    ("checks", Rate),
    ("data_sent", Counter),
    ("data_received", Counter),
    ("ws_connecting", Trend),
    ("ws_connect_failed", Rate),
    ("ws_sessions", Counter),
    ("ws_session_duration", Trend),
    ("ws_msgs_sent", Counter),
    ("ws_msgs_received", Counter),
    ("ws_msg_rtt", Trend),
    ("ws_msg_wait", Trend),
    ("ws_msg_failed", Rate),
    ("ws_ping", Trend),
    ("ws_closing", Trend),
    ("sio_connecting", Trend),
    ("sio_connect_failed", Rate),
    ("sio_upgrade_duration", Trend),
    ("sio_emits", Counter),
    ("sio_emit_failed", Rate),
    ("sio_ack_duration", Trend),
    ("sio_ack_timeouts", Counter),
    ("sio_events_received", Counter),
    ("sio_event_wait", Trend),
    ("sio_session_duration", Trend),
    ("sio_closing", Trend),
    ("sio_reconnects", Counter),
    ("delivery_latency", Trend),
    ("delivery_reach", Rate),
    ("delivery_spread", Trend),
    ("delivery_duplicates", Counter),
    ("delivery_untracked", Counter),
    ("ws_reconnects", Counter),
    ("disconnects", Counter),
    ("late_start", Trend),
    ("generator_threads", Gauge),
];

/// Longest window of a threshold: its seconds are kept, each with all its histograms.
pub const OVER_MAX: Duration = Duration::from_secs(300);

/// A condition on the summary, in k6's grammar.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ThresholdText {
    /// Metric with its tags: `http_req_duration{name:login}`.
    pub metric: String,
    /// Condition: `p(99) < 250`.
    pub expression: String,
    /// The run is stopped once it fails.
    pub abort_on_fail: bool,
    /// It is not judged earlier than this.
    pub delay_abort_eval: Duration,
    /// It must hold in every window of this length, not over the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<Duration>,
}

impl ThresholdText {
    /// The condition as it is shown: `p(99) < 250`, or `p(99) < 250 over 10s`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.over {
            None => self.expression.clone(),
            Some(over) => format!("{} over {}s", self.expression, over.as_secs_f64()),
        }
    }

    /// Whether it claims something about times that the generator measured, so that a generator
    /// that was the bottleneck makes it void.
    #[must_use]
    pub fn speaks_of_latency(&self) -> bool {
        let metric = self.metric.split('{').next().unwrap_or_default();
        METRICS.iter().any(|(name, kind)| *name == metric && *kind == Trend)
    }
}

/// Tags with the values asked for.
pub type Tags = Vec<(String, String)>;

/// Operators, longest first.
const OPERATORS: [&str; 7] = ["<=", ">=", "===", "==", "!=", "<", ">"];

/// A condition, parsed.
#[derive(Clone, Debug, PartialEq)]
struct Condition {
    key: String,
    operator: &'static str,
    bound: f64,
}

/// Metric and tags of `name{tag:value,tag:value}`.
///
/// # Errors
/// What is wrong with the braces or the pairs.
pub fn split_metric(metric: &str) -> Result<(&str, Tags), String> {
    let Some((name, rest)) = metric.split_once('{') else {
        return Ok((metric, Vec::new()));
    };
    let inner = rest
        .strip_suffix('}')
        .ok_or_else(|| format!("`{metric}` does not end in `}}` (write `{name}{{name:login}}`)"))?;
    let mut tags = Vec::new();
    for pair in inner.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (tag, value) = pair
            .split_once(':')
            .ok_or_else(|| format!("`{pair}` is not a tag (write `name:value`)"))?;
        tags.push((tag.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned()));
    }
    Ok((name, tags))
}

/// Checks the name of a metric and its tags.
///
/// # Errors
/// What is wrong, with its cure.
pub fn check_metric(metric: &str) -> Result<(), String> {
    let (name, _) = split_metric(metric)?;
    if METRICS.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let hint = did_you_mean(name, METRICS.iter().map(|(known, _)| *known));
    Err(format!("unknown metric `{name}`{hint}"))
}

/// Whether a metric has one value at a time, and no samples.
#[must_use]
pub fn is_gauge(metric: &str) -> bool {
    let name = metric.split('{').next().unwrap_or_default();
    METRICS.iter().any(|(known, kind)| *known == name && *kind == Gauge)
}

/// Checks a condition against the type of its metric.
///
/// # Errors
/// What is wrong, with its cure.
pub fn check_expression(metric: &str, expression: &str) -> Result<(), String> {
    let condition = parse(expression)?;
    let (name, _) = split_metric(metric)?;
    let Some((_, metric_type)) = METRICS.iter().find(|(known, _)| *known == name) else {
        return check_metric(metric);
    };
    let allowed: &[&str] = match metric_type {
        Counter => &["count", "rate"],
        Gauge => &["value"],
        Rate => &["rate"],
        Trend => &["avg", "min", "med", "max", "p(N)", "count"],
    };
    let key = if condition.key.starts_with("p(") { "p(N)" } else { condition.key.as_str() };
    if allowed.contains(&key) {
        return Ok(());
    }
    let words: Vec<String> = allowed.iter().map(|word| format!("`{word}`")).collect();
    Err(format!("`{}` is no value of `{name}` (it has {})", condition.key, words.join(", ")))
}

fn parse(expression: &str) -> Result<Condition, String> {
    let bad = |why: &str| {
        format!("`{expression}` is not a condition: {why} (write `p(99) < 250` or `rate > 0.99`)")
    };
    let (operator, at) = OPERATORS
        .iter()
        .filter_map(|operator| Some((*operator, expression.find(operator)?)))
        .min_by_key(|(operator, at)| (*at, usize::MAX - operator.len()))
        .ok_or_else(|| bad("it has no operator"))?;
    let key: String = expression[..at].split_whitespace().collect();
    let bound = expression[at + operator.len()..].trim();
    let bound: f64 = bound.parse().map_err(|_| bad("its right side is not a number"))?;
    let known = ["avg", "min", "med", "max", "count", "rate", "value"].contains(&key.as_str());
    if !known && percentile(&key).is_none() {
        return Err(bad("its left side is not a value"));
    }
    Ok(Condition { key, operator, bound })
}

/// The percentile of `p(99.9)`.
#[must_use]
pub fn percentile(key: &str) -> Option<f64> {
    let inner = key.strip_prefix("p(")?.strip_suffix(')')?;
    inner.parse::<f64>().ok().filter(|value| (0.0..=100.0).contains(value))
}

/// Percentiles that the conditions ask for, with the metric they ask it of.
pub(crate) fn percentiles(thresholds: &[ThresholdText]) -> Vec<(String, f64)> {
    let asked = thresholds.iter().filter_map(|threshold| {
        let key = parse(&threshold.expression).ok()?.key;
        Some((threshold.metric.clone(), percentile(&key)?))
    });
    asked.collect()
}

/// Judges all thresholds on the whole load, marks them on the metrics, and gives those that failed,
/// as `metric: expression`. As in k6 a metric without samples counts as 0, and a rate of nothing is
/// not judged. Those with windows are left to [`crate::guard`].
pub fn judge(thresholds: &[ThresholdText], metrics: &mut Metrics) -> Vec<String> {
    let mut failed = Vec::new();
    for threshold in thresholds {
        let Ok(condition) = parse(&threshold.expression) else { continue };
        let metric = metrics
            .entry(threshold.metric.clone())
            .or_insert_with(|| without_samples(&threshold.metric, &condition));
        if threshold.over.is_some() {
            metric.thresholds.entry(threshold.label()).or_insert(ThresholdResult { ok: true });
            continue;
        }
        let ok = holds(&condition, metric);
        metric.thresholds.insert(threshold.expression.clone(), ThresholdResult { ok });
        if !ok {
            failed.push(format!("{}: {}", threshold.metric, threshold.expression));
        }
    }
    failed
}

/// Whether a threshold holds of metrics; none while its metric has no samples.
pub(crate) fn holds_of(threshold: &ThresholdText, metrics: &Metrics) -> Option<bool> {
    let condition = parse(&threshold.expression).ok()?;
    Some(holds(&condition, metrics.get(&threshold.metric)?))
}

/// A metric of which nothing was measured.
fn without_samples(metric: &str, condition: &Condition) -> Metric {
    let name = metric.split('{').next().unwrap_or_default();
    let known = METRICS.iter().find(|(known, _)| *known == name);
    match known.map_or(Counter, |(_, metric_type)| *metric_type) {
        Counter => Metric::counter(0.0, 0.0),
        Rate => Metric::of(Rate, "default", &[("passes", 0.0), ("fails", 0.0)]),
        Gauge => Metric::of(Gauge, "default", &[("value", 0.0)]),
        Trend => {
            let keys = ["avg", "min", "med", "max", "count", condition.key.as_str()];
            Metric::of(Trend, "time", &keys.map(|key| (key, 0.0)))
        }
    }
}

fn holds(condition: &Condition, metric: &Metric) -> bool {
    let Some(value) = metric.value(&condition.key).or_else(|| by_percentile(condition, metric))
    else {
        return true;
    };
    match condition.operator {
        "<" => value < condition.bound,
        "<=" => value <= condition.bound,
        ">" => value > condition.bound,
        ">=" => value >= condition.bound,
        "!=" => value != condition.bound,
        _ => value == condition.bound,
    }
}

/// `p(99.0)` and `p(99)` are one.
fn by_percentile(condition: &Condition, metric: &Metric) -> Option<f64> {
    let wanted = percentile(&condition.key)?;
    metric
        .values
        .iter()
        .find(|(key, _)| percentile(key).is_some_and(|found| found == wanted))
        .map(|(_, value)| *value)
}
