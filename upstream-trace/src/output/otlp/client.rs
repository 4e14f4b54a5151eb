//! One request to the receiver, and what its answer means.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Bytes of an answer that are read.
const MAX_ANSWER: u64 = 64 << 10;
/// Longest pause that a receiver can ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(1);
/// Where distributions keep the certificates of authorities.
const BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Where to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

impl FromStr for Endpoint {
    type Err = String;

    /// A URL without a path gets that of logs, as OpenTelemetry's own exporters do it.
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = ["http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or("not a URL that begins with http:// or https://")?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err("credentials are not taken from the URL: set OTEL_EXPORTER_OTLP_HEADERS".to_owned());
        }
        if host.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("a URL without a host".to_owned());
        }
        let end = if path.is_empty() { "/v1/logs" } else { "" };
        Ok(Self(text.trim_end_matches('/').to_owned() + end))
    }
}

/// What the variables of OpenTelemetry say.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    /// Sent with each request.
    pub(super) headers: Vec<(String, String)>,
    /// Attributes of the resource.
    pub(super) resource: Vec<(String, String)>,
    /// Authorities to trust instead of the system's.
    pub(super) certificates: Option<PathBuf>,
}

impl Environment {
    pub(super) fn read() -> Self {
        let pairs = |name| pairs(&std::env::var(name).unwrap_or_default());
        Self {
            headers: pairs("OTEL_EXPORTER_OTLP_HEADERS"),
            resource: pairs("OTEL_RESOURCE_ATTRIBUTES"),
            certificates: std::env::var_os("OTEL_EXPORTER_OTLP_CERTIFICATE").map(PathBuf::from),
        }
    }
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was taken, but for so many records.
    Taken(u64),
    /// To be tried again, after that time if the receiver asks for it: why.
    Later(String, Option<Duration>),
    /// It makes no sense to try again: why.
    Refused(String),
}

/// Sends requests.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
}

impl Client {
    /// A client that sends these headers.
    ///
    /// # Errors
    /// If certificates that are named cannot be read.
    pub(super) fn new(endpoint: &Endpoint, environment: &Environment, timeout: Duration) -> Result<Self> {
        let roots = roots(environment.certificates.as_deref())?;
        let tls = TlsConfig::builder().root_certs(roots).build();
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("upstream-trace/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self { agent: config.into(), url: endpoint.0.clone(), headers: environment.headers.clone() })
    }

    pub(super) fn send(&self, request: &Value) -> Sent {
        let body = match zipped(request) {
            Ok(body) => body,
            Err(error) => return Sent::Refused(format!("{error:#}")),
        };
        let mut post = self
            .agent
            .post(&self.url)
            .header("Content-Type", "application/json")
            .header("Content-Encoding", "gzip");
        for (name, value) in &self.headers {
            post = post.header(name, value);
        }
        let mut answer = match post.send(&body[..]) {
            Ok(answer) => answer,
            // What the environment or the command line has wrong does not mend itself.
            Err(error @ (ureq::Error::Http(_) | ureq::Error::BadUri(_))) => {
                return Sent::Refused(error.to_string());
            }
            Err(error) => return Sent::Later(error.to_string(), None),
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
        let after = after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_string();
        match status {
            200..=299 => Sent::Taken(rejected(&text.unwrap_or_default())),
            429 | 502 | 503 | 504 => Sent::Later(format!("the receiver answers {status}"), after),
            _ => Sent::Refused(format!("the receiver answers {status}")),
        }
    }
}

fn zipped(request: &Value) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, request)?;
    encoder.flush()?;
    Ok(encoder.finish()?)
}

/// Records that the receiver did not want: `partialSuccess`. Another answer is as good as none.
fn rejected(text: &str) -> u64 {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedLogRecords"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

/// `key=value,key=value`, values percent-encoded: how OpenTelemetry's variables are written.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = |value: &str| percent_decode_str(value.trim()).decode_utf8_lossy().into_owned();
    pairs
        .map(|(key, value)| (key.trim().to_owned(), decoded(value)))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

/// Authorities: those that are named, those of the system, or Mozilla's.
fn roots(named: Option<&Path>) -> Result<RootCerts> {
    if let Some(path) = named {
        let found =
            certificates(path).with_context(|| format!("cannot read certificates of {}", path.display()))?;
        return Ok(found);
    }
    let system = BUNDLES.iter().find_map(|path| certificates(Path::new(path)).ok());
    Ok(system.unwrap_or(RootCerts::WebPki))
}

fn certificates(path: &Path) -> Result<RootCerts> {
    let pem = fs::read(path)?;
    let items = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let found: Vec<Certificate<'static>> = items.collect();
    ensure!(!found.is_empty(), "there are none in it");
    Ok(found.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_opentelemetry() {
        let of = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.0);
        assert_eq!(of("http://c:4318").as_deref(), Ok("http://c:4318/v1/logs"));
        assert_eq!(of("https://c/").as_deref(), Ok("https://c/v1/logs"));
        assert_eq!(of("https://c/api/otlp").as_deref(), Ok("https://c/api/otlp"));
        for wrong in ["c:4318", "ftp://c", "http://", "http://a b", "http:///x"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
        assert!(of("http://user:secret@c").unwrap_err().contains("OTEL_EXPORTER_OTLP_HEADERS"));
    }

    #[test]
    fn variables_are_decoded() {
        let found = pairs("Authorization=Basic%20eDp5, k8s.pod.name=web-1,broken,=x");
        let expected = [("Authorization", "Basic eDp5"), ("k8s.pod.name", "web-1")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn partial_success_is_understood_in_both_forms() {
        assert_eq!(rejected(r#"{"partialSuccess":{"rejectedLogRecords":"3"}}"#), 3);
        assert_eq!(rejected(r#"{"partialSuccess":{"rejectedLogRecords":4}}"#), 4);
        assert_eq!([rejected("{}"), rejected("<html>")], [0, 0]);
    }
}
