//! Envelopes of container runtimes and of the journal: whoever writes to a container's output fills them.

use upstream_trace_core::errorlog::{Pieces, Wrapping, json_head, parse};

use crate::Target;

/// Takes lines of a log that a runtime keeps.
pub(crate) const TARGET: Target = Target { seeds, ..Target::of_bytes("log_wrapping", run) };

fn run(bytes: &[u8]) {
    let mut pieces = Pieces::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(wrapping) = Wrapping::of(line) else { continue };
        let piece = wrapping.open(line).expect("it was opened a moment ago");
        assert!(piece.text.len() <= line.len(), "a text that is longer than its envelope");
        pieces.add(&piece, &mut |text| {
            assert!(text.len() <= 4_096, "a line of {} bytes", text.len());
            let (head, line) = (json_head(text), parse(text));
            if let (Some(head), Some(line)) = (head, line) {
                assert_eq!((head.level, head.pid), (line.level, line.pid));
            }
        });
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let line = "2026/11/28 22:55:25 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, \
                client: 172.17.0.1, server: , request: 'GET / HTTP/1.1', upstream: 'http://127.0.0.1:9999/', host: 'a', id: 5";
    let json = r#"{"level":"error","timestamp":"2026-05-04T10:30:15.042+00:00","pid":5,"tid":5,"cnum":3,"msg":"connect() failed","client":"10.0.0.9","upstream":"http://127.0.0.1:80/","errno":111,"errtext":"refused","id":"5"}"#;
    let quoted = line.replace('\'', "\\\"");
    let docker =
        format!(r#"{{"log":"{quoted}\n","stream":"stderr","time":"2026-11-28T22:55:25.222336919Z"}}"#);
    let journal = format!(
        r#"{{"__REALTIME_TIMESTAMP":"1795906525222400","_PID":"900","PRIORITY":"3","CONTAINER_ID_FULL":"d43d","MESSAGE":"{quoted}"}}"#
    );
    let plain = line.replace('\'', "\"");
    let cri = format!(
        "2026-11-28T22:55:48.13Z stderr P {plain}\n2026-11-28T22:55:48.13+01:00 stderr F {plain}\n2026-11-28T22:55:48Z stdout F {json}"
    );
    let syslog = format!(
        "<187>Nov 28 22:55:25 host nginx: {plain}\n2026-11-28T22:55:48Z host nginx[1]: {json}\n<187>1 - h a - - [b c=\"\\]\"] {plain}"
    );
    [docker, journal, cri, syslog].map(String::into_bytes).to_vec()
}
