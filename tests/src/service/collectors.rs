//! Where results of a service go, played by the lab: an OpenTelemetry receiver, the journal, a service manager.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use crate::util::wait_until;

/// Longest request that is taken.
const MAX_BODY: usize = 16 << 20;
/// For something to come.
const LIMIT: Duration = Duration::from_secs(20);

/// An OpenTelemetry receiver for logs. Decodes by OpenTelemetry's own definitions.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<LogRecord>>>,
}

impl Receiver {
    /// Refuses the first requests as an overloaded receiver does, and takes all others. Runs until the process ends.
    pub fn start(refused: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let got = Arc::<Mutex<Vec<LogRecord>>>::default();
        let to = Arc::clone(&got);
        thread::spawn(move || {
            for (index, stream) in listener.incoming().flatten().enumerate() {
                if let Ok(records) = answer(stream, index < refused) {
                    to.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
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

    /// Waits for so many events; the text attributes of each.
    pub fn wait(&self, count: usize) -> Result<Vec<Vec<(String, String)>>> {
        let got = || self.got.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wait_until("events at the OpenTelemetry receiver", LIMIT, || got().len() >= count)?;
        Ok(got().iter().map(texts).collect())
    }
}

fn texts(record: &LogRecord) -> Vec<(String, String)> {
    let text = |value: &Any| match value {
        Any::StringValue(text) => Some(text.clone()),
        _ => None,
    };
    let pairs = record.attributes.iter().filter_map(|attribute| {
        Some((attribute.key.clone(), text(attribute.value.as_ref()?.value.as_ref()?)?))
    });
    pairs.collect()
}

/// Reads one request; what is in it, or nothing if it is refused.
fn answer(mut stream: TcpStream, refuse: bool) -> Result<Vec<LogRecord>> {
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
    let scopes = request.resource_logs.into_iter().flat_map(|logs| logs.scope_logs);
    Ok(scopes.flat_map(|scope| scope.log_records).collect())
}

/// A socket of datagrams, as journald and service managers have one.
#[derive(Debug)]
pub struct Datagrams {
    got: Arc<Mutex<Vec<String>>>,
}

impl Datagrams {
    /// Listens at this path until the process ends.
    pub fn listen(path: &Path) -> Result<Self> {
        let socket = UnixDatagram::bind(path).with_context(|| format!("bind {}", path.display()))?;
        let got = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&got);
        thread::spawn(move || {
            let mut buffer = vec![0; 256 << 10];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                to.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        });
        Ok(Self { got })
    }

    /// Waits for so many of which this is true.
    pub fn wait(&self, count: usize, wanted: impl Fn(&str) -> bool) -> Result<()> {
        let got = || self.got.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let enough = || got().iter().filter(|text| wanted(text)).count() >= count;
        wait_until("datagrams", LIMIT, enough).with_context(|| format!("only these came: {:?}", got()))
    }
}
