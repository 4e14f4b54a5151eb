//! The configuration of its nginx.

use std::fmt::Write as _;
use std::path::Path;

use super::fault::{LISTEN, TIMEOUT, UPSTREAMS};

/// With a location for every upstream.
pub(crate) fn configuration(dir: &Path) -> String {
    configuration_with(dir, "")
}

/// And with these locations, each on a line.
pub(crate) fn configuration_with(dir: &Path, more: &str) -> String {
    let dir = dir.display();
    let mut locations = String::from(more);
    for upstream in &UPSTREAMS {
        let (path, address, port) = (upstream.path, upstream.address, upstream.port);
        // Writing to a string cannot fail.
        let _ok = writeln!(locations, "        location {path} {{ proxy_pass http://{address}:{port}; }}");
    }
    format!(
        "# Workers run as root: no other user need exist, and nothing outside can reach them.
user root;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/error.log info;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    proxy_connect_timeout {TIMEOUT}s;
    proxy_read_timeout {TIMEOUT}s;
    server {{
        listen {LISTEN};
{locations}    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_names_every_upstream() {
        let text = configuration(Path::new("/dir"));
        assert!(
            text.contains("        location /firewall { proxy_pass http://10.99.0.2:8082; }\n"),
            "{text}"
        );
        assert_eq!(text.matches("proxy_pass").count(), UPSTREAMS.len());
        assert_eq!(text.matches('{').count(), text.matches('}').count());
    }
}
