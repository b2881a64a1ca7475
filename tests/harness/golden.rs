//! Golden vectors: for each operation the digests of its answers to inputs that seeds make. Every backend on every
//! machine must reproduce `golden.txt`, so that none drifts together with the oracle it is held to elsewhere.

use std::fmt::Write as _;

use tensor_kernels::{
    ByteView, Codebook, ConsensusCodebook, Decimal, DeltaBatch, DeltaVector, DenseView, HalfKind, Int8Mode,
    KMeansCodesOptions, KMeansOptions, KMeansStream, KernelError, Kernels, KeySets, MIN_EXPONENT, Measure,
    Metric, Neighbor, Pairs, PreparedSparse, Similarity, SparseBatch, SparseVec, StreamRate, Thresholds,
    Wanted, independent_set,
};

/// What is committed: an operation, a seed and a digest on each line.
const COMMITTED: &str = include_str!("golden.txt");
/// Seeds of each operation.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Rows beside a tile of either kind, a dimension beside a chunk of bytes.
const ROWS: usize = 65;
const DIM: usize = 49;

/// An operation's answer to the inputs of a seed, as words.
type Answer = fn(&Kernels, Inputs) -> Result<Vec<u64>, KernelError>;

/// An operation with inputs of its own making.
#[derive(Debug)]
pub struct Golden {
    /// The operation's name in the catalogue.
    pub name: &'static str,
    answer: Answer,
}

/// Every operation of the catalogue, by name.
pub const GOLDEN: [Golden; 14] = [
    Golden { name: "all_pairs", answer: all_pairs },
    Golden { name: "all_pairs_scores", answer: all_pairs_scores },
    Golden { name: "conflict_matrix", answer: conflict_matrix },
    Golden { name: "cosine_classes", answer: cosine_classes },
    Golden { name: "delta", answer: delta },
    Golden { name: "half", answer: half },
    Golden { name: "independent_set", answer: greedy_set },
    Golden { name: "int8", answer: int8 },
    Golden { name: "kmeans", answer: kmeans },
    Golden { name: "kmeans_stream", answer: kmeans_stream },
    Golden { name: "prepared_pair", answer: prepared_pair },
    Golden { name: "quantize", answer: quantize },
    Golden { name: "search", answer: search },
    Golden { name: "sparse_pair", answer: sparse_pair },
];

impl Golden {
    /// The answer of these kernels.
    ///
    /// # Errors
    /// Inputs that the operation refuses, which are none.
    pub fn answer(&self, kernels: &Kernels, seed: u64) -> Result<Vec<u64>, KernelError> {
        (self.answer)(kernels, Inputs(seed))
    }
}

/// The lines of `golden.txt` that these kernels do not reproduce, as they would have them; none where all agree.
///
/// # Errors
/// As [`Golden::answer`].
pub fn differences(kernels: &Kernels) -> Result<String, KernelError> {
    let mut committed = COMMITTED.lines();
    let mut differences = String::new();
    for golden in GOLDEN {
        for seed in SEEDS {
            let line = format!("{} {seed} {:016x}", golden.name, digest(&golden.answer(kernels, seed)?));
            if committed.next() != Some(line.as_str()) {
                _ = writeln!(differences, "{line}");
            }
        }
    }
    committed.for_each(|line| _ = writeln!(differences, "not asked: {line}"));
    Ok(differences)
}

/// FNV-1a (Fowler, Noll and Vo 1991), 64 bits, over the little-endian bytes of the words.
fn digest(words: &[u64]) -> u64 {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Inputs by SplitMix64 (Steele, Lea and Flood 2014): integers and small fractions, the same on every machine.
struct Inputs(u64);

impl Inputs {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A signed byte but −128, the extremes often.
    fn code(&mut self) -> i8 {
        match self.below(8) {
            0 => 127,
            1 => -127,
            _ => (self.below(255) as u8).wrapping_sub(127).cast_signed(),
        }
    }

    /// Signed bytes; one row of zeros, and every fifth nearly like the one before it.
    fn codes(&mut self) -> Vec<i8> {
        let mut codes: Vec<i8> = Vec::with_capacity(ROWS * DIM);
        for row in 0..ROWS {
            let before = codes.len().checked_sub(DIM).map(|at| codes[at..].to_vec());
            let own = match (row, before) {
                (7, _) => vec![0; DIM],
                (_, Some(mut before)) if row % 5 == 4 => {
                    before[row % DIM] = self.code();
                    before
                }
                _ => (0..DIM).map(|_| self.code()).collect(),
            };
            codes.extend(own);
        }
        codes
    }

    /// The same as multiples of 1/64.
    fn dense(&mut self) -> Vec<f32> {
        self.codes().into_iter().map(|code| f32::from(code) / 64.0).collect()
    }

    /// Rows with a third of the positions, or all, or none.
    fn sparse(&mut self) -> Result<SparseBatch<'static>, KernelError> {
        let dense = self.dense();
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for (row, components) in dense.chunks_exact(DIM).enumerate() {
            for (position, &value) in (0..).zip(components) {
                if value != 0.0 && (row % 10 == 0 || self.below(3) == 0) {
                    indices.push(position);
                    values.push(value);
                }
            }
            indptr.push(indices.len());
        }
        SparseBatch::new(DIM as u32, indptr, indices, values)
    }

    /// Deltas whose codes have both digits.
    fn deltas(&mut self) -> Result<DeltaBatch, KernelError> {
        let codes = self.codes();
        let delta = |row: &[i8]| {
            let entries = (0..).zip(row).filter(|&(_, &code)| code != 0 && self.below(2) == 0);
            let (positions, codes) = entries.map(|(at, &code)| (at, i16::from(code) * 256 - 3)).unzip();
            // Under the least exponent codes of any size are canonical.
            DeltaVector::from_canonical(DIM as u32, positions, codes, MIN_EXPONENT)
        };
        let deltas: Vec<_> = codes.chunks_exact(DIM).map(delta).collect::<Result<_, _>>()?;
        DeltaBatch::pack(DIM as u32, &deltas)
    }
}

