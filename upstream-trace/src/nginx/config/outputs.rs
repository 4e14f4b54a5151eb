//! Which logs go to the same place. An access log of a format that begins with a client's own words can hold lines in the
//! form of an error log: where both may go, lines are not taken for nginx's word.

use std::collections::{BTreeMap, BTreeSet};

use upstream_trace_core::event::Outputs;

use super::facts::of_name;
use super::files::{Place, Placed};

/// Names of logs that are looked at; of more than that every one may go everywhere.
const MAX_NAMES: usize = 1_024;

/// Severities of syslog that lines about failures have.
const SEVERE: [&str; 5] = ["emerg", "alert", "crit", "error", "warn"];

/// Variables that hold no words of a client, whatever it sends.
const NO_WORDS: [&str; 12] = [
    "remote_addr",
    "time_local",
    "time_iso8601",
    "msec",
    "pid",
    "connection",
    "hostname",
    "server_addr",
    "server_port",
    "status",
    "request_id",
    "realip_remote_addr",
];

/// The names in `error_log`, and those in `access_log` of a format that a client may begin.
#[derive(Default)]
struct Names<'a> {
    error: BTreeSet<&'a str>,
    access: BTreeSet<&'a str>,
    syslog: bool,
    severe: bool,
}

/// Where the logs of a configuration go; `place` says where nginx writes that opens this name.
pub(super) fn of(directives: &[Placed], place: &dyn Fn(&str) -> Place) -> Outputs {
    let mut names = Names::default();
    let mut formats = BTreeMap::new();
    collect(directives, &mut formats);
    names.add(directives, &formats);
    let mut outputs = Outputs { syslog: names.syslog, severe: names.severe, ..Outputs::default() };
    if of_name(directives, "error_log").next().is_none() {
        // That of the program is opened, and nginx makes it its standard error.
        outputs.error.insert(2);
    }
    if names.error.len() + names.access.len() > MAX_NAMES {
        outputs.error.extend([1, 2]);
        outputs.access.extend([1, 2]);
        return outputs;
    }
    let mut files = BTreeSet::new();
    // `stderr` is descriptor 2 itself; whoever writes there is known without this.
    for name in names.error.into_iter().filter(|name| *name != "stderr") {
        match place(name) {
            Place::Descriptor(number) => drop(outputs.error.insert(number)),
            Place::File(name) => drop(files.insert(name)),
        }
    }
    for name in names.access {
        match place(name) {
            Place::Descriptor(number) => drop(outputs.access.insert(number)),
            Place::File(name) => {
                let both = files.contains(&name);
                outputs.files.insert(name, both);
            }
        }
    }
    outputs
}

/// The formats of all blocks, by name. Those of `http` and `stream` may share one: the worse of the two counts.
fn collect<'a>(directives: &'a [Placed], formats: &mut BTreeMap<&'a str, bool>) {
    for Placed { directive, block, .. } in directives {
        if directive.name() == "log_format"
            && let Some((name, text)) = directive.arguments().split_first()
        {
            *formats.entry(name).or_default() |= is_forgeable(text);
        }
        collect(block, formats);
    }
}

impl<'a> Names<'a> {
    fn add(&mut self, directives: &'a [Placed], formats: &BTreeMap<&str, bool>) {
        for Placed { directive, block, .. } in directives {
            match (directive.name(), directive.arguments()) {
                ("error_log", [name, ..]) if !elsewhere(name) => drop(self.error.insert(name)),
                ("access_log", [name, rest @ ..]) if name != "off" => self.access(name, rest, formats),
                _ => {}
            }
            self.add(block, formats);
        }
    }

    fn access(&mut self, name: &'a str, rest: &[String], formats: &BTreeMap<&str, bool>) {
        let format = rest.first().filter(|format| !format.contains('=') && *format != "gzip");
        // `combined` is nginx's own, and begins with an address.
        let unknown = format.is_some_and(|format| format != "combined");
        let forgeable = format.and_then(|format| formats.get(format.as_str())).copied().unwrap_or(unknown);
        if !forgeable {
            return;
        }
        match name.strip_prefix("syslog:") {
            Some(parameters) => {
                let severity = parameters.split(',').find_map(|part| part.strip_prefix("severity="));
                self.syslog = true;
                self.severe |= severity.is_some_and(|severity| SEVERE.contains(&severity));
            }
            None if elsewhere(name) => {}
            None => drop(self.access.insert(name)),
        }
    }
}

