//! MNIST: images in the idx format, big-endian lengths before one byte a pixel.

use tensor_kernels::{AlignedBuf, DenseRows};

use super::FetchError;
use super::error::content;

/// The first bytes of an idx file of bytes in three dimensions.
const MAGIC: [u8; 4] = [0, 0, 8, 3];

/// A row an image, a component a pixel: its brightness, 0..=255, unscaled.
pub(super) fn rows(idx: &[u8]) -> Result<DenseRows, FetchError> {
    let bad = |position, expected| content("an idx file of images", position, expected);
    let (words, _) = idx.get(..16).unwrap_or_default().as_chunks::<4>();
    let &[magic, images, height, width] = words else { return Err(bad(1, "a header of 16 bytes")) };
    if magic != MAGIC {
        return Err(bad(1, "bytes in three dimensions"));
    }
    let [images, height, width] = [images, height, width].map(|word| u32::from_be_bytes(word) as usize);
    let pixels = &idx[16..];
    let dim = height.checked_mul(width);
    let Some(dim) = dim.filter(|dim| images.checked_mul(*dim) == Some(pixels.len())) else {
        return Err(bad(pixels.len(), "as many pixels as the header declares"));
    };
    let mut values = AlignedBuf::zeroed(pixels.len());
    values.iter_mut().zip(pixels).for_each(|(value, &pixel)| *value = pixel.into());
    Ok(DenseRows::new(values, images, dim)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_become_rows() {
        let idx = |images: u32, pixels: &[u8]| {
            [&MAGIC[..], &images.to_be_bytes(), &[0, 0, 0, 1], &[0, 0, 0, 2], pixels].concat()
        };
        let rows = rows(&idx(2, &[0, 255, 7, 8])).unwrap();
        assert_eq!(rows.view().iter().collect::<Vec<_>>(), [[0.0, 255.0], [7.0, 8.0]]);
        for bad in [idx(3, &[0; 4]), idx(u32::MAX, &[0; 4]), vec![0; 16], vec![0, 0, 8, 3]] {
            assert!(matches!(super::rows(&bad), Err(FetchError::Content { .. })));
        }
    }
}
