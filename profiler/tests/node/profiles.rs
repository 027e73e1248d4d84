//! Sampled heap profiles as Node itself writes them, and as nobody should. In: files made by Node,
//! and made here. Out: stacks, names and errors held against what went into them. Taking profiles
//! from a process that runs is left to `attaching`.

use ebbtide_profiler::parse;
use std::fmt::Write as _;
use std::process::Command;

/// Keeps some 6.4 MB, of which 1.6 MB are one array.
const PROGRAM: &str = "
globalThis.kept = new Array(200000).fill(null);
function fill() { for (let at = 0; at < 100000; at++) kept[at] = { at, next: [at] }; }
fill();
";

#[test]
fn a_profile_of_nodes_own_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("fill.js");
    std::fs::write(&script, PROGRAM).unwrap();
    let output = Command::new("node")
        .args(["--heap-prof", "--heap-prof-interval=16384", "--heap-prof-name=a.heapprofile"])
        .arg(&script)
        .current_dir(folder.path())
        .output()
        .expect("`node` is needed: `cargo xtask setup` says how to get it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = std::fs::read(folder.path().join("a.heapprofile")).unwrap();
    let profile = parse::read(&bytes).unwrap();
    assert!((profile.interval_bytes - 16_384.0).abs() < 1.0, "{}", profile.interval_bytes);
    let of = |name: &str| {
        let frame = |at: &u32| &profile.locations[*at as usize].frames[0];
        let stacks = profile.stacks.iter().filter(|stack| {
            stack.frames.iter().any(|at| frame(at).function == name)
                && frame(stack.frames.last().unwrap()).function != "(root)"
        });
        stacks.collect::<Vec<_>>()
    };
    let fill: f64 = of("fill").iter().map(|stack| stack.cell.live_bytes).sum();
    // 100,000 times an object of 40 and an array of 16 and 24 bytes, give or take what V8 adds.
    assert!((5e6..13e6).contains(&fill), "{fill}");
    assert!(of("fill").iter().all(|stack| stack.cell.live_samples.is_some()));
    let large = of("(large object)");
    let array = large.iter().find(|stack| stack.cell.live_bytes >= 1.6e6).expect("the array");
    assert_eq!(array.cell.live_objects, Some(1.0));
    assert!(profile.stacks.len() <= 2 * profile.ordinals.len());
}

fn document(children: &str, samples: &str) -> String {
    let frame = frame("(root)", "", -1);
    let head = format!("{{{frame},\"selfSize\":0,\"id\":1,\"children\":[{children}]}}");
    format!("{{\"head\":{head},\"samples\":[{samples}]}}")
}

fn frame(function: &str, url: &str, line: i32) -> String {
    format!(
        "\"callFrame\":{{\"functionName\":\"{function}\",\"scriptId\":\"7\",\"url\":\"{url}\",\
         \"lineNumber\":{line},\"columnNumber\":4}}"
    )
}

#[test]
fn functions_are_named_and_what_we_ran_ourselves_is_left_out() {
    let own = frame("", "file:///srv/my%20app/a.js", 11);
    let inner = frame("keep", "node:net", 3);
    let ours = frame("", "ebb:count", 0);
    let children = format!(
        "{{{own},\"selfSize\":32768,\"id\":2,\"children\":[{{{inner},\"selfSize\":16448,\"id\":3,\
         \"children\":[]}}]}},{{{ours},\"selfSize\":16448,\"id\":4,\"children\":[]}}"
    );
    let samples = "{\"size\":16384,\"nodeId\":2,\"ordinal\":1},{\"size\":16384,\"nodeId\":2,\
                   \"ordinal\":4},{\"size\":16448,\"nodeId\":3,\"ordinal\":5},\
                   {\"size\":16448,\"nodeId\":4,\"ordinal\":6}";
    let profile = parse::read(document(&children, samples).as_bytes()).unwrap();
    let told: Vec<String> = profile
        .stacks
        .iter()
        .map(|stack| {
            let mut told = format!("{} in {:?}", stack.cell.live_bytes, stack.cell.live_samples);
            for at in &stack.frames {
                let frame = &profile.locations[*at as usize].frames[0];
                let _ = write!(told, " {} {}:{}", frame.function, frame.file, frame.line);
            }
            told
        })
        .collect();
    assert_eq!(
        told,
        [
            "32768 in Some(2.0) (anonymous 12:5) /srv/my app/a.js:12",
            "16448 in Some(1.0) keep node:net:4 (anonymous 12:5) /srv/my app/a.js:12",
        ]
    );
    assert_eq!(profile.ordinals, [(0, 1), (0, 4), (1, 5)]);
    assert!(profile.stacks.iter().all(|stack| stack.cell.live_objects.is_none()));
}

#[test]
fn files_that_lie_get_one_clear_line() {
    let deep = |depth: usize| {
        let node = format!("{{{},\"selfSize\":1,\"id\":1,\"children\":[", frame("f", "", 1));
        let text = format!("{{\"head\":{}{}", node.repeat(depth), "]}".repeat(depth));
        format!("{text}}}")
    };
    let fits = deep(1_000);
    assert!(parse::read(fits.as_bytes()).is_ok(), "deeper than readers of values go");
    let whole = document("", "");
    let cut = &whole[..whole.len() - 9];
    for (text, says) in [
        (deep(5_000), "frames of a stack: more than the limit of 4096"),
        (cut.to_owned(), "heapprofile: byte"),
        ("{\"head\":[]}".to_owned(), "`{` was expected"),
        (fits.replace("\"selfSize\":1,", "\"selfSize\":-1,"), "a size of -1 bytes"),
        ("{\"samplingInterval\":16384,\"samples\":[]}".to_owned(), "it has no `head`"),
    ] {
        let error = parse::read(text.as_bytes()).expect_err("broken").to_string();
        assert!(error.contains(says), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
