//! What a process has of it that `ebb` comes and goes: it may end meanwhile, others may be
//! connected, sample or come right behind, and its main thread may be busy. In: programs of Node.
//! Out: their inspectors closed or left alone, their own profiler untouched. What is seen inside
//! is left to `attaching`.

use crate::program::Program;
use ebbtide_profiler::source::{Target, sockets};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Does what it is told, and tells what was done to it.
const PROGRAM: &str = r#"
import { createInterface } from 'node:readline';
import { execFileSync } from 'node:child_process';
import inspector from 'node:inspector';
import v8 from 'node:v8';
import { fileURLToPath } from 'node:url';

const flags = [], set = v8.setFlagsFromString;
v8.setFlagsFromString = (flag) => { flags.push(flag); set(flag); };
const session = new inspector.Session();
const post = (method) => new Promise((done, failed) => {
  session.post(method, {}, (error, answer) => (error ? failed(error) : done(answer)));
});

const tell = {
  crash: () => { setImmediate(() => { throw new Error('meant'); }); return 'done'; },
  turns: () => process[Symbol.for('ebb.lease')]?.turns ?? -1,
  flags: () => flags.join(' '),
  later: () => new Promise((done) => setTimeout(done, 1500, 'done')),
  sample: async () => {
    session.connect();
    await post('HeapProfiler.startSampling');
    return 'done';
  },
  sampled: async () => typeof (await post('HeapProfiler.getSamplingProfile')).profile,
  // Its main thread stands from when its inspector is open until there is a file.
  stand: () => {
    const free = fileURLToPath(new URL('./free', import.meta.url));
    const timer = setInterval(() => {
      if (!inspector.url()) return;
      clearInterval(timer);
      execFileSync('sh', ['-c', 'until [ -e "$0" ]; do sleep 0.05; done', free]);
    }, 1);
    return 'done';
  },
};
createInterface({ input: process.stdin })
  .on('line', async (line) => console.log(await tell[line]()));
console.log('ready');
"#;

fn is_open(program: &Program) -> bool {
    !sockets::listening(program.pid()).is_empty()
}

async fn closed(program: &mut Program) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while is_open(program) {
        assert!(program.is_alive(), "it died of it");
        assert!(Instant::now() < deadline, "the inspector stays open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_process_that_crashes_while_it_is_watched_ends_at_once() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let mut target = Target::attach(program.pid()).unwrap();
    target.open().await.unwrap();
    assert_eq!(program.ask("crash"), "done");
    let deadline = Instant::now() + Duration::from_secs(20);
    while program.is_alive() {
        assert!(Instant::now() < deadline, "it waits for who watches it");
        tokio::task::yield_now().await;
    }
    assert!(target.census().await.is_err());
    target.release().await;
}

#[tokio::test]
async fn an_inspector_is_not_closed_under_somebody_else() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let mut target = Target::attach(program.pid()).unwrap();
    target.open().await.unwrap();
    let address = *sockets::listening(program.pid()).values().next().expect("a port");
    let other = TcpStream::connect(address).unwrap();
    target.release().await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while program.ask("turns").parse::<i64>().unwrap() < 5 {
        assert!(Instant::now() < deadline && is_open(&program), "it was closed under the other");
    }
    assert!(is_open(&program));
    drop(other);
    closed(&mut program).await;
    assert_eq!(program.ask("turns"), "-1", "nothing of ours is left");
}

#[tokio::test]
async fn who_comes_right_behind_is_not_thrown_out_and_closes_in_the_end() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let port = |program: &Program| sockets::listening(program.pid()).into_keys().next();
    let mut first = Target::attach(program.pid()).unwrap();
    first.open().await.unwrap();
    let opened = port(&program);
    let address = *sockets::listening(program.pid()).values().next().expect("a port");
    first.release().await;
    let mut second = Target::at_inspector(&format!("ws://{address}"));
    second.open().await.unwrap();
    assert_eq!(program.ask("later"), "done");
    assert_eq!(port(&program), opened);
    second.census().await.unwrap();
    // What the first one had changed, and what it leaves, is its own no more.
    first.release().await;
    second.census().await.unwrap();
    second.release().await;
    closed(&mut program).await;
    let flags = program.ask("flags");
    let (off, on) = ("--no-turbo-inlining", "--turbo-inlining");
    assert!(flags.starts_with(off) && flags.contains(&format!(" {on}")), "{flags}");
    assert!(flags.rfind(on) > flags.rfind(off), "{flags}");
}

#[tokio::test]
async fn a_process_that_samples_itself_is_left_alone() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    assert_eq!(program.ask("sample"), "done");
    let mut target = Target::attach(program.pid()).unwrap();
    let error = target.open().await.expect_err("there is one sampler").to_string();
    assert!(error.contains("is sampled already"), "{error}");
    target.release().await;
    closed(&mut program).await;
    assert_eq!(program.ask("sampled"), "object", "its own profiler goes on");
    assert_eq!(program.ask("flags"), "");
}

#[tokio::test]
async fn two_at_once_do_not_harm_each_other() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    let mut first = Target::attach(program.pid()).unwrap();
    first.open().await.unwrap();
    let address = *sockets::listening(program.pid()).values().next().expect("a port");
    let mut second = Target::at_inspector(&format!("ws://{address}"));
    assert!(second.open().await.is_err(), "one at a time");
    second.release().await;
    assert_eq!(program.ask("later"), "done");
    assert!(!first.snapshot(false).await.unwrap().bytes.is_empty());
    first.release().await;
    closed(&mut program).await;
}

#[tokio::test]
async fn an_inspector_that_is_open_and_answers_too_late_is_closed_again() {
    let mut program = Program::start(PROGRAM, "--inspect-port=0");
    assert_eq!(program.ask("stand"), "done");
    let mut target = Target::attach(program.pid()).unwrap();
    let seen = async {
        while !is_open(&program) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = seen => {}
        opened = target.open() => panic!("it was open before it was seen: {opened:?}"),
    }
    target.release().await;
    std::fs::write(program.folder().join("my app/free"), "").unwrap();
    closed(&mut program).await;
    assert_eq!(program.ask("turns"), "-1");
}

#[tokio::test]
async fn a_port_that_is_held_at_another_address_is_free() {
    let port_at = |address: &str| TcpListener::bind(address).map(|held| (held.local_addr(), held));
    let (address, _held) = std::iter::repeat_with(|| port_at("127.0.0.2:0").unwrap())
        .map(|(address, held)| (address.unwrap(), held))
        .find(|(address, _)| port_at(&format!("127.0.0.1:{}", address.port())).is_ok())
        .expect("a port that is free at one address");
    let mut program = Program::start(PROGRAM, &format!("--inspect-port={}", address.port()));
    let mut target = Target::attach(program.pid()).unwrap();
    target.open().await.unwrap();
    target.release().await;
    closed(&mut program).await;
}
