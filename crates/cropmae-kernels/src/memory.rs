//! The memory of training, which allocates and frees large blocks of the same sizes in each step.

use candle_core::Device;

/// Keeps freed memory in the process for the next step. Programs call this once, at their start.
///
/// By default, glibc returns large blocks to the kernel, and the next step gets new pages that are cleared and mapped
/// one by one. This causes 100,000 page faults in a training step of ViT-S/16. With this setting, the process keeps all
/// freed memory, up to its peak. On systems other than Linux with glibc, this function does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
    // SAFETY: the call sets numbers of the allocator, under its own lock. A rejected number has no effect.
    unsafe {
        // This is the largest value that glibc accepts. Each larger block is mapped by the kernel separately.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

/// Returns the most bytes that the tensors on an NVIDIA GPU have had at one time, or `None` for other devices.
#[must_use]
pub fn peak_device_bytes(device: &Device) -> Option<u64> {
    match device {
        #[cfg(feature = "cuda")]
        Device::Cuda(device) => crate::gpu::cuda::peak_bytes(device),
        _ => None,
    }
}
