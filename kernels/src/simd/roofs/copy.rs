//! A copy that does not read what it overwrites: the fastest that memory can be written.

#![expect(unsafe_code, reason = "streaming stores take a pointer")]

/// Copies the words that both slices have, around the caches where the processor can.
pub fn copy(from: &[u32], to: &mut [u32]) {
    let words = from.len().min(to.len());
    let (from, to) = (&from[..words], &mut to[..words]);
    #[cfg(target_arch = "x86_64")]
    stream(from, to);
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

/// Both slices have one length.
#[cfg(target_arch = "x86_64")]
fn stream(from: &[u32], to: &mut [u32]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    // SAFETY: any bits are four words.
    let (head, lines, _) = unsafe { to.align_to_mut::<[__m128i; 4]>() };
    let (head, lines) = (head.len(), lines.len());
    to[..head].copy_from_slice(&from[..head]);
    assert!(from.len() == to.len() && head + 16 * lines <= to.len());
    for line in 0..lines {
        let at = head + 16 * line;
        for quarter in 0..4 {
            // SAFETY: four words from `at + 4 · quarter` lie in both slices by the assertion above, and the
            // target is aligned to 16 bytes because `align_to_mut` says where such words begin.
            unsafe {
                let words = _mm_loadu_si128(from.as_ptr().add(at + 4 * quarter).cast());
                _mm_stream_si128(to.as_mut_ptr().add(at + 4 * quarter).cast(), words);
            }
        }
    }
    // Streaming stores are weakly ordered: whoever reads `to` next must see them.
    // SAFETY: every x86-64 processor has SSE.
    unsafe { _mm_sfence() };
    let rest = head + 16 * lines;
    to[rest..].copy_from_slice(&from[rest..]);
}
