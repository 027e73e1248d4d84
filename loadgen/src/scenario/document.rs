//! The document as a whole: its head, `[target]`, `[memory]` and `[thresholds]`. Pure.
//!
//! In: the text of a scenario. Out: a [`Scenario`], or all faults. Flows and their steps are
//! left to the neighbouring files.

use super::reader::{Fields, Node, Reader};
use super::step::{self, Around, Lists};
use super::{
    HeapSource, MemoryWatch, Provided, SCHEMA, SEED_DEFAULT, Scenario, Target, ThresholdText,
    feeder, flow, once, protocol, transport,
};
use crate::fault::{Fault, Faults, did_you_mean};
use crate::threshold;
use ebbtide_record::{Kind, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use toml::de::DeTable;

/// Rounds at most: each costs a snapshot on disk.
const ROUNDS_MAX: u64 = 1_000;

impl Scenario {
    /// Reads a scenario; `file` is the name that faults carry.
    ///
    /// # Errors
    /// All faults of the text, each with its line and its cure.
    pub fn parse(text: &str, file: &str) -> Result<Self, Faults> {
        let reader = Reader::new(text, file);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let offset = error.span().map_or(0, |span| span.start);
            reader.fault(offset, "", error.message().replace('\n', ", "));
        }
        if !errors.is_empty() {
            return Err(reader.into_faults().unwrap_or_default());
        }
        let mut scenario = read(&Fields::root(&reader, table.get_ref()), file);
        scenario.files = reader.take_files();
        match reader.into_faults() {
            None => Ok(scenario),
            Some(faults) => Err(faults),
        }
    }

    /// Every key that the reader asks for when it reads this text, with the path of its table:
    /// what a schema of scenarios must know.
    #[must_use]
    pub fn keys_asked(text: &str) -> BTreeSet<(String, &'static str)> {
        let reader = Reader::new(text, "");
        let (table, _) = DeTable::parse_recoverable(text);
        read(&Fields::root(&reader, table.get_ref()), "");
        reader.into_asked()
    }

    /// A fault of this scenario at a line of its file.
    #[must_use]
    pub fn fault(&self, line: usize, path: &str, what: impl Into<String>) -> Fault {
        Fault { file: self.file.clone(), line, column: 0, path: path.to_owned(), what: what.into() }
    }
}

fn read(root: &Fields<'_, '_>, file: &str) -> Scenario {
    let stem = std::path::Path::new(file).file_stem().and_then(|stem| stem.to_str());
    let mut scenario = Scenario {
        name: stem.unwrap_or("scenario").to_owned(),
        file: file.to_owned(),
        seed: SEED_DEFAULT,
        ..Scenario::default()
    };
    if let Some(node) = root.opt("schema")
        && let Some(schema) = node.whole(0, u64::MAX)
        && schema != SCHEMA
    {
        node.fault(format!("version {schema} is not known (write `schema = {SCHEMA}`)"));
    }
    if let Some(name) = root.opt("name").and_then(|node| node.text()) {
        name.clone_into(&mut scenario.name);
    }
    if let Some(seed) = root.opt("seed").and_then(|node| node.whole(0, u64::MAX)) {
        scenario.seed = seed;
    }
    if let Some(fields) = root.opt("target").and_then(|node| node.fields()) {
        scenario.target = target(fields, file);
    }
    let mut provided = Provided { lists: lists(root), ..Provided::default() };
    if let Some(fields) = root.opt("data").and_then(|node| node.fields()) {
        provided.feeders = feeder::read_all(&fields);
    }
    scenario.setup = root.opt("setup").and_then(|node| once::read(&node, &provided));
    provided.setup = scenario.setup.as_ref().map(|setup| super::sets(&setup.steps));
    scenario.teardown = root.opt("teardown").and_then(|node| once::read(&node, &provided));
    if let Some(fields) = root.need("flow", "[flow.main]").and_then(|node| node.fields()) {
        for (name, node) in fields.entries() {
            if let Some(flow) = flow::read(&node, &provided) {
                scenario.flows.insert(name.to_owned(), flow);
            }
        }
        if fields.entries().is_empty() {
            fields.fault("there is no flow (write `[flow.main]` with `executor` and `steps`)");
        }
    }
    scenario.feeders = provided.feeders;
    if let Some(fields) = root.opt("memory").and_then(|node| node.fields()) {
        scenario.memory = Some(memory(fields));
    }
    if let Some(node) = root.opt("warmup")
        && let Some(fields) = node.fields()
    {
        let length = fields.need("duration", "duration = \"10s\"").and_then(|it| it.duration());
        scenario.warmup = length.unwrap_or_default();
        fields.finish();
        if scenario.memory.is_some() {
            node.fault("rounds warm up by themselves (write `memory.warmup_rounds` instead)");
        }
    }
    if let Some(fields) = root.opt("thresholds").and_then(|node| node.fields()) {
        for (metric, node) in fields.entries() {
            thresholds(metric, &node, &mut scenario.thresholds);
        }
    }
    finish(root);
    scenario
}

