//! Measures the memory of the process.

/// Returns the largest resident set of this process so far in bytes, or `None` if the system does not report it.
pub fn peak_rss_bytes() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        // Unlike getrusage, this does not include the memory of the process before it executed this program.
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        peak_of_status(&status)
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        use nix::sys::resource::{UsageWho, getrusage};
        let unit = if cfg!(target_vendor = "apple") {
            1
        } else {
            1024
        };
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        u64::try_from(usage.max_rss()).ok()?.checked_mul(unit)
    }
    #[cfg(not(unix))]
    {
        None
    }
}

/// Returns the bytes in the line `VmHWM:    1234 kB` of `status`.
#[cfg(any(target_os = "linux", test))]
fn peak_of_status(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_found_among_the_lines() {
        let status = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t     128 kB\nVmRSS:\t 64 kB\n";
        assert_eq!(peak_of_status(status), Some(128 * 1024));
        assert_eq!(peak_of_status("Name:\tx\n"), None);
    }

    #[test]
    #[cfg(unix)]
    fn holding_memory_raises_the_peak() {
        let before = peak_rss_bytes().unwrap();
        let held = vec![1u8; 64 << 20];
        let after = peak_rss_bytes().unwrap();
        assert!(held.iter().all(|&x| x == 1) && before > 1 << 20);
        assert!(after >= before && after > 64 << 20, "{before} to {after}");
    }
}
