use std::{net::Ipv4Addr, num::NonZeroU32, sync::Barrier};

use time::macros::date;

use super::{buckets::Buckets, *};
use crate::config::{Period, ThrottleConfig};

const SECOND: u64 = 1_000_000_000;

fn throttle(rate: f64, burst: u32) -> ThrottleConfig {
    ThrottleConfig { rate, burst: NonZeroU32::new(burst).expect("not zero") }
}

fn window() -> Window {
    Period::Day.window(file::today())
}

fn quota(counter: &Counter, limit: u64) -> Limit<'_> {
    Limit::Quota { counter, window: window(), limit: Some(limit) }
}

fn opened() -> (tempfile::TempDir, State) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = State::open(folder.path()).expect("opens");
    (folder, state)
}

/// What is on disk.
async fn used(state: &State, name: &str) -> u64 {
    let counters = vec![(name.to_owned(), window())];
    state.used(counters).await.expect("readable")[0]
}

#[test]
fn a_bucket_is_full_at_first_and_fills_at_its_rate() {
    let buckets = Buckets::new(100);
    let own = buckets.named("a", &throttle(0.5, 3), 0);
    for _ in 0..3 {
        assert_eq!(own.take(SECOND), Ok(()));
    }
    assert_eq!(own.take(SECOND), Err(Duration::from_secs(2)));
    assert_eq!(own.take(2 * SECOND), Err(Duration::from_secs(1)));
    assert_eq!(own.take(3 * SECOND), Ok(()));
    assert_eq!(own.take(4 * SECOND), Err(Duration::from_secs(1)));
    own.give_back();
    assert_eq!(own.take(4 * SECOND), Ok(()));
    // However long it rests, it holds no more than its burst.
    let later = 1_000_000 * SECOND;
    let taken = (0..10).filter(|_| own.take(later).is_ok()).count();
    assert_eq!(taken, 3);
    // Who asks for it again gets the same, as after a reload.
    assert!(buckets.named("a", &throttle(0.5, 3), later).take(later).is_err());
    // Another limit of the same name is another bucket.
    assert_eq!(buckets.named("a", &throttle(0.5, 4), later).take(later), Ok(()));
}

#[test]
fn the_slowest_and_the_fastest_buckets_count_exactly() {
    let buckets = Buckets::new(100);
    for (rate, burst) in [(0.001, 1_000_000), (1_000_000.0, 1), (3.0, 7)] {
        let own = buckets.named("a", &throttle(rate, burst), 0);
        let taken = (0..=burst).filter(|_| own.take(5).is_ok()).count();
        assert_eq!(taken, burst as usize, "{rate}");
    }
}

#[test]
fn names_that_nobody_uses_are_forgotten_when_they_are_full() {
    let buckets = Buckets::new(100);
    let used = buckets.named("used", &throttle(0.001, 1), 0);
    assert_eq!(used.take(0), Ok(()));
    assert_eq!(buckets.named("drained", &throttle(0.001, 1), 0).take(0), Ok(()));
    for index in 0..10_000_u64 {
        let now = index * SECOND / 100;
        assert_eq!(buckets.named(&format!("{index}"), &throttle(1.0, 1), now).take(now), Ok(()));
    }
    assert!(buckets.names() < 3000, "{}", buckets.names());
    for name in ["used", "drained"] {
        let same = buckets.named(name, &throttle(0.001, 1), 100 * SECOND);
        assert!(same.take(100 * SECOND).is_err(), "{name} was forgotten");
    }
}

/// Addresses of so many clients.
fn clients(count: u32) -> impl Iterator<Item = IpAddr> {
    (0..count).map(|index| Ipv4Addr::from_bits(index).into())
}

#[test]
fn full_buckets_are_forgotten_before_others() {
    let buckets = Buckets::new(shards::SHARDS * 4);
    let (drained, slow, fast) = (IpAddr::from([9; 4]), throttle(0.001, 1), throttle(1.0, 1));
    assert_eq!(buckets.take_client(drained, &slow, 0), Ok(()));
    // All of these are full again after a second.
    for (index, client) in (0..).zip(clients(10_000)) {
        assert_eq!(buckets.take_client(client, &fast, index * 2 * SECOND / 1000), Ok(()));
    }
    assert!(buckets.clients() <= shards::SHARDS * 4, "{}", buckets.clients());
    let again = buckets.take_client(drained, &slow, 20 * SECOND);
    assert!(again.is_err(), "the drained bucket was forgotten");
    buckets.give_back_client(drained, &slow);
    assert_eq!(buckets.take_client(drained, &slow, 20 * SECOND), Ok(()));
}

