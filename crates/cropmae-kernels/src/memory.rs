//! Telling the system's allocator what training is like: large blocks of the same sizes, made and dropped
//! step after step.

/// Keeps freed memory in the process for the next step, for programs to call once, at their start.
///
/// By default glibc gives large blocks back to the kernel, and the next step's come as fresh pages that are
/// cleared and mapped one by one: 100,000 faults in a training step of ViT-S/16. Memory that is freed
/// for good stays with the process, up to its peak. Elsewhere than on Linux with glibc this does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: the call sets numbers of the allocator, under its own lock; a number that is refused changes
    // nothing.
    unsafe {
        // The largest that glibc takes: blocks beyond are the kernel's, each for itself.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}
