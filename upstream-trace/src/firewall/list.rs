//! Lists the rulesets of the calling thread's network namespace. What the kernel has not loaded is not asked for, since
//! to ask would load it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::OnceLock;
use std::thread;

use super::{Ruleset, iptables, nft, program};

/// nft's.
pub(super) fn nft() -> Result<Ruleset, String> {
    // Both at once: of 25,000 rules each takes more than a second. Threads stay in the namespace of their parent.
    let (ruleset, listing) = thread::scope(|scope| {
        let listing = scope.spawn(|| program::output(&["nft"], &["-a", "list", "ruleset"]));
        (program::read(&["nft"], &["-j", "-a", "list", "ruleset"], nft::read), listing.join())
    });
    let mut ruleset = ruleset?.ok_or_else(|| "nft gives no JSON, or too much".to_owned())?;
    // Without its words a rule is known by its handle.
    if let Ok(Ok(listing)) = listing {
        nft::add_texts(&mut ruleset, listing.as_bytes());
    }
    Ok(ruleset)
}

/// Those of iptables and ip6tables as they were before nft.
pub(super) fn iptables() -> Result<Ruleset, String> {
    let mut ruleset = Ruleset::default();
    for (names, programs, family) in [
        ("ip_tables_names", ["iptables-legacy-save", "iptables-save"], "ip"),
        ("ip6_tables_names", ["ip6tables-legacy-save", "ip6tables-save"], "ip6"),
    ] {
        let tables = fs::read_to_string(format!("/proc/thread-self/net/{names}")).unwrap_or_default();
        if !tables.trim().is_empty() {
            ruleset = ruleset.and(iptables::parse(&program::output(&programs, &[])?, family));
        }
    }
    Ok(ruleset)
}

/// All of them.
pub(super) fn any() -> Result<Ruleset, String> {
    let nft = if nft_is_there() { nft() } else { Ok(Ruleset::default()) };
    match (nft, iptables()) {
        (Ok(nft), Ok(iptables)) => Ok(nft.and(iptables)),
        (Ok(ruleset), Err(_)) | (Err(_), Ok(ruleset)) if !ruleset.chains.is_empty() => {
            Ok(Ruleset { partial: true, ..ruleset })
        }
        (Err(why), _) | (_, Err(why)) => Err(why),
    }
}

/// The kernel has nft, built in or loaded.
fn nft_is_there() -> bool {
    static BUILT_IN: OnceLock<bool> = OnceLock::new();
    let built_in = || {
        let symbols = File::open("/proc/kallsyms").map(BufReader::new);
        symbols.is_ok_and(|symbols| {
            symbols.lines().map_while(Result::ok).any(|line| line.ends_with(" nft_do_chain"))
        })
    };
    Path::new("/sys/module/nf_tables").exists() || *BUILT_IN.get_or_init(built_in)
}
