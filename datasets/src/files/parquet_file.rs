//! `.parquet`: a column of lists, all of one length, or a column a component.
//!
//! Only columns of numbers are decoded, so the reader is used without Arrow. It is the one reader here that
//! trusts the lengths a file declares, page by page, and some damaged files make it panic; a panic becomes an
//! error like every other.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::basic::Type;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::DataType;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::schema::types::ColumnDescriptor;
use tensor_kernels::{AlignedBuf, DenseRows};

use super::FileError;
use super::elements::value_error;

/// Rows decoded at a time.
const PIECE: usize = 4_096;
/// What a file has to hold.
const LAYOUT: &str = "one column of lists of floats, or nothing but columns of floats";

pub(super) fn read(file: File) -> Result<DenseRows, FileError> {
    let decoded = catch_unwind(AssertUnwindSafe(|| rows(&SerializedFileReader::new(file)?)));
    decoded.unwrap_or_else(|_| Err(ParquetError::General("damaged data".to_owned()).into()))
}

fn rows(file: &SerializedFileReader<File>) -> Result<DenseRows, FileError> {
    let schema = file.metadata().file_metadata().schema_descr();
    let float = |column: &ColumnDescriptor| matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE);
    let flat = |column: &ColumnDescriptor| float(column) && column.max_rep_level() == 0;
    let list = |column: &ColumnDescriptor| float(column) && column.max_rep_level() == 1;
    let columns = schema.columns();
    let mut lists = (0..columns.len()).filter(|&position| list(&columns[position]));
    match (lists.next(), lists.next()) {
        (Some(position), None) => {
            let Column { values, rows, dim } = Column::read(file, position)?;
            matrix(rows, dim, |row, component| values[row * dim + component])
        }
        (None, _) if !columns.is_empty() && columns.iter().all(|column| flat(column)) => {
            let components: Vec<Column> =
                (0..columns.len()).map(|position| Column::read(file, position)).collect::<Result<_, _>>()?;
            let rows = components.first().map_or(0, |first| first.rows);
            if let Some(other) = components.iter().find(|column| column.rows != rows) {
                let (got, expected) = (other.rows as u64, rows as u64);
                return Err(FileError::Length { what: "rows of a column", got, expected });
            }
            matrix(rows, components.len(), |row, component| components[component].values[row])
        }
        _ => {
            let names = columns.iter().map(|c| format!("{} {}", c.path().string(), c.physical_type()));
            Err(FileError::UnsupportedType { got: names.collect::<Vec<_>>().join(", "), expected: LAYOUT })
        }
    }
}

fn matrix(rows: usize, dim: usize, value: impl Fn(usize, usize) -> f32) -> Result<DenseRows, FileError> {
    let mut values = AlignedBuf::zeroed(rows * dim);
    for (row, components) in values.chunks_exact_mut(dim.max(1)).enumerate() {
        components.iter_mut().enumerate().for_each(|(component, to)| *to = value(row, component));
    }
    Ok(DenseRows::new(values, rows, dim)?)
}

/// A column of all row groups: `rows × dim` numbers, where `dim` is 1 in a column that holds no lists.
struct Column {
    values: Vec<f32>,
    rows: usize,
    dim: usize,
}

impl Column {
    fn read(file: &SerializedFileReader<File>, position: usize) -> Result<Self, FileError> {
        let mut column = Self { values: Vec::new(), rows: 0, dim: 0 };
        for group in 0..file.num_row_groups() {
            match file.get_row_group(group)?.get_column_reader(position)? {
                ColumnReader::FloatColumnReader(reader) => column.append(reader, |value| value)?,
                // Beyond the range of f32 this is infinite, and refused with the rows.
                ColumnReader::DoubleColumnReader(reader) => column.append(reader, |value| value as f32)?,
                _ => return Err(FileError::UnsupportedType { got: "another".to_owned(), expected: LAYOUT }),
            }
        }
        Ok(column)
    }

    /// Appends a row group's numbers, a piece at a time.
    fn append<T: DataType>(
        &mut self,
        mut reader: ColumnReaderImpl<T>,
        convert: impl Fn(T::T) -> f32,
    ) -> Result<(), FileError> {
        let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
        loop {
            let (rows, count, levels) =
                reader.read_records(PIECE, Some(&mut defined), Some(&mut repeated), &mut values)?;
            if levels == 0 {
                return Ok(());
            }
            if count != levels {
                return Err(value_error("row", self.rows, "with gaps or empty", "numbers only"));
            }
            // Where nothing repeats there are no repetition levels, and each number is a row.
            let lengths = if repeated.is_empty() { vec![1; rows] } else { lengths(&repeated) };
            for length in lengths {
                if self.rows == 0 {
                    self.dim = length;
                }
                if length != self.dim {
                    let (got, expected) = (length as u64, self.dim as u64);
                    return Err(FileError::Length { what: "numbers in a row", got, expected });
                }
                self.rows += 1;
            }
            self.values.extend(values.drain(..).map(&convert));
            defined.clear();
            repeated.clear();
        }
    }
}

/// Lengths of rows out of repetition levels: 0 where a row begins, 1 where it goes on.
fn lengths(repeated: &[i16]) -> Vec<usize> {
    repeated.chunk_by(|_, &next| next != 0).map(<[i16]>::len).collect()
}