fn view(rows: &[f32]) -> Result<DenseView<'_>, KernelError> {
    DenseView::new(rows, rows.len() / DIM, DIM)
}

fn float(value: f32) -> u64 {
    u64::from(value.to_bits())
}

fn byte(value: i8) -> u64 {
    u64::from(value.cast_unsigned())
}

fn neighbours<'n>(found: impl IntoIterator<Item = &'n Neighbor>) -> impl Iterator<Item = u64> {
    found.into_iter().flat_map(|near| [u64::from(near.row), near.score.to_bits()])
}

fn all_pairs(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (left, right) = (inputs.sparse()?, inputs.sparse()?);
    let mut words = Vec::new();
    for pairs in [Pairs::of(&left), Pairs::between(&left, &right)?] {
        for (similarity, at_least) in [(Similarity::Jaccard, 2_500), (Similarity::Cosine, 2_000)] {
            let found = kernels.all_pairs(&pairs, similarity, Decimal::from_ten_thousandths(at_least))?.value;
            words.extend(
                found
                    .iter()
                    .flat_map(|pair| [u64::from(pair.left), u64::from(pair.right), pair.score.to_bits()]),
            );
        }
    }
    Ok(words)
}

fn all_pairs_scores(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let batch = inputs.sparse()?;
    // Cosines are bounded, not exact.
    let scores = kernels.all_pairs_scores(&Pairs::of(&batch), Similarity::Jaccard)?.value;
    Ok(scores.iter().copied().map(float).collect())
}

fn conflict_matrix(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (left, right, sparse) = (inputs.deltas()?, inputs.deltas()?, inputs.sparse()?);
    let ids: Vec<Vec<u32>> = (0..ROWS).map(|_| vec![inputs.below(9) as u32]).collect();
    let keys = KeySets::new(ids.iter().map(Vec::as_slice))?;
    let thresholds = Thresholds::default();
    let lists = [
        kernels.conflict_matrix((&left).into(), Some(&keys), &thresholds)?.value,
        kernels.conflict_cross((&left).into(), (&right).into(), None, &thresholds)?.value,
        kernels.conflict_matrix((&sparse).into(), Some(&keys), &thresholds)?.value,
    ];
    let pairs = lists.iter().flat_map(|list| list.pairs());
    Ok(pairs
        .flat_map(|pair| [u64::from(pair.left), u64::from(pair.right), u64::from(pair.rule.number())])
        .collect())
}

fn cosine_classes(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (codes, dense, deltas) = (inputs.codes(), inputs.dense(), inputs.deltas()?);
    let thresholds = Thresholds::default();
    let lists = [
        kernels.cosine_conflicts(ByteView::new(&codes, ROWS, DIM)?, &thresholds).value,
        kernels.cosine_conflicts(&deltas, &thresholds).value,
        kernels.cosine_classes(view(&dense)?, &thresholds).value.to_list(),
    ];
    let pairs = lists.iter().flat_map(|list| list.pairs());
    Ok(pairs
        .flat_map(|pair| [u64::from(pair.left), u64::from(pair.right), u64::from(pair.rule.number())])
        .collect())
}

fn delta(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let deltas = kernels.delta(&inputs.sparse()?)?.value;
    let codes = deltas.codes().iter().map(|&code| u64::from(code.cast_unsigned()));
    Ok(codes.chain(deltas.exponents().iter().map(|&exponent| byte(exponent))).collect())
}

fn half(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let dense: Vec<f32> = inputs.dense().iter().map(|x| x / 3.0).collect();
    let mut words = Vec::new();
    for kind in [HalfKind::F16, HalfKind::Bf16] {
        let rows = kernels.half_narrow(view(&dense)?, kind)?.value;
        words.extend(rows.view().bits().iter().map(|&bits| u64::from(bits)));
        words.extend(kernels.half_widen(rows.view()).value.iter().map(|&x| float(x)));
    }
    Ok(words)
}

