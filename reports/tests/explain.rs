//! Sites explained: golden texts for each cause in each language, from a recorded run whose site
//! is dressed as that cause; and the promises: a site of an old log is explained from what that
//! has, hostile names drive no terminal, and the examples are code that its own tools read.

mod golden;
mod runs;

use ebbtide_record::evidence::{Ages, Bound, CensusEvidence, Evidence, Fading, Rest};
use ebbtide_record::verdict::{FrameLine, SiteVerdict};
use ebbtide_record::{Estimate, Kind, RoundKind, State, Verdict};
use ebbtide_reports::explain::{Case, Cause, Cure, Explanation, Language, choose};
use ebbtide_reports::text::{self, Style};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

const HINT: &str = "run `cargo xtask setup`, which installs what tests need";
const FOLDER: &str = "ebb-runs/x";
const FILES: [(Language, &str); 3] = [
    (Language::JavaScript, "src/hub.mjs"),
    (Language::Rust, "src/hub.rs"),
    (Language::Go, "hub.go"),
];

fn style() -> Style<'static> {
    Style { width: 90, ..Style::default() }
}

fn between(low: f64, value: f64, high: f64) -> Estimate {
    Estimate { value, low, high, confidence: 0.95, operation: "close /ws".to_owned() }
}

/// The run of a leak, with its first site dressed anew.
fn dressed(dress: impl Fn(&mut SiteVerdict)) -> State {
    let mut state = runs::state(&runs::leak());
    let site = &mut state.memory.sites[0];
    site.evidence = Evidence {
        limit: 16.0,
        alpha: 0.004,
        look: 1,
        rounds: 8,
        net_samples: Some(250.4),
        turnover: Some(0.01),
        early: Some(between(990.0, 1_030.0, 1_070.0)),
        late: Some(between(980.0, 1_018.0, 1_056.0)),
        late_alone: Some(between(978.0, 1_017.0, 1_056.0)),
        on_new: Some(between(990.0, 1_026.0, 1_062.0)),
        inputs_seen: Some(12_000),
        margins: BTreeMap::from([
            ("close /ws".to_owned(), 0.0),
            ("POST /api/v1/log".to_owned(), 212.0),
        ]),
        left_at_rest: Some(0.93),
        ..Evidence::default()
    };
    dress(site);
    state
}

fn explained(state: &State) -> String {
    text::explain(&Case::of(state, &state.memory.sites[0], Some(FOLDER)), style())
}

/// Changes a site.
type Dress = fn(&mut SiteVerdict);

/// A site that looks like each cause, each with another part of the evidence.
fn cases() -> [(Cause, Dress); 7] {
    [
        (Cause::Listener, |site| {
            site.evidence.census = Some(CensusEvidence {
                kind: Kind::Listener,
                file: "src/hub.rs".to_owned(),
                line: 64,
                per_op: between(0.99, 1.0, 1.01),
                whole: Some(1),
            });
        }),
        (Cause::Timer, |site| {
            (site.kind, site.kind_from) = (Kind::Timer, "frames".to_owned());
            site.evidence.rest = Some(Rest {
                seconds: 30.0,
                grown_bytes: 900.0,
                error_bytes: 4_000.0,
                at_work_bytes: 12_000_000.0,
            });
        }),
        (Cause::Connection, |site| {
            (site.kind, site.kind_from) = (Kind::Connection, "frames".to_owned());
            site.verdict = Verdict::Growing;
            site.growth_on_replay = Some(between(-200.0, 500.0, 1_200.0));
            site.evidence.margins.insert("POST /api/v1/log".to_owned(), 2.4);
            site.evidence.late = Some(between(-100.0, 400.0, 900.0));
            site.reasons = vec!["whether it grows on replayed input too is not sure".to_owned()];
        }),
        (Cause::Context, |site| {
            (site.kind, site.kind_from) = (Kind::Context, "frames".to_owned());
            site.verdict = Verdict::Inconclusive;
            site.growth_per_op = between(-8.0, 31.0, 70.0);
            site.evidence.early = Some(between(-20.0, 40.0, 100.0));
            site.evidence.late = Some(between(-30.0, 22.0, 74.0));
            site.evidence.late_alone = None;
            (site.p_value, site.growth_on_replay) = (0.07, None);
            site.reasons =
                vec!["growth is not sure, and up to 70 bytes are not ruled out".to_owned()];
        }),
        (Cause::Cache, |site| {
            (site.kind, site.kind_from) = (Kind::Cache, "frames".to_owned());
            site.verdict = Verdict::Growing;
            site.growth_on_replay = Some(between(-20.0, 4.0, 28.0));
            site.evidence.ages = Some(Ages {
                from: "census".to_owned(),
                le_s: vec![10.0, 60.0],
                live: vec![100.0, 0.0, 2_000.0],
                ..Ages::default()
            });
            site.reasons = vec!["something kept by key, with no bound seen".to_owned()];
        }),
        (Cause::Task, |site| {
            (site.kind, site.kind_from) = (Kind::Task, "census".to_owned());
            site.evidence.fading =
                Some(Fading { lasting: between(700.0, 800.0, 900.0), sure: true, subsides: false });
        }),
        (Cause::Unknown, |site| {
            (site.kind, site.kind_from) = (Kind::Other, String::new());
            site.container_bytes = 0;
            site.evidence.left_at_rest = Some(0.04);
            site.evidence.bound = Some(Bound {
                name: "subscribe".to_owned(),
                bytes: 1_000_000,
                live_bytes: 20_480_000,
            });
        }),
    ]
}

