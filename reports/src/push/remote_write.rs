//! Prometheus remote write 1.0: a protobuf message, compressed by snappy's block format. In go
//! samples and their time, out comes the body of a POST. Protocol: Prometheus Remote-Write 1.0
//! specification; messages as in its `types.proto` and `remote.proto`.

use super::{Run, Sample};
use prost::Message;

/// Headers that go with the body.
pub const HEADERS: [(&str, &str); 3] = [
    ("content-encoding", "snappy"),
    ("content-type", "application/x-protobuf"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// Where receivers listen when the URL has no path.
pub const PATH: &str = "/api/v1/write";

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// Series, each with its samples.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name; `__name__` is the metric's.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In the order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Value>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Value {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Unix milliseconds.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// The body of a POST.
///
/// # Panics
/// Never: the samples of one interval are far below the 4 GiB that snappy takes.
#[must_use]
pub fn body(run: &Run, samples: &[Sample], at_unix_ms: u64) -> Vec<u8> {
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    let series = |sample: &Sample| {
        let mut labels = vec![
            label("__name__", sample.name.to_owned()),
            label("job", "ebb".to_owned()),
            label("run", run.name.clone()),
            label("run_id", run.started_unix_ms.to_string()),
        ];
        labels.extend(sample.labels.iter().map(|(name, value)| label(name, value.clone())));
        labels.sort_by(|a, b| a.name.cmp(&b.name));
        let timestamp = i64::try_from(at_unix_ms).unwrap_or(i64::MAX);
        TimeSeries { labels, samples: vec![Value { value: sample.value, timestamp }] }
    };
    let request = WriteRequest { timeseries: samples.iter().map(series).collect() };
    snap::raw::Encoder::new()
        .compress_vec(&request.encode_to_vec())
        .expect("the samples of one interval are below 4 GiB")
}
