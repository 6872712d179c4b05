//! How much memory this process has needed.

/// The largest resident set so far, in bytes, where the system tells.
#[cfg(unix)]
pub fn peak_rss() -> Option<u64> {
    use nix::sys::resource::{UsageWho, getrusage};

    let peak = getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss();
    // Apple counts bytes, everybody else KiB.
    let unit = if cfg!(target_vendor = "apple") {
        1
    } else {
        1024
    };
    u64::try_from(peak).ok().map(|peak| peak * unit)
}

/// The largest resident set so far, in bytes, where the system tells.
#[cfg(not(unix))]
pub fn peak_rss() -> Option<u64> {
    None
}
