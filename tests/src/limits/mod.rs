//! What a kernel cannot show, and what is expected there instead: a lower confidence, or `unknown`. Each limit says why,
//! asks the kernel itself (not the tool) whether it holds, and names the scenarios that it touches. What only `--depth`
//! can tell stands beside, in `depth.rs`.

mod depth;

use std::fs;
use std::path::Path;

use crate::pace::is_emulated;
use crate::util::kernel_is_from;

/// A limit of some kernels.
#[derive(Debug)]
pub struct Limit {
    /// Why, for the table.
    pub why: &'static str,
    /// Whether it holds here.
    pub(crate) holds: fn() -> bool,
    /// Beginnings of the names of the scenarios that it touches.
    pub(crate) scenarios: &'static [&'static str],
    /// Causes that may be told in place of the one asked for; never more than `likely`.
    pub instead: &'static [&'static str],
    /// Nothing at all may be told of it.
    pub unseen: bool,
    /// Fields that may say something else.
    pub fields: &'static [&'static str],
}

impl Limit {
    pub(crate) const NONE: Self =
        Self { why: "", holds: || true, scenarios: &[], instead: &[], unseen: false, fields: &[] };
}

const DROPS: &str = "/sys/kernel/tracing/events/skb/kfree_skb/format";

/// Of machines that are slower than what the tool allows for.
const EMULATED: Limit = Limit { holds: is_emulated, ..Limit::NONE };

/// Of an emulated machine from 7.0 on, where runs of hooks were left out.
pub(crate) const LEFT_OUT: Limit = Limit {
    why: "From 7.0 on a process may lose its processor in the middle of a hook, and an emulated one takes so long for it that it \
          loses it in the stand-in as well: runs are left out, counted, and take the proof.",
    holds: || is_emulated() && kernel_is_from((7, 0)),
    ..Limit::NONE
};

