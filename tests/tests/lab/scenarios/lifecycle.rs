//! nginx changes while it is watched: crash, reload, upgrade; and the tool itself comes and goes.

use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use upstream_trace_tests::Scenario;
use upstream_trace_tests::util::{alive, ms, wait_until};

const V4: &str = "10.99.0.2:8081";

pub(crate) const ALL: &[Scenario] = &[
    ("lifecycle/worker-crash", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        let worker = world.nginx().crash_worker()?;
        world.pause(ms(200));
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4).worker(worker);
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/reload", |lab| {
        let world = lab.world().upstream(V4).start()?;
        // The first time while the tool starts: it has found the worker, and its hooks are not there yet.
        let master = Pid::from_raw(world.nginx().master().cast_signed());
        let first = world.nginx().worker()?;
        let reload = thread::spawn(move || {
            thread::sleep(ms(80));
            kill(master, Signal::SIGHUP)
        });
        let trace = world.trace(&[])?;
        reload.join().expect("it does not panic")?;
        wait_until("the first worker to end", ms(5000), || !alive(first))?;
        let second = world.nginx().worker()?;
        world.pause(ms(150));
        world.get("/").status(502);
        world.nginx().reload()?;
        wait_until("the second worker to end", ms(5000), || !alive(second))?;
        let third = world.nginx().worker()?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        for worker in [second, third] {
            seen.failure("port-refused").upstream(V4).worker(worker);
        }
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/binary-upgrade", |lab| {
        let world = lab.world().upstream(V4).config(|config| config.daemon = true).start()?;
        let trace = world.trace(&[])?;
        let master = world.nginx().upgrade()?;
        world.get("/").status(502);
        lab.check(alive(master), || "the new master is gone".into());
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/several-workers", |lab| {
        let world = lab.world().upstream(V4).config(|config| config.workers = 4).start()?;
        let trace = world.trace(&[])?;
        for _ in 0..8 {
            world.get("/").status(502);
        }
        let seen = trace.finish()?;
        seen.failures(8, "port-refused", |failure| drop(failure.upstream(V4)));
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/one-worker-by-pid", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let worker = world.nginx().worker()?;
        let trace = world.trace_pid(&worker.to_string(), &[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4).worker(worker);
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/master-by-name", |lab| {
        let name = format!("ngx-{}", std::process::id());
        let world = lab.world().upstream(V4).config(|config| config.program.clone_from(&name)).start()?;
        let trace = world.trace_pid(&name, &[])?;
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/nginx-of-other-worlds-is-not-ours", |lab| {
        let other = lab.world().upstream(V4).start()?;
        let world = lab.world().upstream("10.99.0.2:8082").start()?;
        let trace = world.trace(&[])?;
        other.get("/").status(502);
        world.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream("10.99.0.2:8082");
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/two-tools-at-once", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let (one, two) = (world.trace(&[])?, world.trace(&[])?);
        world.get("/").status(502);
        for trace in [one, two] {
            let seen = trace.finish()?;
            seen.failure("port-refused").upstream(V4);
            seen.nothing_else();
        }
        Ok(())
    }),
    ("lifecycle/interrupted-right-after-a-failure", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        let seen = trace.finish_at_once(Signal::SIGINT)?;
        seen.failure("port-refused").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
    ("lifecycle/nginx-ends", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        world.nginx().signal(Signal::SIGQUIT)?;
        world.pause(ms(500));
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
];