#[test]
fn each_cause_is_explained_as_it_was_in_each_language() {
    for (cause, dress) in cases() {
        let mut text = String::new();
        for (language, file) in FILES {
            let state = dressed(|site| {
                dress(site);
                site.file = file.to_owned();
            });
            let case = Case::of(&state, &state.memory.sites[0], Some(FOLDER));
            let explanation = Explanation::of(&case);
            assert_eq!(explanation.likely.map(|likely| likely.cause), Some(cause));
            let cure = explanation.cure.expect("what grows has a cure");
            assert_eq!(cure.examples.iter().map(|e| e.language).collect::<Vec<_>>(), [language]);
            text.push_str(&explained(&state));
        }
        let name = serde_json::to_value(cause).expect("a word");
        golden::matches(&format!("explain-{}.txt", name.as_str().expect("a word")), &text);
    }
}

#[test]
fn the_rest_at_the_end_is_no_round_of_work() {
    let mut state = dressed(|site| {
        site.verdict = Verdict::Growing;
        site.growth_on_replay = Some(between(-20.0, 4.0, 28.0));
        site.evidence.rounds = 0;
    });
    let worked = explained(&state);
    assert!(worked.contains("operations_per_round = "), "{worked}");
    let rounds = &mut state.memory.rounds;
    let mut rest = rounds.last().expect("a round").clone();
    (rest.phase, rest.index) = (RoundKind::Rest, rest.index + 1);
    rest.operations.clear();
    rounds.push(rest);
    assert_eq!(explained(&state), worked);
}

#[test]
fn ages_say_what_is_older_than_the_second_half() {
    for (older, turns_over, sign, says) in [
        (0.52, false, '+', "52 % of it older than 48 s, from before the second half of the"),
        (0.52, false, '+', "it keeps every age, as a leak does"),
        (0.0, true, '-', "next to nothing of what came first is left, so it turns over"),
        (0.2, false, ' ', "20 % of it older than 48 s"),
    ] {
        let state = dressed(|site| {
            site.evidence.ages = Some(Ages {
                from: "heap".to_owned(),
                le_s: vec![48.0],
                live: vec![100.0, 2_000.0],
                half_s: Some(48.0),
                older: Some(older),
                turns_over,
            });
        });
        let case = Case::of(&state, &state.memory.sites[0], None);
        let rungs = Explanation::of(&case).rungs;
        let rung = rungs.iter().find(|rung| rung.name == "ages").expect("ages are told");
        assert!(rung.says.contains(says) && rung.bearing.sign() == sign, "{rung:?}");
    }
}

#[test]
fn what_does_not_grow_has_evidence_and_no_cause() {
    let mut text = String::new();
    for (verdict, growth) in [
        (Verdict::Steady, between(-3.0, 0.2, 3.4)),
        (Verdict::Warming, between(100.0, 200.0, 300.0)),
    ] {
        let state = dressed(|site| {
            site.verdict = verdict;
            site.growth_per_op = growth.clone();
            site.evidence.late = Some(between(-4.0, 0.0, 4.0));
            site.evidence.late_alone = Some(between(-5.0, 0.0, 5.0));
            site.growth_on_replay = None;
            site.reasons.clear();
        });
        let explanation = Explanation::of(&Case::of(&state, &state.memory.sites[0], None));
        assert_eq!((explanation.likely, explanation.cure), (None, None));
        text.push_str(&explained(&state));
    }
    golden::matches("explain-calm.txt", &text);
}

