//! Load by `wrk`, and what it saw.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::usage;
use super::world::{PORT, World};
use crate::process;

/// Connections from clients.
const CLIENTS: u32 = 32;

/// Prints numbers for programs.
const SCRIPT: &str = r#"
function done(summary, latency, requests)
  io.write(string.format('\nUT {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"unanswered":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
"#;

/// How much load, and on what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Location of the proxy.
    pub(super) path: &'static str,
    pub(super) seconds: u64,
    pub(super) clients: u32,
    /// Milliseconds that each client waits before a request.
    pub(super) pause_ms: u32,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) rate: f64,
    pub(super) requests: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    /// Processor time of the proxy's workers per request, microseconds.
    pub(super) cpu_us: f64,
}

impl Load {
    /// As much as goes.
    pub(super) const fn full(path: &'static str, seconds: u64) -> Self {
        Self { path, seconds, clients: CLIENTS, pause_ms: 0 }
    }

    /// Puts it on.
    pub(super) fn run(self, world: &World) -> Result<Sample> {
        let script = self.script(world)?;
        let workers = world.workers();
        let before: u64 = workers.iter().map(|pid| usage::cpu_ns(*pid)).sum();
        let (clients, seconds) = (self.clients.to_string(), self.seconds.to_string());
        let mut wrk = world.namespace.command("wrk");
        wrk.args(["-t1", "--timeout", "10s", "-c", &clients, "-d", &seconds, "-s"]).arg(script);
        wrk.arg(format!("http://127.0.0.1:{PORT}{}", self.path));
        let mut sample = parse(&process::capture(&mut wrk)?)?;
        let after: u64 = workers.iter().map(|pid| usage::cpu_ns(*pid)).sum();
        sample.cpu_us = after.saturating_sub(before) as f64 / 1e3 / sample.requests.max(1) as f64;
        Ok(sample)
    }

    fn script(self, world: &World) -> Result<PathBuf> {
        let script = world.files.0.join("load.lua");
        let mut text = SCRIPT.to_owned();
        if self.pause_ms > 0 {
            let _ok = writeln!(text, "function delay() return {} end", self.pause_ms);
        }
        fs::write(&script, text).with_context(|| format!("cannot write {}", script.display()))?;
        Ok(script)
    }
}

fn parse(text: &str) -> Result<Sample> {
    let line = text.lines().find_map(|line| line.strip_prefix("UT ")).context("wrk gave no numbers")?;
    let numbers: Value = serde_json::from_str(line).context("wrk's numbers make no sense")?;
    let number = |name: &str| numbers[name].as_u64().unwrap_or(0);
    let micros = number("micros").max(1);
    Ok(Sample {
        rate: number("requests") as f64 * 1e6 / micros as f64,
        requests: number("requests"),
        p50_us: number("p50"),
        p99_us: number("p99"),
        cpu_us: 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_of_wrk() {
        let text = "Running 3s test\n\nUT {\"requests\":3000,\"micros\":2000000,\"p50\":90,\"p99\":700,\"unanswered\":0}\n";
        let sample = parse(text).unwrap();
        assert_eq!((sample.rate, sample.p50_us, sample.p99_us), (1500.0, 90, 700));
        assert!(parse("unable to connect").is_err());
    }
}
