//! Which lines come, of whom, and how often.

use super::*;

/// What most lines end in.
const REST: &str = "while connecting to upstream, client: 127.0.0.1, server: a, request: \"GET / HTTP/1.1\", \
    upstream: \"http://127.0.0.1:81/\", host: \"h\"";

#[test]
fn lines_of_the_worker_and_of_nobody_else() {
    let worker = Worker::new("lines", ": > before; exec 3>> error.log 4>> access.log");
    worker.log("error.log", "before");
    worker.dir.append("access.log", "10.0.0.1 - GET /\n");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    let said = tick(&mut logs, &watched, 2);
    assert_eq!(followed(&said), [(true, Some("error".to_owned()))]);
    assert!(messages(&said).is_empty() && notes(&said).is_empty());
    worker.log("error.log", "connect() failed (111: Connection refused) while connecting to upstream");
    worker.dir.append("error.log", &line(1, "of another process"));
    worker.dir.append("access.log", &worker.line("a request that looks like a line"));
    worker.dir.append("error.log", "\0\u{fffd} rubbish\n2026/11/20 09:12:01 [error] ");
    let said = tick(&mut logs, &watched, 3);
    let lines = lines(&said);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!((lines[0].at, lines[0].worker, lines[0].errno), (3, Some(worker.shell.id()), Some(111)));
    assert_eq!(lines[0].file, worker.dir.path("error.log").to_string_lossy());
    assert!(followed(&said).is_empty(), "said once");
}

