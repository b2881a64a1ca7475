//! f32 to 16-bit floating point and back in lanes.
//!
//! bfloat16 is the upper half of an f32, so it takes integer shifts on every level (the processor's own
//! conversion takes denormals for zero and would disagree). For f16, AVX-512 converts by itself; other
//! levels shift the exponent in integers and let one f32 addition or subtraction round or normalise.

use rayon::prelude::*;

use super::stream::Stage;
use crate::aligned::AlignedBuf;
use crate::error::KernelError;
use crate::isa::Level;
use crate::types::{DenseView, HalfKind, HalfRows, HalfView};

/// Values of one task. Fixed, so the work is cut the same for every number of threads.
const VALUES_PER_TASK: usize = 1 << 16;
/// Values that are converted by one dispatch.
const PIECE: usize = 1 << 10;

/// The values of all rows, row-major; every one is exact. `out` is as long as the rows.
pub(crate) fn widen(level: Level, rows: HalfView<'_>, out: &mut [f32]) {
    let stage = || Stage::new(rows.bits().len(), PIECE);
    let tasks = out.par_chunks_mut(VALUES_PER_TASK).zip(rows.bits().par_chunks(VALUES_PER_TASK));
    tasks.for_each_init(stage, |stage, (out, bits)| {
        for (out, bits) in out.chunks_mut(PIECE).zip(bits.chunks(PIECE)) {
            widen_block(level, rows.kind(), bits, stage.room(out));
            stage.send(out);
        }
    });
}

/// The nearest value of each component, half to even.
///
/// # Errors
/// [`KernelError::MagnitudeOutOfRange`] for the first component that would become infinite.
pub(crate) fn narrow(level: Level, rows: DenseView<'_>, kind: HalfKind) -> Result<HalfRows, KernelError> {
    let mut bits = AlignedBuf::zeroed(rows.rows() * rows.dim());
    let stage = || Stage::new(rows.rows() * rows.dim(), PIECE);
    let fill = |stage: &mut Stage<u16>, (out, values): (&mut [u16], &[f32])| {
        let mut fits = true;
        for (out, values) in out.chunks_mut(PIECE).zip(values.chunks(PIECE)) {
            let room = stage.room(out);
            narrow_block(level, kind, values, room);
            fits &= kind.is_finite(room);
            stage.send(out);
        }
        fits
    };
    let both = |a, b| a && b;
    let fits = match rows.contiguous() {
        Some(values) => {
            let tasks = bits.par_chunks_mut(VALUES_PER_TASK).zip(values.par_chunks(VALUES_PER_TASK));
            tasks.map_init(stage, fill).reduce(|| true, both)
        }
        None => {
            let tasks = bits.par_chunks_exact_mut(rows.dim().max(1)).enumerate();
            tasks.map_init(stage, |stage, (row, out)| fill(stage, (out, rows.row(row)))).reduce(|| true, both)
        }
    };
    HalfRows::from_rounded(kind, rows, bits, fits)
}

/// The values of `bits`, of which there are as many as `out` has room for: one dispatch, on this thread.
/// For kernels that work on f32 and read a 16-bit row, or a block of rows, at a time.
pub(crate) fn widen_block(level: Level, kind: HalfKind, bits: &[u16], out: &mut [f32]) {
    debug_assert_eq!(bits.len(), out.len());
    #[cfg(target_arch = "x86_64")]
    if let (HalfKind::F16, Some(token)) = (kind, level.avx512()) {
        return token.vectorize(avx512::Widen { token, bits, out });
    }
    level.dispatch(Widen { kind, bits, out });
}

/// The nearest 16-bit values, half to even; infinite beyond the format's range. As [`widen_block`].
pub(crate) fn narrow_block(level: Level, kind: HalfKind, values: &[f32], out: &mut [u16]) {
    debug_assert_eq!(values.len(), out.len());
    #[cfg(target_arch = "x86_64")]
    if let (HalfKind::F16, Some(token)) = (kind, level.avx512()) {
        return token.vectorize(avx512::Narrow { token, values, out });
    }
    level.dispatch(Narrow { kind, values, out });
}

struct Widen<'a> {
    kind: HalfKind,
    bits: &'a [u16],
    out: &'a mut [f32],
}

impl pulp::WithSimd for Widen<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let values = self.out.iter_mut().zip(self.bits);
        match self.kind {
            HalfKind::F16 => values.for_each(|(out, &bits)| *out = widen_f16(bits)),
            HalfKind::Bf16 => {
                values.for_each(|(out, &bits)| *out = f32::from_bits(u32::from(bits) << 16));
            }
        }
    }
}

struct Narrow<'a> {
    kind: HalfKind,
    values: &'a [f32],
    out: &'a mut [u16],
}

impl pulp::WithSimd for Narrow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let values = self.out.iter_mut().zip(self.values);
        match self.kind {
            HalfKind::F16 => values.for_each(|(out, &x)| *out = narrow_f16(x)),
            HalfKind::Bf16 => values.for_each(|(out, &x)| *out = narrow_bf16(x)),
        }
    }
}

