//! Turns key writes into a delta vector when the caller has none, by signed feature hashing
//! (Weinberger et al., *Feature Hashing for Large Scale Multitask Learning*, 2009).
//!
//! Operations that touch related keys or hold related words point in related directions, which is what
//! similarity search and drift need. XXH3 picks bucket and sign, and everything after it is integer
//! arithmetic but for the scaling at the end, which rounds each sum to f32 once, the same everywhere: equal
//! operations give equal bytes on every machine. An encoded delta is a guess about meaning: it serves search
//! and drift and is never a reason to reject a transaction, so nothing is lost where somebody makes features
//! collide on purpose.

use std::num::NonZeroU32;

use tensor_kernels::{DeltaVector, KernelError, SparseVec};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Components of an embedding unless the chain is configured otherwise.
pub const DEFAULT_EMBEDDING_DIM: NonZeroU32 = NonZeroU32::new(128).unwrap();

/// Words of a value are taken from its first bytes only, so that cost is bounded.
const WORDS_FROM: usize = 4_096;
/// A normalised operation has length 1.0 in units of 2^-24.
const UNIT_BITS: u32 = 24;

/// Dimensions up to which every component has a counter of its own; more would not stay in the fastest cache.
const MOST_COUNTERS: u32 = 2_048;

/// What a feature says about its operation; equal bytes of different kinds are different features.
#[derive(Clone, Copy)]
enum Feature {
    Key = 0,
    KeyWord = 1,
    Value = 2,
    ValueWord = 3,
}

/// A deterministic map from operations to vectors of `dim` components.
///
/// ```
/// use tensor_chain::OperationEncoder;
/// let encoder = OperationEncoder::default();
/// let ann = encoder.encode([("users:1", &b"name=Ann city=Oslo"[..])])?;
/// let bob = encoder.encode([("users:2", &b"name=Bob city=Oslo"[..])])?;
/// let log = encoder.encode([("metrics/cpu", &b"\x07\x00"[..])])?;
/// let cosine = |a: &tensor_kernels::DeltaVector, b| a.to_sparse().cosine_similarity(b);
/// assert!(cosine(&ann, &bob.to_sparse())? > cosine(&ann, &log.to_sparse())?);
/// # Ok::<(), tensor_kernels::KernelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationEncoder {
    dim: NonZeroU32,
}

impl Default for OperationEncoder {
    fn default() -> Self {
        Self::new(DEFAULT_EMBEDDING_DIM)
    }
}

impl OperationEncoder {
    /// An encoder into `dim` components.
    #[must_use]
    pub const fn new(dim: NonZeroU32) -> Self {
        Self { dim }
    }

    /// Components of every encoded vector.
    #[must_use]
    pub const fn dim(&self) -> u32 {
        self.dim.get()
    }

    /// The sum of the operations' unit vectors; an operation is its key and the bytes written (none for a
    /// deletion). The order of the operations does not matter, and no operations give the zero vector.
    ///
    /// Features of an operation are its whole key, the words of its key, its whole value and the words of
    /// the first 4 KiB of its value; a word is a run of letters and digits. Each feature adds +1 or −1 to
    /// one bucket, and the result is scaled to length 1.
    ///
    /// # Errors
    /// More distinct buckets, or a greater sum, than a [`DeltaVector`] holds. Neither can happen to the
    /// operations of one block.
    pub fn encode<'a>(
        &self,
        operations: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<DeltaVector, KernelError> {
        let (mut counts, mut sum) = (Sums::new(self.dim()), Sums::new(self.dim()));
        for (key, value) in operations {
            self.count_features(key, value, &mut counts);
            // At most a few thousand features: the squared norm stays below 2^26, and shifted below 2^58.
            let counts = counts.take();
            let squared_norm: u64 = counts.iter().map(|(_, count)| count.unsigned_abs().pow(2)).sum();
            let norm = i64::try_from((squared_norm << 32).isqrt()).unwrap_or(i64::MAX); // in units of 2^-16
            for (bucket, count) in counts {
                sum.add(bucket, (count << (UNIT_BITS + 16)) / norm.max(1));
            }
        }
        // Rounding to f32 and scaling by a power of two are the same on every machine.
        let scale = 1.0 / (1_u32 << UNIT_BITS) as f32;
        let components = sum.take().into_iter();
        let (buckets, values) = components.map(|(bucket, sum)| (bucket, sum as f32 * scale)).unzip();
        DeltaVector::from_sparse(&SparseVec::new(self.dim(), buckets, values)?)
    }

