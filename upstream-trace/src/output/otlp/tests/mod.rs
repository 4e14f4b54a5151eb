//! Against a receiver of the test's own that decodes by OpenTelemetry's own definitions.

mod odd;
mod resources;

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::output::testkit::{failure, server};

/// Short, so that a test can wait for it.
const QUICK: Pace = Pace {
    gather: Duration::from_millis(20),
    request: Duration::from_millis(300),
    pause: Duration::from_millis(20),
    longest_pause: Duration::from_millis(50),
    give_up: Duration::from_mins(1),
    end: Duration::from_secs(10),
};

fn otlp(address: SocketAddr, pace: Pace) -> Otlp {
    start(&format!("http://{address}"), None, pace)
}

fn start(url: &str, certificates: Option<PathBuf>, pace: Pace) -> Otlp {
    let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
    let environment = Environment {
        headers: pair("X-Scope", "shop"),
        resource: pair("k8s.pod.name", "web-1"),
        certificates,
    };
    let mut otlp = Otlp::start(&url.parse().unwrap(), environment, pace, || ()).unwrap();
    otlp.start(&Host {
        version: "1.2.3".into(),
        hostname: "proxy".into(),
        at: 0,
        unix_us: 5,
        ..Host::default()
    });
    otlp
}

fn fail(otlp: &mut Otlp, count: u64) {
    for attempt in 0..count {
        otlp.output(&Output::Failure(failure(attempt, &server(80))));
    }
}

/// Reads a request, checks its head, and answers.
fn receive(mut stream: impl Read + Write, answer: &str) -> Option<ExportLogsServiceRequest> {
    let mut reader = BufReader::new(&mut stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/logs http/1.1") && head.contains("content-encoding: gzip"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("x-scope: shop"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    let mut text = String::new();
    GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    stream.write_all(answer.as_bytes()).ok()?;
    stream.flush().ok()?;
    Some(serde_json::from_str(&text).expect("an ExportLogsServiceRequest"))
}

const TAKEN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";

/// Answers the first requests as said, and all others well; gives what it was sent.
fn receiver(listener: TcpListener, answers: &'static [&'static str]) -> Receiver<ExportLogsServiceRequest> {
    let (to, from): (Sender<_>, _) = channel();
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let answer = answers.get(index).copied().unwrap_or(TAKEN);
            let Some(request) = receive(stream.unwrap(), answer) else { continue };
            if answer.starts_with("HTTP/1.1 200") && to.send(request).is_err() {
                return;
            }
        }
    });
    from
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn records(requests: &[ExportLogsServiceRequest]) -> Vec<LogRecord> {
    let scopes = requests.iter().flat_map(|request| &request.resource_logs).flat_map(|logs| &logs.scope_logs);
    scopes.flat_map(|scope| scope.log_records.clone()).collect()
}

fn of(attributes: &[KeyValue], key: &str) -> Option<Any> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    let AnyValue { value } = found.value.clone()?;
    value
}

fn text(value: &str) -> Any {
    Any::StringValue(value.to_owned())
}

#[test]
fn an_event_has_the_attributes_of_the_conventions() {
    let listener = listen();
    let mut otlp = otlp(listener.local_addr().unwrap(), QUICK);
    let received = receiver(listener, &[]);
    fail(&mut otlp, 1);
    otlp.finish().unwrap();
    let request = received.recv().unwrap();
    let resource = request.resource_logs[0].resource.clone().unwrap().attributes;
    assert_eq!(of(&resource, "host.name"), Some(text("proxy")));
    assert_eq!(of(&resource, "k8s.pod.name"), Some(text("web-1")));
    assert_eq!(of(&resource, "service.name"), Some(text("upstream-trace")));
    let [record] = &records(&[request])[..] else { panic!("not one record") };
    assert_eq!((record.severity_number, record.event_name.as_str()), (17, "upstream_trace.attempt.failed"));
    assert_eq!(record.time_unix_nano, 2_005_000);
    assert_eq!(record.body.clone().unwrap().value, Some(text("Nothing listens there.")));
    for (key, value) in [
        ("error.type", text("port-refused")),
        ("server.address", text("10.0.0.1")),
        ("server.port", Any::IntValue(80)),
        ("network.transport", text("tcp")),
        ("network.local.port", Any::IntValue(41234)),
        ("http.response.status_code", Any::IntValue(502)),
        ("upstream_trace.confidence", text("proven")),
        ("upstream_trace.recovered", Any::BoolValue(false)),
    ] {
        assert_eq!(of(&record.attributes, key), Some(value), "{key}");
    }
}

#[test]
fn a_receiver_that_comes_back_gets_what_the_queue_held_and_the_rest_is_counted() {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut otlp = otlp(address, QUICK);
    fail(&mut otlp, 10_000);
    let lost = otlp.queue.lost();
    assert!((10_000 - WAITING - BATCH..10_000).contains(&usize::try_from(lost).unwrap()), "{lost}");
    thread::sleep(Duration::from_millis(200));
    assert_eq!(otlp.queue.lost(), lost, "what fits is kept");
    let received = receiver(TcpListener::bind(address).unwrap(), &[]);
    let mut requests = Vec::new();
    while (records(&requests).len() as u64) < 10_000 - lost {
        requests.push(received.recv_timeout(Duration::from_secs(20)).expect("all that was kept"));
    }
    otlp.finish().unwrap();
    let mut said = Vec::new();
    otlp.lost(&mut said);
    assert_eq!((records(&requests).len() as u64, said), (10_000 - lost, vec![(LossPlace::Otlp, lost)]));
}

#[test]
fn later_is_tried_again_and_never_is_counted() {
    const ANSWERS: &[&str] = &[
        "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "SSH-2.0-garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 47\r\nConnection: close\r\n\r\n\
         {\"partialSuccess\":{\"rejectedLogRecords\":\"2\"}}  ",
        "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    ];
    let listener = listen();
    let mut otlp = otlp(listener.local_addr().unwrap(), QUICK);
    let received = receiver(listener, ANSWERS);
    fail(&mut otlp, 5);
    let taken = received.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(records(&[taken]).len(), 5);
    fail(&mut otlp, 3);
    otlp.finish().unwrap();
    assert_eq!(otlp.queue.lost(), 2 + 3);
}

#[test]
fn a_receiver_that_never_answers_holds_up_nothing() {
    let listener = listen();
    let pace = Pace { end: Duration::from_millis(50), ..QUICK };
    let mut otlp = otlp(listener.local_addr().unwrap(), pace);
    fail(&mut otlp, 5_000);
    assert!(otlp.queue.lost() > 0);
    otlp.finish().unwrap();
    assert!(otlp.queue.finish(Duration::ZERO) > 0, "it was not waited for");
}

#[test]
fn over_tls_only_a_receiver_with_a_trusted_certificate_gets_events() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = listen();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let (to, received) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            if let Some(request) = receive(StreamOwned::new(session, stream.unwrap()), TAKEN)
                && to.send(request).is_err()
            {
                return;
            }
        }
    });
    let mut strange = start(&url, None, Pace { give_up: Duration::ZERO, ..QUICK });
    fail(&mut strange, 2);
    strange.finish().unwrap();
    assert_eq!((strange.queue.lost(), received.try_recv().is_err()), (2, true));
    let mut trusted = start(&url, Some(authority), QUICK);
    fail(&mut trusted, 3);
    assert_eq!(records(&[received.recv_timeout(Duration::from_secs(20)).unwrap()]).len(), 3);
    trusted.finish().unwrap();
    assert_eq!(trusted.queue.lost(), 0);
}
