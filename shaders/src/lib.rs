//! WGSL sources and binding layouts of the GPU kernels. Knows no graphics library.
#![forbid(unsafe_code)]
