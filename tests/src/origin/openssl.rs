//! A TLS origin that is a process: `openssl s_server`.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::netns::Namespace;
use crate::util::wait_until;

/// The name in every certificate.
pub const NAME: &str = "origin.test";

/// Files in the folder of a world.
const KEY: &str = "key.pem";
const CERTIFICATE: &str = "certificate.pem";
const OTHER: &str = "other.pem";

/// Which certificate the origin shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shows {
    /// One for [`NAME`], which is its own issuer.
    Valid,
    /// The same, of years ago.
    Expired,
}

/// A running `openssl s_server`; ends on drop.
#[derive(Debug)]
pub struct TlsOrigin {
    child: Child,
}

impl TlsOrigin {
    /// Starts one with these further arguments, in a folder with its certificate.
    pub(crate) fn start(namespace: &Namespace, folder: &Path, address: &str, args: &str) -> Result<Self> {
        let child = namespace.run(|| {
            Command::new("openssl")
                .args(["s_server", "-quiet", "-accept", address, "-key", KEY, "-cert", CERTIFICATE])
                .args(args.split_whitespace())
                .current_dir(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("start openssl")
        })?;
        let origin = Self { child };
        let port = address.rsplit(':').next().unwrap_or_default();
        let socket = format!("ss -Htln sport = :{port}");
        let listens = || namespace.command(&socket).is_ok_and(|list| !list.trim().is_empty());
        wait_until("openssl to listen", Duration::from_secs(5), listens)?;
        Ok(origin)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _already_gone = self.child.wait();
    }
}

/// Makes `key.pem`, `certificate.pem` and, with another issuer, `other.pem` in a folder.
pub fn make_certificates(folder: &Path, shows: Shows) -> Result<()> {
    let (from, to) = match shows {
        Shows::Valid => ("20200101000000Z", "20491231000000Z"),
        Shows::Expired => ("20200101000000Z", "20200102000000Z"),
    };
    let config = format!(
        "[ca]\ndefault_ca = own\n\
         [own]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\npolicy = any\n\
         x509_extensions = names\n\
         [any]\ncommonName = supplied\n\
         [names]\nsubjectAltName = DNS:{NAME}\nbasicConstraints = CA:TRUE\n\
         [req]\nprompt = no\ndistinguished_name = who\n[who]\nCN = {NAME}\n"
    );
    fs::write(folder.join("ca.conf"), config)?;
    fs::write(folder.join("index"), "")?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ca.conf";
    openssl(folder, &format!("req -new {key} -keyout {KEY} -out request.pem"))?;
    openssl(folder, &format!("req -x509 {key} -keyout other-key.pem -out {OTHER} -subj /CN=another"))?;
    let sign = format!(
        "ca -batch -notext -selfsign -config ca.conf -keyfile {KEY} -in request.pem -out {CERTIFICATE}"
    );
    openssl(folder, &format!("{sign} -startdate {from} -enddate {to}"))
}

fn openssl(folder: &Path, line: &str) -> Result<()> {
    let made = Command::new("openssl").args(line.split_whitespace()).current_dir(folder).output()?;
    ensure!(made.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}
