//! Samples of docker 20.10, podman 4.3, containerd's documentation and systemd 252.

use super::*;

const LINE: &str = r#"2026/11/28 22:55:25 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 172.17.0.1, server: , request: "GET / HTTP/1.1", upstream: "http://127.0.0.1:9999/", host: "172.17.0.2""#;
const DOCKER: &str = r#"{"log":"2026/11/28 22:55:25 [error] 7#7: *1 connect() failed (111: Connection refused) while connecting to upstream, client: 172.17.0.1, server: , request: \"GET / HTTP/1.1\", upstream: \"http://127.0.0.1:9999/\", host: \"172.17.0.2\"\n","stream":"stderr","time":"2026-11-28T22:55:25.222336919Z"}"#;
const JOURNAL: &str = r#"{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1795906525222400","__MONOTONIC_TIMESTAMP":"5","_BOOT_ID":"b","PRIORITY":"3","CONTAINER_ID":"d43d5a33ea26","CONTAINER_ID_FULL":"d43d5a33ea26627ef9b784bb46551927dea7bbf9d9f5e3c89189c4cb31adc448","CONTAINER_NAME":"web","_PID":"900","_SOURCE_REALTIME_TIMESTAMP":"1795906525222336","MESSAGE":"TEXT","_SYSTEMD_UNIT":"docker.service"}"#;

fn text(piece: &Piece<'_>) -> String {
    String::from_utf8_lossy(&piece.text).into_owned()
}

fn whole(lines: &[String]) -> Vec<String> {
    let (mut pieces, mut whole) = (Pieces::default(), Vec::new());
    for line in lines {
        let wrapping = Wrapping::of(line.as_bytes()).expect("an envelope");
        let piece = wrapping.open(line.as_bytes()).expect("its piece");
        pieces.add(&piece, &mut |line| whole.push(String::from_utf8_lossy(line).into_owned()));
    }
    whole
}

#[test]
fn docker() {
    let piece = Wrapping::Docker.open(DOCKER.as_bytes()).expect("a piece");
    assert_eq!((text(&piece).as_str(), piece.partial), (LINE, false));
    assert_eq!((piece.stream, piece.received), (Some(Stream::Stderr), Some(1_795_906_525_222_336_919)));
    assert_eq!(Wrapping::of(DOCKER.as_bytes()), Some(Wrapping::Docker));
    let labelled = DOCKER.replace("\"time\"", "\"attrs\":{\"a\":\"b\"},\"time\"");
    assert_eq!(Wrapping::of(labelled.as_bytes()), Some(Wrapping::Docker));
}

