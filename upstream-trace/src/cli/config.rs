//! The configuration file of a service: the options of a trace by their names, as TOML.
//!
//! What the keys are, and which values they take, is what the command line knows of itself: there is no second list.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, CommandFactory as _};
use toml::de::{DeTable, DeValue};

use super::{Cli, Trace};

/// Where the service's file is.
pub const FILE: &str = "/etc/upstream-trace.toml";

/// Longest file that is read.
const MAX_FILE: u64 = 1 << 20;

/// A line of the file as words of a command line.
#[derive(Debug, PartialEq)]
struct Setting {
    key: String,
    words: Vec<String>,
}

/// The arguments, with those of the file that `--config` names before them. What stands on the command line holds.
///
/// # Errors
/// If the file cannot be read or is wrong; the message names file, line, and the keys that are known.
pub fn with_file(args: Vec<OsString>) -> Result<Vec<OsString>> {
    // Whoever parses it next says what is wrong.
    let Ok(matches) = Cli::command().try_get_matches_from(&args) else { return Ok(args) };
    let (matches, at) = match matches.subcommand() {
        Some(("top", of_top)) => (of_top, args.iter().position(|word| word == "top").map_or(1, |at| at + 1)),
        Some(_) => return Ok(args),
        None => (&matches, 1),
    };
    let Some(path) = matches.get_one::<PathBuf>("config") else { return Ok(args) };
    let settings = read(path)?;
    let added = settings.iter().filter(|setting| !is_given(matches, &setting.key)).flat_map(|one| &one.words);
    let (before, after) = args.split_at(at.min(args.len()));
    Ok(before.iter().cloned().chain(added.map(OsString::from)).chain(after.iter().cloned()).collect())
}

/// `config check`: whether a file is right.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> Result<ExitCode> {
    let settings = read(path)?;
    let words = settings.iter().flat_map(|setting| &setting.words).map(String::as_str);
    let all = options().try_get_matches_from(std::iter::once("upstream-trace").chain(words));
    all.map_err(|error| anyhow!("{}: {}", path.display(), error.to_string().trim_start_matches("error: ")))?;
    println!("{}: {} settings, all known", path.display(), settings.len());
    Ok(ExitCode::SUCCESS)
}

fn is_given(matches: &ArgMatches, key: &str) -> bool {
    options()
        .get_arguments()
        .find(|arg| arg.get_long() == Some(key))
        .is_some_and(|arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine))
}

/// The command line of a trace, and nothing else.
fn options() -> Command {
    Trace::augment_args(Command::new("upstream-trace"))
}

fn known(command: &Command) -> Vec<&str> {
    let mut all: Vec<_> = command.get_arguments().filter_map(Arg::get_long).collect();
    all.retain(|name| *name != "config");
    all.sort_unstable();
    all
}

fn read(path: &Path) -> Result<Vec<Setting>> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > MAX_FILE {
        bail!("{} is too large: {size} bytes", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|(line, error)| anyhow!("{}:{line}: {error}", path.display()))
}

/// The settings, in the order of the file; or a line, from 1, and what is wrong there.
fn parse(text: &str) -> Result<Vec<Setting>, (usize, String)> {
    let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    let table = DeTable::parse(text)
        .map_err(|error| (line(error.span().map_or(0, |span| span.start)), error.message().to_owned()))?;
    let command = options();
    let mut settings = Vec::new();
    for (key, value) in table.get_ref() {
        let at = key.span().start;
        let setting = setting(&command, key.get_ref(), value.get_ref()).map_err(|error| (line(at), error))?;
        settings.push((at, setting));
    }
    settings.sort_by_key(|(at, _)| *at);
    Ok(settings.into_iter().map(|(_, setting)| setting).collect())
}

