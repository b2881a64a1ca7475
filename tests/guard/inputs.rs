//! Inputs of any length that are the same in every run: a hash of the position, as a value.

/// Well mixed bits of a position.
fn mixed(position: usize) -> u32 {
    let mut x = (position as u32).wrapping_mul(0x9e37_79b9);
    x = (x ^ (x >> 15)).wrapping_mul(0x85eb_ca6b);
    x ^ (x >> 13)
}

/// Values in −2..2, every ninth of them 0.
pub fn values(len: usize) -> Vec<f32> {
    let value = |i: usize| if i % 9 == 4 { 0.0 } else { (mixed(i) >> 16) as f32 / 16_384.0 - 2.0 };
    (0..len).map(value).collect()
}

/// Codes in −127..=127.
pub fn codes(len: usize) -> Vec<i8> {
    (0..len).map(|i| (((mixed(i) >> 9) % 255) as u8).cast_signed().max(-127)).collect()
}

/// Finite 16-bit values of either format.
pub fn halves(len: usize) -> Vec<u16> {
    (0..len).map(|i| (mixed(i) >> 8) as u16 & 0xbfff).collect()
}

/// Rows in CSR form.
pub struct Csr {
    pub dim: u32,
    pub indptr: Vec<usize>,
    pub indices: Vec<u32>,
    pub values: Vec<f32>,
}

impl Csr {
    fn of(dim: u32, rows: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let (mut indptr, mut indices) = (vec![0], Vec::new());
        for row in rows {
            indices.extend(row);
            indptr.push(indices.len());
        }
        let values = (0..indices.len()).map(|i| (mixed(i) % 19) as f32 - 9.5).collect();
        Self { dim, indptr, indices, values }
    }

    /// A row of one entry, one of `length` entries, one of every second of them, an empty one, and one of the last.
    pub fn of_long_rows(length: usize) -> Self {
        let length = length as u32;
        let last = length.saturating_sub(3)..length;
        let rows: [Vec<u32>; 5] =
            [vec![1], (0..length).collect(), (0..length).step_by(2).collect(), vec![], last.collect()];
        Self::of(2_000, rows)
    }

    /// `count` rows of up to four entries over few or many dimensions.
    pub fn of_many_rows(count: usize, dim: u32) -> Self {
        let row = |row: usize| {
            let mut indices: Vec<u32> = (0..row % 5).map(|k| mixed(row * 5 + k) % dim).collect();
            indices.sort_unstable();
            indices.dedup();
            indices
        };
        Self::of(dim, (0..count).map(row))
    }
}
