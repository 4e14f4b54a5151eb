//! The command line: wrong calls, ways to end, and what people read.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;
use upstream_trace_tests::pace::patient;
use upstream_trace_tests::tool::Ended;
use upstream_trace_tests::util::ms;
use upstream_trace_tests::{Lab, Scenario, World};

const V4: &str = "10.99.0.2:8081";
const LIMIT: Duration = Duration::from_secs(10);

pub(crate) const ALL: &[Scenario] = &[
    ("cli/unknown-pid", |lab| {
        // Beyond the highest pid that Linux gives.
        fails(lab, &["--pid", "4194999"], 1, &["4194999"])
    }),
    ("cli/no-nginx", |lab| fails(lab, &["--pid", "no-such-nginx"], 1, &["no-such-nginx"])),
    ("cli/not-an-nginx", |lab| fails(lab, &["--pid", &std::process::id().to_string()], 1, &["nginx"])),
    ("cli/two-masters-with-one-name", |lab| {
        let name = format!("two-{}", std::process::id());
        let start = || lab.world().config(|config| config.program.clone_from(&name)).start();
        let (one, two) = (start()?, start()?);
        let pids = [one.nginx().master().to_string(), two.nginx().master().to_string()];
        fails(lab, &["--pid", &name], 1, &[&pids[0], &pids[1], "--pid"])
    }),
    ("cli/both-masters-by-pid", |lab| {
        let one = lab.world().upstream(V4).start()?;
        let two = lab.world().upstream("10.99.0.2:8082").start()?;
        let trace = one.trace(&["--pid", &two.nginx().master().to_string()])?;
        one.get("/").status(502);
        two.get("/").status(502);
        let seen = trace.finish()?;
        seen.failure("port-refused").upstream(V4);
        seen.failure("port-refused").upstream("10.99.0.2:8082");
        seen.nothing_else();
        Ok(())
    }),
    ("cli/wrong-usage", |lab| fails(lab, &["--no-such-flag"], 2, &["--no-such-flag"])),
    ("cli/wrong-duration", |lab| fails(lab, &["--duration", "soon"], 2, &["--duration"])),
    ("cli/explain", |lab| {
        let Some(ended) = start(lab, &["explain", "accept-queue-full"])? else { return Ok(()) };
        status(lab, &ended, 0);
        let says = |text: &str| ended.lines.iter().any(|(_, line)| line.contains(text));
        lab.check(says("accept-queue-full") && says("overload"), || "no explanation".into());
        Ok(())
    }),
    ("cli/explain-unknown", |lab| {
        fails(lab, &["explain", "port-refusd"], 1, &["port-refusd", "port-refused"])
    }),
    ("cli/duration-ends", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let Some(ended) = run(&world, &["--json", "--duration", "1s"], |_| Ok(()))? else { return Ok(()) };
        status(lab, &ended, 0);
        let last = ended.lines.last().map(|(at, line)| (*at, line.contains(r#""type":"summary""#)));
        lab.check(
            last.is_some_and(|(at, summary)| summary && (ms(900)..patient(ms(3000))).contains(&at)),
            || format!("no summary after a second: {last:?}"),
        );
        Ok(())
    }),
    ("cli/sigterm-ends", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        world.get("/").status(502);
        world.pause(ms(300));
        let seen = trace.finish_at_once(Signal::SIGTERM)?;
        seen.failure("port-refused").upstream(V4);
        seen.nothing_else();
        Ok(())
    }),
    ("cli/fail-on-failure", |lab| fail_on_failure(lab, "/", 502, 3)),
    ("cli/fail-on-failure-without-failure", |lab| fail_on_failure(lab, "/fine", 204, 0)),
    ("cli/output-for-people", |lab| {
        let world = lab.world().upstream(V4).start()?;
        let trace = world.trace(&[])?;
        let ended = run(&world, &["--duration", "3s"], |world| {
            world.get("/").status(502);
            Ok(())
        })?;
        let seen = trace.finish()?;
        let failure = seen.failure("port-refused");
        let (Some(ended), Some(object)) = (ended, failure.object()) else { return Ok(()) };
        status(lab, &ended, 0);
        let text: String = ended.lines.iter().map(|(_, line)| line.clone() + "\n").collect();
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fix =
            object["fix"].as_str().unwrap_or("no fix in JSON").split_whitespace().take(5).collect::<Vec<_>>();
        for part in ["port-refused", V4, &fix.join(" ")] {
            lab.check(words.contains(part), || format!("{part:?} is not in the output:\n{text}"));
        }
        for line in text.lines().chain(ended.stderr.lines()) {
            lab.check(line.chars().count() <= 80, || format!("more than 80 columns: {line}"));
            lab.check(!line.contains('\u{1b}'), || format!("an escape where there is no terminal: {line:?}"));
        }
        Ok(())
    }),
];

/// Starts the tool on a world, does something once it is ready, and waits for its end.
fn run(world: &World<'_>, args: &[&str], then: impl Fn(&World<'_>) -> Result<()>) -> Result<Option<Ended>> {
    let master = world.nginx().master().to_string();
    let tool = world.start_tool(&[&["--pid", &master], args].concat())?;
    if let Some(tool) = &tool {
        let attached = tool.wait_error(patient(LIMIT), |line| line.contains("watching nginx"));
        world.lab().check(attached.is_some(), || "it does not say what it watches".into());
    }
    then(world)?;
    let ended = tool.map(|tool| tool.wait(LIMIT)).transpose()?;
    if let Some(ended) = &ended {
        world.lab().note("the tool", &ended.said());
    }
    Ok(ended)
}

/// Runs the tool, which is to end by itself, without a world.
fn start(lab: &Lab, args: &[&str]) -> Result<Option<Ended>> {
    let Some(path) = lab.tool() else { return Ok(None) };
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let ended = upstream_trace_tests::tool::Tool::start(path, &args)?.wait(LIMIT)?;
    lab.note("the tool", &ended.said());
    Ok(Some(ended))
}

/// The tool cannot run, and says why in these words.
fn fails(lab: &Lab, args: &[&str], code: i32, says: &[&str]) -> Result<()> {
    let Some(ended) = start(lab, args)? else { return Ok(()) };
    status(lab, &ended, code);
    for text in says {
        lab.check(ended.stderr.contains(text), || format!("the message does not name {text}"));
    }
    lab.check(ended.lines.is_empty(), || "an error belongs on standard error".into());
    Ok(())
}

fn fail_on_failure(lab: &Lab, path: &str, answer: u16, code: i32) -> Result<()> {
    let fine = "location /fine { return 204; }";
    let world = lab.world().upstream(V4).config(|config| config.server.push(fine.into())).start()?;
    let ended = run(&world, &["--fail-on-failure", "--duration", "3s"], |world| {
        world.get(path).status(answer);
        Ok(())
    })?;
    if let Some(ended) = ended {
        status(lab, &ended, code);
    }
    Ok(())
}

fn status(lab: &Lab, ended: &Ended, code: i32) {
    lab.check(ended.status.code() == Some(code), || format!("{}, not {code}", ended.status));
}
