//! The HTML report in a real Chromium without a window. Without one the tests are ignored, which is said.
//!
//! `SCREENSHOTS=FOLDER` keeps pictures of the pages there: light and dark, wide and narrow.

mod chromium;
mod page;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Trial};
use tempfile::TempDir;

use chromium::Browser;

/// Recordings of faults of different kinds, each taken for that of a host.
const SEVERAL: [&str; 9] = [
    "port-refused-tcp4",
    "lifecycle-worker-crash",
    "firewall-drop-local-output4",
    "accept-queue-full-remote-with-siblings",
    "slow-response-tcp4",
    "slow-body-unix",
    "stale-keepalive-retried",
    "premature-close-tcp4",
    "load-keepalive",
];

type Check = fn(&mut Browser, &Pages);

const CHECKS: [(&str, Check); 9] = [
    ("browser/no_complaints", page::no_complaints),
    ("browser/filter_by_mouse", page::filter_by_mouse),
    ("browser/filter_by_choice_and_text", page::filter_by_choice_and_text),
    ("browser/filter_by_address", page::filter_by_address),
    ("browser/keyboard", page::keyboard),
    ("browser/narrow_screens", page::narrow_screens),
    ("browser/contrast", page::contrast),
    ("browser/names_for_everything", page::names_for_everything),
    ("browser/policy_and_no_scripts", page::policy_and_no_scripts),
];

/// The pages that are looked at.
pub struct Pages {
    /// Several hosts, several faults.
    pub several: PathBuf,
    /// One fault.
    pub one: PathBuf,
    /// No fault.
    pub none: PathBuf,
    _folder: TempDir,
}

impl Pages {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let page = |name: &str, recordings: &[&str]| {
            let out = folder.path().join(name);
            let files = recordings.iter().map(|name| fixtures.join(format!("{name}.zst")));
            let mut report = Command::new(env!("CARGO_BIN_EXE_upstream-trace-read"));
            let output = report.arg("report").args(files).arg("--html").arg(&out).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            out
        };
        Self {
            several: page("several.html", &SEVERAL),
            one: page("one.html", &["firewall-drop-local-output4"]),
            none: page("none.html", &["healthy-answers-ended-by-origin"]),
            _folder: folder,
        }
    }
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One browser after the other: each takes a processor or two.
    arguments.test_threads = Some(1);
    let program = chromium::find();
    if program.is_none() {
        eprintln!("the tests of the HTML report are ignored: there is no chromium");
    }
    let trials = CHECKS.into_iter().map(|(name, check)| {
        let program = program.clone();
        let ignored = program.is_none();
        let trial = move || {
            let program = program.ok_or("there is no chromium")?;
            check(&mut Browser::start(&program), &Pages::make());
            Ok(())
        };
        Trial::test(name, trial).with_ignored_flag(ignored)
    });
    let mut trials: Vec<_> = trials.collect();
    if let (Some(folder), Some(program)) = (std::env::var_os("SCREENSHOTS"), chromium::find()) {
        let keep = move || {
            pictures(&mut Browser::start(&program), &Pages::make(), Path::new(&folder));
            Ok(())
        };
        trials.push(Trial::test("browser/screenshots", keep));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Pictures of pages with an attempt unfolded.
fn pictures(browser: &mut Browser, pages: &Pages, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (name, file) in [("several", &pages.several), ("one", &pages.one), ("none", &pages.none)] {
        for scheme in ["light", "dark"] {
            for (width, size) in [(1_200, "wide"), (390, "narrow")] {
                browser.screen(width, 844);
                browser.scheme(scheme);
                browser.open(file, "");
                browser
                    .evaluate("document.querySelectorAll('.attempt').forEach((a, i) => { a.open = i < 2; })");
                fs::write(folder.join(format!("{name}-{size}-{scheme}.png")), browser.picture()).unwrap();
            }
        }
    }
}
