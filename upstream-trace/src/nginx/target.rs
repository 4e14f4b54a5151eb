//! `--pid`: which nginx to watch.

use std::str::FromStr;

/// Which nginx to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A process id, of a master or of one worker.
    Pid(u32),
    /// The name of the program that the master runs.
    Name(String),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("give a pid or a name such as nginx".to_owned());
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self::Name(text.to_owned()));
        }
        match text.parse() {
            Ok(pid @ 1..=0x7fff_ffff) => Ok(Self::Pid(pid)),
            _ => Err("no process has such an id".to_owned()),
        }
    }
}
