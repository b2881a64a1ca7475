//! `.fbin`, `.ibin`, `.u8bin`: two little-endian u32, rows and components, then the numbers row by row.

use std::fs::File;
use std::io::Read;

use tensor_kernels::{DenseRows, MappedRows};

use super::FileError;
use super::elements::Element;
use super::npy::{exact_shape, rows};

/// Bytes before the first number.
const HEADER: u64 = 8;

pub(super) fn read(mut file: File, element: Element) -> Result<DenseRows, FileError> {
    let shape = shape(&file, element)?;
    rows(&mut file, element, shape)
}

pub(super) fn map(file: &File) -> Result<MappedRows, FileError> {
    let (rows, dim) = shape(file, Element::F4)?;
    Ok(MappedRows::new(file, HEADER, rows, dim)?)
}

fn shape(mut file: &File, element: Element) -> Result<(usize, usize), FileError> {
    let (mut rows, mut dim) = ([0; 4], [0; 4]);
    file.read_exact(&mut rows)?;
    file.read_exact(&mut dim)?;
    let shape = (u32::from_le_bytes(rows).into(), u32::from_le_bytes(dim).into());
    exact_shape(file, HEADER, shape, element)
}