#[test]
fn a_log_without_evidence_is_explained_from_what_it_has() {
    let state = runs::state(&runs::leak());
    let text = explained(&state);
    for told in ["1,024 ± 20 B per close /ws", "(plain", "on input seen before"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    golden::matches("explain-old-log.txt", &text);
}

#[test]
fn input_that_is_kept_by_key_goes_before_what_names_say() {
    let state = dressed(|site| {
        (site.kind, site.kind_from) = (Kind::Timer, "frames".to_owned());
        site.verdict = Verdict::Growing;
        site.growth_on_replay = Some(between(-20.0, 4.0, 28.0));
    });
    let explanation = Explanation::of(&Case::of(&state, &state.memory.sites[0], None));
    let likely = explanation.likely.expect("it grows");
    assert_eq!(likely.cause, Cause::Cache);
    assert!(likely.because[1].contains("though names on its stack say timer"), "{likely:?}");
}

#[test]
fn nothing_hostile_drives_the_terminal_and_no_sentence_is_wider_than_it() {
    let mut state = runs::state(&runs::hostile());
    state.memory.sites[0]
        .stack
        .push(FrameLine { function: "\u{1b}[2J".into(), ..FrameLine::default() });
    assert!(!explained(&state).contains('\u{1b}'), "an escape came through");
    state.memory.sites[0].function = "\u{1b}[2Jsteal".into();
    let offered = choose(&state.memory.sites, "stael").expect_err("a slip").to_string();
    assert!(offered.contains("steal") && !offered.contains('\u{1b}'), "{offered:?}");
    for (_, dress) in cases() {
        let text = explained(&dressed(dress));
        // Commands and code are not broken; they stand deeper.
        for line in text
            .lines()
            .filter(|line| !line.starts_with("    ") || line.starts_with("                 "))
        {
            assert!(line.chars().count() <= 90, "{line}");
        }
    }
}

#[test]
fn a_site_is_found_by_what_the_table_shows() {
    let state = runs::state(&runs::leak());
    let sites = &state.memory.sites;
    assert_eq!(choose(sites, "subscribe"), Ok(0));
    assert_eq!(choose(sites, "2"), Ok(1));
    assert_eq!(choose(sites, &sites[3].id), Ok(3));
    let shown = text::render(&state, style());
    assert!(shown.contains("1  hub::Hub::subscribe"), "{shown}");
}

/// Compiles each module of a list that comes by standard input, and runs none.
const READ_MODULES: &str = "
    const { SourceTextModule } = require('node:vm');
    const modules = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
    modules.forEach((code, at) => new SourceTextModule(code, { identifier: `example ${at}` }));
";

/// Runs a reader of source code on `code`, which must not refuse it.
fn reads(program: &str, arguments: &[&str], code: &str) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("`{program}` does not start ({error}): {HINT}"));
    child.stdin.take().expect("a pipe").write_all(code.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{program}` refuses: {said}\n{code}");
}

#[test]
fn the_examples_are_code() {
    let (mut modules, mut rust, mut go) = (Vec::new(), String::new(), "package p\n".to_owned());
    for cause in Cause::ALL {
        let cure = Cure::of(cause, None);
        assert_eq!(cure.examples.len(), Language::ALL.len());
        for example in cure.examples {
            for (what, code) in [("leaks", example.leaks), ("mended", example.mended)] {
                let name = format!("{cause:?}_{what}");
                match example.language {
                    Language::JavaScript => modules.push(code),
                    Language::Rust => {
                        rust.push_str(&format!("async fn {name}() -> Answer {{\n{code}\n}}\n"));
                    }
                    Language::Go => go.push_str(&format!("func {name}() {{\n{code}\n}}\n")),
                }
                let widest = code.lines().map(|line| line.chars().count()).max().unwrap_or(0);
                assert!(widest <= 76, "{cause:?} in {:?}: {widest} columns", example.language);
            }
        }
    }
    let modules = serde_json::to_string(&modules).expect("a list of texts");
    reads("node", &["--no-warnings", "--experimental-vm-modules", "-e", READ_MODULES], &modules);
    reads("rustfmt", &["--edition", "2024"], &rust);
    reads("gofmt", &["-e"], &go);
}
