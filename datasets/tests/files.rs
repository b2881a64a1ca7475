//! Files that numpy and scipy wrote, files that we write, and files that are cut, altered or made up:
//! nothing panics, and nothing takes more memory than a fixed multiple of the file.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use tensor_datasets::files::{self, FileError, Rows, write_npy, write_npz};
use tensor_kernels::{DenseView, KernelError, SparseBatch};
use tensor_tests::allocation::{Counting, peak_bytes};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The matrix of the dense fixtures.
const DENSE: [[f32; 3]; 2] = [[1.5, -2.0, 0.0], [0.25, 3.0, -0.5]];

/// The matrix of the sparse fixtures.
fn sparse() -> SparseBatch<'static> {
    SparseBatch::new(4, vec![0, 2, 2, 3], vec![1, 3, 0], vec![1.5, -2.0, 0.5]).unwrap()
}

fn dense_rows(rows: &Rows) -> Vec<Vec<f32>> {
    rows.dense().unwrap().iter().map(<[f32]>::to_vec).collect()
}

#[test]
fn reads_what_numpy_writes() {
    for name in ["f4.npy", "f8.npy", "v2.npy", "six.fbin"] {
        assert_eq!(dense_rows(&files::read(&fixture(name)).unwrap()), DENSE, "{name}");
    }
    for name in ["u1.npy", "i1.npy", "i4.npy", "i8.npy"] {
        let rows = files::read(&fixture(name)).unwrap();
        assert_eq!(dense_rows(&rows), [[1.0, 2.0, 3.0], [100.0, 0.0, 7.0]], "{name}");
    }
}

#[test]
fn maps_what_lies_in_the_file_as_kernels_need_it() {
    for name in ["f4.npy", "v2.npy", "six.fbin"] {
        let rows = files::map(&fixture(name)).unwrap();
        assert!(matches!(rows, Rows::Mapped(_)));
        assert_eq!(
            (dense_rows(&rows), rows.rows(), rows.dim()),
            (DENSE.map(Vec::from).to_vec(), 2, 3),
            "{name}"
        );
    }
    for name in ["f8.npy", "u1.npy", "csr_i4.npz"] {
        assert!(matches!(files::map(&fixture(name)), Err(FileError::NotMappable { .. })), "{name}");
    }
}

#[test]
fn reads_what_scipy_writes() {
    for name in ["csr_i4.npz", "csr_i8.npz", "csr_f8.npz"] {
        let Rows::Sparse(rows) = files::read(&fixture(name)).unwrap() else { panic!("{name} is sparse") };
        assert_eq!(rows, sparse(), "{name}");
    }
}

#[test]
fn refuses_what_it_would_misread_and_says_why() {
    let error = |name: &str| files::read(&fixture(name)).unwrap_err();
    assert!(matches!(error("big_endian.npy"), FileError::UnsupportedType { got, .. } if got == ">f4"));
    assert!(matches!(error("fortran.npy"), FileError::FortranOrder));
    assert!(matches!(error("flat.npy"), FileError::Dimensions { got: 1, expected: 2, .. }));
    assert!(matches!(error("csc.npz"), FileError::NotCsr { got } if got == "csc"));
    assert!(matches!(error("unsorted.npz"), FileError::Rows(KernelError::UnsortedIndices { .. })));
    assert!(matches!(error("make.py"), FileError::UnknownFormat { got } if got == "py"));
    assert!(matches!(error("absent.npy"), FileError::Io(_)));
}

/// A folder for the files of one test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn npy(values: &[f32], rows: usize, dim: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_npy(&mut bytes, DenseView::new(values, rows, dim).unwrap()).unwrap();
    bytes
}

fn npz(rows: &SparseBatch<'_>) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    write_npz(&mut bytes, rows).unwrap();
    bytes.into_inner()
}

