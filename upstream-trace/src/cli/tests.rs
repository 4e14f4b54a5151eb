use clap::CommandFactory;
use clap::error::ErrorKind;
use upstream_trace_read::sinks::Outputs;

use super::size::{record_limit, ring_buffer};
use super::*;
use crate::nginx::Target;

fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["upstream-trace"], args].concat())
}

fn trace(args: &[&str]) -> Result<Trace, clap::Error> {
    parse(args).map(|cli| cli.trace)
}

#[test]
fn defaults() {
    assert_eq!(parse(&[]).unwrap().command, None);
    let cli = trace(&[]).unwrap();
    assert_eq!(cli.which.targets(), [Target::Name("nginx".into())]);
    assert_eq!((cli.duration, cli.record), (None, None));
    assert_eq!((cli.slow, cli.error_log), (Duration::from_secs(1), ErrorLog::Auto));
    assert_eq!(cli.max_connections, 32768);
    assert_eq!(cli.color, ColorChoice::Auto);
    assert!(!cli.json && !cli.fail_on_failure && !cli.verbose);
}

#[test]
fn a_limit_in_percent() {
    assert_eq!(trace(&["--max-overhead", "0.5"]).unwrap().max_overhead, Some(0.5));
    assert_eq!(trace(&["--max-overhead", "1%"]).unwrap().max_overhead, Some(1.0));
    for wrong in ["0", "-1", "101", "much", "", "NaN"] {
        assert!(parse(&["--max-overhead", wrong]).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_pid_or_a_name_or_several() {
    let cli = trace(&["--pid", "1712", "--pid", "openresty"]).unwrap();
    assert_eq!(cli.which.targets(), [Target::Pid(1712), Target::Name("openresty".into())]);
    for wrong in ["", "0", "99999999999"] {
        assert!(parse(&["--pid", wrong]).is_err(), "{wrong:?}");
    }
}

#[test]
fn containers_pods_and_units() {
    let targets = |args: &[&str]| parse(args).map(|cli| cli.trace.which.targets());
    let found = targets(&["--container", "web", "--pod", "shop/web-0", "--unit", "nginx"]).unwrap();
    assert_eq!(
        found,
        [Target::Container("web".into()), Target::Pod("shop/web-0".into()), Target::Unit("nginx".into())]
    );
    assert_eq!(targets(&["--all"]).unwrap(), [Target::All]);
    assert!(targets(&["--all", "--pid", "7"]).is_err() && targets(&["--container", ""]).is_err());
}

#[test]
fn the_error_log() {
    let error_log = |value| trace(&["--error-log", value]).map(|cli| cli.error_log);
    assert_eq!(error_log("auto").unwrap(), ErrorLog::Auto);
    assert_eq!(error_log("none").unwrap(), ErrorLog::None);
    assert_eq!(error_log("./none").unwrap(), ErrorLog::File("./none".into()));
    assert!(error_log("").is_err());
}

#[test]
fn a_recording_is_written_and_reported() {
    assert_eq!(trace(&["--record", "file"]).unwrap().record, Some("file".into()));
    let expected = Report {
        files: vec!["file".into()],
        outputs: Outputs { json: true, markdown: false, html: None },
        since: None,
        redact: false,
        color: ColorChoice::Auto,
    };
    for args in [["report", "file", "--json"], ["report", "--json", "file"]] {
        assert_eq!(parse(&args).unwrap().command, Some(Command::Report(expected.clone())));
    }
}

#[test]
fn a_cause_is_explained() {
    for (args, cause) in [(&["explain"][..], None), (&["explain", "no-route"], Some("no-route".to_owned()))] {
        let expected = Explain { cause, color: ColorChoice::Auto };
        assert_eq!(parse(args).unwrap().command, Some(Command::Explain(expected)));
    }
}

#[test]
fn a_doctor_looks_at_an_nginx() {
    let hooks: HookFilter = "kprobe=off".parse().unwrap();
    let expected = Doctor {
        which: Which { pid: vec![Target::Pid(7)], ..Which::default() },
        hooks,
        list_hooks: false,
        json: true,
        color: ColorChoice::Auto,
    };
    let args = ["doctor", "--pid", "7", "--hooks", "kprobe=off", "--json"];
    assert_eq!(parse(&args).unwrap().command, Some(Command::Doctor(expected)));
    let Some(Command::Doctor(doctor)) = parse(&["doctor"]).unwrap().command else { panic!("no doctor") };
    assert_eq!(doctor.which.targets(), [Target::Name("nginx".into())]);
}

#[test]
fn times() {
    let cases = [
        ("500ms", 500),
        ("60s", 60_000),
        ("2m", 120_000),
        ("1h", 3_600_000),
        ("1h30m", 5_400_000),
        ("1.5s", 1_500),
        ("60", 60_000),
    ];
    for (text, ms) in cases {
        assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
    }
    for wrong in ["", "0", "0s", "-1s", "soon", "5 parsecs", "s", "99999999999999999999"] {
        assert!(duration(wrong).unwrap_err().contains("60s"), "{wrong:?}");
    }
}

#[test]
fn sizes_of_the_buffer() {
    for (text, bytes) in
        [("64K", 64 << 10), ("2M", BUFFER), ("2m", BUFFER), ("4M", 4 << 20), ("65536", 65536)]
    {
        assert_eq!(ring_buffer(text), Ok(bytes), "{text}");
    }
    for wrong in ["", "K", "0", "3M", "32K", "512M", "4G", "-4M", "9999999999M", "ä"] {
        assert!(ring_buffer(wrong).unwrap_err().contains("64K"), "{wrong:?}");
    }
    assert_eq!(trace(&[]).unwrap().buffer, BUFFER);
}

#[test]
fn sizes_of_a_recording() {
    for (text, bytes) in [("1M", 1 << 20), ("500m", 500 << 20), ("2G", 2 << 30), ("1T", 1 << 40)] {
        assert_eq!(record_limit(text), Ok(bytes), "{text}");
    }
    for wrong in ["", "G", "0", "1023K", "2T", "99999999999999999999G", "-1G", "much"] {
        assert!(record_limit(wrong).unwrap_err().contains("500M"), "{wrong:?}");
    }
    assert_eq!(trace(&[]).unwrap().record_limit, 1 << 30);
}

/// Scripts that use them go on working.
#[test]
fn earlier_names_of_options() {
    for [new, old] in [["--pending-after=3s", "--slow=3s"], ["--ring-buffer-size=4M", "--buffer=4M"]] {
        assert_eq!(parse(&[new]).unwrap(), parse(&[old]).unwrap());
    }
    let Some(Command::Doctor(doctor)) = parse(&["doctor", "--list-hooks"]).unwrap().command else {
        panic!("no doctor")
    };
    assert!(doctor.list_hooks && trace(&["--hooks", "list"]).unwrap().hooks.list);
}

#[test]
fn redaction_needs_no_recording() {
    assert!(trace(&["--redact", "--json"]).unwrap().redact);
}

#[test]
fn wrong_usage_exits_with_2() {
    for args in [
        &["--duration", "soon"][..],
        &["--pending-after", "0"],
        &["--slow", "0"],
        &["--record-limit", "1K"],
        &["--max-connections", "63"],
        &["--hooks", "kfree_skb"],
        &["--max-connections", "1048577"],
        &["--ring-buffer-size", "1000"],
        &["--buffer", "1000"],
        &["--color", "pink"],
        &["--record"],
        &["report"],
        &["report", "one", "--html"],
        &["redact", "one"],
        &["report", "one", "--json", "--markdown"],
        &["--json", "report", "file"],
        &["explain", "one", "two"],
    ] {
        assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
    }
}

#[test]
fn help_fits_80_columns() {
    Cli::command().debug_assert();
    for flag in ["-h", "--help"] {
        let help = parse(&[flag]).unwrap_err();
        assert_eq!((help.kind(), help.exit_code()), (ErrorKind::DisplayHelp, 0));
        for line in help.to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
