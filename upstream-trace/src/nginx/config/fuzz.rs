//! What a fuzzer gives as a file of nginx's configuration.

use std::rc::Rc;

use upstream_trace_core::event::Config;

use super::files::placed;
use super::{address, facts, syntax};

/// What such a file says of upstreams, and whether all of it could be read; `hosts` is `/etc/hosts`.
#[must_use]
pub fn config(text: &str, hosts: &str) -> (Config, bool) {
    let (directives, stop) = syntax::parse(text, facts::concerns, &mut 100_000);
    let directives = placed(directives, &Rc::from("/etc/nginx/nginx.conf"));
    (facts::of(&directives, &address::names(hosts)), stop.is_none())
}