fn greedy_set(_: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let mut row = || inputs.below(ROWS as u64) as u32;
    let pairs: Vec<_> = (0..200).map(|_| (row(), row())).collect();
    Ok(independent_set(ROWS as u32, &pairs).into_iter().map(u64::from).collect())
}

fn int8(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let dense = inputs.dense();
    let mut words = Vec::new();
    for mode in [Int8Mode::Symmetric, Int8Mode::MinMax] {
        let rows = kernels.int8_quantize(view(&dense)?, mode).value;
        words.extend(rows.codes().iter().map(|&code| byte(code)));
        words.extend(kernels.int8_dequantize(&rows).value.iter().map(|&x| float(x)));
    }
    Ok(words)
}

fn kmeans(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (codes, dense, seed) = (inputs.codes(), inputs.dense(), inputs.next());
    let options = KMeansCodesOptions { k: 9, max_iterations: 4, seed, exponent: -5, epoch: 1 };
    let trained = kernels.kmeans_codes(&codes, DIM as u32, &options)?.value;
    let mut words: Vec<u64> = trained.codebook.codes().iter().map(|&code| byte(code)).collect();
    words.extend(trained.assignments.iter().map(|&id| u64::from(id)));
    words.extend([trained.iterations as u64, trained.inertia as u64, u64::from(trained.converged)]);
    let options = KMeansOptions { k: 9, max_iterations: 4, seed, metric: Metric::L2 };
    let trained = kernels.kmeans(view(&dense)?, &options)?.value;
    words.extend(trained.codebook.centroids().iter().map(|&x| float(x)));
    words.extend(trained.assignments.iter().map(|&id| u64::from(id)));
    Ok(words)
}

fn kmeans_stream(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (book, batch) = (inputs.dense(), inputs.dense());
    let book = Codebook::new(Metric::L2, 5, DIM, book[..5 * DIM].to_vec())?;
    let mut stream = KMeansStream::new(book, StreamRate::Decay(0.5))?;
    let nearest = kernels.kmeans_stream(&mut stream, view(&batch)?)?.value;
    let centroids = stream.codebook().centroids().iter().map(|&x| float(x));
    Ok(nearest.into_iter().map(u64::from).chain(centroids).collect())
}

fn prepared_pair(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let batch = inputs.sparse()?;
    let row = |row| {
        let (positions, values) = batch.row(row);
        SparseVec::new(DIM as u32, positions.to_vec(), values.to_vec()).map(PreparedSparse::new)
    };
    let rows = (0..ROWS).map(row).collect::<Result<Vec<_>, _>>()?;
    let scores = kernels.prepared_one_to_many(&rows[0], &rows)?.value;
    Ok(scores
        .iter()
        .flat_map(|scores| {
            [scores.dot.to_bits(), scores.cosine.to_bits(), scores.jaccard.to_bits(), scores.shared as u64]
        })
        .collect())
}

fn quantize(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (entries, dense, codes, deltas) = (inputs.dense(), inputs.dense(), inputs.codes(), inputs.deltas()?);
    let integers = ConsensusCodebook::new(DIM as u32, MIN_EXPONENT, codes, 1)?;
    let mut words = Vec::new();
    for metric in [Metric::L2, Metric::Cosine] {
        let book = Codebook::new(metric, ROWS, DIM, entries.clone())?;
        words.extend(neighbours(kernels.quantize(&book, view(&dense)?)?.value.iter().flatten()));
        let found = kernels.quantize_deltas(&integers, &deltas, metric)?.value;
        words.extend(neighbours(found.iter().flatten()));
    }
    Ok(words)
}

fn search(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (codes, dense) = (inputs.codes(), inputs.dense());
    let (bytes, dense) = (ByteView::new(&codes, ROWS, DIM)?, view(&dense)?);
    let mut words = Vec::new();
    for metric in [Metric::Dot, Metric::Cosine, Metric::L2] {
        for wanted in [Wanted::Top(5), Wanted::Within(Decimal::from_ten_thousandths(9_000))] {
            let found = kernels.search(bytes, bytes, metric, wanted)?.value;
            words.extend(neighbours(found.iter().flatten()));
            let found = kernels.search(dense, bytes, metric, wanted)?.value;
            words.extend(neighbours(found.iter().flatten()));
        }
    }
    Ok(words)
}

fn sparse_pair(kernels: &Kernels, mut inputs: Inputs) -> Result<Vec<u64>, KernelError> {
    let (left, right) = (inputs.sparse()?, inputs.sparse()?);
    let pairs: Vec<_> = (0..ROWS as u32).map(|row| (row, (row * 7) % ROWS as u32)).collect();
    let mut words = Vec::new();
    for measure in Measure::ALL {
        words.extend(kernels.sparse_pair(&left, &right, &pairs, measure)?.value.iter().map(|x| x.to_bits()));
    }
    Ok(words)
}