#[test]
fn a_flood_of_clients_is_bounded_and_forgets_nobody_else() {
    let buckets = Buckets::new(1000);
    let stage = throttle(1000.0, 1);
    assert_eq!(buckets.named("stage", &stage, 0).take(0), Ok(()));
    for client in clients(20_000) {
        assert_eq!(buckets.take_client(client, &throttle(0.001, 1), 0), Ok(()));
    }
    assert!(buckets.clients() <= 1000, "{}", buckets.clients());
    assert!(buckets.named("stage", &stage, 0).take(0).is_err(), "the stage's was forgotten");
}

#[tokio::test]
async fn a_client_has_a_bucket_of_its_own() {
    let (_folder, state) = opened();
    let (one, own) = (throttle(0.001, 1), throttle(0.001, 2));
    let [ada, bob] = [1, 2].map(|last| IpAddr::from([127, 0, 0, last]));
    let client = |address| Limit::Client { address, throttle: &one };
    assert_eq!(state.take(&[client(ada), Limit::None]).await, Ok(()));
    // Who is refused by another limit gets it back.
    let last = state.bucket("last", &own);
    for _ in 0..3 {
        let limits = [client(bob), Limit::None, Limit::Bucket(&last), client(ada)];
        let Err(Denied::Refused(refusal)) = state.take(&limits).await else { panic!("taken") };
        assert_eq!(refusal.limit, 3);
    }
    assert_eq!(state.take(&[client(bob)]).await, Ok(()));
    assert!(state.take(&[client(bob)]).await.is_err());
}

#[test]
fn many_threads_share_one_bucket_and_one_quota_exactly() {
    let (_folder, state) = opened();
    let own = state.bucket("a", &throttle(0.001, 1000));
    let many = state.counter("many");
    let begin = Barrier::new(4);
    let count = |limit: Limit<'_>| {
        begin.wait();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        (0..1000).filter(|_| runtime.block_on(state.take(&[limit])).is_ok()).count()
    };
    for limit in [Limit::Bucket(&own), quota(&many, 1000)] {
        let total: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| count(limit))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a count")).sum()
        });
        assert_eq!(total, 1000);
    }
}

#[tokio::test]
async fn who_is_refused_takes_nothing() {
    let (_folder, state) = opened();
    let first = state.bucket("first", &throttle(0.001, 10));
    let last = state.bucket("last", &throttle(0.001, 2));
    let q = state.counter("q");
    let limits = [Limit::Bucket(&first), quota(&q, 5), Limit::Bucket(&last)];
    assert_eq!(state.take(&limits).await, Ok(()));
    assert_eq!(state.take(&limits).await, Ok(()));
    for _ in 0..20 {
        let denied = state.take(&limits).await.expect_err("the last is empty");
        let Denied::Refused(refusal) = denied else { panic!("{denied:?}") };
        assert_eq!(refusal.limit, 2);
        assert!(refusal.wait.is_some_and(|wait| wait > Duration::from_secs(900)));
    }
    assert_eq!(used(&state, "q").await, 2);
    for _ in 0..3 {
        assert_eq!(state.take(&limits[..2]).await, Ok(()));
    }
    let refusal = state.take(&limits).await.expect_err("the quota is used up");
    assert_eq!(refusal, Denied::Refused(Refusal { limit: 1, wait: None }));
    // Five of the first bucket's ten are left.
    for _ in 0..5 {
        assert_eq!(state.take(&limits[..1]).await, Ok(()));
    }
    assert!(state.take(&limits[..1]).await.is_err());
}

#[tokio::test]
async fn quotas_outlive_the_process_each_for_its_period() {
    let (folder, state) = opened();
    let other = Window { first: date!(2999 - 01 - 01), until: date!(2999 - 02 - 01) };
    let q = state.counter("q");
    let later = Limit::Quota { counter: &q, window: other, limit: None };
    for _ in 0..3 {
        assert_eq!(state.take(&[quota(&state.counter("q"), 4)]).await, Ok(()));
    }
    assert_eq!(state.take(&[later]).await, Ok(()));
    drop(state);
    let state = State::open(folder.path()).expect("opens");
    assert_eq!(used(&state, "q").await, 3);
    assert_eq!(used(&state, "nobody").await, 0);
    let later = state.used(vec![("q".to_owned(), other)]).await.expect("readable");
    assert_eq!(later, [1]);
    assert_eq!(state.take(&[quota(&state.counter("q"), 4)]).await, Ok(()));
    assert!(state.take(&[quota(&state.counter("q"), 4)]).await.is_err());
}

#[tokio::test]
async fn two_processes_count_into_one_file() {
    let (folder, one) = opened();
    let two = State::open(folder.path()).expect("opens");
    for _ in 0..3 {
        assert_eq!(one.take(&[quota(&one.counter("q"), 10)]).await, Ok(()));
        assert_eq!(two.take(&[quota(&two.counter("q"), 10)]).await, Ok(()));
    }
    one.flush();
    two.flush();
    assert_eq!((used(&one, "q").await, used(&two, "q").await), (6, 6));
    // Whoever writes learns what the others have counted.
    while two.take(&[quota(&two.counter("q"), 10)]).await.is_ok() {}
    two.flush();
    assert_eq!(one.take(&[quota(&one.counter("q"), 11)]).await, Ok(()));
    one.flush();
    assert_eq!(used(&one, "q").await, 11);
    assert!(one.take(&[quota(&one.counter("q"), 11)]).await.is_err());
}

