use serde_json::json;

use super::super::layout::tests::assert_fits;
use super::super::tests::{BEGIN, MS, SECOND, evidence, host, verdict};
use super::*;

const PAGE: TextLayout = TextLayout { width: 80, colour: false };

fn block(page: TextLayout, verdict: &Verdict, kind: Kind) -> String {
    page.block(Clock::new(&host()), verdict, kind)
}

#[test]
fn a_failure_in_full() {
    let text = block(PAGE, &verdict(), Kind::Failure);
    assert_eq!(
        text,
        "\
09:12:05.003Z  failure  firewall-drop-local  10.99.0.2:8082  proven  504
  A netfilter rule on this host dropped the SYN to 10.99.0.2:8082, so that no
  connection came about.
     +0.000 ms  syn-sent
     +0.102 ms  dropped     NETFILTER_DROP  hook output  inet
  +1013.500 ms  retransmit  2 times  errno 1 EPERM
  = note: while connecting, after 4.0 s, worker 1713, from 10.99.0.1:41234,
          errno 110 ETIMEDOUT
  = help: Find the rule with `nft list ruleset` in the namespace of nginx and
          allow the port.

"
    );
}

#[test]
fn a_pending_one_says_since_when_and_what_fits_as_well() {
    let mut pending = verdict();
    pending.at = BEGIN + 2_200 * MS;
    pending.confidence = Confidence::Possible;
    pending.alternatives = vec!["accept-queue-full", "path-lost"];
    let text = block(PAGE, &pending, Kind::Pending);
    let head = "09:12:02.200Z  pending  firewall-drop-local  10.99.0.2:8082  possible";
    assert_eq!(text.lines().next(), Some(head));
    assert!(text.lines().nth(1).unwrap().ends_with("  since 1.2 s"), "{text}");
    assert!(text.contains("\n  = other possible causes: accept-queue-full, path-lost\n"), "{text}");
    assert!(!text.contains("504"), "nothing was answered yet: {text}");
}

#[test]
fn a_recovered_one_shows_no_status() {
    let mut recovered = verdict();
    recovered.recovered = true;
    let text = block(PAGE, &recovered, Kind::Failure);
    assert!(
        text.starts_with("09:12:05.003Z  recovered  firewall-drop-local  10.99.0.2:8082  proven\n"),
        "{text}"
    );
}

#[test]
fn the_end_of_a_pending_one_tells_only_news() {
    let text = block(PAGE, &verdict(), Kind::Confirmed { said: "09:12:02.200Z", after_ms: 0.102 });
    assert_eq!(
        text,
        "\
09:12:05.003Z  failure  firewall-drop-local  10.99.0.2:8082  proven  504
  +1013.500 ms  retransmit  2 times  errno 1 EPERM
  = note: while connecting, after 4.0 s, worker 1713, from 10.99.0.1:41234,
          errno 110 ETIMEDOUT; pending since 09:12:02.200Z

"
    );
}

#[test]
fn every_width_holds() {
    let mut long = verdict();
    long.upstream =
        Some(Upstream::Unix("/run/a/rather/long/path/to/the/socket/of/some/application.sock".into()));
    long.alternatives =
        vec!["firewall-drop-remote", "neighbour-unreachable", "icmp-unreachable", "path-lost"];
    long.fix = long.fix.replace('`', "");
    long.evidence.push(evidence(
        -1.0,
        "route",
        json!({"rule": "ip saddr 10.99.0.0/16 tcp dport 8082 counter packets 4 drop"}),
    ));
    for width in 50..=100 {
        for kind in [Kind::Pending, Kind::Failure] {
            for colour in [false, true] {
                assert_fits(&block(TextLayout { width, colour }, &long, kind), width);
            }
        }
    }
}

#[test]
fn colours_only_if_wanted_and_never_from_outside() {
    let mut hostile = verdict();
    hostile.upstream = Some(Upstream::Unix("/tmp/\x1b[2J x\u{202e}".into()));
    hostile.summary = "no socket at /tmp/\x1b[2J\n09:12:05.003Z  failure  forged".into();
    hostile.fix = "\x1b]0;title\x07".into();
    hostile.local = Some("\x1b[31m".into());
    hostile.evidence = vec![evidence(0.0, "\x1bwhat", json!({"na\x1bme": "va\x1blue", "list": ["\x1b"]}))];
    let plain = block(PAGE, &hostile, Kind::Failure);
    assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
    assert!(plain.contains(r"unix:/tmp/\x1b[2J\x20x\u{202e}"), "{plain}");
    assert!(!plain.lines().any(|line| line.starts_with("09:12") && line.contains("forged")), "{plain}");
    let coloured = block(TextLayout { width: 80, colour: true }, &hostile, Kind::Failure);
    assert!(coloured.contains("\x1b[1m"), "{coloured:?}");
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn details_in_an_order_that_reads_well() {
    let shown = |details: Value| {
        let Value::Object(details) = details else { unreachable!("an object") };
        super::details(&details).replace(NBSP, " ")
    };
    assert_eq!(
        shown(json!({"code": 13, "type": 3, "from": "10.0.0.1", "local": true})),
        "from 10.0.0.1  type 3  code 13  local"
    );
    assert_eq!(
        shown(json!({"errno": 9999, "gateway": null, "queue": 129, "limit": 128})),
        "errno 9999  limit 128  queue 129"
    );
    assert_eq!(shown(json!({"count": 1})), "");
    assert_eq!(shown(json!({})), "");
}

#[test]
fn an_upstream_that_is_not_known() {
    let mut unknown = verdict();
    (unknown.upstream, unknown.local, unknown.errno) = (None, None, None);
    (unknown.bytes_sent, unknown.reused, unknown.at) = (1500, true, unknown.since + 60 * SECOND);
    let text = block(PAGE, &unknown, Kind::Failure);
    assert!(text.contains("  (unknown)  proven"), "{text}");
    assert!(text.contains("1,500 bytes sent, 0 received"), "{text}");
    assert!(text.contains("reused connection"), "{text}");
}
