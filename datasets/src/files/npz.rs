//! `.npz`: a CSR matrix as scipy's `save_npz` writes it, a zip of five arrays.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};

use tensor_kernels::SparseBatch;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::FileError;
use super::elements::{Element, value_error};
use super::npy_header::Header;

pub(super) fn read(file: File) -> Result<SparseBatch<'static>, FileError> {
    let mut archive = Archive::open(file)?;
    let format = archive.text("format.npy")?;
    if format != "csr" {
        return Err(FileError::NotCsr { got: format });
    }
    let shape = archive.integers("shape.npy", |position, value| {
        u64::try_from(value).map_err(|_| value_error("length", position, value, "at least 0"))
    })?;
    let &[rows, dim] = &*shape else {
        return Err(FileError::Length { what: "lengths in the shape", got: shape.len() as u64, expected: 2 });
    };
    let width = u32::try_from(dim).map_err(|_| FileError::TooLarge { rows, dim })?;
    let indptr = archive.integers("indptr.npy", |position, value| {
        usize::try_from(value).map_err(|_| value_error("row pointer", position, value, "at least 0"))
    })?;
    if (indptr.len() as u64).checked_sub(1) != Some(rows) {
        let (got, expected) = (indptr.len() as u64, rows.saturating_add(1));
        return Err(FileError::Length { what: "row pointers", got, expected });
    }
    let indices = archive.integers("indices.npy", |position, value| {
        u32::try_from(value).map_err(|_| value_error("index", position, value, "an index below 2^32"))
    })?;
    Ok(SparseBatch::new(width, indptr, indices, archive.floats("data.npy")?)?)
}

/// The zip, and its arrays by name.
struct Archive(ZipArchive<BufReader<File>>);

impl Archive {
    fn open(file: File) -> Result<Self, FileError> {
        let archive = ZipArchive::new(BufReader::new(file));
        archive.map(Self).map_err(|error| FileError::Zip { what: "the archive", error })
    }

    fn integers<T>(
        &mut self,
        name: &'static str,
        mut convert: impl FnMut(usize, i64) -> Result<T, FileError>,
    ) -> Result<Vec<T>, FileError> {
        self.array(name, |element, count, reader| {
            let mut values = Vec::new();
            element.integers(reader, count, |position, value| {
                values.push(convert(position, value)?);
                Ok(())
            })?;
            Ok(values)
        })
    }

    fn floats(&mut self, name: &'static str) -> Result<Vec<f32>, FileError> {
        self.array(name, |element, count, reader| {
            let mut values = Vec::new();
            element.floats(reader, count, |_, value| values.push(value))?;
            Ok(values)
        })
    }

    /// Reads an array of one dimension to the end of its entry, where the zip's checksum is held against it.
    fn array<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Element, usize, &mut dyn Read) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let mut entry = self.0.by_name(name).map_err(|error| FileError::Zip { what: name, error })?;
        let header = Header::read(&mut entry)?;
        let &[count] = &*header.shape else {
            return Err(FileError::Dimensions { what: name, got: header.shape.len(), expected: 1 });
        };
        let count = usize::try_from(count).map_err(|_| FileError::TooLarge { rows: count, dim: 1 })?;
        let values = read(Element::of(&header.descr)?, count, &mut entry)?;
        finish(&mut entry)?;
        Ok(values)
    }

    /// The text of an array of no dimension and type `|S3`.
    fn text(&mut self, name: &'static str) -> Result<String, FileError> {
        let mut entry = self.0.by_name(name).map_err(|error| FileError::Zip { what: name, error })?;
        let header = Header::read(&mut entry)?;
        if header.descr != "|S3" || !header.shape.is_empty() {
            return Err(FileError::UnsupportedType { got: header.descr, expected: "one |S3" });
        }
        let mut text = [0; 3];
        entry.read_exact(&mut text)?;
        finish(&mut entry)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Refuses bytes after the last number.
fn finish(entry: &mut impl Read) -> Result<(), FileError> {
    match io::copy(entry, &mut io::sink())? {
        0 => Ok(()),
        got => Err(FileError::Length { what: "bytes after the last number", got, expected: 0 }),
    }
}

/// Writes sparse rows as scipy's `save_npz(compressed=False)` does, and like it with i32 indices where
/// they fit. The same rows give the same bytes.
///
/// # Errors
/// Whatever the writer refuses.
pub fn write_npz(writer: impl Write + Seek, rows: &SparseBatch<'_>) -> Result<(), FileError> {
    let narrow = i32::try_from(rows.dim()).is_ok() && i32::try_from(rows.nnz()).is_ok();
    let mut archive = Writer { zip: ZipWriter::new(writer), narrow };
    archive.indices("indices.npy", rows.nnz(), rows.indices().iter().map(|&index| index.into()))?;
    archive.indices("indptr.npy", rows.rows() + 1, rows.indptr().iter().map(|&at| at as u64))?;
    archive.start("format.npy", "|S3", &[], 3)?;
    archive.zip.write_all(b"csr")?;
    archive.start("shape.npy", "<i8", &[2], 16)?;
    archive.zip.write_all(&(rows.rows() as u64).to_le_bytes())?;
    archive.zip.write_all(&u64::from(rows.dim()).to_le_bytes())?;
    archive.start("data.npy", "<f4", &[rows.nnz()], 4 * rows.nnz())?;
    archive.numbers(rows.values().iter().map(|value| value.to_le_bytes()))?;
    archive.zip.finish().map_err(written)?;
    Ok(())
}

struct Writer<W: Write + Seek> {
    zip: ZipWriter<W>,
    narrow: bool,
}

impl<W: Write + Seek> Writer<W> {
    fn start(&mut self, name: &str, descr: &str, shape: &[usize], bytes: usize) -> Result<(), FileError> {
        // Stored, so that the bytes do not depend on who compresses; a fixed date comes with the default.
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .large_file(u32::try_from(bytes + 128).is_err());
        self.zip.start_file(name, options).map_err(written)?;
        let shape: Vec<u64> = shape.iter().map(|&length| length as u64).collect();
        Ok(Header::write(&mut self.zip, descr, &shape)?)
    }

    /// Indices never reach the sign bit: no dimension and no slice is that long.
    fn indices(
        &mut self,
        name: &str,
        len: usize,
        indices: impl Iterator<Item = u64>,
    ) -> Result<(), FileError> {
        if self.narrow {
            self.start(name, "<i4", &[len], 4 * len)?;
            self.numbers(indices.map(|index| (index as u32).to_le_bytes()))
        } else {
            self.start(name, "<i8", &[len], 8 * len)?;
            self.numbers(indices.map(u64::to_le_bytes))
        }
    }

    fn numbers<const N: usize>(&mut self, numbers: impl Iterator<Item = [u8; N]>) -> Result<(), FileError> {
        let mut piece = Vec::with_capacity(1 << 16);
        for number in numbers {
            piece.extend(number);
            if piece.len() >= 1 << 16 {
                self.zip.write_all(&piece)?;
                piece.clear();
            }
        }
        Ok(self.zip.write_all(&piece)?)
    }
}

fn written(error: ZipError) -> FileError {
    match error {
        ZipError::Io(error) => error.into(),
        error => FileError::Zip { what: "the archive", error },
    }
}
