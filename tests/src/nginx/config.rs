//! The configuration of an nginx, as text.

use std::fmt::Write as _;
use std::path::Path;

/// In a directive, the folder of the world.
pub const FOLDER: &str = "@folder@";

/// What varies between the nginx of one world and another.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of a copy of the program to run; `nginx` itself if empty.
    pub program: String,
    /// Whether it is the newer nginx, see [`super::newer`]; with its modules for `stream` and Lua.
    pub newer: bool,
    /// Address families that the kernel refuses to it, as `RestrictAddressFamilies=` of systemd does.
    pub refused_families: Vec<i32>,
    /// Capabilities that it does not have, in the words of `setpriv`: `-net_raw,-net_admin`.
    pub capabilities: String,
    /// Whether it leaves its parent, as services do; a binary upgrade needs that.
    pub daemon: bool,
    /// `user`.
    pub user: String,
    /// `worker_processes`.
    pub workers: usize,
    /// `worker_connections`.
    pub connections: usize,
    /// Parameters of each `server` in the group that `/` goes to: address, and what follows it.
    pub peers: Vec<String>,
    /// `keepalive`, 0 for none.
    pub keepalive: usize,
    /// `proxy_connect_timeout`.
    pub connect_timeout: String,
    /// `proxy_send_timeout`.
    pub send_timeout: String,
    /// `proxy_read_timeout`.
    pub read_timeout: String,
    /// Directives in the main context.
    pub main: Vec<String>,
    /// Directives in `stream`; only the newer nginx has that.
    pub stream: Vec<String>,
    /// Directives in `http`.
    pub http: Vec<String>,
    /// Directives in `upstream`.
    pub group: Vec<String>,
    /// Directives in `location /`.
    pub location: Vec<String>,
    /// Directives in `server`: further locations.
    pub server: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            program: String::new(),
            newer: false,
            refused_families: Vec::new(),
            capabilities: String::new(),
            daemon: false,
            user: "root".into(),
            workers: 1,
            connections: 4096,
            peers: Vec::new(),
            keepalive: 0,
            connect_timeout: "2s".into(),
            send_timeout: "2s".into(),
            read_timeout: "2s".into(),
            main: Vec::new(),
            stream: Vec::new(),
            http: Vec::new(),
            group: Vec::new(),
            location: Vec::new(),
            server: Vec::new(),
        }
    }
}

impl Config {
    /// The whole file, for an nginx whose files are in this folder.
    #[must_use]
    pub fn text(&self, folder: &Path) -> String {
        let mut text = String::new();
        let folder = folder.display();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|of| format!("{of}_temp_path temp/{of};"));
        let group = if self.keepalive > 0 { format!("keepalive {};", self.keepalive) } else { String::new() };
        let pooled =
            if self.keepalive > 0 { "proxy_http_version 1.1; proxy_set_header Connection '';" } else { "" };
        let peers: String = self.peers.iter().fold(String::new(), |mut peers, peer| {
            let _infallible = write!(peers, "server {peer}; ");
            peers
        });
        let upstream = if self.peers.is_empty() {
            String::new()
        } else {
            format!("upstream origin {{ {peers} {} {group} }}", self.group.join(" "))
        };
        let to_group = if self.peers.is_empty() { "return 204;" } else { "proxy_pass http://origin;" };
        let location = if self.location.iter().any(|line| line.contains("_pass ")) { "" } else { to_group };
        let (modules, lua) = self.modules();
        let stream = if self.stream.is_empty() {
            String::new()
        } else {
            format!("stream {{\n  {}\n}}", self.stream.join("\n  "))
        };
        let _infallible = write!(
            text,
            "{modules}user {};
worker_processes {};
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
{}
events {{ worker_connections {}; }}
{stream}
http {{
  {lua}
  log_format lab '$status|$upstream_status|$upstream_addr|$upstream_bytes_sent|$request';
  access_log {folder}/access.log lab;
  {}
  client_max_body_size 0;
  keepalive_requests 1000000;
  proxy_connect_timeout {};
  proxy_send_timeout {};
  proxy_read_timeout {};
  {pooled}
  {}
  {upstream}
  server {{
    listen {};
    location / {{ {location} {} }}
    {}
  }}
}}
",
            self.user,
            self.workers,
            self.main.join("\n"),
            self.connections,
            temp.join(" "),
            self.connect_timeout,
            self.send_timeout,
            self.read_timeout,
            self.http.join("\n  "),
            crate::client::NGINX,
            self.location.join(" "),
            self.server.join("\n    "),
        );
        text.replace(FOLDER, &folder.to_string())
    }

    /// Directives that load the modules of the newer nginx, and the one that `http` needs for Lua.
    fn modules(&self) -> (String, String) {
        let Some(root) = super::newer().filter(|_| self.newer) else { return (String::new(), String::new()) };
        let root = root.display();
        let modules = ["ndk_http_module", "ngx_http_lua_module", "ngx_stream_module"];
        let load = modules.map(|module| format!("load_module {root}/usr/lib/nginx/modules/{module}.so;\n"));
        (load.concat(), format!("lua_package_path '{root}/usr/share/lua/5.1/?.lua;;';"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_and_its_location() {
        let config = Config { peers: vec!["10.0.0.1:80 backup".into()], keepalive: 4, ..Config::default() };
        let text = config.text(Path::new("/lab"));
        assert!(text.contains("server 10.0.0.1:80 backup;") && text.contains("keepalive 4;"), "{text}");
        assert!(text.contains("location / { proxy_pass http://origin;"), "{text}");
    }
}
