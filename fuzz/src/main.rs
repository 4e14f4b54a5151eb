//! Runs targets on files, and writes the bytes that they begin from.

use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use upstream_trace_fuzz::{TARGETS, Target, target};

const USAGE: &str = "usage: upstream-trace-fuzz list\n       upstream-trace-fuzz seeds TARGET FOLDER\n       \
                     upstream-trace-fuzz run TARGET FILE...";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match *words.as_slice() {
        ["list"] => {
            for target in TARGETS {
                println!("{}", target.name);
            }
            Ok(())
        }
        ["seeds", name, folder] => with(name, |target| seeds(target, Path::new(folder))),
        ["run", name, ref files @ ..] => with(name, |target| run(target, files)),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn with(name: &str, what: impl FnOnce(&Target) -> io::Result<()>) -> io::Result<()> {
    what(
        target(name)
            .ok_or_else(|| io::Error::other(format!("no target {name}; see: upstream-trace-fuzz list")))?,
    )
}

fn seeds(target: &Target, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    target.all_seeds().iter().try_for_each(|(name, bytes)| fs::write(folder.join(name), bytes))
}

fn run(target: &Target, files: &[&str]) -> io::Result<()> {
    for file in files {
        println!("{file}");
        (target.run)(&fs::read(file)?);
    }
    Ok(())
}