/// It goes to no file.
fn elsewhere(name: &str) -> bool {
    name.starts_with("syslog:") || name.starts_with("memory:")
}

/// Lines of this format, or parts of them behind an end of line, may begin as a client likes.
fn is_forgeable(format: &[String]) -> bool {
    let raw = format.first().is_some_and(|first| first == "escape=none");
    let text: String =
        format.iter().filter(|part| !part.starts_with("escape=")).map(String::as_str).collect();
    let variable = text.strip_prefix('$').map(|rest| rest.trim_start_matches('{'));
    let begins = match variable {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            !NO_WORDS.contains(&&rest[..end])
        }
        // What could be a date, or a line in JSON, in part.
        None => text.starts_with(|c: char| c.is_ascii_digit() || c == '{' && !is_object(&text)),
    };
    raw || begins || text.is_empty() || text.contains(['\n', '\r'])
}

/// `{"time": ...`: an object whose first name is not that of an error log's.
fn is_object(text: &str) -> bool {
    let first = text.trim_start_matches(['{', ' ', '"']);
    first.starts_with(|c: char| c.is_ascii_alphabetic()) && !first.starts_with("level")
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::files::placed;
    use super::super::{facts, syntax};
    use super::*;

    fn read(text: &str) -> Outputs {
        let (directives, stop) = syntax::parse(text, facts::concerns, &mut 100_000);
        assert_eq!(stop, None);
        of(&placed(directives, &Rc::from("f")), &|name| match name {
            "/dev/stdout" => Place::Descriptor(1),
            "/dev/stderr" => Place::Descriptor(2),
            file => Place::File(file.to_owned()),
        })
    }

    fn sets(outputs: &Outputs) -> (Vec<u32>, Vec<u32>) {
        (outputs.error.iter().copied().collect(), outputs.access.iter().copied().collect())
    }

    #[test]
    fn an_access_log_counts_if_a_client_may_begin_its_lines() {
        let of = |format: &str| {
            let text = format!("http {{ log_format x {format}; access_log /dev/stdout x buffer=1k; }}");
            !read(&text).access.is_empty()
        };
        for forgeable in [
            "$http_user_agent",
            "'${host} $status'",
            "escape=none '$remote_addr $request'",
            "'2026$host'",
            "\"a\\n$host\"",
        ] {
            assert!(of(forgeable), "{forgeable}");
        }
        for fixed in ["'$remote_addr - $host'", "'[$time_local] $host'", "escape=json '{\"t\":\"$host\"}'"] {
            assert!(!of(fixed), "{fixed}");
        }
        assert!(read("http { access_log /dev/stdout; access_log /dev/stdout combined; }").access.is_empty());
        assert_eq!(sets(&read("http { access_log /dev/stdout unknown; }")), (vec![2], vec![1]));
        let two = "stream { log_format x $ssl_preread_server_name; } http { log_format x $pid; access_log /dev/stdout x; }";
        assert_eq!(sets(&read(two)).1, [1]);
        assert!(
            read("http { log_format x $host; access_log off; access_log memory:x x; }").access.is_empty()
        );
    }

    #[test]
    fn each_error_log_of_each_block() {
        let outputs =
            read("error_log stderr; http { server { error_log /dev/stdout; error_log syslog:server=a; } }");
        assert_eq!(sets(&outputs), (vec![1], vec![]));
        assert_eq!(sets(&read("error_log /dev/stderr; error_log /x;")), (vec![2], vec![]));
    }

    #[test]
    fn files_of_both_kinds_and_severities_of_syslog() {
        let text = "error_log /both; http { log_format x $host; access_log /both x; location / { access_log /one x; }
            access_log syslog:server=unix:/dev/log,severity=SEVERITY x; }";
        let outputs = read(&text.replace("SEVERITY", "error"));
        assert_eq!(outputs.files, [("/both".to_owned(), true), ("/one".to_owned(), false)].into());
        let info = read(&text.replace("SEVERITY", "info"));
        assert!(outputs.syslog && outputs.severe && info.syslog && !info.severe);
    }

    #[test]
    fn of_too_many_names_nothing_is_believed() {
        let many: Vec<_> = (0..=MAX_NAMES).map(|number| format!("error_log /{number};")).collect();
        assert_eq!(sets(&read(&many.concat())), (vec![1, 2], vec![1, 2]));
    }
}
