//! The store's promises, kept by both databases.
//! In: a store of SQLite in memory, in a file, or of a PostgreSQL that is started here. Out: what
//! was stored, in which order, what is found again, and how many statements it took.
//! How the databases find it is the matter of `plans`.

use super::*;
use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;

type Trial = fn(Store) -> Pin<Box<dyn Future<Output = ()> + Send>>;

fn caps(history: usize) -> Caps {
    Caps { history, accounts: 1_000, direct: 1_000 }
}

/// Each promise by name, tried on a fresh database.
const TRIALS: [(&str, Trial); 8] = [
    ("accounts", |store| Box::pin(accounts_are_found_and_listed(store))),
    ("rooms", |store| Box::pin(rooms_are_seen_by_those_who_may(store))),
    ("order", |store| Box::pin(messages_have_one_order_without_gaps(store))),
    ("again", |store| Box::pin(what_is_said_again_is_stored_once(store))),
    ("group", |store| Box::pin(one_that_fails_takes_none_along(store))),
    ("missed", |store| Box::pin(what_was_missed_comes_in_order(store))),
    ("tokens", |store| Box::pin(a_token_is_good_once(store))),
    ("lists", |store| Box::pin(lists_go_page_by_page(store))),
];

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_memory() {
    for (name, trial) in TRIALS {
        eprintln!("{name}");
        trial(Store::open(&Database::Memory, caps(10_000)).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    for (name, trial) in TRIALS {
        eprintln!("{name}");
        let database = Database::File(folder.path().join(name));
        trial(Store::open(&database, caps(1)).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    let cluster = cluster::Postgres::start();
    let (client, connection) =
        tokio_postgres::connect(&cluster.url("postgres"), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for (name, trial) in TRIALS {
        eprintln!("{name}");
        client.batch_execute(&format!("CREATE DATABASE \"{name}\"")).await.unwrap();
        trial(Store::open(&Database::Postgres(cluster.url(name)), caps(1)).await.unwrap()).await;
    }
}

#[tokio::test]
async fn what_is_stored_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::File(folder.path().join("chat"));
    let store = Store::open(&database, caps(1)).await.unwrap();
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    say(&store, room, "kept", None).await;
    drop(store);
    let store = Store::open(&database, caps(1)).await.unwrap();
    assert_eq!(store.ensure_room("lobby", true).await.unwrap().id, room);
    let kept = store.messages(room, Range::After(0), 9).await.unwrap();
    assert_eq!(kept[0].content, "kept");
}

#[tokio::test]
async fn in_memory_the_newest_stay() {
    let store = Store::open(&Database::Memory, caps(3)).await.unwrap();
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    for n in 0..9 {
        say(&store, room, &n.to_string(), None).await;
    }
    let kept = store.messages(room, Range::Before(i64::MAX), 9).await.unwrap();
    let kept: String = kept.into_iter().map(|message| message.content).collect();
    assert_eq!(kept, "678");
    for (after, too_old) in [(0, true), (5, true), (6, false), (9, false)] {
        let replay = store.events_after(room, after, 9).await.unwrap();
        assert_eq!((replay.too_old, replay.last_seq), (too_old, 9), "{after}");
    }
}

#[tokio::test]
async fn in_memory_there_is_an_end_to_accounts_and_private_messages() {
    let caps = Caps { history: 1, accounts: 2, direct: 3 };
    let store = Store::open(&Database::Memory, caps).await.unwrap();
    let (one, other) = (user(&store, "one").await, user(&store, "other").await);
    let more = NewAccount { name: "more", password: "x", admin: false };
    let error = store.add_account(more).await.unwrap_err();
    assert!(matches!(error, StoreError::Full { what: "accounts", most: 2 }), "{error}");
    for n in 0..9 {
        let content = n.to_string();
        let new = NewDirect { from: one, to: other, content: &content, key: None };
        store.send(new).await.unwrap().unwrap();
    }
    let kept = store.inbox(other, i64::MAX, 9).await.unwrap();
    let kept: String = kept.into_iter().map(|message| message.content).collect();
    assert_eq!(kept, "876");
}

#[tokio::test]
async fn of_one_user_so_many_tokens_are_kept() {
    let store = Store::open(&Database::Memory, caps(1)).await.unwrap();
    let own = user(&store, "own").await;
    let hash = |n: i64| format!("hash{n}");
    // Each in a millisecond of its own, as logins take longer than that.
    let mut last = 0;
    for n in 0..100 {
        while now() <= last {
            tokio::task::yield_now().await;
        }
        last = now();
        let new = NewToken { hash: &hash(n), lives_ms: 60_000 };
        store.add_token(own, &format!("family{n}"), new).await.unwrap();
    }
    for (n, is_kept) in [(0, false), (35, false), (36, true), (99, true)] {
        assert_eq!(store.family_of(&hash(n)).await.unwrap().is_some(), is_kept, "{n}");
    }
}

async fn user(store: &Store, name: &str) -> UserId {
    let new = NewAccount { name, password: "x", admin: false };
    store.add_account(new).await.unwrap().unwrap()
}

fn guest(identity: Option<&str>) -> Author {
    Author::Guest { name: "a guest".into(), identity: identity.map(Into::into) }
}

async fn say(store: &Store, room: RoomId, content: &str, key: Option<&str>) -> Stored {
    let author = &guest(Some("g"));
    let new = NewMessage { room, author, content, key };
    store.append_and_wait(&new).await.unwrap().unwrap()
}

async fn accounts_are_found_and_listed(store: Store) {
    let ada = user(&store, "Ada").await;
    for name in ["Bob", "adam", "Éva"] {
        user(&store, name).await;
    }
    let taken = NewAccount { name: "ADA", password: "y", admin: true };
    assert_eq!(store.add_account(taken).await.unwrap(), None);
    let found = store.account_named("aDA").await.unwrap().unwrap();
    assert_eq!((found.id, found.name.as_str(), found.admin), (ada, "Ada", false));
    for (prefix, after, limit, names) in [
        ("", "", 9, "Ada adam Bob Éva"),
        ("AD", "", 9, "Ada adam"),
        ("", "ada", 2, "adam Bob"),
        ("é", "", 9, "Éva"),
    ] {
        let list = store.accounts(prefix, after, limit).await.unwrap();
        let list: Vec<_> = list.into_iter().map(|account| account.name).collect();
        assert_eq!(list.join(" "), names, "{prefix} {after}");
    }
    assert!(!store.rename(ada, "BOB").await.unwrap(), "taken");
    assert!(store.rename(ada, "ADA").await.unwrap(), "one's own in another case");
    store.set_password(ada, "z").await.unwrap();
    assert!(store.set_admin("ada", true).await.unwrap());
    assert!(!store.set_admin("nobody", true).await.unwrap());
    let found = store.account(ada).await.unwrap().unwrap();
    assert_eq!((found.name.as_str(), found.password.as_str(), found.admin), ("ADA", "z", true));
}

async fn rooms_are_seen_by_those_who_may(store: Store) {
    let (ada, bob) = (user(&store, "Ada").await, user(&store, "Bob").await);
    let lobby = store.ensure_room("lobby", false).await.unwrap();
    assert_eq!(store.ensure_room("lobby", true).await.unwrap().id, lobby.id);
    let new = |name, public| NewRoom { name, title: "T", public, owner: Some(ada) };
    let den = store.add_room(new("den", false)).await.unwrap().unwrap();
    assert_eq!(store.add_room(new("den", true)).await.unwrap(), None, "taken");
    store.add_room(new("hall", true)).await.unwrap().unwrap();
    for (who, after, limit, names) in [
        (Some(ada), "", 9, "den+ hall+ lobby"),
        (Some(bob), "", 9, "hall lobby"),
        (None, "", 9, "hall lobby"),
        (Some(ada), "den", 1, "hall+"),
    ] {
        let list = store.rooms(who, after, limit).await.unwrap();
        let words = list.iter().map(|view| {
            let role = if view.role == Some(Role::Moderator) { "+" } else { "" };
            format!("{}{role}", view.room.name)
        });
        assert_eq!(words.collect::<Vec<_>>().join(" "), names, "{who:?} {after}");
    }
    assert!(store.join(den, bob).await.unwrap());
    assert!(!store.join(den, bob).await.unwrap(), "twice");
    assert_eq!(store.role(den, bob).await.unwrap(), Some(Role::Member));
    store.set_role(den, bob, Role::Moderator).await.unwrap();
    let members = store.members(den, UserId(0), 9).await.unwrap();
    let members: Vec<_> = members.iter().map(|m| (m.name.as_str(), m.role)).collect();
    assert_eq!(members, [("Ada", Role::Moderator), ("Bob", Role::Moderator)]);
    assert!(store.leave(den, bob).await.unwrap());
    assert!(!store.leave(den, bob).await.unwrap());
    let changes = Changes { title: Some("U"), public: None };
    assert!(store.change_room(den, changes).await.unwrap());
    let view = store.room("den", Some(ada)).await.unwrap().unwrap();
    assert_eq!((view.room.title.as_str(), view.room.public), ("U", false));
    say(&store, den, "gone with the room", None).await;
    assert!(store.remove_room(den).await.unwrap());
    assert!(store.room("den", Some(ada)).await.unwrap().is_none());
    store.forget_ephemeral(lobby.id).await.unwrap();
    assert!(store.room("lobby", None).await.unwrap().is_some(), "it stays");
    let passing = store.ensure_room("passing", true).await.unwrap();
    store.forget_ephemeral(passing.id).await.unwrap();
    assert!(store.room("passing", None).await.unwrap().is_none());
}

async fn messages_have_one_order_without_gaps(store: Store) {
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut speakers = tokio::task::JoinSet::new();
    for speaker in 0..8 {
        let (store, heard) = (store.clone(), heard.clone());
        speakers.spawn(async move {
            let author = guest(None);
            for n in 0..50 {
                let content = format!("{speaker} {n}");
                let new = NewMessage { room, author: &author, content: &content, key: None };
                let heard = heard.clone();
                let done = move |stored: Result<Option<Stored>, StoreError>| {
                    heard.lock().unwrap().push(stored.unwrap().unwrap().id.seq);
                };
                store.append(&new, done).unwrap();
                if n % 10 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    speakers.join_all().await;
    let last = say(&store, room, "last", None).await;
    assert_eq!(last.id.seq, 401);
    assert_eq!(*heard.lock().unwrap(), (1..=400).collect::<Vec<_>>(), "told in order");
    let kept = store.messages(room, Range::After(0), 1_000).await.unwrap();
    assert_eq!(kept.iter().map(|m| m.id.seq).collect::<Vec<_>>(), (1..=401).collect::<Vec<_>>());
    for speaker in 0..8 {
        let own = kept.iter().filter(|m| m.content.starts_with(&format!("{speaker} ")));
        let own: Vec<_> = own.map(|m| m.content[2..].parse::<i32>().unwrap()).collect();
        assert_eq!(own, (0..50).collect::<Vec<_>>(), "as {speaker} said it");
    }
}

async fn what_is_said_again_is_stored_once(store: Store) {
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    let ada = Author::User { id: user(&store, "Ada").await, name: "Ada".into() };
    let one = guest(Some("one"));
    let two = guest(Some("two"));
    let nobody = guest(None);
    for (author, key, seq, again) in [
        (&ada, Some("k"), 1, false),
        (&ada, Some("k"), 1, true),
        (&one, Some("k"), 2, false),
        (&two, Some("k"), 3, false),
        (&one, Some("k"), 2, true),
        (&ada, None, 4, false),
        (&ada, None, 5, false),
        (&nobody, Some("k"), 6, false),
        (&nobody, Some("k"), 7, false),
        (&ada, Some("l"), 8, false),
    ] {
        let new = NewMessage { room, author, content: "x", key };
        let stored = store.append_and_wait(&new).await.unwrap().unwrap();
        assert_eq!((stored.id.seq, stored.again), (seq, again), "{author:?} {key:?}");
    }
    let names = store.messages(room, Range::After(0), 2).await.unwrap();
    assert_eq!(names.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["Ada", "a guest"]);
}

async fn one_that_fails_takes_none_along(store: Store) {
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    let (sender, answers) = std::sync::mpsc::channel();
    let author = guest(None);
    for n in 0..60 {
        let room = if n % 20 == 7 { RoomId(999) } else { room };
        let content = n.to_string();
        let new = NewMessage { room, author: &author, content: &content, key: None };
        let sender = sender.clone();
        store.append(&new, move |stored| sender.send((n, stored.unwrap())).unwrap()).unwrap();
    }
    drop(sender);
    let mut next = 1;
    for (n, stored) in
        tokio::task::spawn_blocking(move || answers.iter().collect::<Vec<_>>()).await.unwrap()
    {
        let seq = stored.map(|stored| stored.id.seq);
        if n % 20 == 7 {
            assert_eq!(seq, None, "{n}");
        } else {
            assert_eq!(seq, Some(next), "{n}");
            next += 1;
        }
    }
    assert_eq!(next, 58);
}

async fn what_was_missed_comes_in_order(store: Store) {
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    for n in 0..6 {
        say(&store, room, &n.to_string(), None).await;
        let (sender, noted) = tokio::sync::oneshot::channel();
        let happening = Happening { room, kind: "room:updated", body: "{}" };
        store.note(happening, |stored| drop(sender.send(stored))).unwrap();
        assert_eq!(noted.await.unwrap().unwrap().unwrap().id.seq, 2 * n + 2);
    }
    for (after, limit, first, count, more) in
        [(0, 99, 1, 12, false), (0, 5, 1, 5, true), (7, 99, 8, 5, false), (12, 99, 0, 0, false)]
    {
        let replay = store.events_after(room, after, limit).await.unwrap();
        let numbers: Vec<_> = replay.events.iter().map(Event::seq).collect();
        assert_eq!(numbers, (first..first + count).collect::<Vec<_>>(), "{after}");
        assert_eq!((replay.more, replay.too_old, replay.last_seq), (more, false, 12), "{after}");
    }
    let replay = store.events_after(room, 10, 9).await.unwrap();
    let [Event::Said(message), Event::Other { kind, body, .. }] = &replay.events[..] else {
        panic!("{replay:?}")
    };
    assert_eq!(
        (message.content.as_str(), kind.as_str(), body.as_str()),
        ("5", "room:updated", "{}")
    );
}

async fn a_token_is_good_once(store: Store) {
    let ada = user(&store, "Ada").await;
    let new = |hash| NewToken { hash, lives_ms: 60_000 };
    store.add_token(ada, "family", new("one")).await.unwrap();
    store.add_token(ada, "other", new("apart")).await.unwrap();
    store.add_token(ada, "old", NewToken { hash: "old", lives_ms: 0 }).await.unwrap();
    let good = store.refresh("one", new("two")).await.unwrap();
    assert!(matches!(good, Refreshed::Good { ref family, .. } if family == "family"), "{good:?}");
    let reused = store.refresh("one", new("three")).await.unwrap();
    assert!(matches!(reused, Refreshed::Reused { .. }), "{reused:?}");
    for hash in ["two", "three", "old", "never"] {
        let shown = store.refresh(hash, new("four")).await.unwrap();
        assert!(matches!(shown, Refreshed::Unknown), "{hash}: {shown:?}");
    }
    let good = store.refresh("apart", new("five")).await.unwrap();
    assert!(matches!(good, Refreshed::Good { .. }), "another family lives: {good:?}");
    store.revoke_all(ada).await.unwrap();
    let shown = store.refresh("five", new("six")).await.unwrap();
    assert!(matches!(shown, Refreshed::Unknown), "{shown:?}");
}

async fn lists_go_page_by_page(store: Store) {
    let (ada, bob) = (user(&store, "Ada").await, user(&store, "Bob").await);
    let eve = user(&store, "Eve").await;
    for n in 0..7 {
        let content = n.to_string();
        let (from, to) = if n % 2 == 0 { (ada, bob) } else { (bob, ada) };
        let key = Some(content.as_str());
        let new = NewDirect { from, to, content: &content, key };
        let sent = store.send(new).await.unwrap().unwrap();
        let again = store.send(new).await.unwrap().unwrap();
        assert_eq!((sent.id, true), (again.id, again.again));
    }
    let nobody = NewDirect { from: ada, to: UserId(999), content: "x", key: None };
    assert_eq!(store.send(nobody).await.unwrap(), None);
    let page = store.conversation((bob, ada), i64::MAX, 3).await.unwrap();
    let next = store.conversation((ada, bob), page[2].id, 9).await.unwrap();
    let words: String = page.iter().chain(&next).map(|direct| direct.content.as_str()).collect();
    assert_eq!(words, "6543210");
    assert_eq!(store.inbox(bob, i64::MAX, 9).await.unwrap().len(), 4);
    assert!(store.conversation((ada, eve), i64::MAX, 9).await.unwrap().is_empty());

    let one = |kind| NewNotification { user: ada, kind, priority: 1, body: "{}" };
    let ids = store.notify(&[one("mention"), one("direct"), one("mention")]).await.unwrap();
    let ids: Vec<i64> = ids.into_iter().map(|(id, _)| id).collect();
    assert!(store.mark_read(ada, ids[0]).await.unwrap());
    assert!(!store.mark_read(bob, ids[1]).await.unwrap(), "another's");
    for (unread, kind, found) in [
        (false, None, vec![2, 1, 0]),
        (true, None, vec![2, 1]),
        (false, Some("mention"), vec![2, 0]),
        (true, Some("mention"), vec![2]),
    ] {
        let filter = Filter { unread, kind, before: i64::MAX, limit: 9 };
        let list = store.notifications(ada, filter).await.unwrap();
        let list: Vec<_> = list.iter().map(|notification| notification.id).collect();
        assert_eq!(list, found.iter().map(|n| ids[*n]).collect::<Vec<_>>(), "{unread} {kind:?}");
    }
    assert_eq!(store.count_unread(ada).await.unwrap(), 2);
    assert_eq!(store.mark_all_read(ada).await.unwrap(), 2);
    assert!(store.delete_notification(ada, ids[0]).await.unwrap());
    assert!(!store.delete_notification(ada, ids[0]).await.unwrap());

    files_are_shown_by_who_has_sent_them(&store, ada, bob).await;
}

async fn files_are_shown_by_who_has_sent_them(store: &Store, ada: UserId, bob: UserId) {
    let (size, is_waiting) = (Some((4, 3)), true);
    let (hash, name, media_type) = ("h", "a.png", "image/png");
    let new = NewUpload { hash, user: ada, name, media_type, bytes: 7, size, is_waiting };
    let (id, _) = store.add_upload(new).await.unwrap();
    let upload = store.upload(id).await.unwrap().unwrap();
    assert_eq!((upload.name.as_str(), upload.size), ("a.png", Some((4, 3))));
    assert_eq!(store.uploads(ada, i64::MAX, 9).await.unwrap().len(), 1);
    assert_eq!(store.uploaded_bytes(ada).await.unwrap(), 7);
    assert_eq!(store.uploaded_bytes(bob).await.unwrap(), 0);
    let room = store.ensure_room("lobby", false).await.unwrap().id;
    let content = format!("![a](/api/v1/uploads/{id})");
    for (user, name, rooms) in [(bob, "Bob", 0), (ada, "Ada", 1), (ada, "Ada", 1)] {
        let author = &Author::User { id: user, name: name.into() };
        let new = NewMessage { room, author, content: &content, key: None };
        store.append_and_wait(&new).await.unwrap().unwrap();
        assert_eq!(store.shown_in(id, None).await.unwrap().len(), rooms, "{name}");
    }
    for (from, to, shown) in [(bob, ada, false), (ada, bob, true)] {
        let new = NewDirect { from, to, content: &content, key: None };
        store.send(new).await.unwrap().unwrap();
        assert_eq!(store.is_shown_to(id, to).await.unwrap(), shown);
    }
    let waiting = store.small_waiting(9).await.unwrap();
    assert_eq!(waiting.iter().map(|one| (one.id, one.tries)).collect::<Vec<_>>(), [(id, 0)]);
    let later = Some(std::time::Duration::from_secs(60));
    store.set_small(id, "waiting", 1, later).await.unwrap();
    assert!(store.small_waiting(9).await.unwrap().is_empty(), "put off");
    store.set_small(id, "made", 2, None).await.unwrap();
    assert_eq!(store.upload(id).await.unwrap().unwrap().small, "made");
}
