//! WGSL sources and binding layouts of the GPU kernels. Knows no graphics library.
//!
//! A kernel is a [`Shader`]: its source, composed of preludes and one file of its own from `wgsl/`, and what the host
//! must know of it. The tests hold what is declared here against the source, and translate every shader to what each
//! operating system runs, so that a shader that is wrong fails on a machine without a graphics processor.
//!
//! Everything here is integer arithmetic, which WGSL defines to the bit; a shader with a float in it fails the tests.
#![forbid(unsafe_code)]

pub mod all_pairs;
pub mod conflict_matrix;
pub mod kmeans;
pub mod kmeans_seeding;
pub mod search;
pub mod tile;

/// One kernel, or several that work on the same buffers.
#[derive(Debug, Clone, Copy)]
pub struct Shader {
    /// The operation it belongs to.
    pub name: &'static str,
    /// WGSL, complete.
    pub source: &'static str,
    /// What can be dispatched.
    pub entries: &'static [Entry],
    /// The buffers of group 0 in the order of their numbers, at most [`MAX_BINDINGS`].
    pub bindings: &'static [Binding],
}

/// An entry point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the source.
    pub name: &'static str,
    /// Invocations of a workgroup by dimension, at most [`MAX_INVOCATIONS`] in all.
    pub workgroup: [u32; 3],
}

/// A buffer that a shader reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    /// Its name in the source.
    pub name: &'static str,
    /// What the shader does with it.
    pub access: Access,
    /// Bytes of the uniform, or of one element of the array.
    pub bytes: usize,
}

/// What a shader does with a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads one value, the same for all invocations.
    Uniform,
    /// Reads an array.
    Read,
    /// Reads and writes an array.
    Write,
}

/// Most buffers of a shader: every adapter has as many.
pub const MAX_BINDINGS: usize = 8;
/// Most invocations of a workgroup.
pub const MAX_INVOCATIONS: u32 = 256;
/// Most bytes that a workgroup shares.
pub const MAX_SHARED_BYTES: u32 = 16 << 10;

/// Every shader.
pub const SHADERS: &[&Shader] = &[
    &conflict_matrix::SHADER,
    &search::SHADER,
    &kmeans::SHADER,
    &kmeans_seeding::SHADER,
    &all_pairs::SHADER,
];

/// A hash of all sources (FNV-1a, 64 bits): what was measured of other kernels says nothing of these.
#[must_use]
pub fn fingerprint() -> u64 {
    let bytes = SHADERS.iter().flat_map(|shader| shader.source.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

impl Binding {
    const fn uniform<T>(name: &'static str) -> Self {
        Self { name, access: Access::Uniform, bytes: size_of::<T>() }
    }

    const fn read<T>(name: &'static str) -> Self {
        Self { name, access: Access::Read, bytes: size_of::<T>() }
    }

    const fn write<T>(name: &'static str) -> Self {
        Self { name, access: Access::Write, bytes: size_of::<T>() }
    }
}

/// The files of `wgsl/` with these names, one after the other.
macro_rules! compose {
    ($($name:literal),+) => {
        concat!($(include_str!(concat!("../wgsl/", $name, ".wgsl"))),+)
    };
}
pub(crate) use compose;
