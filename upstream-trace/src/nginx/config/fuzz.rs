//! What a fuzzer gives as a file of nginx's configuration.

use std::rc::Rc;

use upstream_trace_core::event::Config;

use super::files::Placed;
use super::syntax::{self, Directive};
use super::{address, facts};

/// What such a file says of upstreams, and whether all of it makes sense; `hosts` is `/etc/hosts`.
#[must_use]
pub fn config(text: &str, hosts: &str) -> (Config, bool) {
    let (directives, wrong) = syntax::parse(text);
    let file: Rc<str> = Rc::from("/etc/nginx/nginx.conf");
    let directives: Vec<_> = directives.into_iter().map(|directive| placed(directive, &file)).collect();
    (facts::of(&directives, &address::names(hosts)), wrong.is_none())
}

/// Without files that it includes.
pub(super) fn placed(mut directive: Directive, file: &Rc<str>) -> Placed {
    let block = directive.block.take().unwrap_or_default();
    let block = block.into_iter().map(|inner| placed(inner, file)).collect();
    Placed { directive, file: Rc::clone(file), block }
}
