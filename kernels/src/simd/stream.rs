//! Outputs too large for any cache, written past it.
//!
//! A plain store first fetches the line that it overwrites. Streaming stores do not, which spares a third
//! of the memory traffic of a copy. They pay only for whole lines that nobody reads soon, so results are
//! computed into a stage that stays in the first-level cache, and large outputs are copied from there.

use bytemuck::Pod;

use crate::isa::Level;

/// Outputs of fewer bytes are stored plainly: their next reader finds them in a cache.
const STREAM_FROM: usize = if cfg!(test) { 1 << 12 } else { 8 << 20 };
/// Bytes of a stage that holds more than one row: little, so that loads and streaming stores take turns.
const STAGE: usize = 1 << 10;
/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Rows on their way to an output of `T`.
pub(super) struct Stage<T> {
    level: Level,
    /// Room for some rows; empty where the output is small enough to be written in place.
    room: Vec<T>,
    rows: usize,
}

impl<T: Pod> Stage<T> {
    /// A stage for an output of `len` values in rows of `dim` ≥ 1.
    pub(super) fn new(level: Level, len: usize, dim: usize) -> Self {
        let rows = (STAGE / size_of::<T>() / dim).max(1);
        let streams = cfg!(target_arch = "x86_64") && len * size_of::<T>() >= STREAM_FROM;
        let room = if streams { vec![T::zeroed(); rows * dim] } else { Vec::new() };
        Self { level, room, rows }
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
            let room = bytemuck::cast_slice(&self.room[..out.len()]);
            self.level.dispatch(CopyPastCache { from: room, to: bytemuck::cast_slice_mut(out) });
        }
    }
}

impl<T> Drop for Stage<T> {
    /// Orders what was streamed before whatever tells another thread that it is there.
    #[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the fence is an intrinsic"))]
    fn drop(&mut self) {
        #[cfg(target_arch = "x86_64")]
        if !self.room.is_empty() {
            // SAFETY: every processor of this architecture has SSE.
            unsafe { std::arch::x86_64::_mm_sfence() };
        }
    }
}

/// Copies equally many bytes, whole lines without fetching them.
struct CopyPastCache<'a> {
    from: &'a [u8],
    to: &'a mut [u8],
}

impl pulp::WithSimd for CopyPastCache<'_> {
    type Output = ();

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    #[expect(unsafe_code, reason = "streaming stores exist only as intrinsics on pointers")]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        use std::arch::x86_64::{__m256i, _mm256_loadu_si256, _mm256_stream_si256};

        let Self { from, to } = self;
        assert_eq!(from.len(), to.len());
        let head = to.as_ptr().align_offset(LINE).min(to.len());
        let (from_head, from) = from.split_at(head);
        let (to_head, to) = to.split_at_mut(head);
        to_head.copy_from_slice(from_head);
        let (lines, from_tail) = from.as_chunks::<LINE>();
        let (out, to_tail) = to.as_chunks_mut::<LINE>();
        for (line, out) in lines.iter().zip(out) {
            let (line, out) = (line.as_ptr().cast::<__m256i>(), out.as_mut_ptr().cast::<__m256i>());
            // SAFETY: this is only dispatched by a `Level`, and every one of this architecture proves AVX.
            // Both pointers are to 64 bytes, of which each half is read or written; `out` is 64-byte
            // aligned because `head` was cut off.
            unsafe {
                _mm256_stream_si256(out, _mm256_loadu_si256(line));
                _mm256_stream_si256(out.add(1), _mm256_loadu_si256(line.add(1)));
            }
        }
        to_tail.copy_from_slice(from_tail);
    }

    /// Never called: nothing streams where the architecture has no such stores.
    #[cfg(not(target_arch = "x86_64"))]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        self.to.copy_from_slice(self.from);
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
