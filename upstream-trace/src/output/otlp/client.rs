//! One request to the receiver.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::answer::{self, Sent};

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
            // A redirect is an answer like others: events go where they were sent to, or nowhere.
            .max_redirects(0)
            .user_agent(concat!("upstream-trace/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self { agent: config.into(), url: endpoint.0.clone(), headers: environment.headers.clone() })
    }

    pub(super) fn send(&self, request: &impl Serialize) -> Sent {
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
        answer::read(post.send(&body[..]))
    }
}

fn zipped(request: &impl Serialize) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, request)?;
    encoder.flush()?;
    Ok(encoder.finish()?)
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
}
