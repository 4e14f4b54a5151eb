//! With programs that call themselves what nginx's processes do: copies of a shell under another name.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use upstream_trace_core::event::Nanos;

use super::*;

const SECOND: Nanos = 1_000_000_000;

/// Notes what the kernel side would watch.
#[derive(Debug, Default)]
struct Noted(BTreeSet<u32>);

impl WatchTable for Noted {
    fn watch(&mut self, pid: u32, _: bool) -> Result<()> {
        self.0.insert(pid);
        Ok(())
    }

    fn serves(&mut self, _: u32) {}

    fn forget(&mut self, pid: u32) {
        self.0.remove(&pid);
    }

    fn listening(&mut self, _: u16) -> Result<()> {
        Ok(())
    }
}

/// A program file with a name of its own.
struct Program(PathBuf);

impl Program {
    fn new(number: u32) -> Self {
        let path = std::env::temp_dir().join(format!("nginx-{number}-{}", std::process::id()));
        // By another process: what this one has open for writing, processes that other tests fork meanwhile have as well, and
        // nobody can run it.
        assert!(Command::new("cp").arg("/bin/bash").arg(&path).status().unwrap().success());
        Self(path)
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap().to_str().unwrap().to_owned()
    }

    /// A master whose children are made by this script, in which `worker` starts one.
    fn start(&self, script: &str) -> Running {
        let script = format!(
            "worker() {{ (exec -a 'nginx: worker process' {0} -c 'read x; :') 0<&9 & }}; {script}\nread x; :",
            self.0.display()
        );
        let script = script.replace("PROGRAM", &self.0.display().to_string());
        let mut command = Command::new(&self.0);
        command.arg0("nginx: master process nginx").args(["-c", &format!("exec 9<&0; {script}")]);
        let child = command.stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        Running(child)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

struct Running(Child);

impl Running {
    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its children that fit, once there are so many.
    fn children(&self, count: usize, fits: impl Fn(u32) -> bool) -> Vec<u32> {
        for _ in 0..1_000 {
            let found: Vec<u32> = host::children(self.pid()).into_iter().filter(|pid| fits(*pid)).collect();
            if found.len() >= count {
                return found;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the children never came");
    }

    fn workers(&self, count: usize) -> Vec<u32> {
        self.children(count, |pid| nginx::role_of(pid) == Some(Role::Worker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in host::children(self.pid()) {
            kill(child);
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
}

fn changes(events: &[Event]) -> Vec<(u32, ProcessChange)> {
    let change = |event: &Event| match event {
        Event::Process(process) => Some((process.pid, process.change.clone())),
        _ => None,
    };
    events.iter().filter_map(change).collect()
}

fn find(program: &Program) -> (WatchedNginx, Noted) {
    let (found, mut noted) =
        (WatchedNginx::look_for(&[Target::Name(program.name())]).unwrap(), Noted::default());
    found.watch(&mut noted).unwrap();
    (found, noted)
}

#[test]
fn what_no_event_told_is_found_all_the_same() {
    let program = Program::new(1);
    let nginx = program.start("worker; read x; worker");
    let first = nginx.workers(1)[0];
    let (mut watched, mut noted) = find(&program);
    assert_eq!((watched.masters.len(), watched.worker_pids()), (1, vec![first]));
    // A worker dies and another one starts, and neither is told.
    kill(first);
    while host::stat(first).is_some() {
        thread::yield_now();
    }
    nginx.0.stdin.as_ref().unwrap().write_all(b"x\n").unwrap();
    let second = nginx.workers(1)[0];
    assert_ne!(first, second);
    let told = changes(&watched.tick(SECOND, &mut noted));
    assert_eq!(told, [(second, ProcessChange::WorkerStarted)], "the event of the other may be on its way");
    let told = changes(&watched.tick(2 * SECOND, &mut noted));
    assert_eq!(told, [(first, ProcessChange::WorkerExited { status: None, signal: None })]);
    assert_eq!(noted.0, BTreeSet::from([nginx.pid(), second]));
}

#[test]
fn a_restarted_nginx_is_found_again() {
    let program = Program::new(2);
    let nginx = program.start("worker");
    let old = [nginx.workers(1)[0], nginx.pid()];
    let (mut watched, mut noted) = find(&program);
    drop(nginx);
    // On a busy machine they run for a moment longer.
    while old.iter().any(|pid| host::stat(*pid).is_some()) {
        thread::yield_now();
    }
    let nginx = program.start("worker");
    let new = [nginx.workers(1)[0], nginx.pid()];
    watched.tick(SECOND, &mut noted);
    watched.next_search = 0;
    let told = changes(&watched.tick(2 * SECOND, &mut noted));
    for expected in [
        (old[0], ProcessChange::WorkerExited { status: None, signal: None }),
        (old[1], ProcessChange::MasterExited),
        (new[0], ProcessChange::WorkerStarted),
        (new[1], ProcessChange::MasterStarted { upgrades: None }),
    ] {
        assert!(told.contains(&expected), "{expected:?} of {told:?}");
    }
    assert_eq!(noted.0, BTreeSet::from(new));
}

/// What is watched once nginx has ended and the next search is far off.
fn after_the_end(program: &Program) -> (WatchedNginx, Noted) {
    let nginx = program.start("worker");
    nginx.workers(1);
    let (mut watched, mut noted) = find(program);
    watched.next_search = Nanos::MAX;
    let old = nginx.pid();
    drop(nginx);
    watched.ended(old, SECOND, None, &mut noted);
    assert_eq!(changes(&watched.turn(2 * SECOND, &mut noted)), [], "there is none");
    watched.next_look = 0;
    (watched, noted)
}

#[test]
fn a_new_master_is_found_before_the_next_search_is_due() {
    let program = Program::new(7);
    let (mut watched, mut noted) = after_the_end(&program);
    let nginx = program.start("worker");
    let new = [nginx.workers(1)[0], nginx.pid()];
    let told = changes(&watched.turn(3 * SECOND, &mut noted));
    assert!(told.contains(&(new[1], ProcessChange::MasterStarted { upgrades: None })), "{told:?}");
    assert!(new.iter().all(|pid| noted.0.contains(pid)), "{noted:?}");
    assert_eq!(watched.turn(4 * SECOND, &mut noted), [], "it is not looked for any more");
    assert!(watched.newcomers.is_none());
}

/// A master that forks its worker as soon as it is watched: behind the search that found it.
struct Forks<'a>(&'a Running);

impl WatchTable for Forks<'_> {
    fn watch(&mut self, pid: u32, _: bool) -> Result<()> {
        if pid == self.0.pid() {
            self.0.0.stdin.as_ref().unwrap().write_all(b"x\n").unwrap();
            self.0.workers(1);
        }
        Ok(())
    }

    fn serves(&mut self, _: u32) {}

    fn forget(&mut self, _: u32) {}

    fn listening(&mut self, _: u16) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_worker_that_is_forked_behind_the_search_is_told_with_its_master() {
    let program = Program::new(8);
    let (mut watched, _) = after_the_end(&program);
    let nginx = program.start("read x; worker");
    let told = changes(&watched.turn(3 * SECOND, &mut Forks(&nginx)));
    let started = |(_, change): &(u32, ProcessChange)| *change == ProcessChange::WorkerStarted;
    assert!(told.iter().any(started), "{told:?}");
}

#[test]
fn a_pid_that_another_process_got_is_not_watched() {
    let program = Program::new(3);
    let nginx = program.start("worker");
    nginx.workers(1);
    let (mut watched, mut noted) = find(&program);
    let master = nginx.pid();
    watched.started.insert(master, 1);
    watched.selectors.clear();
    let told = changes(&watched.tick(SECOND, &mut noted));
    assert!(told.contains(&(master, ProcessChange::MasterExited)), "{told:?}");
    assert!(!noted.0.contains(&master));
}

#[test]
fn a_child_with_the_masters_title_is_no_master() {
    let program = Program::new(4);
    let nginx =
        program.start("( read x; exec -a 'nginx: worker process' PROGRAM -c 'read x; :' ) 0<&9 & wait");
    let child = nginx.children(1, |pid| nginx::role_of(pid) == Some(Role::Master))[0];
    let (mut watched, mut noted) = find(&program);
    watched.forked(child, SECOND);
    assert_eq!(changes(&watched.turn(SECOND, &mut noted)), []);
    assert_eq!(watched.watched().others, [child]);
    nginx.0.stdin.as_ref().unwrap().write_all(b"x\n").unwrap();
    nginx.children(1, |pid| nginx::role_of(pid) == Some(Role::Worker));
    assert_eq!(changes(&watched.turn(2 * SECOND, &mut noted)), [], "it has had its time");
    watched.forked(child, 2 * SECOND);
    let told = changes(&watched.turn(2 * SECOND + 1, &mut noted));
    assert_eq!(told, [(child, ProcessChange::WorkerStarted)]);
}

#[test]
fn a_child_that_no_event_told_of_is_a_worker_as_soon_as_its_title_says_so() {
    let program = Program::new(9);
    let nginx = program
        .start("read x; ( read x; exec -a 'nginx: worker process' PROGRAM -c 'read x; :' ) 0<&9 & wait");
    let (mut watched, mut noted) = find(&program);
    let go_on = || nginx.0.stdin.as_ref().unwrap().write_all(b"x\n").unwrap();
    go_on();
    let child = nginx.children(1, |pid| nginx::role_of(pid) == Some(Role::Master))[0];
    assert_eq!(changes(&watched.tick(SECOND, &mut noted)), []);
    assert!(noted.0.contains(&child), "{noted:?}");
    go_on();
    nginx.workers(1);
    let told = changes(&watched.turn(SECOND + 1, &mut noted));
    assert_eq!(told, [(child, ProcessChange::WorkerStarted)]);
}

#[test]
fn the_master_of_a_binary_upgrade_is_one() {
    let program = Program::new(5);
    let nginx = program.start("( exec -a 'nginx: master process nginx' PROGRAM -c 'read x; :' ) 0<&9 &");
    let executed = |pid| nginx::process::Seen::read(pid).zip(nginx::process::Seen::read(nginx.pid()));
    let child =
        nginx.children(1, |pid| executed(pid).is_some_and(|(new, old)| new.stat.stack != old.stat.stack))[0];
    let (mut watched, mut noted) = find(&program);
    let upgrade = ProcessChange::MasterStarted { upgrades: Some(nginx.pid()) };
    assert_eq!(changes(&watched.tick(SECOND, &mut noted)), [(child, upgrade)]);
    assert!(watched.selectors[0].masters.contains(&child));
}

#[test]
fn a_program_that_nginx_runs_is_not_watched() {
    let program = Program::new(6);
    let nginx = program.start("( exec -a 'nginx: worker process' sleep 60 ) &");
    let child = nginx.children(1, |pid| host::executable(pid).is_some_and(|e| e.path.contains("sleep")));
    let (mut watched, mut noted) = find(&program);
    assert_eq!(watched.all().collect::<Vec<_>>(), [nginx.pid()]);
    for tick in 1..3 {
        assert_eq!(changes(&watched.tick(tick * SECOND, &mut noted)), []);
        assert_eq!(noted.0, BTreeSet::from([nginx.pid()]), "{child:?}");
    }
}
