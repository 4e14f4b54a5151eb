//! Why the kernel did not take a program, in words.

use std::io;

use aya::programs::ProgramError;

/// Says of a program that the verifier does not take it; the lab looks for these words.
const REFUSED: &str = "the kernel refuses the program";
/// The kernel's own number for what it has not got on this architecture, such as fentry on arm64 before 6.4. It is in no
/// header for processes: one C library calls it unknown, another "No error information".
const ENOTSUPP: i32 = 524;

/// The innermost reason, without the library's wording around it.
pub(super) fn plain(error: &anyhow::Error) -> String {
    let cause = error.root_cause();
    let number = cause.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    let text = match number {
        Some(ENOTSUPP) => "Not supported by this kernel".to_owned(),
        _ => cause.to_string(),
    };
    let line = text.lines().next().unwrap_or_default();
    let reason = line.split(" (os error").next().unwrap_or(line);
    if is_refused(error) { format!("{REFUSED}: {reason}") } else { reason.to_owned() }
}

/// Whether the place is there and the verifier does not take the program for it.
pub(super) fn is_refused(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(ProgramError::LoadError { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_in_words() {
        let of = |number| plain(&anyhow::Error::new(io::Error::from_raw_os_error(number)).context("attach"));
        assert_eq!(of(ENOTSUPP), "Not supported by this kernel");
        assert_eq!(of(2), "No such file or directory");
        assert!(!is_refused(&anyhow::Error::new(ProgramError::NotAttached)));
    }
}
