//! nginx's timeouts and times, in sentences and commands.

use crate::case::Case;
use crate::event::Setting;
use crate::text::sentence;
use crate::text::shell;

/// The timeout that ran out, if it is clear which one; else what it may be.
pub(super) fn timeout(case: &Case<'_>, otherwise: &str) -> String {
    case.limit().map_or_else(|| otherwise.to_owned(), set)
}

/// `proxy_read_timeout 3s` with the place where it is set.
pub(super) fn set(setting: &Setting) -> String {
    let place = setting.place.as_ref().map_or("nginx's default", String::as_str);
    let (directive, value) =
        (shell::word(&setting.directive, "DIRECTIVE"), shell::word(&setting.text, "TIME"));
    format!("`{directive} {value}` ({})", sentence(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::{config, unanswered_request};

    #[test]
    fn a_timeout_that_is_known_is_named_with_its_place() {
        let (attempt, read) = (unanswered_request(), config());
        let mut case = Case::of_attempt(&attempt);
        assert_eq!(timeout(&case, "`proxy_read_timeout`"), "`proxy_read_timeout`");
        case.config = Some(&read);
        assert_eq!(timeout(&case, ""), "`proxy_read_timeout 2s` (nginx.conf:12)");
        assert_eq!(set(&read.passes[0].send), "`proxy_send_timeout 60s` (nginx's default)");
    }
}