/// Lists of steps by name. Each is read once for its own faults, whether or not it is used.
fn lists<'a, 't>(root: &Fields<'a, 't>) -> Lists<'a, 't> {
    let Some(fields) = root.opt("steps").and_then(|node| node.fields()) else {
        return Lists::new();
    };
    let mut lists = Lists::new();
    for (name, node) in fields.entries() {
        lists.insert(name, node);
    }
    for (name, node) in &lists {
        step::read_list(node, &Around::new(false, &lists).within(name));
    }
    lists
}

fn finish(root: &Fields<'_, '_>) {
    // The root is borrowed, so its unknown keys are noted by a twin that has asked for the same.
    let known = [
        "schema",
        "name",
        "seed",
        "target",
        "data",
        "steps",
        "setup",
        "flow",
        "teardown",
        "warmup",
        "memory",
        "thresholds",
    ];
    for (name, node) in root.entries() {
        if !known.contains(&name) {
            let hint = did_you_mean(name, known.into_iter());
            let hint =
                if hint.is_empty() { format!(" (known: {})", step::quoted(&known)) } else { hint };
            node.reader.fault(node.span.start, "", format!("unknown key `{name}`{hint}"));
        }
    }
}

fn target(fields: Fields<'_, '_>, file: &str) -> Target {
    let text = |key| fields.opt(key).and_then(|node: Node<'_, '_>| node.text().map(str::to_owned));
    let mut target = Target {
        base: text("base"),
        ready: text("ready"),
        pprof: text("pprof"),
        inspector: text("inspector"),
        transport: transport::read(&fields, file),
        ..Target::default()
    };
    target.command = fields.opt("command").and_then(|node| node.texts()).unwrap_or_default();
    target.own = fields.opt("own").and_then(|node| node.texts()).unwrap_or_default();
    target.pid = fields.opt("pid").and_then(|node| node.count(1));
    target.protocol = protocol::read(&fields);
    if let Some(env) = fields.opt("env").and_then(|node| node.fields()) {
        for (name, node) in env.entries() {
            if let Some(value) = node.text() {
                target.env.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    if let Some(node) = fields.opt("heap") {
        target.heap = word(&node, &HEAP_SOURCES).unwrap_or_default();
    }
    if target.base.is_none() && target.command.is_empty() {
        fields.fault("neither `base` nor `command` says what is loaded (give one of them)");
    }
    let on_port = target.base.as_ref().is_some_and(|base| base.contains("${port}"));
    if target.base.is_some() && !target.command.is_empty() && !on_port {
        fields.fault(
            "`base` and `command` exclude each other (remove one of them, or write `${port}` for \
             the port in `base`)",
        );
    }
    target.inherited = step::inherited(&fields);
    fields.finish();
    target
}

const HEAP_SOURCES: [(&str, HeapSource); 6] = [
    ("auto", HeapSource::Auto),
    ("probe", HeapSource::Probe),
    ("pprof", HeapSource::Pprof),
    ("node", HeapSource::Node),
    ("signal", HeapSource::Signal),
    ("rss", HeapSource::Rss),
];

/// One of a fixed set of words.
pub(crate) fn word<T: Copy>(node: &Node<'_, '_>, words: &[(&str, T)]) -> Option<T> {
    let text = node.text()?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let hint = did_you_mean(text, words.iter().map(|(word, _)| *word));
        node.fault(format!("unknown word `{text}`{hint} (known: {})", known.join(", ")));
    }
    found
}

fn memory(fields: Fields<'_, '_>) -> MemoryWatch {
    let mut watch = MemoryWatch::default();
    let rounds = |key| {
        fields.opt(key).and_then(|node: Node<'_, '_>| node.whole(0, ROUNDS_MAX)).map(|n| n as u32)
    };
    watch.warmup_rounds = rounds("warmup_rounds").unwrap_or(watch.warmup_rounds);
    watch.rounds = rounds("rounds").unwrap_or(watch.rounds);
    watch.max_rounds = rounds("max_rounds").unwrap_or(watch.max_rounds.max(watch.rounds));
    if watch.max_rounds < watch.rounds {
        fields.fault(format!(
            "`max_rounds` ({}) is below `rounds` ({}) (raise it, or leave it out)",
            watch.max_rounds, watch.rounds
        ));
    }
    if let Some(count) = fields.opt("operations_per_round").and_then(|node| node.whole(1, u64::MAX))
    {
        watch.operations_per_round = count;
    }
    if let Some(settle) = fields.opt("settle").and_then(|node| node.fields()) {
        let quiet = settle.opt("quiet").and_then(|node| node.duration());
        let timeout = settle.opt("timeout").and_then(|node| node.duration());
        watch.settle_quiet = quiet.unwrap_or(watch.settle_quiet);
        watch.settle_timeout = timeout.unwrap_or(watch.settle_timeout);
        settle.finish();
    }
    if let Some(replay) = fields.opt("replay").and_then(|node| node.flag()) {
        watch.replay = replay;
    }
    if let Some(interval) = fields.opt("sample_interval").and_then(|node| node.size()) {
        watch.sample_interval_bytes = interval.max(1);
    }
    if let Some(limits) = fields.opt("limit").and_then(|node| node.fields()) {
        for (operation, node) in limits.entries() {
            if let Some(bytes) = node.size() {
                watch.limit.insert(operation.to_owned(), bytes as f64);
            }
        }
    }
    watch.bounded = table(&fields, "bounded", |node| node.size());
    watch.kinds =
        table(&fields, "kinds", |node| word(node, &Kind::ALL.map(|kind| (kind.key(), kind))));
    if let Some(items) = fields.opt("fail_on").and_then(|node| node.items()) {
        let words = [Verdict::Leaking, Verdict::Growing, Verdict::Warming, Verdict::Inconclusive]
            .map(|verdict| (verdict.key(), verdict));
        watch.fail_on = items.iter().filter_map(|item| word(item, &words)).collect();
    }
    fields.finish();
    watch
}

fn table<T>(
    fields: &Fields<'_, '_>,
    key: &'static str,
    read: impl Fn(&Node<'_, '_>) -> Option<T>,
) -> BTreeMap<String, T> {
    let Some(inner) = fields.opt(key).and_then(|node| node.fields()) else {
        return BTreeMap::new();
    };
    let entries = inner.entries();
    entries.into_iter().filter_map(|(name, node)| Some((name.to_owned(), read(&node)?))).collect()
}

/// The length of a threshold's windows.
fn window(metric: &str, node: &Node<'_, '_>) -> Option<Duration> {
    let over = node.duration()?;
    if over < Duration::from_secs(1) || over > threshold::OVER_MAX {
        let most = threshold::OVER_MAX.as_secs();
        node.fault(format!("a window lasts from 1 s to {most} s (write `over = \"10s\"`)"));
        return None;
    }
    if threshold::is_gauge(metric) {
        node.fault(format!("`{metric}` has one value and no windows (leave `over` out)"));
        return None;
    }
    Some(over)
}

fn thresholds(metric: &str, node: &Node<'_, '_>, out: &mut Vec<ThresholdText>) {
    if let Err(what) = threshold::check_metric(metric) {
        node.fault(what);
        return;
    }
    let items = if node.value.is_str() { Some(vec![node.clone()]) } else { node.items() };
    for item in items.unwrap_or_default() {
        let mut text = ThresholdText { metric: metric.to_owned(), ..ThresholdText::default() };
        let expression = if item.value.is_table() {
            let Some(fields) = item.fields() else { continue };
            let expression =
                fields.need("threshold", "threshold = \"p(99) < 250\"").and_then(|it| it.text());
            text.abort_on_fail =
                fields.opt("abort_on_fail").and_then(|it| it.flag()).unwrap_or(false);
            text.delay_abort_eval = fields
                .opt("delay_abort_eval")
                .and_then(|it| it.duration())
                .unwrap_or(Duration::ZERO);
            text.over = fields.opt("over").and_then(|it| window(metric, &it));
            fields.finish();
            expression
        } else {
            item.text()
        };
        let Some(expression) = expression else { continue };
        match threshold::check_expression(metric, expression) {
            Ok(()) => {
                expression.clone_into(&mut text.expression);
                out.push(text);
            }
            Err(what) => item.fault(what),
        }
    }
}
