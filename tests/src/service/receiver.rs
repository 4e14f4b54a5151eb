//! An OpenTelemetry receiver for logs, played by the lab: it decodes by OpenTelemetry's own definitions.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;

use crate::util::wait_until;

/// Longest request that is taken.
const MAX_BODY: usize = 16 << 20;
/// For a request to come whole.
const LIMIT: Duration = Duration::from_secs(20);

/// What came, each record with the attributes of its resource.
type Got = Arc<Mutex<Vec<Event>>>;

/// A receiver that runs until the process ends.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    got: Got,
}

/// The text attributes of an event, by name.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Its own.
    pub attributes: Vec<(String, String)>,
    /// Those of its resource.
    pub resource: Vec<(String, String)>,
}

impl Event {
    /// It has this attribute.
    #[must_use]
    pub fn has(&self, name: &str, value: &str) -> bool {
        has(&self.attributes, name, value)
    }

    /// Its resource has this attribute.
    #[must_use]
    pub fn is_of(&self, name: &str, value: &str) -> bool {
        has(&self.resource, name, value)
    }
}

fn has(attributes: &[(String, String)], name: &str, value: &str) -> bool {
    attributes.iter().any(|(of, is)| of == name && is == value)
}

impl Receiver {
    /// Refuses the first requests as an overloaded receiver does, and takes all others.
    pub fn start(refused: usize) -> Result<Self> {
        Self::serve(TcpListener::bind("127.0.0.1:0")?, refused)
    }

    /// One that comes to an address where none was before.
    pub fn start_at(address: SocketAddr) -> Result<Self> {
        Self::serve(TcpListener::bind(address)?, 0)
    }

    fn serve(listener: TcpListener, refused: usize) -> Result<Self> {
        let address = listener.local_addr()?;
        let got = Got::default();
        let to = Arc::clone(&got);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().flatten().enumerate() {
                if let Ok(events) = answer(stream, index < refused) {
                    to.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
                }
            }
        });
        Ok(Self { address, got })
    }

    /// For `--otlp`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits for so many events.
    pub fn wait(&self, count: usize, limit: Duration) -> Result<Vec<Event>> {
        self.wait_until(limit, |events| events.len() >= count)
    }

    /// Waits until what came is enough.
    pub fn wait_until(&self, limit: Duration, enough: impl Fn(&[Event]) -> bool) -> Result<Vec<Event>> {
        let got = || self.got.lock().unwrap_or_else(PoisonError::into_inner);
        wait_until("events at the OpenTelemetry receiver", limit, || enough(&got()))
            .with_context(|| format!("{} came", got().len()))?;
        Ok(got().clone())
    }
}

fn texts(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let pairs = attributes.iter().filter_map(|attribute| match attribute.value.as_ref()?.value.as_ref()? {
        Any::StringValue(text) => Some((attribute.key.clone(), text.clone())),
        _ => None,
    });
    pairs.collect()
}

/// Reads one request; what is in it, or nothing if it is refused.
fn answer(mut stream: TcpStream, refuse: bool) -> Result<Vec<Event>> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        ensure!(reader.read_line(&mut head)? > 0, "no end of the head");
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    let mut body = vec![0; length.trim().parse::<usize>()?.min(MAX_BODY)];
    reader.read_exact(&mut body)?;
    let status = if refuse { "503 Service Unavailable" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}")?;
    if refuse {
        return Ok(Vec::new());
    }
    let request: ExportLogsServiceRequest = serde_json::from_reader(GzDecoder::new(&body[..]))?;
    Ok(request.resource_logs.iter().flat_map(events).collect())
}

fn events(logs: &ResourceLogs) -> impl Iterator<Item = Event> + '_ {
    let resource = logs.resource.as_ref().map(|resource| texts(&resource.attributes)).unwrap_or_default();
    let records = logs.scope_logs.iter().flat_map(|scope| &scope.log_records);
    records.map(move |record| Event { attributes: texts(&record.attributes), resource: resource.clone() })
}