#[tokio::test]
async fn a_file_that_says_anything_is_counted_on() {
    let (folder, state) = opened();
    let first = window().first.to_string();
    let until = window().until.to_string();
    for (name, used) in [("lowest", i64::MIN), ("negative", -1), ("highest", i64::MAX)] {
        let connection = rusqlite::Connection::open(folder.path().join("usage.sqlite"));
        let values = rusqlite::params![name, first, until, used];
        connection
            .expect("opens")
            .execute("INSERT INTO counter VALUES (?1, ?2, ?3, ?4)", values)
            .expect("written");
    }
    drop(state);
    let state = State::open(folder.path()).expect("opens");
    let empty = state.bucket("empty", &throttle(0.001, 1));
    assert_eq!(state.take(&[Limit::Bucket(&empty)]).await, Ok(()));
    for name in ["lowest", "negative", "highest"] {
        let counter = state.counter(name);
        let all = Limit::Quota { counter: &counter, window: window(), limit: None };
        assert_eq!(state.take(&[all]).await, Ok(()));
        assert_eq!(used(&state, name).await > 0, name == "highest", "{name}");
        assert!(state.take(&[all, Limit::Bucket(&empty)]).await.is_err());
    }
    assert_eq!(state.take(&[quota(&state.counter("negative"), 10)]).await, Ok(()));
    assert!(state.take(&[quota(&state.counter("highest"), u64::MAX)]).await.is_ok());
    // What others set back is set back for us.
    let connection = rusqlite::Connection::open(folder.path().join("usage.sqlite"));
    connection.expect("opens").execute("DELETE FROM counter", []).expect("written");
    assert_eq!(state.take(&[quota(&state.counter("q"), 1)]).await, Ok(()));
    assert_eq!(used(&state, "q").await, 1);
}

#[tokio::test]
async fn many_processes_may_open_a_folder_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let begin = Barrier::new(8);
    let open = || {
        begin.wait();
        State::open(folder.path()).map(drop).map_err(|error| error.to_string())
    };
    let opened: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().expect("a result")).collect()
    });
    assert_eq!(opened, vec![Ok(()); 8]);
}

#[tokio::test]
async fn what_is_counted_is_written_without_being_asked() {
    let (folder, state) = opened();
    assert_eq!(state.take(&[quota(&state.counter("q"), 10)]).await, Ok(()));
    let begun = std::time::Instant::now();
    loop {
        let file = file::File::open(folder.path()).expect("opens");
        if file.used("q", window()).expect("readable") == 1 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nothing is written");
    }
}

#[tokio::test]
async fn a_damaged_file_is_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usage.sqlite");
    std::fs::write(&path, "no database, but long enough to be taken for one ".repeat(100))
        .expect("written");
    let state = State::open(folder.path()).expect("opens");
    assert_eq!(state.take(&[quota(&state.counter("q"), 1)]).await, Ok(()));
    assert_eq!(used(&state, "q").await, 1);
    let names = std::fs::read_dir(folder.path()).expect("a folder");
    let names: Vec<String> = names
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let aside = names.iter().filter(|name| name.starts_with("usage.sqlite.damaged-")).count();
    assert_eq!(aside, 1, "{names:?}");
}

/// Any byte of the file may be wrong: it opens, or is set aside.
#[tokio::test]
async fn no_damage_is_more_than_an_error() {
    let (folder, state) = opened();
    for index in 0..50 {
        let name = format!("key {index}");
        assert_eq!(state.take(&[quota(&state.counter(&name), 10)]).await, Ok(()));
    }
    drop(state);
    let path = folder.path().join("usage.sqlite");
    let whole = std::fs::read(&path).expect("the file");
    assert!(whole.len() > 4096, "{} bytes", whole.len());
    for at in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("usage.sqlite"), &damaged).expect("written");
        if let Ok(state) = State::open(folder.path()) {
            assert_eq!(state.take(&[quota(&state.counter("new"), 10)]).await, Ok(()));
        }
    }
}

#[test]
fn a_newer_file_and_a_folder_that_is_none_are_errors() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("usage.sqlite");
    let connection = rusqlite::Connection::open(&path).expect("opens");
    connection.pragma_update(None, "user_version", 99).expect("written");
    drop(connection);
    let error = State::open(folder.path()).err().expect("newer").to_string();
    assert!(error.contains("usage.sqlite") && error.contains("newer Mayfly"), "{error}");
    assert!(State::open(&path.join("below")).is_err());
}
