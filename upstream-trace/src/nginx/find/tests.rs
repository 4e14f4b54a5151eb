//! Processes of a host, found by name and by pid.

use super::*;
use crate::nginx::process::tests::seen;

/// As root.
fn by_name(name: &str, all: &[Seen]) -> Result<Found, FindError> {
    super::by_name(name, all, 0)
}

/// Who started it, and the inode of what it runs.
fn made(mut seen: Seen, uid: u32, inode: u64) -> Seen {
    seen.uid = Some(uid);
    seen.executable.as_mut().unwrap().inode = inode;
    seen
}

fn host() -> Vec<Seen> {
    vec![
        seen(1, 0, "init", "init"),
        seen(10, 1, "nginx", "nginx: master process nginx"),
        seen(12, 10, "nginx", "nginx: worker process"),
        seen(11, 10, "nginx", "nginx: worker process is shutting down"),
        seen(13, 10, "nginx", "nginx: cache manager process"),
        seen(20, 1, "bash", "bash"),
    ]
}

#[test]
fn a_name_finds_the_master_and_its_children() {
    let found = by_name("nginx", &host()).unwrap();
    let expected = Found { master: Some(10), workers: vec![11, 12], other: vec![13], ..Found::default() };
    assert_eq!(found, expected);
    assert_eq!(by_pid(10, &host()).unwrap(), found);
}

#[test]
fn a_worker_is_watched_alone() {
    assert_eq!(by_pid(12, &host()).unwrap(), Found { workers: vec![12], ..Found::default() });
}

#[test]
fn during_an_upgrade_the_old_master_leads() {
    let mut host = host();
    host.push(seen(30, 10, "nginx", "nginx: master process nginx"));
    host.push(seen(31, 30, "nginx", "nginx: worker process"));
    let found = by_name("nginx", &host).unwrap();
    assert_eq!((found.master, found.workers, found.other), (Some(10), vec![11, 12, 31], vec![13, 30]));
    assert_eq!(by_pid(30, &host).unwrap().workers, [31]);
}

#[test]
fn without_a_master() {
    let orphans = [seen(12, 1, "nginx", "nginx: worker process")];
    let error = by_name("nginx", &orphans).unwrap_err().to_string();
    assert!(error.contains("12 (a worker without a master)") && error.contains("--pid 12"), "{error}");
    let single = [seen(5, 1, "nginx", "nginx|-g|master_process off;")];
    let found = Found { master: Some(5), workers: vec![5], ..Found::default() };
    assert_eq!(by_name("nginx", &single).unwrap(), found);
    assert_eq!(by_pid(5, &single).unwrap(), found);
}

#[test]
fn errors_say_what_to_do() {
    let mut host = host();
    let message = |error: FindError| error.to_string();
    let missing = message(by_name("ngnix", &host).unwrap_err());
    assert!(missing.contains("'ngnix'") && missing.contains("10 (nginx: master process nginx)"), "{missing}");
    let none = message(by_name("nginx", &host[..1]).unwrap_err());
    assert!(none.contains("is nginx running?"), "{none}");
    assert!(message(by_pid(99, &host).unwrap_err()).contains("no process 99"));
    let other = message(by_pid(20, &host).unwrap_err());
    assert!(other.contains("not an nginx but 'bash'"), "{other}");
    let helper = message(by_pid(13, &host).unwrap_err());
    assert!(helper.contains("--pid 10"), "{helper}");
    host.push(seen(40, 1, "nginx", "nginx: master process nginx -c /etc/b.conf"));
    let several = message(by_name("nginx", &host).unwrap_err());
    assert!(
        several.starts_with(
            "2 nginx masters are running; watch all of them with --all, or choose one: --pid 10 ("
        ) && several.contains("root, -c /etc/b.conf")
            && several.contains("), --pid 40 (master 40, up"),
        "{several}"
    );
    for text in [missing, none, other, helper, several] {
        assert!(!text.contains('\n'));
    }
}

#[test]
fn what_only_calls_itself_nginx_is_left_out() {
    let mut host = host();
    host.push(made(seen(50, 1, "sleep", "nginx: master process x"), 65_534, 9));
    host.push(made(seen(51, 1, "python3", "nginx: worker process"), 65_534, 9));
    let mut hidden = seen(52, 1, "nginx", "nginx: master process x");
    hidden.executable = None;
    host.push(hidden);
    // Below the master itself, such as a script that it runs.
    host.push(made(seen(53, 10, "perl", "nginx: worker process"), 33, 9));
    let found = by_name("nginx", &host).unwrap();
    assert_eq!((found.master, &found.workers[..], &found.other[..]), (Some(10), &[11, 12][..], &[13][..]));
    assert_eq!(
        list(&found.left_out),
        "50 (runs /usr/sbin/sleep), 51 (runs /usr/sbin/python3), 52 (its program cannot be looked at), \
         53 (runs /usr/sbin/perl)"
    );
    assert_eq!(by_pid(10, &host).unwrap().workers, [11, 12]);
    let alone = by_name("nginx", &host[6..7]).unwrap_err().to_string();
    assert!(alone.contains("50 (runs /usr/sbin/sleep)") && alone.ends_with("--pid 50"), "{alone}");
}

#[test]
fn an_nginx_of_another_user_has_to_be_named_by_its_pid() {
    let theirs = || {
        let master = made(seen(60, 1, "nginx", "nginx: master process nginx"), 1000, 1);
        vec![master, made(seen(61, 60, "nginx", "nginx: worker process"), 1000, 1)]
    };
    let mut all = host();
    all.extend(theirs());
    let found = by_name("nginx", &all).unwrap();
    assert_eq!((found.master, found.workers), (Some(10), vec![11, 12]));
    assert_eq!(list(&found.left_out), "60 (started by user 1000)");
    let alone = by_name("nginx", &theirs()).unwrap_err().to_string();
    assert!(alone.contains("60 (started by user 1000)") && alone.ends_with("--pid 60"), "{alone}");
    assert_eq!(super::by_name("nginx", &theirs(), 1000).unwrap().workers, [61]);
    assert_eq!(by_pid(60, &theirs()).unwrap().workers, [61]);
}

#[test]
fn orphans_run_the_same_file_for_the_same_user() {
    let worker = |pid, uid, inode| made(seen(pid, 1, "nginx", "nginx: worker process"), uid, inode);
    let mut all = host();
    for one in &mut all[1..5] {
        *one = made(one.clone(), 33, 7);
    }
    all[1].uid = Some(0);
    all.extend([worker(70, 33, 7), worker(71, 34, 7), worker(72, 33, 8)]);
    let found = by_name("nginx", &all).unwrap();
    assert_eq!(found.workers, [11, 12, 70]);
    assert_eq!(list(&found.left_out), "71 (a worker without a master), 72 (a worker without a master)");
}
