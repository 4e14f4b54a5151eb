use std::sync::Mutex;
use std::sync::mpsc::channel;

use upstream_trace_core::event::{Event, LogFollowed};

use super::thread::Source;
use super::*;

/// What the source does at each question, in this order; then nothing.
enum Does {
    Reads(u32),
    /// Has more to read than fits.
    ReadsSome(u32),
    /// Touches a file system that never answers.
    Hangs,
}

struct Fake {
    script: Arc<Mutex<Vec<Does>>>,
    watchdog: Watchdog,
    lost: u64,
}

fn event(worker: u32) -> LogOutput {
    let followed = LogFollowed { at: 1, worker, followed: true, level: None };
    LogOutput::Event(Box::new(Event::LogFollowed(followed)))
}

impl Source for Fake {
    fn read(&mut self, _watched: &WatchedPids, _now: Nanos, to: &mut Vec<LogOutput>) -> bool {
        let next = {
            let mut script = self.script.lock().unwrap();
            if script.is_empty() {
                return true;
            }
            script.remove(0)
        };
        match next {
            Does::Reads(worker) => to.push(event(worker)),
            Does::ReadsSome(worker) => {
                to.push(event(worker));
                return false;
            }
            Does::Hangs => self.watchdog.step(&"/mnt/error.log".into(), 7, || {
                loop {
                    std::thread::park();
                }
            }),
        }
        true
    }

    fn tells(&self, _watched: &WatchedPids) -> bool {
        true
    }

    fn lost(&self) -> u64 {
        self.lost
    }
}

fn follower(script: Vec<Does>) -> Follower {
    let script = Arc::new(Mutex::new(script));
    let open: Open = Arc::new(move |_, _, _, watchdog| {
        Ok(Box::new(Fake { script: Arc::clone(&script), watchdog, lost: 0 }))
    });
    let ready = Ready { on_start: || {}, line: Arc::new(|| Box::new(|_| {})), wake: Arc::new(|| {}) };
    Follower::open_by(open, ErrorLog::Auto, WatchedPids::default(), 1, ready).unwrap()
}

fn workers(said: &[LogOutput]) -> Vec<u32> {
    let worker = |said: &LogOutput| match said {
        LogOutput::Event(event) => match &**event {
            Event::LogFollowed(followed) => Some(followed.worker),
            _ => None,
        },
        LogOutput::Note(_) => None,
    };
    said.iter().filter_map(worker).collect()
}

fn far() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

#[test]
fn an_answer_comes_after_all_that_was_read_for_it() {
    let mut follower = follower(vec![Does::ReadsSome(1), Does::ReadsSome(2), Does::Reads(3), Does::Reads(4)]);
    assert!(follower.is_done(), "nothing was asked");
    follower.ask(2, WatchedPids::default());
    assert!(!follower.is_done());
    assert_eq!(workers(&follower.take_all(far())), [1, 2, 3]);
    assert!(follower.is_done() && follower.tells());
    follower.ask(3, WatchedPids::default());
    assert_eq!(workers(&follower.take_all(far())), [4]);
}

#[test]
fn a_thread_that_hangs_is_replaced_and_its_question_is_answered() {
    let mut follower = follower(vec![Does::Reads(1), Does::Hangs, Does::Reads(2)]);
    for known in 2..4 {
        follower.ask(known, WatchedPids::default());
        if known == 2 {
            assert_eq!(workers(&follower.take_all(far())), [1]);
        }
    }
    let said = follower.take_all(far());
    assert_eq!(workers(&said), [2]);
    let hangs = |said: &LogOutput| matches!(said, LogOutput::Note(text) if text.contains("/mnt/error.log does not answer"));
    assert!(said.iter().any(hangs), "{said:?}");
    assert_eq!(follower.gaps(), 1);
}

#[test]
fn in_the_end_all_logs_are_given_up_and_nobody_waits() {
    let mut follower = follower((0..20).map(|_| Does::Hangs).collect());
    follower.ask(2, WatchedPids::default());
    let (mut notes, begun) = (Vec::new(), Instant::now());
    while !follower.is_done() && begun.elapsed() < Duration::from_mins(1) {
        notes.extend(follower.look_after(Duration::ZERO));
        notes.extend(follower.take().into_iter().map(|_| String::new()));
    }
    assert!(follower.is_done() && !follower.tells());
    assert!(notes.iter().any(|note| note.contains("No error.log is read any more")), "{notes:?}");
    assert_eq!(follower.gaps(), 1 + GIVEN_UP as u64);
}

#[test]
fn nothing_is_asked_where_no_log_is_wanted() {
    let (wake, woken) = channel();
    let ready = Ready {
        on_start: || {},
        line: Arc::new(|| Box::new(|_| {})),
        wake: Arc::new(move || wake.send(()).unwrap_or_default()),
    };
    let mut follower = Follower::open(ErrorLog::None, WatchedPids::default(), 1, ready).unwrap();
    follower.ask(2, WatchedPids::default());
    assert!(follower.is_done() && !follower.tells() && follower.take().is_empty());
    assert!(woken.try_recv().is_err());
}
