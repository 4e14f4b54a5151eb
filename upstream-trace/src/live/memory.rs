//! Memory that nothing needs any more: of the start, of a storm, of a receiver that was away.

/// Gives memory that was freed back to the system. glibc keeps what lies below something that is still in use; the
/// lists of a hundred thousand sockets are 100 MB.
pub(super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes no pointer, and may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}