#[test]
fn writes_what_numpy_and_scipy_write() {
    assert_eq!(npy(DENSE.as_flattened(), 2, 3), std::fs::read(fixture("f4.npy")).unwrap());
    // The archive differs in its dates, so the arrays are compared.
    let arrays = |bytes: Vec<u8>| {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        (0..archive.len())
            .map(|position| {
                let mut entry = archive.by_index(position).unwrap();
                let mut content = Vec::new();
                std::io::copy(&mut entry, &mut content).unwrap();
                (entry.name().unwrap().into_owned(), content)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(arrays(npz(&sparse())), arrays(std::fs::read(fixture("csr_i4.npz")).unwrap()));
}

#[test]
fn a_shape_is_held_against_the_file_before_anything_is_reserved() {
    let folder = Folder::new();
    let header = |shape: &str| {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
        [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
    };
    for shape in ["(1000000000000, 1)", "(4611686018427387904, 1)", "(3, 3)", "(1, 1)"] {
        let path = folder.write("x.npy", &[header(shape), vec![0; 24]].concat());
        for read in [files::read, files::map] {
            assert!(
                matches!(read(&path), Err(FileError::Length { .. } | FileError::TooLarge { .. })),
                "{shape}"
            );
        }
    }
    let path = folder.write("x.npy", &header("(0, 18446744073709551615)"));
    assert!(matches!(files::read(&path), Err(FileError::Rows(KernelError::TooLarge { .. }))));
    for (rows, dim) in [(u32::MAX, u32::MAX), (3, 3), (0, 0)] {
        let path = folder.write("x.fbin", &[&rows.to_le_bytes()[..], &dim.to_le_bytes(), &[0; 24]].concat());
        assert!(matches!(
            files::read(&path),
            Err(FileError::Length { what: "bytes in the file", .. } | FileError::TooLarge { .. })
        ));
    }
}

#[test]
fn values_that_are_not_finite_are_refused_at_their_position() {
    let folder = Folder::new();
    let mut bytes = npy(DENSE.as_flattened(), 2, 3);
    let at = bytes.len() - 8;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let path = folder.write("x.npy", &bytes);
    assert!(matches!(files::read(&path), Err(FileError::Rows(KernelError::NonFinite { position: 4 }))));
    assert!(files::map(&path).is_err());
}

#[test]
fn an_archive_whose_arrays_are_not_as_declared_is_refused() {
    let folder = Folder::new();
    let bytes = npz(&sparse());
    // Stored as it is, so the last value can be found; a change of it breaks the archive's checksum.
    let at = bytes.windows(4).rposition(|window| window == 0.5_f32.to_le_bytes()).unwrap();
    let mut altered = bytes.clone();
    altered[at] ^= 1;
    assert!(matches!(files::read(&folder.write("x.npz", &altered)), Err(FileError::Io(_))));

    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut longer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for position in 0..archive.len() {
        let mut entry = archive.by_index(position).unwrap();
        let name = entry.name().unwrap().into_owned();
        longer.start_file(&*name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::copy(&mut entry, &mut longer).unwrap();
        if name == "data.npy" {
            longer.write_all(&[0; 4]).unwrap();
        }
    }
    let path = folder.write("x.npz", &longer.finish().unwrap().into_inner());
    assert!(matches!(files::read(&path), Err(FileError::Length { got: 4, expected: 0, .. })));
}

/// Reads a file of these bytes under each name and checks what must hold for any bytes at all.
fn check(folder: &Folder, bytes: &[u8], extensions: &[&str]) {
    for extension in extensions {
        let path = folder.write(&format!("x.{extension}"), bytes);
        for read in [files::read, files::map] {
            let (result, peak) = peak_bytes(|| read(&path));
            // 64 KiB is what is read at a time, twice that what unzipping takes. Every number of the file may
            // become an f32, in a list that grows by doubling; deflate packs at most 1,032 bytes into one.
            let ratio = if *extension == "npz" { 1_032 * 8 } else { 8 };
            let allowed = 300_000 + ratio * bytes.len();
            assert!(peak <= allowed, "{extension}: {peak} bytes held for a file of {}", bytes.len());
            drop(result);
        }
    }
}

const EVERY: &[&str] = &["npy", "npz", "fbin", "ibin", "u8bin"];

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name| std::fs::read(fixture(name)).unwrap();
    vec![
        ("npy", read("f4.npy")),
        ("npy", read("v2.npy")),
        ("npz", read("csr_i4.npz")),
        ("npz", npz(&sparse())),
        ("fbin", read("six.fbin")),
    ]
}

#[test]
fn no_part_of_a_file_is_a_file() {
    let folder = Folder::new();
    for (extension, bytes) in samples() {
        for len in 0..bytes.len() {
            let path = folder.write(&format!("x.{extension}"), &bytes[..len]);
            assert!(files::read(&path).is_err(), "{extension}: {len} of {} bytes", bytes.len());
        }
    }
}

proptest! {
    #[test]
    fn altered_files_are_refused_or_other_rows(
        sample in 0..5_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (extension, mut bytes) = samples().swap_remove(sample);
        for (position, byte) in edits {
            let position = position.index(bytes.len());
            bytes[position] = byte;
        }
        check(&Folder::new(), &bytes, &[extension]);
    }

    /// Lengths of 2, 4 and 8 bytes that nothing backs, wherever one may stand.
    #[test]
    fn declared_lengths_reserve_nothing(
        sample in 0..5_usize,
        position in any::<prop::sample::Index>(),
        width in 1..9_usize,
        byte in prop_oneof![Just(0xff_u8), Just(0x7f)],
    ) {
        let (extension, mut bytes) = samples().swap_remove(sample);
        let start = position.index(bytes.len());
        let end = (start + width).min(bytes.len());
        bytes[start..end].fill(0xff);
        bytes[end - 1] = byte;
        check(&Folder::new(), &bytes, &[extension]);
    }

    #[test]
    fn headers_with_any_shape_are_refused_or_rows(
        descr in prop_oneof![Just("<f4"), Just("<f8"), Just("|u1"), Just("<i8"), Just("|S3"), Just(">f4")],
        shape in proptest::collection::vec(prop_oneof![0..5_u64, Just(u64::MAX), any::<u64>()], 0..4),
        data in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let shape: String = shape.iter().map(|length| format!("{length},")).collect();
        let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let header = [b"\x93NUMPY\x01\0", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
        check(&Folder::new(), &[header, data].concat(), &["npy"]);
    }

    #[test]
    fn made_up_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&Folder::new(), &bytes, EVERY);
    }

    #[test]
    fn dense_rows_come_back(rows in 0..9_usize, dim in 1..9_usize, seed in any::<u64>()) {
        let values: Vec<f32> = (0..rows * dim)
            .map(|i| f32::from_bits((seed.wrapping_mul(i as u64 * 2 + 1) >> 16) as u32 & !(1 << 30)))
            .collect();
        let folder = Folder::new();
        let path = folder.write("x.npy", &npy(&values, rows, dim));
        for read in [files::read, files::map] {
            let rows = read(&path).unwrap();
            let back: Vec<u32> = dense_rows(&rows).concat().iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(back, values.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn sparse_rows_come_back(rows in 0..20_usize, density in 0.0..1.0_f64, seed in any::<u64>()) {
        let batch = tensor_datasets::generate::bernoulli_sparse(rows, 50, density, seed).unwrap();
        let folder = Folder::new();
        let Rows::Sparse(back) = files::read(&folder.write("x.npz", &npz(&batch))).unwrap() else {
            panic!("sparse rows are sparse")
        };
        prop_assert_eq!(back, batch);
    }
}
