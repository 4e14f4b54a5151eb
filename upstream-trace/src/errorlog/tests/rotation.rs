//! Logs that are moved, deleted, opened again and named.

use super::*;

#[test]
fn rotation_by_rename() {
    let mut worker = Worker::new("rename", "exec 3>> error.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    fs::rename(worker.dir.path("error.log"), worker.dir.path("error.log.1")).unwrap();
    worker.log("error.log.1", "not opened again yet");
    assert_eq!(messages(&tick(&mut logs, &watched, 10 * SECOND)), ["not opened again yet"]);
    worker.run("exec 3>> error.log");
    worker.log("error.log", "new");
    worker.log("error.log.1", "straggler");
    let mut found = messages(&tick(&mut logs, &watched, 20 * SECOND));
    found.sort();
    assert_eq!(found, ["new", "straggler"]);
    worker.log("error.log.1", "late");
    assert_eq!(messages(&tick(&mut logs, &watched, 21 * SECOND)), ["late"]);
    tick(&mut logs, &watched, 30 * SECOND);
    assert_eq!(logs.files.iter().count(), 1, "the old file is closed");
    worker.log("error.log", "next");
    assert_eq!(messages(&tick(&mut logs, &watched, 40 * SECOND)), ["next"]);
}

#[test]
fn a_file_that_was_deleted_and_made_again() {
    let mut worker = Worker::new("deleted", "exec 3>> error.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    fs::remove_file(worker.dir.path("error.log")).unwrap();
    let text = worker.line("into the deleted file").replace('\n', "");
    worker.run(&format!("echo '{text}' >&3"));
    assert_eq!(messages(&tick(&mut logs, &watched, 10 * SECOND)), ["into the deleted file"]);
    worker.run("exec 3>> error.log");
    worker.log("error.log", "new");
    assert_eq!(messages(&tick(&mut logs, &watched, 20 * SECOND)), ["new"]);
}

#[test]
fn a_file_that_is_opened_again_goes_on_where_it_was() {
    let mut worker = Worker::new("again", "exec 3>> error.log");
    let (mut logs, watched) = (worker.logs(), worker.watched());
    worker.log("error.log", "one");
    assert_eq!(messages(&tick(&mut logs, &watched, 10 * SECOND)), ["one"]);
    worker.run("exec 3>> other-error.log");
    tick(&mut logs, &watched, 20 * SECOND);
    tick(&mut logs, &watched, 30 * SECOND);
    worker.run("exec 3>> error.log");
    worker.log("error.log", "two");
    assert_eq!(messages(&tick(&mut logs, &watched, 40 * SECOND)), ["two"]);
}

#[test]
fn one_file_and_its_rotation() {
    let mut worker = Worker::new("one", "exec 3>> error.log 4>> mine");
    worker.log("mine", "before");
    let source = ErrorLog::File(worker.dir.path("mine"));
    let watched = worker.watched();
    let mut logs = Logs::open(&source, &watched, 1).unwrap();
    worker.log("error.log", "not asked for");
    worker.log("mine", "one");
    let said = tick(&mut logs, &watched, 2);
    assert_eq!((messages(&said), followed(&said).len()), (vec!["one".to_owned()], 1));
    fs::rename(worker.dir.path("mine"), worker.dir.path("mine.1")).unwrap();
    tick(&mut logs, &watched, 10 * SECOND);
    worker.run("exec 4>> mine");
    worker.log("mine", "two");
    assert_eq!(messages(&tick(&mut logs, &watched, 20 * SECOND)), ["two"]);
}

#[test]
fn a_file_that_cannot_be_read_is_an_error() {
    let dir = Dir::new("missing");
    for (path, text) in [(dir.path("none"), "No such file"), (dir.path("."), "not a regular file")] {
        let error = Logs::open(&ErrorLog::File(path), &WatchedPids::default(), 1).unwrap_err();
        let text_found = format!("{error:#}");
        assert!(text_found.contains("--error-log") && text_found.contains(text), "{text_found}");
    }
    dir.write("access.log", "GET /\n");
    let mut logs = Logs::open(&ErrorLog::File(dir.path("access.log")), &WatchedPids::default(), 1).unwrap();
    assert!(notes(&tick(&mut logs, &WatchedPids::default(), 2))[0].contains("does not look like"));
}
