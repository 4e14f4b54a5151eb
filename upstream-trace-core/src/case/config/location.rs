//! Whether a location of nginx's configuration may have served a request.

use crate::event::LogLine;

/// Whether it may have been this location, written as in the configuration, by the path of the request that nginx's line
/// names. Regular expressions and named locations may serve any.
pub(super) fn may_serve(location: Option<&str>, line: &LogLine) -> bool {
    // A subrequest has a path of its own, which only newer lines have.
    let target = line.subrequest.as_deref().or_else(|| path(line.request.as_deref()?));
    let Some((location, target)) = location.zip(target) else { return true };
    let path = target.split('?').next().unwrap_or_default();
    match location.split_once(char::is_whitespace) {
        Some(("=", exact)) => path == exact.trim(),
        Some(("^~", prefix)) => path.starts_with(prefix.trim()),
        Some(_) => true,
        None => !location.starts_with('/') || path.starts_with(location),
    }
}

/// The path of a request line, if it is one: of a CONNECT it is a host.
fn path(request: &str) -> Option<&str> {
    request.split(' ').nth(1).filter(|target| target.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::line;

    #[test]
    fn a_location_serves_what_is_below_it() {
        let mut line = line("upstream timed out (110: x) while connecting to upstream");
        line.request = Some("GET /shop/cart?of=7 HTTP/1.1".to_owned());
        let serves = |location: &str| may_serve(Some(location), &line);
        for location in ["/", "/shop", "/shop/cart", "= /shop/cart", "^~ /shop", "~ \\.php$", "@app"] {
            assert!(serves(location), "{location}");
        }
        for location in ["/healthy", "= /shop", "^~ /cart"] {
            assert!(!serves(location), "{location}");
        }
        assert!(may_serve(None, &line));
    }

    #[test]
    fn a_subrequest_has_its_own_path() {
        let mut line = line("upstream timed out (110: x) while connecting to upstream");
        line.request = Some("GET /page HTTP/1.1".to_owned());
        line.subrequest = Some("/auth".to_owned());
        assert!(may_serve(Some("/auth"), &line) && !may_serve(Some("/page"), &line));
        (line.request, line.subrequest) = (None, None);
        assert!(may_serve(Some("/auth"), &line));
    }
}
