//! Canonical bytes of a global codebook: what the chain's state holds.

use tensor_kernels::{Decimal, Metric};

use super::{CodebookError, GlobalCodebook};
use crate::encoding::{Decode, DecodeError, Encode, Reader, Writer};

/// Metric, epoch, radius, dimension, number of entries; for each entry its components and its label.
impl Encode for GlobalCodebook {
    fn encode(&self, writer: &mut Writer) {
        writer.u8(match self.metric() {
            Metric::Dot => 0,
            Metric::Cosine => 1,
            Metric::L2 => 2,
        });
        writer.varint(self.epoch());
        writer.bool(self.radius().is_some());
        if let Some(radius) = self.radius() {
            writer.zigzag(radius.ten_thousandths().into());
        }
        writer.varint(self.dimension() as u64);
        writer.varint(self.len() as u64);
        for entry in self.iter() {
            entry.centroid.iter().for_each(|component| writer.u32(component.to_bits()));
            writer.bool(entry.label.is_some());
            if let Some(label) = entry.label {
                writer.str(label);
            }
        }
    }
}

impl Decode for GlobalCodebook {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let metric = match reader.u8()? {
            0 => Metric::Dot,
            1 => Metric::Cosine,
            2 => Metric::L2,
            got => return Err(DecodeError::UnknownTag { what: "metric", got }),
        };
        let epoch = reader.varint()?;
        let radius = match reader.bool()? {
            true => {
                let radius = i32::try_from(reader.zigzag()?).map_err(|_| DecodeError::Varint)?;
                Some(Decimal::from_ten_thousandths(radius))
            }
            false => None,
        };
        let dim = usize::try_from(reader.varint()?).map_err(|_| DecodeError::Varint)?;
        // Four bytes a component and one for the label of each entry.
        let count = reader.count(dim.saturating_mul(4).saturating_add(1))?;
        let (mut centroids, mut labels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for _ in 0..count {
            centroids.push((0..dim).map(|_| component(reader)).collect::<Result<Vec<_>, _>>()?);
            labels.push(match reader.bool()? {
                true => Some(reader.str()?.to_owned()),
                false => None,
            });
        }
        let book = match count {
            0 => Self::empty(dim),
            _ => Self::from_parts(centroids, labels),
        };
        let book = book.and_then(|book| book.with_metric(metric)).map_err(|error| match error {
            CodebookError::Kernel(error) => DecodeError::Vector(error),
            _ => DecodeError::Invalid { what: "codebook" },
        })?;
        let book = book.with_epoch(epoch);
        Ok(match radius {
            Some(radius) => book.with_radius(radius),
            None => book,
        })
    }
}

/// A component. Codebooks hold no −0.
fn component(reader: &mut Reader<'_>) -> Result<f32, DecodeError> {
    match f32::from_bits(reader.u32()?) {
        component if component == 0.0 && component.is_sign_negative() => {
            Err(DecodeError::Invalid { what: "codebook component" })
        }
        component => Ok(component),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book() -> GlobalCodebook {
        let labels = vec!["up".to_owned(), "right".to_owned()];
        let book = GlobalCodebook::from_centroids_with_labels(vec![vec![0.0, 1.0], vec![0.5, -0.0]], labels);
        book.unwrap().with_epoch(7).with_radius(Decimal::from_ten_thousandths(2_500))
    }

    #[test]
    fn a_codebook_comes_back_whole() {
        for book in [book(), book().with_metric(Metric::L2).unwrap(), GlobalCodebook::empty(3).unwrap()] {
            let again = GlobalCodebook::from_bytes(&book.to_bytes()).unwrap();
            assert_eq!(again, book);
            assert_eq!(again.hash(), book.hash());
        }
    }

    #[test]
    fn what_is_not_canonical_or_cut_short_is_refused() {
        let bytes = book().to_bytes();
        for length in 0..bytes.len() {
            assert!(GlobalCodebook::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
        }
        let negative_zero = [&bytes[..5 + 4 * 2], &(-0.0f32).to_bits().to_le_bytes()].concat();
        assert!(GlobalCodebook::from_bytes(&negative_zero).is_err());
        // Entries of no components that would fill the memory.
        assert!(GlobalCodebook::from_bytes(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }
}