    /// Adds each feature of an operation, +1 or −1, to its bucket.
    fn count_features(&self, key: &str, value: &[u8], counts: &mut Sums) {
        let mut add = |kind, bytes: &[u8]| {
            let (bucket, sign) = self.hash(kind, bytes);
            counts.add(bucket, sign);
        };
        add(Feature::Key, key.as_bytes());
        words(key.as_bytes()).for_each(|word| add(Feature::KeyWord, word));
        if !value.is_empty() {
            add(Feature::Value, value);
            words(&value[..value.len().min(WORDS_FROM)]).for_each(|word| add(Feature::ValueWord, word));
        }
    }

    /// Bucket and sign of a feature, from the two ends of its hash.
    fn hash(&self, kind: Feature, bytes: &[u8]) -> (u32, i64) {
        let uniform = xxh3_64_with_seed(bytes, kind as u64);
        // The high half of a 64 × 32 bit product: uniform over 0..dim, and below dim.
        let bucket = ((u128::from(uniform) * u128::from(self.dim())) >> 64) as u32;
        (bucket, if uniform & 1 == 0 { 1 } else { -1 })
    }
}

/// What each bucket was given. A part is at most 2^24, so no real number of operations overflows.
enum Sums {
    /// By bucket.
    Counters(Vec<i64>),
    /// As they came, for dimensions of which few have a part.
    Parts(Vec<(u32, i64)>),
}

impl Sums {
    fn new(dim: u32) -> Self {
        match dim {
            ..=MOST_COUNTERS => Self::Counters(vec![0; dim as usize]),
            _ => Self::Parts(Vec::new()),
        }
    }

    fn add(&mut self, bucket: u32, part: i64) {
        match self {
            Self::Counters(sums) => {
                // Every bucket is below the dimension.
                if let Some(sum) = sums.get_mut(bucket as usize) {
                    *sum = sum.saturating_add(part);
                }
            }
            Self::Parts(parts) => parts.push((bucket, part)),
        }
    }

    /// Each bucket that does not cancel, ascending, with its sum. All are zero afterwards.
    fn take(&mut self) -> Vec<(u32, i64)> {
        match self {
            Self::Counters(sums) => {
                let mut taken = Vec::with_capacity(sums.len());
                let sums = (0..).zip(sums.iter_mut()).filter(|(_, sum)| **sum != 0);
                taken.extend(sums.map(|(bucket, sum)| (bucket, std::mem::take(sum))));
                taken
            }
            Self::Parts(parts) => {
                parts.sort_unstable_by_key(|(bucket, _)| *bucket);
                parts.dedup_by(|next, sum| {
                    let same = next.0 == sum.0;
                    sum.1 = if same { sum.1.saturating_add(next.1) } else { sum.1 };
                    same
                });
                parts.retain(|(_, sum)| *sum != 0);
                std::mem::take(parts)
            }
        }
    }
}

/// Maximal runs of ASCII letters and digits and of non-ASCII bytes, which is where UTF-8 letters lie.
fn words(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        rest = rest.get(run(rest, false)..)?;
        let (word, behind) = rest.split_at_checked(run(rest, true))?;
        rest = behind;
        Some(word).filter(|word| !word.is_empty())
    })
}

/// How many bytes at the front are letters in this sense, or how many are not.
fn run(bytes: &[u8], of_letters: bool) -> usize {
    let flip = if of_letters { HIGH_BITS } else { 0 };
    let (eights, last) = bytes.as_chunks::<8>();
    let mut before = 0;
    for &eight in eights {
        let others = letters(eight) ^ flip;
        if others != 0 {
            return before + others.trailing_zeros() as usize / 8;
        }
        before += 8;
    }
    let mut eight = [0; 8];
    eight[..last.len()].copy_from_slice(last);
    let others = letters(eight) ^ flip;
    before + last.len().min(others.trailing_zeros() as usize / 8)
}

const HIGH_BITS: u64 = u64::from_le_bytes([0x80; 8]);

