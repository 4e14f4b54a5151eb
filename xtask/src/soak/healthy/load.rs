//! Who asks: `wrk` for most of it, the odd client for the rest.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};

use super::kinds::{self, Kind, STREAMS};
use super::proxy::PORT;
use crate::sandbox::{Namespace, Running};

/// Takes the requests in turn. `n` is another one from time to time, and comes back.
const SCRIPT: &str = "
local turn = 0
function request()
  turn = turn + 1
  local kind = kinds[turn % #kinds + 1]
  if kind[2] > 0 then return wrk.format('POST', '/' .. kind[1], nil, bodies[kind[2]]) end
  return wrk.format('GET', '/' .. kind[1] .. '?n=' .. math.floor(turn / #kinds) % 500)
end
";

/// Milliseconds between two requests of a client of `stream`: each of them is a connection.
const STREAM_PAUSE: &str = "function delay() return 8 end\n";

/// All clients; they go when this is dropped.
pub(super) struct Load {
    clients: Vec<Running>,
}

impl Load {
    /// Starts them; `dir` has the certificates and takes the scripts.
    pub(super) fn start(namespace: &Namespace, dir: &Path, newer: bool, streams: bool) -> Result<Self> {
        let kinds: Vec<Kind> = kinds::all(newer).collect();
        let mut clients = vec![wrk(namespace, dir, PORT, 24, &script(&kinds))?];
        if streams {
            for (port, ..) in STREAMS {
                clients.push(wrk(namespace, dir, port, 4, STREAM_PAUSE)?);
            }
        }
        let mut odd = namespace.command(super::world::this()?);
        odd.arg("odd").args(newer.then_some("--newer")).arg(dir).process_group(0);
        clients.push(Running::start(odd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?);
        Ok(Self { clients })
    }

    /// Whether one ended, which none should.
    pub(super) fn has_ended(&mut self) -> bool {
        self.clients.iter_mut().any(Running::has_ended)
    }
}

fn wrk(namespace: &Namespace, dir: &Path, port: u16, clients: u32, script: &str) -> Result<Running> {
    let file = dir.join(format!("load-{port}.lua"));
    fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    let mut wrk = namespace.command("wrk");
    wrk.args(["-t1", "--timeout", "20s", "-d", "24h", "-c", &clients.to_string(), "-s"]).arg(&file);
    wrk.arg(format!("http://127.0.0.1:{port}/")).process_group(0);
    Running::start(wrk.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
}

/// The list of requests: kinds in turn, each as often as its share, far from itself.
fn script(kinds: &[Kind]) -> String {
    let most = kinds.iter().map(|kind| kind.share).max().unwrap_or(0);
    let rounds = (0..most).flat_map(|round| kinds.iter().filter(move |kind| kind.share > round));
    let list = rounds.fold(String::new(), |all, kind| all + &format!("{{'{}',{}}},", kind.name, kind.body));
    let bodies = kinds.iter().filter(|kind| kind.body > 0);
    let bodies =
        bodies.fold(String::new(), |all, kind| all + &format!("[{0}]=string.rep('x',{0}),", kind.body));
    format!("local kinds = {{{list}}}\nlocal bodies = {{{bodies}}}\n{SCRIPT}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_share() {
        let kinds: Vec<Kind> = kinds::all(true).collect();
        let text = script(&kinds);
        for kind in kinds {
            assert_eq!(text.matches(&format!("'{}'", kind.name)).count(), kind.share, "{}", kind.name);
        }
        assert!(text.contains("[3000]=string.rep('x',3000),"));
    }
}
