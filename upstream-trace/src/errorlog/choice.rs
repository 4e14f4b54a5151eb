//! `--error-log`: where error.log is.

use std::path::PathBuf;
use std::str::FromStr;

/// Where nginx's error.log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ErrorLog {
    /// Wherever the workers write it.
    #[default]
    Auto,
    /// In this file.
    File(PathBuf),
    /// It is not read.
    None,
}

impl FromStr for ErrorLog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("give auto, none or a file".to_owned()),
            "auto" => Ok(Self::Auto),
            "none" => Ok(Self::None),
            file => Ok(Self::File(file.into())),
        }
    }
}
