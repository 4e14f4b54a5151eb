//! Whether anything was told of a world in which nothing is wrong, and whether that world was as it should be.

use serde_json::Value;

use super::super::tracer::Said;
use super::count::Count;

/// Of so many requests each kind has one at least.
const RARE: u64 = 2_500;
/// Of so many requests the tool sees one attempt at least: others take a pooled connection or the cache.
const ATTEMPTS: u64 = 10;
/// Of so many attempts the end of one may be unseen.
const UNSEEN: u64 = 200;

/// What is wrong with the world: then nothing can be said of the tool.
pub(super) fn world(
    count: &Count,
    names: &[&str],
    requests: u64,
    certificates: u64,
    complaints: &[String],
) -> Vec<String> {
    let mut wrong = Vec::new();
    if !complaints.is_empty() {
        wrong.push(format!("nginx complained {} times", complaints.len()));
    }
    for (name, tally) in &count.kinds {
        if tally.wrong > 0 {
            wrong.push(format!("{} requests of {name} failed", tally.wrong));
        }
    }
    for name in names {
        let answered = count.kind(name).answered;
        if answered < requests / RARE {
            wrong.push(format!("only {answered} requests of {name} were answered"));
        }
    }
    if certificates == 0 {
        wrong.push("nobody asked whether a certificate is revoked".to_owned());
    }
    wrong
}

/// What is wrong with what the tool said.
pub(super) fn tool(said: &Said, requests: u64) -> Vec<String> {
    let accounts = &said.summary["accounts"];
    let number = |object: &Value, name: &str| object[name].as_u64().unwrap_or(0);
    let sum = |names: &[&str]| names.iter().map(|name| number(accounts, name)).sum::<u64>();
    let mut wrong = Vec::new();
    let mut none = |count: u64, what: &str| {
        if count > 0 {
            wrong.push(format!("{count} {what}"));
        }
    };
    none(said.failures, "failures were told that are none");
    none(number(&said.summary, "failures").saturating_sub(said.failures), "more of these are in the summary");
    none(said.pending, "attempts were told to be pending");
    none(number(&said.summary, "lost"), "events were lost");
    none(sum(&["lost_buffer", "lost_table"]), "attempts were lost");
    none(number(accounts, "live"), "records are left though every attempt is over");
    let begun = sum(&["attempts", "adopted"]);
    // Connections over unix sockets that are open as `auto` goes back to `watch`: nobody sees their end.
    let unseen = number(accounts, "vanished");
    none(if unseen > begun / UNSEEN { unseen } else { 0 }, "ends of attempts were not seen");
    let ended = sum(&["healthy", "aborted", "reported", "vanished", "lost_buffer", "lost_table", "live"]);
    none(begun.abs_diff(ended), "attempts are not accounted for");
    if begun < requests / ATTEMPTS {
        wrong.push(format!("only {begun} attempts were seen"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::sandbox::Files;

    fn said() -> Said {
        let accounts = json!({"attempts": 100, "healthy": 90, "aborted": 9, "reported": 1, "live": 0});
        let summary = json!({"failures": 0, "lost": 0, "accounts": accounts});
        Said { summary, ..Said::default() }
    }

    #[test]
    fn what_the_tool_must_not_say() {
        assert!(tool(&said(), 500).is_empty());
        assert_eq!(tool(&said(), 5000).len(), 1);
        assert_eq!(tool(&Said { failures: 1, ..said() }, 500).len(), 1);
        assert_eq!(tool(&Said { pending: 1, ..said() }, 500).len(), 1);
        for name in ["failures", "lost"] {
            let mut said = said();
            said.summary[name] = 1.into();
            assert_eq!(tool(&said, 500).len(), 1, "{name}");
        }
        // Each of these is one too many in the accounts as well.
        for (name, problems) in [("live", 2), ("vanished", 2), ("lost_table", 2), ("attempts", 1)] {
            let mut said = said();
            let before = said.summary["accounts"][name].as_u64().unwrap_or(0);
            said.summary["accounts"][name] = (before + 1).into();
            assert_eq!(tool(&said, 500).len(), problems, "{name}");
        }
    }

    #[test]
    fn what_the_world_must_be_like() {
        let files = Files::new("ut-healthy-judge-test").unwrap();
        let path = files.0.join("access.log");
        fs::write(&path, "/kept 200 200\n/kept 499 -\n/unix 200 200\n").unwrap();
        let mut count = Count::of(&path).unwrap();
        count.read().unwrap();
        assert!(world(&count, &["kept", "unix"], RARE, 1, &[]).is_empty());
        assert_eq!(world(&count, &["kept", "unix"], 2 * RARE, 1, &[]).len(), 2);
        assert_eq!(world(&count, &["kept", "unix"], RARE, 0, &["line".to_owned()]).len(), 2);
        fs::write(&path, "/kept 502 502\n/kept 200 200\n").unwrap();
        let mut count = Count::of(&path).unwrap();
        count.read().unwrap();
        assert_eq!(world(&count, &["kept"], RARE, 1, &[]), ["1 requests of kept failed"]);
    }
}
