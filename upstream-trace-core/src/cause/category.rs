//! The reasons that causes belong to.

/// Name of a reason in the output.
#[must_use]
pub fn category(reason: u8) -> Option<&'static str> {
    Some(match reason {
        0 => "proxy",
        1 => "overload",
        2 => "service-down",
        3 => "firewall",
        4 => "network",
        5 => "timeout",
        6 => "application",
        _ => return None,
    })
}
