//! The integer form of a global codebook, by which nodes agree.

use tensor_kernels::{ConsensusCodebook, KernelError, MAX_EXPONENT, MIN_EXPONENT, Metric};

use super::{CodebookError, GlobalCodebook};

const MAX_CODE: f64 = ConsensusCodebook::MAX_CODE as f64;

impl GlobalCodebook {
    /// The codebook as small integers, equal on every machine: each component is rounded to the nearest
    /// code, half to even.
    ///
    /// For lookup by cosine every centroid is first scaled so that its greatest component becomes ±127:
    /// length means nothing there, and short centroids would lose their direction. Otherwise all centroids
    /// share the smallest power of two by which they fit.
    ///
    /// # Errors
    /// A dimension of 0 or above 65,536; components too great for the range of deltas.
    pub fn to_consensus(&self) -> Result<ConsensusCodebook, CodebookError> {
        let width = self.dimension();
        let dim = u32::try_from(width).map_err(|_| KernelError::TooLarge {
            what: "codebook dimension",
            got: width,
            limit: u32::MAX as usize,
        })?;
        let (exponent, codes) = match self.metric() {
            Metric::Cosine => {
                (COSINE_EXPONENT, self.iter().flat_map(|entry| direction(entry.centroid)).collect())
            }
            Metric::Dot | Metric::L2 => {
                let exponent = smallest_exponent(self.centroids())?;
                (
                    exponent,
                    self.centroids()
                        .iter()
                        .map(|&c| code(libm::ldexp(f64::from(c), -i32::from(exponent))))
                        .collect(),
                )
            }
        };
        Ok(ConsensusCodebook::new(dim, exponent, codes, self.epoch())?)
    }
}

/// Puts the greatest component of a direction, ±127, just below 1.
const COSINE_EXPONENT: i8 = -7;

/// The codes of a centroid scaled to a greatest magnitude of 127.
fn direction(centroid: &[f32]) -> Vec<i8> {
    let greatest = greatest(centroid);
    // The products are exact in f64 and the quotients correctly rounded, so every machine agrees.
    let scaled =
        |&component: &f32| if greatest == 0.0 { 0 } else { code(f64::from(component) * MAX_CODE / greatest) };
    centroid.iter().map(scaled).collect()
}

fn smallest_exponent(components: &[f32]) -> Result<i8, CodebookError> {
    let greatest = greatest(components);
    let fits = |&exponent: &i8| libm::rint(libm::ldexp(greatest, -i32::from(exponent))) <= MAX_CODE;
    (MIN_EXPONENT..=MAX_EXPONENT).find(fits).ok_or_else(|| {
        let limit = libm::ldexp(MAX_CODE, i32::from(MAX_EXPONENT)) as f32;
        let magnitudes = components.iter().map(|component| component.abs()).enumerate();
        let (position, got) = magnitudes.fold((0, 0.0), |most, at| if at.1 > most.1 { at } else { most });
        KernelError::MagnitudeOutOfRange { position, got, limit }.into()
    })
}

fn greatest(components: &[f32]) -> f64 {
    components.iter().fold(0.0, |greatest, &component| f64::max(greatest, f64::from(component.abs())))
}

/// The nearest code, half to even; the callers have scaled it to at most 127.
fn code(scaled: f64) -> i8 {
    libm::rint(scaled) as i8
}