#[test]
fn what_the_journal_left_out_is_no_line() {
    let suppressed = |fields: &str| {
        let line = format!(
            r#"{{"__REALTIME_TIMESTAMP":"7","MESSAGE":"Suppressed 12 messages from nginx.service"{fields}}}"#
        );
        Wrapping::Journal.open(line.as_bytes()).expect("a piece").suppressed
    };
    assert_eq!(suppressed(r#","_TRANSPORT":"driver","N_DROPPED":"13""#), 13);
    assert_eq!(suppressed(r#","_TRANSPORT":"driver""#), 12);
    assert_eq!(suppressed(r#","_TRANSPORT":"driver","N_DROPPED":"many""#), 12);
    // Anybody can write such a line.
    assert_eq!(suppressed(r#","_TRANSPORT":"stdout","N_DROPPED":"13""#), 0);
    assert_eq!(suppressed(""), 0);
}

#[test]
fn container_runtime_interface() {
    for (zone, stream, kind) in [
        ("Z", "stdout", Stream::Stdout),
        ("+01:00", "stderr", Stream::Stderr),
        ("-07:30", "stderr", Stream::Stderr),
    ] {
        let line = format!("2026-11-28T22:55:48.139986842{zone} {stream} F {LINE}\n");
        assert_eq!(Wrapping::of(line.as_bytes()), Some(Wrapping::Cri));
        let piece = Wrapping::Cri.open(line.as_bytes()).expect("a piece");
        assert_eq!((text(&piece).as_str(), piece.stream, piece.partial), (LINE, Some(kind), false));
    }
    let piece = Wrapping::Cri.open(b"2016-10-06T00:17:10.113242941Z stderr P:x a  b").expect("a piece");
    assert_eq!((text(&piece).as_str(), piece.partial), ("a  b", true));
    assert_eq!(piece.received, Some(1_475_713_030_113_242_941));
    assert!(Wrapping::Cri.open(b"2016-10-06T00:17:10Z stderr F").is_some_and(|piece| piece.text.is_empty()));
}

#[test]
fn journal() {
    let line = JOURNAL.replace("TEXT", &LINE.replace('"', "\\\""));
    assert_eq!(Wrapping::of(line.as_bytes()), Some(Wrapping::Journal));
    let piece = Wrapping::Journal.open(line.as_bytes()).expect("a piece");
    assert_eq!((text(&piece).as_str(), piece.stream), (LINE, Some(Stream::Stderr)));
    assert_eq!(piece.received, Some(1_795_906_525_222_336_000));
    assert!(piece.container.as_deref().is_some_and(|id| id.starts_with("d43d5a33ea26")));
    assert_eq!(piece.pid, None, "that of the daemon");
    let of_unit = r#"{"MESSAGE":[104,195,105],"__REALTIME_TIMESTAMP":"7","_PID":"12","_SYSTEMD_UNIT":"nginx.service","PRIORITY":"6"}"#;
    let piece = Wrapping::Journal.open(of_unit.as_bytes()).expect("a piece");
    assert_eq!((&*piece.text, piece.pid, piece.stream), (&b"h\xc3i"[..], Some(12), None));
    assert_eq!((piece.unit.as_deref(), piece.received), (Some("nginx.service"), Some(7_000)));
}

#[test]
fn syslog() {
    for before in [
        "<187>Nov 28 22:55:25 host nginx: ",
        "<187>Nov  8 22:55:25 nginx: ",
        "Nov 28 22:55:25 host nginx: ",
        "Nov 28 22:55:25 host shop_web[12]:  ",
        "2026-11-28T22:55:25.139986+00:00 host nginx: ",
        "<187>2026-11-28T22:55:25Z host nginx: ",
        "<187>1 2026-11-28T22:55:25.139986+00:00 host nginx - - - ",
        "<187>1 - host nginx 12 id [a@1 b=\"x\\]\"][c] ",
    ] {
        for line in [LINE, r#"{"level":"error","pid":7}"#] {
            let whole = format!("{before}{line}");
            let piece = Wrapping::Syslog.open(whole.as_bytes());
            let piece = piece.unwrap_or_else(|| panic!("no piece: {whole}"));
            assert_eq!((text(&piece).as_str(), piece.received, piece.partial), (line, None, false));
            assert_eq!(Wrapping::of(whole.as_bytes()), Some(Wrapping::Syslog), "{whole}");
        }
    }
    for line in [
        format!("Nov 28 22:55:25 host sshd: Failed password for {LINE}"),
        format!("Nov 28 22:55:25 host a b: {LINE}"),
        format!("Nov 28 22:55:25 {LINE}"),
        format!("nginx: {LINE}"),
        format!("<>Nov 28 22:55:25 host nginx: {LINE}"),
        format!("<187>1 2026-11-28T22:55:25Z host nginx - {LINE}"),
        "Nov 28 22:55:25 host nginx: ".to_owned(),
        "Nov 28".to_owned(),
        "<187>".to_owned(),
        "<187>1 - a b c d [".to_owned(),
    ] {
        assert_eq!(Wrapping::of(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn what_came_to_the_journal_by_syslog() {
    for tag in ["host nginx: ", "nginx: ", ""] {
        let message = format!("{tag}{LINE}").replace('"', "\\\"");
        let line =
            format!(r#"{{"MESSAGE":"{message}","__REALTIME_TIMESTAMP":"7","_PID":"12","_COMM":"nginx"}}"#);
        let piece = Wrapping::of(line.as_bytes()).and_then(|wrapping| wrapping.open(line.as_bytes()));
        assert_eq!(piece.map(|piece| (text(&piece), piece.pid)), Some((LINE.to_owned(), Some(12))));
    }
}

#[test]
fn what_is_no_envelope() {
    for line in [
        LINE,
        "",
        "{}",
        r#"{"log":"x\n","stream":"stderr"}"#,
        r#"{"log":"x\n","stream":"stderr","time":"yesterday"}"#,
        r#"{"log":1,"stream":"stderr","time":"2026-11-28T22:55:25Z"}"#,
        r#"{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1"}"#,
        r#"{"MESSAGE":[256],"__REALTIME_TIMESTAMP":"1"}"#,
        r#"{"MESSAGE":"x","__REALTIME_TIMESTAMP":"99999999999999999999"}"#,
        r#"{"level":"error","timestamp":"2026-05-04T10:30:15.042+00:00","pid":1,"msg":"x"}"#,
        "2026-11-28T22:55:48Z stderr X text",
        "2026-11-28T22:55:48Z stdin F text",
        "2026-11-28 stderr F text",
        "1969-01-01T00:00:00Z stderr F text",
    ] {
        assert_eq!(Wrapping::of(line.as_bytes()), None, "{line}");
    }
    let long = format!("2026-11-28T22:55:48Z stderr F {}", "x".repeat(LONGEST_ENVELOPE));
    assert_eq!(Wrapping::of(long.as_bytes()), None);
}

#[test]
fn pieces_are_put_together_each_stream_for_itself() {
    let cri = |stream: &str, tag: &str, text: &str| format!("2016-10-06T00:17:10Z {stream} {tag} {text}");
    let lines = [
        cri("stderr", "P", "one "),
        cri("stdout", "P", "access "),
        cri("stderr", "P", "and "),
        cri("stdout", "F", "line"),
        cri("stderr", "F", "two"),
        cri("stderr", "F", "three"),
    ];
    assert_eq!(whole(&lines), ["access line", "one and two", "three"]);
    let docker =
        |log: &str| format!(r#"{{"log":"{log}","stream":"stderr","time":"2026-11-28T22:55:25.222336919Z"}}"#);
    assert_eq!(whole(&[docker("a"), docker("b\\n"), docker("\\n")]), ["ab", ""]);
    let long = vec![cri("stderr", "P", &"x".repeat(1_000)); 100];
    let found = whole(&[long, vec![cri("stderr", "F", "end"), cri("stderr", "F", "next")]].concat());
    assert_eq!(found.iter().map(String::len).collect::<Vec<_>>(), [4_096, 4]);
}
