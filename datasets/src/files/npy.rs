//! `.npy`: one array, as numpy's `save` writes it.

use std::fs::File;
use std::io::{self, Read, Write};

use tensor_kernels::{AlignedBuf, DenseRows, DenseView, MappedRows};

use super::FileError;
use super::elements::Element;
use super::npy_header::Header;

/// Reads a matrix of any type in [`Element`].
pub(super) fn read(mut file: File) -> Result<DenseRows, FileError> {
    let (header, element) = header(&mut file)?;
    let shape = shape(&file, &header, element)?;
    rows(&mut file, element, shape)
}

/// Maps a matrix of f32.
pub(super) fn map(file: &File) -> Result<MappedRows, FileError> {
    let (header, element) = header(&mut &*file)?;
    if element != Element::F4 {
        return Err(FileError::NotMappable { got: format!(".npy of type {:?}", header.descr) });
    }
    let (rows, dim) = shape(file, &header, element)?;
    Ok(MappedRows::new(file, header.bytes, rows, dim)?)
}

fn header(reader: &mut impl Read) -> Result<(Header, Element), FileError> {
    let header = Header::read(reader)?;
    let element = Element::of(&header.descr)?;
    if header.fortran_order && header.shape.len() > 1 {
        return Err(FileError::FortranOrder);
    }
    Ok((header, element))
}

/// Rows and components, which the file has to hold exactly.
fn shape(file: &File, header: &Header, element: Element) -> Result<(usize, usize), FileError> {
    let &[rows, dim] = &*header.shape else {
        return Err(FileError::Dimensions { what: "the array", got: header.shape.len(), expected: 2 });
    };
    exact_shape(file, header.bytes, (rows, dim), element)
}

/// Checks that a file is `before` bytes and `rows × dim` numbers long, before anything is reserved.
pub(super) fn exact_shape(
    file: &File,
    before: u64,
    (rows, dim): (u64, u64),
    element: Element,
) -> Result<(usize, usize), FileError> {
    let bytes = rows.checked_mul(dim).and_then(|count| count.checked_mul(element.size() as u64));
    let expected =
        bytes.and_then(|bytes| bytes.checked_add(before)).ok_or(FileError::TooLarge { rows, dim })?;
    let got = file.metadata()?.len();
    if got != expected {
        return Err(FileError::Length { what: "bytes in the file", got, expected });
    }
    // An empty matrix may declare any length on its other side.
    match (usize::try_from(rows), usize::try_from(dim)) {
        (Ok(rows), Ok(dim)) => Ok((rows, dim)),
        _ => Err(FileError::TooLarge { rows, dim }),
    }
}

/// Reads rows whose size [`exact_shape`] has found in the file.
pub(super) fn rows(
    reader: &mut impl Read,
    element: Element,
    (rows, dim): (usize, usize),
) -> Result<DenseRows, FileError> {
    let mut values = AlignedBuf::zeroed(rows * dim);
    element.floats(reader, rows * dim, |position, value| values[position] = value)?;
    Ok(DenseRows::new(values, rows, dim)?)
}

/// Writes rows as a `.npy` of f32 that numpy reads, and that [`map`](super::map) maps.
///
/// # Errors
/// Whatever the writer refuses.
pub fn write_npy(writer: &mut impl Write, rows: DenseView<'_>) -> io::Result<()> {
    Header::write(writer, "<f4", &[rows.rows() as u64, rows.dim() as u64])?;
    let mut bytes = Vec::with_capacity(rows.dim() * size_of::<f32>());
    for row in rows.iter() {
        bytes.clear();
        bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        writer.write_all(&bytes)?;
    }
    Ok(())
}
