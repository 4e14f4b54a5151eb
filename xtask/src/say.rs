//! Status on stderr: a verb, right-aligned, and what it is done to.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

const WIDTH: usize = 12;

/// Something that is done, or was done.
pub(crate) fn say(verb: &str, what: impl Display) {
    line(AnsiColor::Green, verb, what);
}

/// Something that people should know and that stops nothing.
pub(crate) fn note(verb: &str, what: impl Display) {
    line(AnsiColor::Yellow, verb, what);
}

/// The error that ends the command.
pub(crate) fn fail(error: &anyhow::Error) {
    let style = style(AnsiColor::Red);
    anstream::eprintln!("{style}error{style:#}: {error:#}");
}

fn line(color: AnsiColor, verb: &str, what: impl Display) {
    let style = style(color);
    anstream::eprintln!("{style}{verb:>WIDTH$}{style:#} {what}");
}

fn style(color: AnsiColor) -> Style {
    Style::new().bold().fg_color(Some(color.into()))
}
