//! Allocation timelines of the real Node: live and allocated bytes by function, the same as the
//! program itself finds in what it recorded. In: `node` from the PATH; a machine without it
//! fails. Out: a profile with ages.

use crate::hostile;
use ebbtide_profiler::profile::Form;
use ebbtide_profiler::{Cell, Profile, SiteRules, Symbolizer, parse, site};
use std::collections::BTreeMap;
use std::process::Command;

/// Keeps 2,000 old objects and 500 young ones, drops 3,000, and sums by function what V8 noted.
const PROGRAM: &str = r"
const { Session } = require('inspector');
const session = new Session();
session.connect();
const kept = [];
class Thing { constructor(i) { this.number = i; this.inner = { i }; } }
function keepOld(i) { kept.push(new Thing(i)); }
function keepYoung(i) { kept.push(new Thing(i)); }
function churn(i) { return new Array(20).fill(i).length; }
const post = (method, params) => session.post('HeapProfiler.' + method, params);
post('enable');
if (process.argv[2] === 'snapshot') {
  let text = '';
  session.on('HeapProfiler.addHeapSnapshotChunk', (m) => { text += m.params.chunk; });
  post('takeHeapSnapshot', {});
  require('fs').writeFileSync(process.argv[1], text);
  process.exit(0);
}
post('startTrackingHeapObjects', { trackAllocations: true });
for (let i = 0; i < 2000; i++) keepOld(i);
for (let i = 0; i < 3000; i++) churn(i);
setTimeout(() => {
  for (let i = 0; i < 500; i++) keepYoung(i);
  const young = process.hrtime.bigint();
  setTimeout(() => {
    let text = '';
    session.on('HeapProfiler.addHeapSnapshotChunk', (m) => { text += m.params.chunk; });
    post('stopTrackingHeapObjects', { reportProgress: false });
    const ms = Number(process.hrtime.bigint() - young) / 1e6;
    require('fs').writeFileSync(process.argv[1], text);
    console.log(JSON.stringify({ ms, functions: sums(JSON.parse(text)) }));
  }, 150);
}, 1500);
function sums(file) {
  const { node_fields, trace_function_info_fields } = file.snapshot.meta;
  const width = node_fields.length, names = trace_function_info_fields.length;
  const at = (name) => node_fields.indexOf(name);
  const live = new Map();
  for (let i = 0; i < file.nodes.length; i += width) {
    const id = file.nodes[i + at('trace_node_id')], size = file.nodes[i + at('self_size')];
    const sum = live.get(id) || [0, 0];
    live.set(id, [sum[0] + size, sum[1] + (size > 0 ? 1 : 0)]);
  }
  const out = {};
  const add = (name, more) => {
    out[name] = (out[name] || [0, 0, 0, 0]).map((n, i) => n + more[i]);
  };
  (function walk([id, info, count, size, children]) {
    const name = file.strings[file.trace_function_infos[info * names + 1]];
    const [bytes, objects] = live.get(id) || [0, 0];
    if (count || bytes) add(name, [bytes, objects, size, count]);
    for (let i = 0; i < children.length; i += 5) walk(children.slice(i, i + 5));
  })(file.trace_tree);
  const [bytes, objects] = live.get(0);
  out['(not recorded)'] = [bytes, objects, 0, 0];
  return out;
}
";

fn node(arguments: &[&str]) -> (Vec<u8>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recorded.pb.gz");
    let output = Command::new("node").args(["-e", PROGRAM]).arg(&file).args(arguments).output();
    let output = output.expect("`node` is needed: `cargo xtask setup` says how to get it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (std::fs::read(file).unwrap(), said)
}

/// The sums of a profile by the function that allocated.
fn by_function(profile: &Profile) -> BTreeMap<String, [f64; 4]> {
    let mut sums: BTreeMap<String, [f64; 4]> = BTreeMap::new();
    for stack in &profile.stacks {
        let Some(innermost) = stack.frames.first() else { continue };
        let name = match profile.locations[*innermost as usize].frames[0].function.as_str() {
            "(anonymous)" => "",
            name => name,
        };
        let Cell { live_bytes, live_objects, alloc_bytes, alloc_objects, .. } = stack.cell;
        let values = [Some(live_bytes), live_objects, alloc_bytes, alloc_objects];
        let sum = sums.entry(name.to_owned()).or_default();
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value.unwrap_or(0.0));
    }
    sums
}

#[test]
fn a_timeline_of_node_is_read_to_the_byte() {
    let (bytes, said) = node(&[]);
    let profile = parse::read(&bytes).unwrap();
    assert_eq!((profile.form, profile.interval_bytes), (Some(Form::HeapTimeline), 1.0));
    let read = by_function(&profile);
    let truth: BTreeMap<String, [f64; 4]> =
        serde_json::from_value(said["functions"].clone()).unwrap();
    assert_eq!(read, truth);
    // And what V8 noted is what the program did.
    assert!((2_000.0..2_100.0).contains(&read["keepOld"][1]), "{:?}", read["keepOld"]);
    assert!((500.0..600.0).contains(&read["keepYoung"][1]), "{:?}", read["keepYoung"]);
    assert!(read["churn"][3] >= 3_000.0 && read["churn"][1] < 3_000.0, "{:?}", read["churn"]);
    let symbols = Symbolizer::new().resolve(&profile);
    let folded = site::fold(&profile, &symbols, &SiteRules::default());
    let site = folded.sites.iter().find(|site| site.function == "keepOld").unwrap();
    assert!(site.stack[0].function == "keepOld" && site.line == 7, "{site:?}");
    ages_are_told(&profile, said["ms"].as_f64().unwrap());
    hostile::survives("heaptimeline", &bytes);
}

/// Old objects are 1.5 s old and more; young ones 150 ms, unless the machine stood still.
fn ages_are_told(profile: &Profile, young_ms: f64) {
    let ages = profile.ages.as_ref().expect("V8 notes the newest object 20 times a second");
    let of = |function: &str| {
        let mut sum = vec![0.0; ages.bounds_s.len() + 1];
        for row in &ages.rows {
            let stack = &profile.stacks[row.at as usize];
            let innermost = stack.frames.first().map(|at| &profile.locations[*at as usize]);
            if innermost.is_some_and(|location| location.frames[0].function == function) {
                sum[row.bracket as usize] += row.bytes;
            }
        }
        sum
    };
    let (old, young) = (of("keepOld"), of("keepYoung"));
    assert_eq!(ages.bounds_s[..2], [1.0, 10.0]);
    assert!(old[0] == 0.0 && old[1..].iter().sum::<f64>() > 2_000.0 * 16.0, "{old:?}");
    if young_ms < 800.0 {
        assert!(young[0] > 500.0 * 16.0 && young[1..].iter().sum::<f64>() == 0.0, "{young:?}");
    }
}

#[test]
fn a_snapshot_without_stacks_is_told_from_a_timeline() {
    let (bytes, _) = node(&["snapshot"]);
    let error = parse::read(&bytes).unwrap_err().to_string();
    assert!(error.contains("without the stacks") && error.contains("ebb diff"), "{error}");
}
