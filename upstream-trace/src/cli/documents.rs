//! What a package installs beside the program, made from the same declarations as `--help`.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;
use upstream_trace_read::output::stream;

use super::Cli;

/// The name of the program and of its files.
const NAME: &str = "upstream-trace";

/// Prints the script that completes options in this shell.
///
/// # Errors
/// If standard output cannot be written.
pub fn completions(shell: Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    stream::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages, one for each subcommand, into a folder that is there.
///
/// # Errors
/// If one cannot be written.
pub fn manual(folder: &Path) -> Result<ExitCode> {
    clap_mangen::generate_to(Cli::command(), folder)
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subcommand_has_a_page_and_each_option_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        manual(folder.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        let first = page("upstream-trace.1");
        for option in ["container", "metrics", "depth", "record\\-limit"] {
            assert!(first.contains(&format!("\\-\\-{option}")), "{option}");
        }
        for name in ["report", "top", "redact", "explain", "doctor"] {
            assert!(page(&format!("upstream-trace-{name}.1")).contains(".SH"), "{name}");
        }
        assert!(manual(Path::new("/nowhere")).unwrap_err().to_string().contains("/nowhere"));
    }
}
