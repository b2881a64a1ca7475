//! Stores past the caches: scores of many pairs are written once and not read here again, so
//! fetching their lines from memory first would double the traffic.

#![expect(unsafe_code, reason = "streaming stores exist as intrinsics only")]

/// Copies `from` to `to` without leaving it in the caches. [`finish`] has to be called before another thread reads it.
///
/// # Panics
/// Where the lengths differ.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
    const LANES: usize = 4;

    assert_eq!(from.len(), to.len());
    // A line is best written whole: ordinary stores up to its beginning.
    let head = to.as_ptr().align_offset(64).min(to.len());
    let (from_head, from) = from.split_at(head);
    let (to_head, to) = to.split_at_mut(head);
    to_head.copy_from_slice(from_head);
    let (from, from_tail) = from.as_chunks::<LANES>();
    let (to, to_tail) = to.as_chunks_mut::<LANES>();
    for (from, to) in from.iter().zip(to) {
        // SAFETY: SSE is part of x86-64; four floats are read and written, the place being a multiple
        // of 16 bytes from one that is aligned to 64.
        unsafe { _mm_stream_ps(to.as_mut_ptr(), _mm_loadu_ps(from.as_ptr())) };
    }
    to_tail.copy_from_slice(from_tail);
}

/// Copies `from` to `to`; this machine has no streaming stores.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn copy(from: &[f32], to: &mut [f32]) {
    to.copy_from_slice(from);
}

/// Makes what [`copy`] wrote visible in order.
pub(crate) fn finish() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a fence changes no memory.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_at_every_offset_is_copied_and_nothing_beside_it() {
        let from: Vec<f32> = (0..100u8).map(f32::from).collect();
        for offset in 0..20 {
            for len in 0..70 {
                let mut to = vec![-1.0; 100];
                super::copy(&from[..len], &mut to[offset..offset + len]);
                super::finish();
                assert_eq!(to[offset..offset + len], from[..len]);
                assert!(to[..offset].iter().chain(&to[offset + len..]).all(|&x| x == -1.0));
            }
        }
    }
}
