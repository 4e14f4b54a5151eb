//! A summary that is short enough for a chat or a ticket.

use std::fmt::Write;

use super::model::{Problem, ReportModel};
use super::phrases::{Times, circumstances, headline, how_often, parts};
use crate::output::about;
use crate::output::block::confidence;
use crate::output::number::{count, plural};

/// Problems that are told; the others are counted.
const TOLD: usize = 5;

/// Hosts that are named.
const NAMED: usize = 6;

/// The whole summary.
pub(super) fn of(model: &ReportModel) -> String {
    let times = Times::of(model);
    let mut text = format!("**{}** on {}, {}", headline(model), hosts(model), times.span());
    for circumstance in circumstances(model) {
        let _ = write!(text, "; {circumstance}");
    }
    text.push_str(".\n");
    if !model.problems.is_empty() {
        text.push('\n');
    }
    for (index, problem) in model.problems.iter().take(TOLD).enumerate() {
        let _ = writeln!(text, "{}. {}", index + 1, told(model, times, problem));
    }
    let others = &model.problems[model.problems.len().min(TOLD)..];
    if !others.is_empty() {
        let failures: u64 = others.iter().map(|problem| problem.count + problem.pending).sum();
        let kinds = plural(others.len() as u64, "more kind");
        let _ = writeln!(text, "\n… and {kinds} of failure ({}).", plural(failures, "attempt"));
    }
    text.push('\n');
    for warning in model.parts.iter().flat_map(|part| &part.warnings) {
        let _ = writeln!(text, "⚠ {}", plain(warning));
    }
    let _ = writeln!(text, "_{}_", plain(&origin(model)));
    text
}

fn told(model: &ReportModel, times: Times, problem: &Problem) -> String {
    let example = &problem.example;
    let mut text = format!("**{}** at {} ({}", problem.cause, code(&problem.upstream), how_often(problem));
    let _ = write!(text, ", {}", confidence(problem.confidence));
    if model.hosts().len() > 1 {
        let on: Vec<_> = problem.hosts.iter().map(|(host, count)| format!("{host} {count}")).collect();
        let _ = write!(text, "; {}", plain(&on.join(", ")));
    }
    let _ = write!(text, "), {}.", times.when(problem));
    if problem.follows() {
        let _ = write!(text, " Follows from {}.", example.because.join(", "));
    } else {
        let _ = write!(text, "\n   {}", rich(&example.summary));
        if !example.alternatives.is_empty() {
            let _ = write!(text, " Other possible causes: {}.", example.alternatives.join(", "));
        }
        let runs_in = about::runs_in(&example.details);
        if !runs_in.is_empty() {
            let _ = write!(text, "\n   Runs in: {}.", plain(&runs_in));
        }
        let _ = write!(text, "\n   _Do:_ {}", rich(&example.fix));
    }
    text
}

fn hosts(model: &ReportModel) -> String {
    let hosts = model.hosts();
    let named: Vec<_> = hosts.iter().take(NAMED).map(|host| plain(host)).collect();
    match hosts.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {} more hosts", named.join(", "), count(more as u64)),
    }
}

/// Which programs, and how much of error.log is in it.
fn origin(model: &ReportModel) -> String {
    let mut programs: Vec<_> = model.parts.iter().flat_map(|part| part.host.nginx.clone()).collect();
    programs.extend(model.parts.iter().map(|part| format!("kernel {}", part.host.kernel)));
    programs.extend(model.parts.iter().map(|part| format!("upstream-trace {}", part.host.version)));
    let mut seen = Vec::new();
    programs.retain(|program| {
        !seen.contains(program) && {
            seen.push(program.clone());
            true
        }
    });
    programs.join(", ")
}

/// A text with commands: these stay commands.
fn rich(text: &str) -> String {
    let escaped = crate::output::escape(text).into_owned();
    parts(&escaped)
        .into_iter()
        .map(|(command, part)| if command { code(part) } else { plain(part) })
        .collect()
}

/// A code span; it holds no backquote.
fn code(text: &str) -> String {
    format!("`{}`", crate::output::escape(text).replace('`', "'"))
}

/// Text in which nothing is markup, and nobody is called.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    for c in crate::output::escape(text).chars() {
        let in_word = plain.chars().next_back().is_some_and(char::is_alphanumeric);
        match c {
            '@' => plain.push_str("(at)"),
            '\\' | '*' | '`' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' => plain.extend(['\\', c]),
            '_' if !in_word => plain.push_str("\\_"),
            // Chats make links of these.
            ':' if plain.ends_with("http") || plain.ends_with("https") => plain.push_str("\\:"),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{contained, many_causes, story_of, two_hosts};
    use super::*;

    #[test]
    fn what_failed_where_since_when_and_what_to_do() {
        let text = of(&story_of(&two_hosts()));
        for part in [
            "**3 of 3 attempts to reach an upstream failed** on web1, web2, 2026-11-20 09:12:00 to ",
            "1. **port-refused** at `10.0.0.2:8080` (2 times, likely; web1 2)",
            "nothing listens on port 8080 there. Other possible causes: firewall-reject-remote.",
            "_Do:_ On 10.0.0.2: `ss -lntp sport = :8080`.",
            "_nginx/1.22.1, kernel 6.12.0, upstream-trace 0.1.0_",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(text.lines().count() < 12, "{text}");
    }

    #[test]
    fn where_nginx_runs() {
        let text = of(&story_of(&contained()));
        assert!(text.contains("\n   Runs in: nginx in docker container web (nginx:1.30).\n"), "{text}");
    }

    #[test]
    fn many_kinds_stay_short() {
        let text = of(&story_of(&many_causes()));
        assert!(text.len() < 4_000, "{}\n{text}", text.len());
        assert!(text.contains("… and 3 more kinds of failure (3 attempts)."), "{text}");
    }

    #[test]
    fn nothing_is_markup_and_nobody_is_called() {
        assert_eq!(
            plain("@here *a* <b> [c](http://x)\n"),
            "(at)here \\*a\\* \\<b\\> \\[c\\](http\\://x)\\\\n"
        );
        assert_eq!(code("a`b\u{202e}"), "`a'b\\u{202e}`");
        assert_eq!(rich("run `a*b` *now*"), "run `a*b` \\*now\\*");
    }
}
