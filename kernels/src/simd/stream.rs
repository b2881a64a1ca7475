//! Outputs too large for any cache, written past it.
//!
//! A plain store first fetches the line that it overwrites. Streaming stores do not, which spares a third
//! of the memory traffic of a copy. They pay only for whole lines that nobody reads soon, so results are
//! computed into a stage that stays in the first-level cache, and large outputs are copied from there.

use bytemuck::Pod;

/// Outputs of fewer bytes are stored plainly: their next reader finds them in a cache.
const STREAM_FROM: usize = if cfg!(test) { 1 << 12 } else { 8 << 20 };
/// Bytes of a stage that holds more than one row: little, so that loads and streaming stores take turns.
const STAGE: usize = 1 << 10;
/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Rows on their way to an output of `T`.
pub(super) struct Stage<T> {
    /// Room for some rows; empty where the output is small enough to be written in place.
    room: Vec<T>,
    rows: usize,
}

impl<T: Pod> Stage<T> {
    /// A stage for an output of `len` values in rows of `dim` ≥ 1.
    pub(super) fn new(len: usize, dim: usize) -> Self {
        let rows = (STAGE / size_of::<T>() / dim).max(1);
        let streams = cfg!(target_arch = "x86_64") && len * size_of::<T>() >= STREAM_FROM;
        let room = if streams { vec![T::zeroed(); rows * dim] } else { Vec::new() };
        Self { room, rows }
    }

    /// Rows that are filled together.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Where to put the values of `out`, at most [`rows`](Self::rows) rows: then [`send`](Self::send) them.
    #[inline(always)]
    pub(super) fn room<'a>(&'a mut self, out: &'a mut [T]) -> &'a mut [T] {
        if self.room.is_empty() { out } else { &mut self.room[..out.len()] }
    }

    /// Moves what was put into the room of `out` there.
    #[inline(always)]
    pub(super) fn send(&self, out: &mut [T]) {
        if !self.room.is_empty() {
            copy(bytemuck::cast_slice(&self.room[..out.len()]), bytemuck::cast_slice_mut(out));
        }
    }
}

impl<T> Drop for Stage<T> {
    fn drop(&mut self) {
        if !self.room.is_empty() {
            finish();
        }
    }
}

/// Copies equally many bytes, whole lines without fetching them. [`finish`] has to be called before another thread
/// reads them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[expect(unsafe_code, reason = "streaming stores exist only as intrinsics on pointers")]
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};

    assert_eq!(from.len(), to.len());
    let head = to.as_ptr().align_offset(LINE).min(to.len());
    let (from_head, from) = from.split_at(head);
    let (to_head, to) = to.split_at_mut(head);
    to_head.copy_from_slice(from_head);
    let (lines, from_tail) = from.as_chunks::<LINE>();
    let (out, to_tail) = to.as_chunks_mut::<LINE>();
    for (line, out) in lines.iter().zip(out) {
        let (line, out) = (line.as_ptr().cast::<__m128i>(), out.as_mut_ptr().cast::<__m128i>());
        for quarter in 0..LINE / size_of::<__m128i>() {
            // SAFETY: SSE2 is part of x86-64. Both pointers are to 64 bytes, of which each quarter is read or
            // written; `out` is 64-byte aligned because `head` was cut off.
            unsafe { _mm_stream_si128(out.add(quarter), _mm_loadu_si128(line.add(quarter))) };
        }
    }
    to_tail.copy_from_slice(from_tail);
}

/// Copies equally many bytes; this architecture has no streaming stores that we use.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(super) fn copy(from: &[u8], to: &mut [u8]) {
    to.copy_from_slice(from);
}

/// Orders what was streamed before whatever tells another thread that it is there.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the fence is an intrinsic"))]
pub(super) fn finish() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE is part of x86-64; a fence changes no memory.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// Asks for the line `ahead` bytes behind `at`, while there is something else to do than to wait for it.
#[inline(always)]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the prefetch is an intrinsic on a pointer"))]
pub(super) fn prefetch<T>(at: &T, ahead: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = std::ptr::from_ref(at).cast::<i8>().wrapping_add(ahead);
        // SAFETY: a prefetch reads nothing and faults nowhere, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_length_at_every_offset_is_copied_and_nothing_beside_it() {
        let from: Vec<u8> = (0..250).collect();
        for offset in 0..70 {
            for len in 0..180 {
                let mut to = vec![255; 250];
                super::copy(&from[..len], &mut to[offset..offset + len]);
                super::finish();
                assert_eq!(to[offset..offset + len], from[..len]);
                assert!(to[..offset].iter().chain(&to[offset + len..]).all(|&x| x == 255));
            }
        }
    }
}