#[test]
fn a_record_in_several_files_is_told_once() {
    let worker = Worker::new("several", "exec 3>> error.log 4>> all-errors.log 5>> error.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    assert_eq!(logs.files.iter().count(), 2, "the same file twice is one");
    for file in ["error.log", "all-errors.log"] {
        worker.log(file, "one");
        worker.log(file, "twice the same");
        worker.log(file, "twice the same");
    }
    worker.log("all-errors.log", "only here");
    let mut found = messages(&tick(&mut logs, &watched, SECOND));
    found.sort();
    assert_eq!(found, ["one", "only here", "twice the same", "twice the same"]);
}

#[test]
fn the_first_line_tells_what_an_empty_file_is() {
    let worker = Worker::new("undecided", "exec 3>> a.log 4>> b.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    assert_eq!(followed(&tick(&mut logs, &watched, 2)), [(true, None)]);
    worker.log("a.log", "one");
    worker.dir.append("b.log", &format!("GET / 502\n{}", worker.line("no")));
    let said = tick(&mut logs, &watched, 3);
    assert_eq!((messages(&said), logs.files.iter().count()), (vec!["one".to_owned()], 1));
    assert_eq!(followed(&tick(&mut logs, &watched, 4)), [(true, Some("error".to_owned()))]);
    worker.log("b.log", "still no");
    assert!(messages(&tick(&mut logs, &watched, 20 * SECOND)).is_empty());
}

#[test]
fn a_new_worker_and_the_last_words_of_an_old_one() {
    let old = Worker::new("old", "exec 3>> error.log");
    let mut logs = old.logs();
    let new = Worker::new("new", &format!("exec 3>> {}", old.dir.path("error.log").display()));
    old.log("error.log", "last words");
    old.dir.append("error.log", &new.line("first words"));
    let said = tick(&mut logs, &new.watched(), SECOND);
    assert_eq!(followed(&said), [(true, None)]);
    let workers: Vec<_> = lines(&said).iter().filter_map(|line| line.worker).collect();
    assert_eq!(workers, [old.shell.id(), new.shell.id()]);
}

#[test]
fn a_worker_that_becomes_known_after_its_first_line() {
    let worker = Worker::new("stranger", "exec 3>> error.log");
    let master = Worker::new("its-master", &format!("exec 3>> {}", worker.dir.path("error.log").display()));
    let before = WatchedPids { masters: vec![master.shell.id()], ..WatchedPids::default() };
    let mut logs = Logs::open(&ErrorLog::Auto, &before, 1).unwrap();
    worker.log("error.log", "first words");
    assert!(messages(&tick(&mut logs, &before, 2)).is_empty());
    let after = WatchedPids { workers: vec![worker.shell.id()], ..before };
    assert_eq!(messages(&tick(&mut logs, &after, 3)), ["first words"]);
    assert!(messages(&tick(&mut logs, &after, 4)).is_empty());
}

#[test]
fn masters_are_not_heard_but_where_they_are_workers() {
    let worker = Worker::new("master", "exec 3>> error.log");
    let master = WatchedPids { masters: vec![worker.shell.id()], ..WatchedPids::default() };
    let mut logs = Logs::open(&ErrorLog::Auto, &master, 1).unwrap();
    worker.log("error.log", "one");
    assert!(tick(&mut logs, &master, 2).is_empty());
    let both = WatchedPids { workers: master.masters.clone(), ..master };
    worker.log("error.log", "two");
    assert_eq!(messages(&tick(&mut logs, &both, 3)), ["two"]);
}

#[test]
fn what_cannot_be_read_is_said_once() {
    let worker = Worker::new("pipe", "mkfifo p; exec 3<> p; exec 2>> p");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    let said = tick(&mut logs, &watched, 2);
    assert_eq!(followed(&said), [(false, None)]);
    assert!(notes(&said)[0].contains("No file is open as error.log of worker"), "{said:?}");
    assert!(tick(&mut logs, &watched, 20 * SECOND).is_empty());
}

#[test]
fn nothing_is_read_if_nothing_is_asked_for() {
    let worker = Worker::new("nothing", "exec 3>> error.log");
    let mut logs = Logs::open(&ErrorLog::None, &worker.watched(), 1).unwrap();
    worker.log("error.log", "one");
    assert!(tick(&mut logs, &worker.watched(), 2).is_empty());
}

#[test]
fn many_lines_are_all_read() {
    let worker = Worker::new("many", "exec 3>> error.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    let mut count = 0;
    let mut add = |said| {
        count += u32::from(matches!(said, LogOutput::Event(event) if matches!(*event, Event::Log(_))));
    };
    for turn in 0..100 {
        let lines: Vec<_> = (0..2000).map(|number| worker.line(&format!("{turn} {number} {REST}"))).collect();
        worker.dir.append("error.log", &lines.concat());
        logs.tick(&watched, turn, &mut add);
    }
    logs.finish(&watched, 100, &mut add);
    assert_eq!(count, 200_000);
}

#[test]
fn a_line_speaks_only_for_whoever_has_that_file_open() {
    let real = Worker::new("real", "exec 3>> error.log");
    let other = Worker::new("forger", "exec 3>> error.log");
    let watched = WatchedPids { workers: vec![real.shell.id(), other.shell.id()], ..WatchedPids::default() };
    let mut logs = Logs::open(&ErrorLog::Auto, &watched, 1).unwrap();
    other.dir.append("error.log", &real.line("forged"));
    real.log("error.log", "true");
    for turn in 2..5 {
        let said = tick(&mut logs, &watched, turn * SECOND);
        let expected: &[&str] = if turn == 2 { &["true"] } else { &[] };
        assert_eq!(messages(&said), expected);
    }
}

#[test]
fn text_of_a_program_is_not_taken_for_lines() {
    let worker = Worker::new("stderr", "exec 3>> error.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    let forged = worker.line("bank.internal could not be resolved (3: Host not found)");
    worker
        .log("error.log", &format!("FastCGI sent in stderr: \"x\n{forged}y\" while reading response header"));
    worker.log("error.log", "true");
    let said = messages(&tick(&mut logs, &watched, 2));
    assert!(said.len() == 2 && said[0].starts_with("FastCGI") && said[1] == "true", "{said:?}");
}

#[test]
fn more_logs_than_are_read_are_told() {
    let open = "ulimit -n 2000; for i in $(seq 600); do exec {fd}>> error-$i.log; done; : > done-1; read x";
    let worker = Worker::new("600", &format!("exec bash -c '{open}'"));
    let (mut logs, watched) = (worker.logs(), worker.watched());
    let said = tick(&mut logs, &watched, 2);
    assert_eq!(followed(&said), [(false, None)]);
    assert!(notes(&said)[0].contains("more than 512 error logs are open"), "{said:?}");
    assert!(logs.gaps() > 0 && !logs.tells_of(&watched.workers));
}

#[test]
fn lines_that_the_journal_left_out_are_lost_and_their_absence_tells_nothing() {
    let worker = Worker::new("suppressed", ": > kept");
    let kept = worker.dir.path("kept");
    let watched = worker.watched();
    let mut logs = Logs::open(&ErrorLog::File(kept), &watched, 1).unwrap();
    let entry = |text: &str, more: &str| {
        let text = text.trim_end();
        format!("{{\"__REALTIME_TIMESTAMP\":\"7\",\"MESSAGE\":\"{text}\"{more}}}\n")
    };
    worker.dir.append("kept", &entry(&worker.line("connect() failed"), ""));
    let both = |logs: &mut Logs, now| [tick(logs, &watched, now), tick(logs, &watched, now)].concat();
    let states = |said: &[LogOutput]| followed(said).into_iter().map(|(state, _)| state).collect::<Vec<_>>();
    assert_eq!(states(&both(&mut logs, SECOND)).last(), Some(&true));
    assert_eq!(logs.gaps(), 0);
    worker
        .dir
        .append("kept", &entry("Suppressed 12 messages from nginx.service", ",\"_TRANSPORT\":\"driver\""));
    let said = both(&mut logs, 2 * SECOND);
    assert_eq!((states(&said), logs.gaps()), (vec![false], 12));
    assert!(notes(&said)[0].contains("RateLimitBurst"), "{said:?}");
    assert!(states(&both(&mut logs, 60 * SECOND)).is_empty());
    assert_eq!(states(&both(&mut logs, 63 * SECOND)), [true]);
}

#[test]
fn lines_of_strangers_in_one_file_take_no_room_from_another() {
    let hostile = Worker::new("hostile", "exec 5>>error.log");
    let old = Worker::new("old", "exec 5>>error.log");
    let new = Worker::new("new", &format!("exec 5>>{}", old.dir.path("error.log").display()));
    let pids = |workers: &[&Worker]| {
        let workers = workers.iter().map(|worker| worker.shell.id()).collect();
        WatchedPids { workers, ..WatchedPids::default() }
    };
    let mut logs = Logs::open(&ErrorLog::Auto, &pids(&[&hostile, &old]), 1).unwrap();
    let many: String = (0..10_000).map(|number| line(4_000_000, &format!("x{number} failed"))).collect();
    hostile.dir.append("error.log", &many);
    old.dir.append("error.log", &new.line("its first line"));
    let before = logs.gaps();
    assert!(lines(&tick(&mut logs, &pids(&[&hostile, &old]), 2)).is_empty());
    assert!(logs.gaps() > before, "what does not fit is counted");
    let said = tick(&mut logs, &pids(&[&hostile, &old, &new]), 2);
    assert_eq!(lines(&said).iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["its first line"]);
}