/// The high bit of each of eight bytes that is a letter, all at once.
const fn letters(eight: [u8; 8]) -> u64 {
    /// The high bit of each byte, of 7 bits, that is in a range: a sum carries into it from the range's ends on.
    const fn within(bytes: u64, first: u8, last: u8) -> u64 {
        let (from_first, above_last) = ([0x80 - first; 8], [0x7f - last; 8]);
        bytes.wrapping_add(u64::from_le_bytes(from_first))
            & !bytes.wrapping_add(u64::from_le_bytes(above_last))
    }
    let bytes = u64::from_le_bytes(eight);
    let low = bytes & !HIGH_BITS;
    let lower_case = low | u64::from_le_bytes([0x20; 8]);
    (bytes | within(low, b'0', b'9') | within(lower_case, b'a', b'z')) & HIGH_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn encode(operations: &[(&str, &[u8])]) -> DeltaVector {
        OperationEncoder::default().encode(operations.iter().copied()).unwrap()
    }

    fn norm(delta: &DeltaVector) -> f64 {
        delta.values().map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    }

    /// Pins the bytes: a change here breaks every chain that was ever written.
    #[test]
    fn known_answer() {
        let delta = encode(&[("users:1", b"name=Joe")]);
        // Buckets and signs as another implementation of XXH3 has them.
        assert_eq!(delta.indices(), [21, 42, 54, 69, 93, 123]);
        assert_eq!(delta.codes(), [-26_755, 26_755, 26_755, -26_755, -26_755, 26_755]); // 2^16 / √6
        assert_eq!(delta.exponent(), -16);
    }

    #[test]
    fn no_operations_and_empty_values_are_fine() {
        assert!(encode(&[]).is_zero());
        assert!(!encode(&[("k", b"")]).is_zero());
    }

    #[test]
    fn kinds_are_distinct_features() {
        assert_ne!(encode(&[("a", b"b")]), encode(&[("b", b"a")]));
    }

    #[test]
    fn only_the_head_of_a_long_value_is_split_into_words() {
        let long = "word ".repeat(300_000);
        assert!((norm(&encode(&[("k", long.as_bytes())])) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn words_split_at_ascii_punctuation_and_keep_other_letters() {
        let found: Vec<_> = words("a-b:c  É1".as_bytes()).collect();
        assert_eq!(found, [b"a", b"b", b"c", "É1".as_bytes()]);
        assert_eq!(words(&[0, 1, 2]).count(), 0);
    }

    fn is_letter(byte: u8) -> bool {
        !byte.is_ascii() || byte.is_ascii_alphanumeric()
    }

    #[test]
    fn letters_are_told_apart_in_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for others in [0, 0x2f, 0x30, 0x7f, 0x80, 0xff] {
                    let mut eight = [others; 8];
                    eight[place] = byte;
                    let expected: [u8; 8] = eight.map(|byte| if is_letter(byte) { 0x80 } else { 0 });
                    assert_eq!(letters(eight).to_le_bytes(), expected, "{eight:x?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn each_operation_has_length_one_or_zero(
            key in ".{1,40}", value in proptest::collection::vec(any::<u8>(), 0..200), dim in 1u32..300,
        ) {
            let encoder = OperationEncoder::new(NonZeroU32::new(dim).unwrap());
            let length = norm(&encoder.encode([(key.as_str(), &value[..])]).unwrap());
            prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-2, "{length}");
        }

        #[test]
        fn words_are_what_lies_between_separators(bytes in proptest::collection::vec(
            prop_oneof![2 => any::<u8>(), 1 => Just(b' '), 2 => Just(b'a')], 0..60,
        )) {
            let found: Vec<_> = words(&bytes).collect();
            let between = bytes.split(|&byte| !is_letter(byte));
            prop_assert_eq!(found, between.filter(|word| !word.is_empty()).collect::<Vec<_>>());
        }

        #[test]
        fn counting_and_sorting_come_to_the_same(
            parts in proptest::collection::vec((0u32..40, -3i64..=3), 0..60),
        ) {
            let (mut counters, mut listed) = (Sums::new(40), Sums::Parts(Vec::new()));
            // Twice: what has been taken is gone.
            for parts in [&parts[..], &parts[..parts.len() / 2]] {
                for &(bucket, part) in parts {
                    counters.add(bucket, part);
                    listed.add(bucket, part);
                }
                let mut expected = BTreeMap::<u32, i64>::new();
                parts.iter().for_each(|&(bucket, part)| *expected.entry(bucket).or_default() += part);
                expected.retain(|_, sum| *sum != 0);
                let expected: Vec<_> = expected.into_iter().collect();
                prop_assert_eq!(counters.take(), &expected[..]);
                prop_assert_eq!(listed.take(), expected);
            }
        }

        #[test]
        fn order_of_operations_does_not_matter(
            operations in proptest::collection::vec(("[a-c:]{1,6}", "[a-c ]{0,9}"), 0..8), turn in 0usize..8,
        ) {
            let parts: Vec<_> = operations.iter().map(|(k, v)| (k.as_str(), v.as_bytes())).collect();
            let mut turned = parts.clone();
            turned.rotate_left(turn.min(parts.len()));
            prop_assert_eq!(encode(&parts), encode(&turned));
        }
    }
}
