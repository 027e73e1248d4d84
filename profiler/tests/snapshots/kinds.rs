//! Frames to kind: real shapes of stacks in Rust, Node and Go programs.
//! In: frames from the allocating end on. Out: the kind, and what told it.
//! The census, which knows better, is left to the verdict's tests.

use ebbtide_profiler::frame::Frame;
use ebbtide_profiler::kind::{Evidence, KindTable};
use ebbtide_record::Kind;

const OWN: &str = "/home/u/shop/src/";

/// A stack of `function@file` words, the allocating end first; the first own one is the site.
fn kind(stack: &[&str], rules: &[(&str, Kind)]) -> (Evidence, Kind) {
    let frames: Vec<Frame> = stack
        .iter()
        .map(|text| {
            let (function, file) = text.split_once('@').unwrap_or((text, "/lib/x.rs"));
            Frame::named(function, &file.replace('~', OWN), 1)
        })
        .collect();
    let stack: Vec<(&Frame, bool)> =
        frames.iter().map(|frame| (frame, frame.file.starts_with(OWN))).collect();
    let site = stack.iter().position(|(_, own)| *own).unwrap();
    let rules: Vec<(String, Kind)> =
        rules.iter().map(|(text, kind)| ((*text).to_owned(), *kind)).collect();
    KindTable::default().of_stack(&stack, site, &rules)
}

#[test]
fn stacks_of_real_programs() {
    let tokio_time = "interval@/c/.cargo/registry/src/i/tokio-1.54.0/src/time/interval.rs";
    let cases: &[(&[&str], Kind)] = &[
        // Rust.
        (&["tokio::time::interval::interval", "shop::start@~main.rs"], Kind::Timer),
        (&[tokio_time, "{closure#0}@~main.rs", "serve@~main.rs"], Kind::Timer),
        (&["tokio::task::spawn::spawn", "shop::remind::start_reminder@~remind.rs"], Kind::Timer),
        (
            &[
                "tungstenite::buffer::ReadBuffer::new",
                "tokio::time::timeout::Timeout<F>::poll",
                "shop::serve@~main.rs",
            ],
            Kind::Connection,
        ),
        (&["alloc::vec::Vec<T,A>::push", "shop::bus::Bus::subscribe@~bus.rs"], Kind::Listener),
        (&["alloc::vec::Vec<T,A>::push", "shop::Bus::on_event@~main.rs"], Kind::Listener),
        (&["alloc::vec::Vec<T,A>::push", "shop::Bus::add_listener@~main.rs"], Kind::Listener),
        (&["tokio::sync::broadcast::Sender<T>::subscribe", "shop::open@~main.rs"], Kind::Listener),
        (&["alloc::vec::Vec<T,A>::push", "shop::bus::Listeners::push@~bus.rs"], Kind::Listener),
        (
            &[
                "alloc::collections::btree::map::BTreeMap<K,V>::insert",
                "shop::registry::Registry::register@~registry.rs",
            ],
            Kind::Connection,
        ),
        (&["hashbrown::map::HashMap::insert", "shop::Sessions::insert@~main.rs"], Kind::Connection),
        (&["tokio::task::spawn::spawn", "shop::keep_request@~main.rs"], Kind::Context),
        (&["alloc::slice::to_vec", "shop::handle::RequestContext::new@~handle.rs"], Kind::Context),
        (&["tokio::task::spawn::spawn", "shop::begin@~main.rs"], Kind::Task),
        (&["std::thread::Builder::spawn_unchecked", "shop::begin@~main.rs"], Kind::Task),
        (&["alloc::vec::Vec<T,A>::push", "shop::take_order@~main.rs"], Kind::Cache),
        (&["alloc::vec::Vec<T,A>::push", "shop::tasks::create_task@~tasks.rs"], Kind::Cache),
        (&["hashbrown::raw::RawTable<T,A>::reserve_rehash", "shop::visit@~main.rs"], Kind::Cache),
        (
            &["alloc::slice::to_vec", "shop::request_log::RequestLog::append@~request_log.rs"],
            Kind::Cache,
        ),
        (
            &["alloc::boxed::Box<T>::new", "shop::f@~main.rs", "shop::open_session@~main.rs"],
            Kind::Connection,
        ),
        (&["alloc::boxed::Box<T>::new", "shop::f@~main.rs", "shop::g@~main.rs"], Kind::Other),
        (
            &[
                "new<Order>@/rustc/1/library/alloc/src/boxed.rs",
                "shop::take_order@~main.rs",
                "shop::answer::{{closure}}@~main.rs",
                "shop::serve::{{closure}}@~main.rs",
            ],
            Kind::Other,
        ),
        // Go.
        (
            &[
                "runtime.newobject@/go/src/runtime/malloc.go",
                "time.NewTicker@/go/src/time/tick.go",
                "main.poll@~main.go",
            ],
            Kind::Timer,
        ),
        (&["runtime.growslice@/go/src/runtime/slice.go", "main.remember@~main.go"], Kind::Cache),
        // A list of jobs is a list.
        (&["runtime.growslice@/go/src/runtime/slice.go", "main.(*Jobs).f@~jobs/a.go"], Kind::Cache),
        (
            &["runtime.mapassign_faststr@/go/src/runtime/map.go", "main.handle.func1@~main.go"],
            Kind::Cache,
        ),
        (
            &[
                "runtime.malg@/go/src/runtime/proc.go",
                "runtime.newproc1@/go/src/runtime/proc.go",
                "main.f@~main.go",
            ],
            Kind::Task,
        ),
        (&["context.WithCancel@/go/src/context/context.go", "main.f@~main.go"], Kind::Context),
        (
            &[
                "bufio.NewReaderSize@/go/src/bufio/bufio.go",
                "net/http.newBufioReader@/go/src/net/http/server.go",
                "main.f@~main.go",
            ],
            Kind::Connection,
        ),
        // Node.
        (&["Timeout@node:internal/timers", "setInterval@node:timers", "poll@~app.js"], Kind::Timer),
        (&["_addListener@node:events", "addListener@node:events", "serve@~app.js"], Kind::Listener),
        (&["Socket@node:net", "connect@node:net", "f@~app.js"], Kind::Connection),
        (&["onRequest@~app.js"], Kind::Listener),
        (&["set@node:internal", "rememberUser@~app.js"], Kind::Cache),
    ];
    for (stack, expected) in cases {
        assert_eq!(kind(stack, &[]).1, *expected, "{stack:?}");
    }
}

#[test]
fn the_users_rules_come_first() {
    let stack = ["tokio::time::interval::interval", "shop::start_reminder@~main.rs"];
    let user = kind(&stack, &[("", Kind::Task), ("start_reminder", Kind::Context)]);
    assert_eq!(user, (Evidence::User, Kind::Context));
    assert_eq!(kind(&stack, &[("elsewhere", Kind::Context)]), (Evidence::Call, Kind::Timer));
}
