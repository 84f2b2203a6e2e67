//! What was freed goes back to the system.

/// Gives back freed memory that lies between what is in use: lists of objects and a first plan take
/// several times what stays of them, and the allocator by itself keeps that for ever (malloc_trim(3)).
#[cfg(target_env = "gnu")]
#[allow(unsafe_code, reason = "the C library's allocator is told by a function of its own only")]
pub fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Other allocators give back by themselves.
#[cfg(not(target_env = "gnu"))]
pub fn give_back() {}
