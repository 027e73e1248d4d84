//! How the figures came to be, so that a reader can repeat the run or doubt it. In goes the
//! state, out goes the last section of the page: the command, the plan, the seed, the target,
//! the generator, the host and the version.

use super::markup::escaped;
use crate::figures;
use crate::shell::quoted;
use ebbtide_record::State;
use std::fmt::Write as _;

pub(super) fn section(state: &State) -> String {
    let started = state.started.clone().unwrap_or_default();
    let command = |words: &[String]| words.iter().map(|w| quoted(w)).collect::<Vec<_>>().join(" ");
    let mut out = String::from("<h2 id=\"method\">Method</h2>\n");
    if !started.command.is_empty() {
        let _ = writeln!(
            out,
            "<p class=\"soft\">This command repeats the run:</p>\n<pre>{}</pre>",
            escaped(&command(&started.command))
        );
    }
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut fact = |name: &str, words: String| facts.push((name.to_owned(), words));
    if !started.target_command.is_empty() {
        fact("target", command(&started.target_command));
    }
    if let Some(pid) = started.target_pid {
        fact("target process", pid.to_string());
    }
    fact("seed", started.seed.to_string());
    if started.rounds > 0 {
        fact("rounds", rounds(state, started.warmup_rounds, started.rounds, started.max_rounds));
    }
    if let Some(taken) = state.snapshots.last() {
        fact("heap sampling", sampling(taken.value.sample_interval_bytes));
    }
    for (operation, limit) in &state.memory.limits {
        let operation = if operation == "*" { "any operation" } else { operation };
        fact("growth of no interest", format!("{} per {operation}", figures::bytes(*limit)));
    }
    if !state.intervals.is_empty() {
        fact("generator", generator(state));
    }
    if !state.operations.is_empty() {
        let each = |(name, count): (&String, &u64)| format!("{} {name}", figures::count(*count));
        fact("operations", state.operations.iter().map(each).collect::<Vec<_>>().join(", "));
    }
    for (name, value) in &started.host {
        fact(name, value.clone());
    }
    fact("version", format!("ebb {}", started.version));
    fact(
        "event log",
        format!(
            "{} events, {} not understood",
            figures::count(state.events),
            figures::count(state.ignored)
        ),
    );
    out.push_str("<dl class=\"method\">\n");
    for (name, words) in facts {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(&name), escaped(&words));
    }
    out.push_str(
        "</dl>\n</main>\n<footer>A round is load, drain, settle, snapshot. Growth per operation is \
         fitted over the measured rounds; warm-up rounds are kept apart. Bytes are in binary \
         units.</footer>\n",
    );
    out
}

fn rounds(state: &State, warmup: u32, planned: u32, most: u32) -> String {
    let driven = state.snapshots.iter().filter(|taken| taken.value.round.is_some()).count();
    let looks = match state.memory.looks {
        0 => String::new(),
        1 => ", judged once".to_owned(),
        looks => format!(", judged {looks} times"),
    };
    format!(
        "{driven} driven: {warmup} to warm up, {planned} measured at first and {most} at \
         most{looks}"
    )
}

fn sampling(mean_bytes: u64) -> String {
    match mean_bytes {
        0 => "unknown".to_owned(),
        1 => "each allocation is counted".to_owned(),
        mean => format!("one sample in {} on average", figures::bytes(mean as f64)),
    }
}

fn generator(state: &State) -> String {
    let generator = state.generator();
    let threads = match generator.threads {
        0 => String::new(),
        1 => "1 thread, ".to_owned(),
        threads => format!("{threads} threads, "),
    };
    format!(
        "{threads}{} CPU, starts late by {} at most (p99 of the worst second), \
         {} dropped iterations{}",
        figures::percent(generator.cpu_fraction),
        figures::millis(generator.late_start_p99_ms),
        figures::count(generator.dropped_iterations),
        if generator.saturated { ", saturated" } else { "" }
    )
}
