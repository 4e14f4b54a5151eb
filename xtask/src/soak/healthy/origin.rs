//! The origins: another nginx for what speaks HTTP, with certificates, PHP, and the responder for the rest.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::sandbox::{Namespace, Running};
use crate::{process, setup};

/// Its address, on the far side of the cable.
pub(super) const FAR: &str = "10.99.0.2";

/// Bytes of a large answer.
const BIG: usize = 200_000;

/// The nginx that answers. Sockets, certificates and what it serves are in `files`.
pub(super) fn configuration(dir: &Path, files: &Path) -> String {
    let text = "user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid @dir@/nginx.pid;
error_log @dir@/error.log error;
events { worker_connections 8192; }
http {
    access_log off;
    root @files@;
    default_type text/html;
    types { }
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path @dir@/body;
    client_max_body_size 0;
    ssl_certificate @files@/certificate.pem;
    ssl_certificate_key @files@/key.pem;
    server {
        listen 10.99.0.2:8001 backlog=4096;
        listen 10.99.0.2:8002 http2 backlog=4096;
        listen 10.99.0.2:8003 ssl backlog=4096;
        listen 10.99.0.2:8004 ssl http2 backlog=4096;
        listen unix:@files@/origin.sock backlog=4096;
        location / { return 200 \"hello\\n\"; }
        location /big { try_files /big.bin =404; }
        location /slice { try_files /big.bin =404; }
        location /cache { try_files /file.txt =404; }
        location /chunked { ssi on; return 200 \"some <!--# echo var='uri' --> more\\n\"; }
        location /empty { return 204; }
        location /fallback { return 404; }
        location /accel { add_header X-Accel-Redirect /redirected; return 200 \"never seen\\n\"; }
        location /ssi { return 200 \"<!--# include virtual='/included/1' -->, <!--# include virtual='/included/2' -->\\n\"; }
        location /grpc { default_type application/grpc; add_trailer grpc-status 0; return 200 \"hello\"; }
        location /post { client_body_buffer_size 128k; return 200 \"taken\\n\"; }
        location /ocsp {
            default_type application/ocsp-response;
            access_log @files@/ocsp.log;
            try_files /ocsp.der =404;
        }
    }
    server {
        listen 10.99.0.2:8005 backlog=4096;
        keepalive_requests 10;
        keepalive_timeout 2s;
        location / { return 200 \"hello\\n\"; }
    }
    server {
        listen 10.99.0.2:8006 backlog=4096;
        listen 10.99.0.2:8007 ssl backlog=4096;
        listen unix:@files@/close.sock backlog=4096;
        keepalive_timeout 0;
        location / { return 200 \"hello\\n\"; }
    }
}
";
    let text = text.replace("10.99.0.2", FAR).replace("@dir@", &dir.display().to_string());
    text.replace("@files@", &files.display().to_string())
}

/// Puts files and certificates there that the configuration names.
pub(super) fn fill(dir: &Path) -> Result<()> {
    fs::write(dir.join("big.bin"), vec![b'x'; BIG])?;
    fs::write(dir.join("file.txt"), "cached\n")?;
    let text = "[ca]\ndefault_ca = own\n\
         [own]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\npolicy = any\n\
         x509_extensions = names\ndefault_days = 3650\n\
         [any]\ncommonName = supplied\n\
         [names]\nsubjectAltName = DNS:origin.test\nbasicConstraints = CA:TRUE\n\
         [leaf]\nbasicConstraints = CA:FALSE\n\
         [req]\nprompt = no\ndistinguished_name = who\n[who]\nCN = origin.test\n";
    fs::write(dir.join("ca.conf"), text)?;
    fs::write(dir.join("index"), "")?;
    fs::write(dir.join("index.attr"), "unique_subject = no\n")?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ca.conf";
    openssl(dir, &format!("req -new {key} -keyout key.pem -out request.pem"))?;
    openssl(
        dir,
        "ca -batch -notext -selfsign -config ca.conf -keyfile key.pem -in request.pem -out certificate.pem",
    )?;
    openssl(dir, &format!("req -new {key} -keyout client-key.pem -out client-request.pem -subj /CN=client"))?;
    openssl(
        dir,
        "ca -batch -notext -config ca.conf -extensions leaf -keyfile key.pem -cert certificate.pem \
         -in client-request.pem -out client.pem",
    )?;
    // One answer about both certificates, for whoever asks.
    openssl(
        dir,
        "ocsp -index index -CA certificate.pem -rsigner certificate.pem -rkey key.pem -ndays 30 -no_nonce \
         -issuer certificate.pem -cert certificate.pem -cert client.pem -reqout ocsp.req",
    )?;
    openssl(
        dir,
        "ocsp -index index -CA certificate.pem -rsigner certificate.pem -rkey key.pem -ndays 30 \
         -reqin ocsp.req -respout ocsp.der",
    )
}

fn openssl(dir: &Path, line: &str) -> Result<()> {
    process::capture(Command::new("openssl").args(line.split_whitespace()).current_dir(dir)).map(drop)
}

/// PHP beside nginx: its own page that says that it lives.
pub(super) fn start_php(namespace: &Namespace, dir: &Path) -> Result<Running> {
    let program =
        setup::versioned("php-fpm").context("there is no php-fpm; get it with: cargo xtask setup")?;
    let (config, socket) = (dir.join("php.conf"), dir.join("php.sock"));
    let shown = dir.display();
    let text = format!(
        "[global]\nerror_log = {shown}/php.log\nsystemd_interval = 0\n\
         [tcp]\nuser = root\nlisten = 127.0.0.1:9010\nlisten.backlog = 4096\npm = static\npm.max_children = 2\n\
         ping.path = /ping\n\
         [unix]\nuser = root\nlisten = {shown}/php.sock\nlisten.backlog = 4096\npm = static\n\
         pm.max_children = 12\nping.path = /ping\n"
    );
    fs::write(&config, text)?;
    let mut command = namespace.command(program);
    command.args(["-F", "-R", "-y"]).arg(&config).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut php = Running::start(&mut command)?;
    php.wait(Duration::from_secs(10), || socket.exists());
    ensure!(socket.exists(), "php-fpm does not listen; see {shown}/php.log");
    Ok(php)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Files;

    #[test]
    fn configuration_is_balanced() {
        let text = configuration(Path::new("/o"), Path::new("/f"));
        assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        assert!(text.contains("unix:/f/origin.sock") && !text.contains('@'));
    }

    #[test]
    fn certificates_are_made() {
        let files = Files::new("ut-healthy-origin-test").unwrap();
        fill(&files.0).unwrap();
        assert!(fs::metadata(files.0.join("ocsp.der")).unwrap().len() > 200);
    }
}
