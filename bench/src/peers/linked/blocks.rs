//! What follows a product, block by block: the ten best of each row, the class of each pair, the nearest centroid.

use super::super::pairs::LIMITS;
use super::products::Product;

/// Rows of one product.
const BLOCK: usize = 128;

/// Splits `items` into as many shares as threads and joins what `work` makes of them, in order.
pub fn spread<I: Sync, T: Send>(
    items: &[I],
    unit: usize,
    threads: usize,
    work: impl Fn(&[I]) -> Vec<T> + Sync,
) -> Vec<T> {
    let share = (items.len() / unit).div_ceil(threads).max(1) * unit;
    if threads == 1 || items.len() <= share {
        return work(items);
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = items.chunks(share).map(|part| scope.spawn(|| work(part))).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).flatten().collect()
    })
}

/// The rows of the `k` best products of each query, best first.
pub fn nearest(
    corpus: &[f32],
    queries: &[f32],
    dim: usize,
    k: usize,
    threads: usize,
    product: Product,
) -> Vec<u32> {
    if queries.len() == dim {
        return one(corpus, queries, dim, k, threads, product);
    }
    let rows = corpus.len() / dim;
    spread(queries, dim, threads, |share| {
        let mut scores = vec![0.0; BLOCK * rows];
        let mut found = Vec::new();
        for part in share.chunks(BLOCK * dim) {
            let out = &mut scores[..part.len() / dim * rows];
            product(part, corpus, dim, out);
            out.chunks_exact(rows).for_each(|scores| found.extend(top(scores, k)));
        }
        found
    })
}

/// One query: threads share the corpus.
fn one(corpus: &[f32], query: &[f32], dim: usize, k: usize, threads: usize, product: Product) -> Vec<u32> {
    let scores = spread(corpus, dim, threads, |share| {
        let mut scores = vec![0.0; share.len() / dim];
        product(query, share, dim, &mut scores);
        scores
    });
    top(&scores, k)
}

/// Positions of the `k` greatest scores, greatest first: a chunk is looked at only if its maximum can enter.
pub fn top<T: Copy + PartialOrd>(scores: &[T], k: usize) -> Vec<u32> {
    const LANES: usize = 32;
    let mut best: Vec<(T, u32)> = Vec::with_capacity(k + 1);
    for (chunk, values) in scores.chunks(LANES).enumerate() {
        let worst = if best.len() < k { None } else { best.last().map(|&(score, _)| score) };
        if let Some(worst) = worst {
            // Without an early exit the compiler makes lanes of this.
            if !values.iter().fold(false, |any, &value| any | (value > worst)) {
                continue;
            }
        }
        for (lane, &score) in values.iter().enumerate() {
            if best.len() < k || best.last().is_some_and(|&(worst, _)| score > worst) {
                let at = best.partition_point(|&(other, _)| other >= score);
                best.insert(at, (score, (chunk * LANES + lane) as u32));
                best.truncate(k);
            }
        }
    }
    best.into_iter().map(|(_, row)| row).collect()
}

/// The square of classes of all pairs; only the part right of the diagonal is filled.
pub fn classes(rows: &[f32], dim: usize, threads: usize, product: Product) -> Vec<u8> {
    let count = rows.len() / dim;
    let mut square = vec![0u8; count * count];
    // Blocks are dealt out in turn, so that threads get equal areas of the triangle.
    let mut hands: Vec<Vec<(usize, &mut [u8])>> = (0..threads).map(|_| Vec::new()).collect();
    for (block, lines) in square.chunks_mut(BLOCK * count).enumerate() {
        hands[block % threads].push((block * BLOCK, lines));
    }
    std::thread::scope(|scope| {
        for hand in hands {
            scope.spawn(|| {
                let mut products = vec![0.0; BLOCK * count];
                for (first, lines) in hand {
                    let height = lines.len() / count;
                    let out = &mut products[..height * (count - first)];
                    product(&rows[first * dim..][..height * dim], &rows[first * dim..], dim, out);
                    for (line, products) in lines.chunks_exact_mut(count).zip(out.chunks_exact(count - first))
                    {
                        for (class, cosine) in line[first..].iter_mut().zip(products) {
                            *class =
                                u8::from(cosine.abs() >= LIMITS[0]) + u8::from(cosine.abs() >= LIMITS[1]);
                        }
                    }
                }
            });
        }
    });
    square
}

/// The nearest centroid of each row: the greatest x·c − ‖c‖²/2.
pub fn argmin(rows: &[f32], centroids: &[f32], dim: usize, threads: usize, product: Product) -> Vec<u32> {
    let halves: Vec<f32> =
        centroids.chunks_exact(dim).map(|c| c.iter().map(|x| x * x).sum::<f32>() / 2.0).collect();
    spread(rows, dim, threads, |share| {
        let mut products = vec![0.0; BLOCK * halves.len()];
        let mut found = Vec::with_capacity(share.len() / dim);
        for part in share.chunks(BLOCK * dim) {
            let out = &mut products[..part.len() / dim * halves.len()];
            product(part, centroids, dim, out);
            for line in out.chunks_exact_mut(halves.len()) {
                line.iter_mut().zip(&halves).for_each(|(score, half)| *score -= half);
                // The maximum in lanes first, then its place.
                let mut lanes = [f32::NEG_INFINITY; 16];
                let (chunks, rest) = line.as_chunks::<16>();
                for chunk in chunks {
                    lanes
                        .iter_mut()
                        .zip(chunk)
                        .for_each(|(lane, &x)| *lane = if x > *lane { x } else { *lane });
                }
                let most = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
                found.push(line.iter().position(|&score| score >= most).unwrap_or(0) as u32);
            }
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_wherever_they_lie() {
        let mut scores: Vec<f32> = (0..100u8).map(|x| f32::from(x % 50)).collect();
        scores[97] = 1_000.0;
        assert_eq!(top(&scores, 3), [97, 49, 99]);
        assert_eq!(top(&scores[..2], 3), [1, 0]);
    }

    #[test]
    fn shares_come_back_in_order() {
        let items: Vec<u32> = (0..22).collect();
        for threads in [1, 2, 3, 8] {
            assert_eq!(spread(&items, 2, threads, <[u32]>::to_vec), items);
        }
    }
}
