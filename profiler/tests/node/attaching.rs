//! The inspector of a process that was started without it: opened, asked, and closed again. In:
//! programs of Node, and processes that are none. Out: sites, counts and classes held against what
//! the program was told to keep. What its profiles say in detail is left to `profiles`.

use crate::program::Program;
use ebbtide_profiler::ages::Ages;
use ebbtide_profiler::source::{Target, sockets};
use ebbtide_profiler::v8::{Classes, Dominators, Heap};
use ebbtide_profiler::{Folded, SiteRules, Symbolizer, parse, site};
use ebbtide_record::{Census, Kind};
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

/// Keeps what it is told to keep, in three ways.
const PROGRAM: &str = r"
import { createInterface } from 'node:readline';
import { EventEmitter } from 'node:events';

const bus = new EventEmitter();
bus.setMaxListeners(0);
const kept = [];

class Order {
  constructor(number) {
    this.number = number;
    this.lines = [`${number} a`, `${number} b`];
  }
}

function keep(count) {
  for (let number = 0; number < count; number++) kept.push(new Order(number));
}

function listen(count) {
  for (let number = 0; number < count; number++) bus.on('order', () => number);
}

function remind(count) {
  for (let number = 0; number < count; number++) setInterval(() => number, 1e8);
}

// As if a minute had passed without a word of who holds the lease.
function wait(turns) {
  process[Symbol.for('ebb.lease')].missed += turns;
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const [what, count] = line.split(' ');
  ({ keep, listen, remind, wait })[what](Number(count));
  console.log('done');
});
console.log('ready');
";

fn folded(bytes: &[u8], ages: &mut Ages) -> Folded {
    let mut profile = parse::read(bytes).expect("a profile");
    ages.note(&mut profile);
    let symbols = Symbolizer::default().resolve(&profile);
    site::fold(&profile, &symbols, &SiteRules::default())
}

fn counted(census: &Census, kind: Kind) -> Vec<(String, u32, u64)> {
    let of_kind = census.sites.iter().filter(|site| site.kind == kind);
    of_kind.map(|site| (site.function.clone(), site.line, site.count.live)).collect()
}

#[tokio::test]
async fn what_is_kept_is_found_by_site_and_counted_by_place() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let mut target = Target::attach(program.pid()).unwrap();
    assert!(target.is_node() && target.has_heap());
    let ports = sockets::listening(program.pid()).len();
    target.open().await.unwrap();
    assert_eq!(sockets::listening(program.pid()).len(), ports + 1);
    assert_eq!(program.ask("keep 20000"), "done");
    let mut ages = Ages::default();
    let before = target.snapshot(true).await.unwrap();
    assert_eq!(before.extension(), "heapprofile");
    let before = folded(&before.bytes, &mut ages);
    for what in ["keep 20000", "listen 500", "remind 300"] {
        assert_eq!(program.ask(what), "done");
    }
    let after = target.snapshot(true).await.unwrap();
    let sidecar = after.sidecar.unwrap();
    let after = folded(&after.bytes, &mut ages);
    assert!((after.interval_bytes - 16_384.0).abs() < 1.0);

    let order = after.sites.iter().find(|site| site.function == "Order").expect("a site");
    assert!(order.file.ends_with("my app/server.mjs"), "{}", order.file);
    assert_eq!((order.line, order.own), (10, true));
    // 40,000 objects with an array of two strings: some 200 bytes, of which a tenth is chance.
    let grown = after.live_bytes - before.live_bytes;
    assert!((2e6..9e6).contains(&grown), "{grown}");
    let total = order.total();
    assert!(total.live_samples.unwrap() > 50.0, "{total:?}");
    assert!(total.alloc_samples.unwrap() >= total.live_samples.unwrap(), "{total:?}");
    assert!(!after.sites.iter().any(|site| site.file.starts_with("ebb:")), "{:?}", after.sites);

    let listeners = counted(&sidecar.census, Kind::Listener);
    assert_eq!(listeners[0], ("EventEmitter#order".into(), 21, 500), "{listeners:?}");
    assert_eq!(counted(&sidecar.census, Kind::Timer), [("setInterval".into(), 25, 300)]);
    assert_eq!(sidecar.census.kinds[&Kind::Timer].live, 300);
    assert_eq!(target.census().await.unwrap().kinds[&Kind::Timer].live, 300);
    assert!(target.memory(false).await.unwrap().process.rss_bytes > 10_000_000);

    target.release().await;
    while sockets::listening(program.pid()).len() > ports {
        assert!(program.is_alive());
        tokio::task::yield_now().await;
    }
    assert_eq!(program.ask("keep 1"), "done", "it goes on as before");

    // Opened again, it is the same; and a whole heap is a file that can be read.
    let again = Target::attach(program.pid()).unwrap();
    let path = program.folder().join("whole.heapsnapshot");
    let taken = again.whole_heap(&path, u64::MAX).await.unwrap().expect("a heap");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), taken.bytes);
    let heap = Heap::read(std::fs::File::open(&path).unwrap()).unwrap();
    let classes = Classes::of(&heap, &Dominators::of(&heap));
    let orders = classes.rows.iter().find(|row| row.name == "Order").expect("a class");
    assert_eq!(orders.count, 40_001);
    assert_eq!(again.whole_heap(&path, 1_000_000).await.unwrap(), None, "too large unasked");
    again.release().await;
    assert!(program.is_alive());
}

