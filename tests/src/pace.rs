//! How long things may take: on an emulated machine longer than on a real one. What is checked stays the same.

use std::env;
use std::sync::LazyLock;
use std::time::Duration;

static FACTOR: LazyLock<u32> = LazyLock::new(|| {
    let factor = env::var("LAB_SLOW").ok().and_then(|factor| factor.parse().ok());
    factor.unwrap_or(1).clamp(1, 100)
});

/// `LAB_SLOW`: how many times longer than on a real machine things may take; 1 by default.
#[must_use]
pub fn slow() -> u32 {
    *FACTOR
}

/// Everything takes longer than on a real machine.
#[must_use]
pub fn is_emulated() -> bool {
    slow() > 1
}

/// A limit, on this machine.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    limit * slow()
}
