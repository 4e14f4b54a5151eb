//! How much room a file system has, so that a recording never takes the last of it.

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// Free for users without privileges.
    pub(super) free: u64,
    /// All of it.
    pub(super) total: u64,
}

/// Bytes that stay free; nginx's logs and databases live on the same disk.
const RESERVE: u64 = 256 << 20;

impl Space {
    /// Less than 5 % is free, or less than 256 MiB; of a small file system a quarter counts instead.
    pub(super) fn is_low(self) -> bool {
        self.free < self.total / 20 || self.free < RESERVE.min(self.total / 4)
    }
}

/// Of the file system of an open file; `None` if that is not known.
#[cfg(unix)]
pub(super) fn of(file: &std::fs::File) -> Option<Space> {
    let found = nix::sys::statvfs::fstatvfs(file).ok()?;
    // Numbers of blocks have 32 bits on some systems, and 64 on others.
    let bytes = |blocks: libc::fsblkcnt_t| {
        #[allow(clippy::useless_conversion, reason = "it is one where blocks have 32 bits")]
        u64::from(blocks).saturating_mul(found.fragment_size())
    };
    Some(Space { free: bytes(found.blocks_available()), total: bytes(found.blocks()) })
}

#[cfg(not(unix))]
pub(super) fn of(_file: &std::fs::File) -> Option<Space> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_free() {
        const MB: u64 = 1 << 20;
        for (free, total, low) in [
            (300 * MB, 1 << 40, true),
            (60 << 30, 1 << 40, false),
            (300 * MB, 1 << 30, false),
            (255 * MB, 2 << 30, true),
            (255 * MB, 512 * MB, false),
            (100 * MB, 512 * MB, true),
            (0, 0, false),
        ] {
            assert_eq!(Space { free, total }.is_low(), low, "{free} of {total}");
        }
        let file = tempfile::tempfile().unwrap();
        assert!(of(&file).is_some_and(|space| space.total >= space.free && space.total > 0));
    }
}
