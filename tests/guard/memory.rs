//! Memory beside which nothing may be touched: between two inaccessible pages, filled with poison.
//!
//! A kernel that reads past such a slice ends the process at once instead of passing by luck; one that
//! reads or writes between the slice and the page meets NaNs, or leaves a trace that the drop finds.

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use bytemuck::Pod;

/// Where a slice lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In a `Vec`.
    Ordinary,
    /// So many bytes behind an inaccessible page.
    Behind(usize),
    /// Ending so many bytes before an inaccessible page.
    Before(usize),
}

impl Place {
    /// A copy of `values` in this place. Distances are rounded down to what `T` can be aligned to.
    pub fn copy<T: Pod>(self, values: &[T]) -> Lent<T> {
        match self {
            Self::Ordinary => Lent::Ordinary(values.to_vec()),
            Self::Behind(_) | Self::Before(_) => Lent::Guarded(Guarded::copy(self, values)),
        }
    }
}

/// A slice that a kernel is lent.
pub enum Lent<T: Pod> {
    Ordinary(Vec<T>),
    Guarded(Guarded<T>),
}

impl<T: Pod> Deref for Lent<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Ordinary(values) => values,
            Self::Guarded(memory) => memory.slice(),
        }
    }
}

impl<T: Pod> DerefMut for Lent<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::Ordinary(values) => values,
            Self::Guarded(memory) => memory.slice_mut(),
        }
    }
}

const PAGE: usize = 4_096;
/// NaN as f32, −1 as a code, beyond every index.
const POISON: u8 = 0xff;

/// `[page without access][poison, the slice, poison][page without access]`
pub struct Guarded<T: Pod> {
    map: NonNull<u8>,
    inner: usize,
    /// From the first accessible byte to the slice.
    start: usize,
    len: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Pod> Guarded<T> {
    #[expect(unsafe_code, reason = "the system maps and protects pages only through its C interface")]
    fn copy(place: Place, values: &[T]) -> Self {
        let bytes = size_of_val(values);
        let inner = (bytes + 64).next_multiple_of(PAGE);
        let aligned = |distance: usize| distance / align_of::<T>() * align_of::<T>();
        let start = match place {
            Place::Behind(distance) => aligned(distance),
            Place::Before(distance) => inner - bytes - aligned(distance),
            Place::Ordinary => 0,
        };
        assert!(start + bytes <= inner && start.is_multiple_of(align_of::<T>()));
        let (all, anonymous) = (inner + 2 * PAGE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh anonymous mapping touches no memory that exists; the second call changes pages within it.
        let map = unsafe {
            let map = libc::mmap(std::ptr::null_mut(), all, libc::PROT_NONE, anonymous, -1, 0);
            assert!(map != libc::MAP_FAILED, "no memory");
            let readable = libc::mprotect(map.byte_add(PAGE), inner, libc::PROT_READ | libc::PROT_WRITE);
            assert!(readable == 0, "pages cannot be opened; is the page size {PAGE}?");
            map.cast::<u8>()
        };
        let map = NonNull::new(map).expect("a mapping is never at zero");
        let mut memory = Self { map, inner, start, len: values.len(), element: std::marker::PhantomData };
        memory.bytes_mut().fill(POISON);
        memory.slice_mut().copy_from_slice(values);
        memory
    }

    /// All accessible bytes.
    #[expect(unsafe_code, reason = "a mapping has no type of its own")]
    fn bytes(&self) -> &[u8] {
        // SAFETY: `inner` bytes behind the first page are accessible, initialised by the system, and owned by self.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(PAGE), self.inner) }
    }

    #[expect(unsafe_code, reason = "a mapping has no type of its own")]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and self is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_ptr().add(PAGE), self.inner) }
    }

    fn slice(&self) -> &[T] {
        bytemuck::cast_slice(&self.bytes()[self.start..][..self.len * size_of::<T>()])
    }

    fn slice_mut(&mut self) -> &mut [T] {
        let range = self.start..self.start + self.len * size_of::<T>();
        bytemuck::cast_slice_mut(&mut self.bytes_mut()[range])
    }
}

impl<T: Pod> Drop for Guarded<T> {
    #[expect(unsafe_code, reason = "what was mapped through C is unmapped through C")]
    fn drop(&mut self) {
        let end = self.start + self.len * size_of::<T>();
        let (before, after) = (&self.bytes()[..self.start], &self.bytes()[end..]);
        let touched = before.iter().chain(after).any(|&byte| byte != POISON);
        // SAFETY: the whole mapping that `copy` made; every borrow of it has ended.
        unsafe { libc::munmap(self.map.as_ptr().cast(), self.inner + 2 * PAGE) };
        if !std::thread::panicking() {
            assert!(!touched, "something wrote beside its slice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_touch_the_page_or_keep_their_distance() {
        for distance in 0..64 {
            let behind = Place::Behind(distance).copy(&[1i8, 2, 3]);
            assert_eq!(behind.as_ptr().addr() % PAGE, distance);
            let before = Place::Before(distance).copy(&[1i8, 2, 3]);
            assert_eq!((before.as_ptr().addr() + 3 + distance) % PAGE, 0);
            let wide = Place::Before(distance).copy(&[1u64; 600]);
            assert_eq!((wide.as_ptr().addr() + 4_800 + distance / 8 * 8) % PAGE, 0);
        }
    }

    #[test]
    #[should_panic(expected = "wrote beside its slice")]
    fn a_write_beside_the_slice_is_found() {
        let Lent::Guarded(mut memory) = Place::Before(4).copy(&[0f32; 5]) else { return };
        let end = memory.start + 20;
        memory.bytes_mut()[end] = 0;
    }
}