fn setting(command: &Command, key: &str, value: &DeValue<'_>) -> Result<Setting, String> {
    let names = known(command);
    let arg = command.get_arguments().find(|arg| arg.get_long() == Some(key) && key != "config");
    let arg = arg.ok_or_else(|| {
        let close = names.iter().map(|name| (strsim::jaro_winkler(name, key), name));
        let close = close.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
        let hint = close.map(|(_, name)| format!(", did you mean {name}?")).unwrap_or_default();
        format!("unknown key {key}{hint}; known keys: {}", names.join(", "))
    })?;
    let words = words(arg, key, value)?;
    let line = std::iter::once("upstream-trace").chain(words.iter().map(String::as_str));
    match command.clone().try_get_matches_from(line) {
        // What else it needs may stand in another line.
        Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => return Err(first_line(&error)),
        _ => {}
    }
    Ok(Setting { key: key.to_owned(), words })
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

fn words(arg: &Arg, key: &str, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let is_flag = !arg.get_action().takes_values();
    match value {
        DeValue::Boolean(on) if is_flag => Ok(on.then(|| format!("--{key}")).into_iter().collect()),
        _ if is_flag => Err(format!("{key} is true or false")),
        DeValue::Array(values) if matches!(arg.get_action(), ArgAction::Append) => {
            values.iter().map(|value| word(key, value.get_ref())).collect()
        }
        DeValue::Array(_) => Err(format!("{key} takes one value")),
        value => word(key, value).map(|word| vec![word]),
    }
}

fn word(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(format!("--{key}={text}")),
        DeValue::Integer(number) if number.radix() == 10 => Ok(format!("--{key}={}", number.as_str())),
        DeValue::Float(number) => Ok(format!("--{key}={}", number.as_str())),
        _ => Err(format!("{key} takes a text or a number")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn wrong(text: &str) -> (usize, String) {
        parse(text).unwrap_err()
    }

    #[test]
    fn options_have_the_names_of_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        let text = "# comment\nmetrics = ['127.0.0.1:9944', \"/x.prom\"]\npending-after = \"2s\"\n\
                    journal = true\njson = false\nmax-overhead = 0.5\nmax-connections = 100\n";
        fs::write(&path, text).unwrap();
        let config = path.display().to_string();
        let cli = |args: &[&str]| {
            let args = [&["upstream-trace"], args].concat().into_iter().map(OsString::from).collect();
            Cli::try_parse_from(with_file(args).unwrap()).unwrap()
        };
        let trace = cli(&["--config", &config, "--pending-after", "3s"]).trace;
        assert_eq!(trace.slow, std::time::Duration::from_secs(3), "the command line holds");
        assert_eq!((trace.service.metrics.len(), trace.service.journal, trace.json), (2, true, false));
        assert_eq!((trace.max_overhead, trace.max_connections), (Some(0.5), 100));
        let Some(super::super::Command::Top(top)) = cli(&["top", "--config", &config]).command else {
            panic!("no top")
        };
        assert_eq!(top.trace.max_connections, 100);
    }

    #[test]
    fn errors_name_the_line_and_the_known_keys() {
        let (line, error) = wrong("journal = true\n\nmetric = '127.0.0.1:1'\n");
        assert_eq!(line, 3);
        assert!(error.starts_with("unknown key metric, did you mean metrics?; known keys: "), "{error}");
        assert!(error.contains("pending-after") && !error.contains("config"), "{error}");
        for (text, line, words) in [
            ("journal = 1", 1, "journal is true or false"),
            ("\npending-after = 'soon'", 2, "--pending-after"),
            ("record = ['a', 'b']", 1, "takes one value"),
            ("otlp = {url = 'x'}", 1, "takes a text or a number"),
            ("journal = true\njournal = false", 2, "duplicate key"),
            ("a\nb = ]", 1, ""),
            ("config = 'x'", 1, "unknown key config"),
        ] {
            let (found, error) = wrong(text);
            assert!(found == line && error.contains(words), "{text:?}: {found}: {error}");
        }
    }

    #[test]
    fn the_file_that_is_shipped_is_right() {
        parse(include_str!("../../../packaging/upstream-trace.toml")).unwrap();
    }

    #[test]
    fn the_files_of_earlier_releases_are_taken() {
        let settings = parse(include_str!("../../tests/configurations/0.1.0.toml")).unwrap();
        assert_eq!(settings.len(), 24);
    }
}
