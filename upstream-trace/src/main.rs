//! Says why an nginx answers 502 or 504, from what the kernel did with its upstream connections.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use upstream_trace::cli::{Cli, Command, Config, Top, Trace, config, documents};
use upstream_trace::{doctor, live};
use upstream_trace_read::output::stream;
use upstream_trace_read::{commands, explain, output};

/// For an error, if whoever reads standard error has paused.
const LAST_WORD: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match config::with_file(std::env::args_os().collect()) {
        Ok(args) => Cli::parse_from(args),
        Err(error) => return failed(&error),
    };
    remarks_to_stderr(cli.trace.verbose);
    let result = match &cli.command {
        None => live::run(&cli.trace),
        Some(Command::Report(args)) => commands::report(args),
        Some(Command::Top(args)) => top(args),
        Some(Command::Redact(args)) => commands::redact(args),
        Some(Command::Explain(args)) => explain::run(args),
        Some(Command::Doctor(args)) => doctor::run(args),
        Some(Command::Config(Config::Check { file })) => config::check(file),
        Some(Command::Completions { shell }) => documents::completions(*shell),
        Some(Command::Manual { folder }) => documents::manual(folder),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::progress::end();
            failed(&error)
        }
    }
}

/// One line; what comes from outside (names, paths) may not reach the terminal raw.
fn failed(error: &anyhow::Error) -> ExitCode {
    let text = format!("upstream-trace: {}\n", output::escape(&format!("{error:#}")));
    let _nobody_reads = stream::stderr().write_all(text.as_bytes());
    let _left = stream::drain(Instant::now() + LAST_WORD);
    ExitCode::FAILURE
}

/// A recording, or what happens now.
fn top(args: &Top) -> Result<ExitCode> {
    if let Some(file) = &args.file {
        return commands::top(file, args.trace.color);
    }
    // Nothing else may write to the screen.
    log::set_max_level(log::LevelFilter::Off);
    live::run(&Trace { screen: true, ..args.trace.clone() })
}

/// Warnings of the program and of its kernel side, one line each; `-v` and `RUST_LOG` show more.
fn remarks_to_stderr(verbose: bool) {
    let own = if verbose {
        "warn,upstream_trace=info,aya=error,aya_obj=error"
    } else {
        "warn,aya=error,aya_obj=error"
    };
    let filter = env_logger::Env::default().default_filter_or(own);
    env_logger::Builder::from_env(filter)
        .target(env_logger::Target::Pipe(Box::new(stream::stderr())))
        .format(|to, record| {
            let text = record.args().to_string();
            output::progress::clear();
            writeln!(
                to,
                "upstream-trace: {}: {}",
                record.level().as_str().to_lowercase(),
                output::escape(&text)
            )
        })
        .init();
}
