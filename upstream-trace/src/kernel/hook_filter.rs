//! `--hooks`: which attach methods may be used, so that each of them can be tried on one kernel.

use std::str::FromStr;

use anyhow::{Result, bail};
use upstream_trace_core::hooks::{AttachMethod, HOOKS, Hook};

/// Attach methods, as in the JSON output.
const KINDS: [&str; 4] = ["raw_tracepoint", "tracepoint", "fentry", "kprobe"];

const OFF: &str = "off";

/// What the user allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookFilter {
    /// `--hooks list`, the earlier name of `doctor --list-hooks`: only list the hooks.
    pub list: bool,
    /// Hook or kind, and what is allowed there.
    limits: Vec<(String, String)>,
}

impl FromStr for HookFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => return Ok(Self::default()),
            "list" => return Ok(Self { list: true, limits: Vec::new() }),
            _ => {}
        }
        let limits = text.split(',').map(limit).collect::<Result<_, _>>()?;
        Ok(Self { list: false, limits })
    }
}

fn limit(text: &str) -> Result<(String, String), String> {
    let Some((what, how)) = text.split_once('=') else {
        return Err(format!(
            "{text:?} is not HOOK=KIND, HOOK=off or KIND=off; `upstream-trace doctor --list-hooks` shows them"
        ));
    };
    let hook = HOOKS.iter().find(|hook| hook.name == what);
    if hook.is_none() && !KINDS.contains(&what) {
        return Err(format!("there is no hook {what:?}; `upstream-trace doctor --list-hooks` shows them"));
    }
    let has = |hook: &Hook| hook.methods.iter().any(|method| method.kind() == how);
    if how != OFF && !hook.is_some_and(has) {
        return Err(format!(
            "{what} cannot be {how:?}; `upstream-trace doctor --list-hooks` shows its kinds"
        ));
    }
    Ok((what.to_owned(), how.to_owned()))
}

impl HookFilter {
    /// Whether this hook may be attached in this way.
    ///
    /// # Errors
    /// If not; the error names the limit that forbids it.
    pub fn allows(&self, hook: &Hook, method: &AttachMethod) -> Result<()> {
        for (what, how) in &self.limits {
            let of_hook = what == hook.name && how != method.kind();
            let of_kind = what == method.kind();
            if of_hook || of_kind {
                bail!("switched off by --hooks {what}={how}");
            }
        }
        Ok(())
    }
}

/// All hooks, one a line: name, attach methods in the order in which they are tried, what is lost without it.
#[must_use]
pub fn list() -> String {
    let line = |hook: &Hook| {
        let methods: Vec<_> = hook.methods.iter().map(AttachMethod::kind).collect();
        format!("{:<22} {:<30} {}\n", hook.name, methods.join(", "), hook.costs)
    };
    HOOKS.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(name: &str) -> &'static Hook {
        HOOKS.iter().find(|hook| hook.name == name).expect("such a hook")
    }

    fn allowed(choice: &str, name: &str) -> Vec<&'static str> {
        let choice: HookFilter = choice.parse().expect("a choice");
        let methods = hook(name).methods.iter().filter(|method| choice.allows(hook(name), method).is_ok());
        methods.map(AttachMethod::kind).collect()
    }

    #[test]
    fn everything_is_allowed_by_default() {
        assert_eq!(allowed("", "connect"), ["fentry", "kprobe", "tracepoint"]);
    }

    #[test]
    fn hooks_and_kinds_can_be_limited() {
        let choice = "kfree_skb=off,connect=kprobe";
        assert_eq!(allowed(choice, "connect"), ["kprobe"]);
        assert!(allowed(choice, "kfree_skb").is_empty());
        assert_eq!(allowed(choice, "tcp_connect"), ["fentry", "kprobe"]);
        assert_eq!(allowed("fentry=off", "tcp_connect"), ["kprobe"]);
    }

    #[test]
    fn wrong_choices_are_named() {
        for wrong in ["kfree_skb", "nothing=off", "kfree_skb=fentry", "fentry=kprobe", "connect=on", ","] {
            let error = wrong.parse::<HookFilter>().unwrap_err();
            assert!(error.contains("doctor --list-hooks"), "{wrong}: {error}");
        }
    }

    #[test]
    fn the_list_has_every_hook() {
        assert_eq!(list().lines().count(), HOOKS.len());
    }
}
