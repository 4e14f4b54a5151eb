//! What goes on of a client's request: its body, the length of one, and what asks for a tunnel.

use super::super::files::Placed;
use super::of_name;

/// What holds for a block.
#[allow(clippy::struct_excessive_bools, reason = "each is a directive of its own")]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// `proxy_pass_request_body off`
    withheld: bool,
    /// `proxy_set_header Content-Length ...`
    length_is_set: bool,
    /// `proxy_set_header Upgrade ...`: nginx sends its client's own only there.
    pub(super) upgrade: bool,
    /// `proxy_http_version 2`
    pub(super) http2: bool,
}

impl Sent {
    /// The same inside of a block with these directives.
    pub(super) fn within(self, directives: &[Placed]) -> Self {
        let mut here = self;
        let switch = of_name(directives, "proxy_pass_request_body");
        if let Some(switch) = switch.filter_map(|placed| placed.directive.argument()).last() {
            here.withheld = switch == "off";
        }
        let version = of_name(directives, "proxy_http_version");
        if let Some(version) = version.filter_map(|placed| placed.directive.argument()).last() {
            here.http2 = version == "2";
        }
        // Those of a block replace all that it would inherit.
        let headers = || of_name(directives, "proxy_set_header");
        if headers().next().is_some() {
            let mut names = headers().filter_map(|placed| placed.directive.argument());
            here.upgrade = names.any(|name| name.eq_ignore_ascii_case("upgrade"));
            let mut names = headers().filter_map(|placed| placed.directive.argument());
            here.length_is_set = names.any(|name| name.eq_ignore_ascii_case("content-length"));
        }
        here
    }

    /// Whether the length of a body is sent, and the body is not. nginx sends none with the request of an `auth_request`
    /// (`asked`): its module gives that request an empty one.
    pub(super) fn is_promised(self, asked: bool) -> bool {
        (self.withheld || asked) && !self.length_is_set
    }
}

/// Whether a directive of this name matters here.
pub(super) fn concerns(name: &str) -> bool {
    matches!(name, "proxy_pass_request_body" | "proxy_http_version" | "proxy_set_header" | "auth_request")
}

/// Paths that `auth_request` names, anywhere.
pub(super) fn asked(directives: &[Placed]) -> Vec<&str> {
    let mut paths = Vec::new();
    let mut blocks = vec![directives];
    while let Some(block) = blocks.pop() {
        paths.extend(of_name(block, "auth_request").filter_map(|placed| placed.directive.argument()));
        blocks.extend(block.iter().map(|placed| &placed.block[..]).filter(|block| !block.is_empty()));
    }
    paths
}