/// All of them; of several that touch a scenario the first counts.
const LIMITS: &[Limit] = &[
    Limit {
        why: "Before 6.3 sending and receiving is watched on TCP and unix sockets alone: of lookups of names nginx's \
              error.log alone tells.",
        holds: || !Path::new("/sys/kernel/tracing/events/sock/sock_send_length").exists(),
        scenarios: &["dns-failure", "dns-timeout", "hostile/questions-to-an-upstream"],
        unseen: true,
        fields: &["upstream"],
        ..Limit::NONE
    },
    Limit {
        why: "An emulated nginx may take longer than the 2 ms within which a lookup is taken for one of the client that spoke \
              last: without error.log it is not known then whether a client got an answer.",
        scenarios: &[
            "dns-failure/no-such-name",
            "dns-failure/refused",
            "dns-failure/server-failure",
            "dns-timeout/without-log",
        ],
        fields: &["status"],
        ..EMULATED
    },
    Limit {
        why: "Where a tracepoint tells of what is received (6.3) the function behind it is not needed, and this kernel's \
              has other arguments than those known: told to watch it all the same, the tool says that it cannot.",
        holds: || kernel_is_from((7, 0)),
        scenarios: &["rungs/requests-by-fentry", "rungs/unix-requests-by-fentry"],
        instead: &["unknown"],
        ..Limit::NONE
    },
    Limit {
        why: "Before 6.10 the kernel does not say why it resets a connection.",
        holds: resets_without_socket_are_silent,
        scenarios: &[
            "origins/reset-with",
            "no-live-upstreams/peers-of-its-own-group-only",
            "names/one-address-in-two-groups",
            "log/container",
            "newer/stream-refused",
        ],
        ..Limit::NONE
    },
    Limit {
        why: "Before 5.17 the kernel does not say why it drops a packet.",
        holds: drops_without_reason,
        scenarios: &["kernel-drop-local"],
        instead: &["firewall-drop-remote"],
        ..Limit::NONE
    },
    Limit {
        why: "Older kernels (6.12) do not say that they drop a packet since it comes from an address of their own.",
        holds: || !reasons_of_drops().contains("IP_LOCAL_SOURCE"),
        scenarios: &["kernel-drop-local/hairpin"],
        instead: &["firewall-drop-remote"],
        ..Limit::NONE
    },
    Limit {
        why: "In the guests the rule in a bridge's own table is not found, and the verdict may be less sure; not yet known \
              why.",
        scenarios: &["firewall-rule/bridge"],
        ..EMULATED
    },
    Limit {
        why: "An emulated nginx may take longer than the 5 ms that the kernel side allows between giving an answer up and \
              cutting the client off: error.log alone tells of it then.",
        scenarios: &["slow-body", "mixed/every-way-at-once"],
        ..EMULATED
    },
    Limit {
        why: "An emulated nginx may take longer than the 5 ms that the kernel side allows between the end of a connection and \
              the word to the client, and of sockets of Lua error.log tells nothing.",
        scenarios: &["newer/lua-socket-closed", "newer/lua-socket-read-timed-out"],
        unseen: true,
        ..EMULATED
    },
    Limit {
        why: "An emulated nginx may take longer than the 100 ms after which the first bytes of a connection are not taken for \
              a greeting of TLS.",
        scenarios: &["slow-tls-handshake"],
        instead: &["slow-response"],
        ..EMULATED
    },
    Limit {
        why: "In an emulated machine the ruleset may take longer to read than the tool waits for it: the verdict then \
              does not name the rule.",
        scenarios: &["firewall-drop-local", "firewall-reject-local", "firewall-rule", "one-kernel"],
        ..EMULATED
    },
    Limit {
        why: "An emulated nginx may take longer to go on to the next peer than the kernel side allows for that (0.5 ms, and \
              20 ms where sends and receives are watched): that another peer answered is not told then.",
        scenarios: &["load/all-that-is-healthy", "late/stale-keepalive", "upstream-error-status/tried-on"],
        fields: &["recovered"],
        ..EMULATED
    },
    Limit {
        why: "In an emulated machine there may be attempts between the time from which they are seen and that from which \
              lines are read: each of the next failures has the line of one after it.",
        scenarios: &["log/started-amid-failures"],
        fields: &["log"],
        ..EMULATED
    },
    Limit {
        why: "Before 6.10 the kernel does not tell of resets in answer to packets that no socket wants, such as a \
              SYN-ACK that comes too late.",
        holds: resets_without_socket_are_silent,
        scenarios: &["connect-slow/slow-path"],
        instead: &["firewall-drop-remote"],
        ..Limit::NONE
    },
    Limit {
        why: "Before 6.10 the kernel does not tell of resets in answer to packets that no socket wants, such as those of an \
              origin whose translation was deleted.",
        holds: resets_without_socket_are_silent,
        scenarios: &["nat-failed/entry-deleted"],
        instead: &["slow-response", "slow-body"],
        ..Limit::NONE
    },
    Limit {
        why: "In an emulated machine the end of a connection may come too late to be seen beside the timeout: error.log alone \
              tells of it then.",
        scenarios: &["nat-failed/entry-deleted"],
        instead: &["slow-response", "slow-body"],
        ..EMULATED
    },
];

/// The limit of this kernel, or of the depth of this run, that touches a scenario.
#[must_use]
pub fn of(scenario: &str) -> Option<&'static Limit> {
    let touches = |limit: &&Limit| limit.scenarios.iter().any(|name| scenario.starts_with(name));
    depth::ONLY_DEPTH.iter().chain(LIMITS).filter(touches).find(|limit| (limit.holds)())
}

/// By the tracepoint, which has an argument for it.
fn drops_without_reason() -> bool {
    let format = fs::read_to_string(DROPS);
    format.is_ok_and(|format| !format.contains("reason"))
}

/// With their names, if the kernel tells of them; all that it may say where that cannot be read.
fn reasons_of_drops() -> String {
    fs::read_to_string(DROPS).unwrap_or_else(|_| "IP_LOCAL_SOURCE".to_owned())
}

/// `tcp_send_reset` came to tell of all resets with the same series that gave it a reason.
fn resets_without_socket_are_silent() -> bool {
    let format = "/sys/kernel/tracing/events/tcp/tcp_send_reset/format";
    fs::read_to_string(format).is_ok_and(|format| !format.contains("reason"))
}