#[tokio::test]
async fn a_port_of_another_process_is_never_asked() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut program = Program::start(PROGRAM, &format!("--inspect-port={port}"));
    let mut target = Target::attach(program.pid()).unwrap();
    let error = target.open().await.expect_err("it cannot be opened").to_string();
    assert!(error.contains(&format!("port {port}, which process {}", std::process::id())));
    assert!(error.contains("NODE_OPTIONS=--inspect-port=0"), "{error}");
    taken.set_nonblocking(true).unwrap();
    assert!(taken.accept().is_err(), "someone asked the port of this test");
    assert_eq!(program.ask("keep 1"), "done");
}

#[tokio::test]
async fn a_process_that_would_die_of_the_signal_never_gets_it() {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let mut target = Target::attach(child.id()).unwrap().by_inspector();
    let error = target.open().await.expect_err("it is no Node").to_string();
    assert!(error.contains("does not handle SIGUSR1"), "{error}");
    assert!(child.try_wait().unwrap().is_none(), "it lives");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn an_inspector_that_is_open_is_found_by_process_and_by_url_and_stays_open() {
    let program = Program::start(PROGRAM, "--inspect=127.0.0.1:0");
    let address = *sockets::listening(program.pid()).values().next().expect("a port");
    let by_pid = Target::attach(program.pid()).unwrap();
    for mut target in [by_pid, Target::at_inspector(&format!("ws://{address}"))] {
        target.open().await.unwrap();
        assert_eq!(target.pid(), Some(program.pid()));
        assert!(!target.snapshot(false).await.unwrap().bytes.is_empty());
        target.release().await;
        let still: Vec<_> = sockets::listening(program.pid()).into_values().collect();
        assert_eq!(still, [address]);
    }
}

#[tokio::test]
async fn an_inspector_that_is_given_up_half_way_is_closed_again() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let mut target = Target::attach(program.pid()).unwrap();
    let is_open = || !sockets::listening(program.pid()).is_empty();
    let seen = async {
        while !is_open() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = seen => {}
        opened = target.open() => panic!("it was open before it was seen: {opened:?}"),
    }
    target.release().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_open() {
        assert!(Instant::now() < deadline, "the inspector stays open");
        tokio::task::yield_now().await;
    }
    assert_eq!(program.ask("keep 1"), "done");
}

#[test]
fn an_inspector_whose_user_is_killed_is_closed_by_the_process_itself() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let mut target = Target::attach(program.pid()).unwrap().with_interval(4_096);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fetched = runtime.block_on(async {
        target.open().await.unwrap();
        target.snapshot(false).await.unwrap()
    });
    assert_eq!(fetched.sidecar.unwrap().sampling.mean_bytes, 4_096);
    // As with a kill, who holds the connection goes, and nothing is said.
    drop(runtime);
    assert!(!sockets::listening(program.pid()).is_empty(), "somebody said something");
    let deadline = Instant::now() + Duration::from_secs(30);
    assert_eq!(program.ask("wait 1000000"), "done");
    while !sockets::listening(program.pid()).is_empty() {
        assert!(Instant::now() < deadline, "the inspector stays open");
        std::thread::yield_now();
    }
    assert_eq!(program.ask("keep 1"), "done");
}