/// Where the exponent begins, in f32 and in f16.
const EXPONENT_AT: u32 = 23;
const F16_EXPONENT_AT: u32 = 10;
/// What the exponents of the same number differ by: 127 − 15.
const REBIAS: u32 = 112 << EXPONENT_AT;
/// The bits of the least normal f16, 2⁻¹⁴, as f32.
const LEAST_NORMAL_F16: u32 = REBIAS + (1 << EXPONENT_AT);

/// The value of a finite f16.
///
/// A normal number keeps its fraction and has its exponent moved. A denormal m · 2⁻²⁴ is put below the
/// exponent of 2⁻¹⁴, where it denotes 2⁻¹⁴ + m · 2⁻²⁴; taking 2⁻¹⁴ away is exact and leaves it.
#[inline(always)]
fn widen_f16(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let magnitude = (bits & 0x7fff) << (EXPONENT_AT - F16_EXPONENT_AT);
    let normal = magnitude + REBIAS;
    let denormal =
        (f32::from_bits(magnitude + LEAST_NORMAL_F16) - f32::from_bits(LEAST_NORMAL_F16)).to_bits();
    let magnitude = if magnitude < 1 << EXPONENT_AT { denormal } else { normal };
    f32::from_bits(magnitude | (bits & 0x8000) << 16)
}

/// The f16 nearest to a finite number, half to even.
///
/// From 2⁻¹⁴ on the fraction loses its 13 low bits: adding 2¹² − 1, and 1 more where the last kept bit is
/// odd, carries into the kept bits exactly where rounding goes up, and on into the exponent where it must.
/// Below 2⁻¹⁴ a step is 2⁻²⁴, which is the last place of 0.5: the sum x + 0.5 rounds to it, half to even.
#[inline(always)]
fn narrow_f16(x: f32) -> u16 {
    const HALF: u32 = 0x3f00_0000;
    const SHIFT: u32 = EXPONENT_AT - F16_EXPONENT_AT;
    const INFINITE: u32 = 0x7c00;
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let odd = magnitude >> SHIFT & 1;
    let normal = magnitude.wrapping_sub(REBIAS).wrapping_add((1 << (SHIFT - 1)) - 1 + odd) >> SHIFT;
    let denormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(HALF);
    let rounded = if magnitude < LEAST_NORMAL_F16 { denormal } else { normal.min(INFINITE) };
    #[expect(clippy::cast_possible_truncation, reason = "both parts are below 2^16")]
    let bits = (rounded | bits >> 16 & 0x8000) as u16;
    bits
}

/// The bf16 nearest to a finite number, half to even: the upper half, to which the lower one carries.
#[inline(always)]
fn narrow_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    /// Every f16 and every bf16 there is.
    fn all_finite(kind: HalfKind) -> Vec<u16> {
        let mask = kind.exponent_mask();
        (0..=u16::MAX).filter(|bits| bits & mask != mask).collect()
    }

    fn levels() -> impl Iterator<Item = Level> {
        Isa::available().into_iter().filter_map(Level::open)
    }

    #[test]
    fn every_value_widens_as_the_oracle_says_and_narrows_back_to_itself() {
        for kind in HalfKind::ALL {
            let bits = all_finite(kind);
            let view = HalfView::from_bits(kind, &bits, bits.len(), 1).unwrap();
            let mut expected = vec![0.0; bits.len()];
            crate::scalar::half::widen(view, &mut expected);
            for level in levels() {
                let mut values = vec![0.0; bits.len()];
                widen(level, view, &mut values);
                let same = values.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{kind} on {}", level.isa());
                let rows = DenseView::new(&values, 1, bits.len()).unwrap();
                assert_eq!(narrow(level, rows, kind).unwrap().view().bits(), bits, "{}", level.isa());
            }
        }
    }

    #[test]
    fn halves_go_to_even_and_their_neighbours_to_the_nearer() {
        for kind in HalfKind::ALL {
            let bits = all_finite(kind);
            let value = |bits: u16| match kind {
                HalfKind::F16 => f64::from(half::f16::from_bits(bits)),
                HalfKind::Bf16 => f64::from(half::bf16::from_bits(bits)),
            };
            // The f32 halfway to the next greater magnitude, and its neighbours; exact in f32 but for the
            // least denormals of bf16, where it is the f32 below.
            let mut inputs = Vec::new();
            for pair in bits.windows(2).filter(|pair| pair[1] == pair[0] + 1) {
                let middle = ((value(pair[0]) + value(pair[1])) / 2.0) as f32;
                inputs.extend([middle.next_down(), middle, middle.next_up()]);
            }
            inputs.retain(|x| x.abs() <= kind.greatest());
            for length in [inputs.len(), 1, 15, 16, 17, 31, 33] {
                let rows = DenseView::new(&inputs[..length], 1, length).unwrap();
                let expected = crate::scalar::half::narrow(rows, kind).unwrap();
                for level in levels() {
                    assert_eq!(narrow(level, rows, kind).unwrap(), expected, "{kind} on {}", level.isa());
                }
            }
        }
    }
}
