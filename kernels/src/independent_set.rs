//! A deterministic maximal set of rows of which no two are incompatible.

/// Greedy maximal independent set of the graph whose vertices are `0..rows` and whose edges are the
/// incompatible pairs; rows are taken by ascending (degree, row). Ascending rows are returned.
///
/// No two returned rows are incompatible, and no other row could be added. Pairs that name a row
/// outside `0..rows` are ignored; a row paired with itself is never taken. Cost: O(rows log rows + pairs).
///
/// ```
/// // A path 0 – 1 – 2: both ends are taken, the middle is not.
/// assert_eq!(tensor_kernels::independent_set(3, &[(0, 1), (1, 2)]), [0, 2]);
/// ```
#[must_use]
pub fn independent_set(rows: u32, incompatible: &[(u32, u32)]) -> Vec<u32> {
    let edges = || incompatible.iter().filter(|&&(a, b)| a < rows && b < rows);
    let mut neighbors = vec![Vec::new(); rows as usize];
    for &(a, b) in edges() {
        neighbors[a as usize].push(b);
        neighbors[b as usize].push(a);
    }
    let mut order: Vec<u32> = (0..rows).collect();
    order.sort_unstable_by_key(|&row| (neighbors[row as usize].len(), row));

    let mut taken = vec![false; rows as usize];
    for row in order {
        taken[row as usize] =
            !neighbors[row as usize].iter().any(|&other| other == row || taken[other as usize]);
    }
    (0..rows).filter(|&row| taken[row as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_edges_takes_everything_and_a_loop_takes_nothing() {
        assert_eq!(independent_set(3, &[]), [0, 1, 2]);
        assert_eq!(independent_set(1, &[(0, 0)]), [0u32; 0]);
        assert_eq!(independent_set(2, &[(0, 7)]), [0, 1]);
    }

    #[test]
    fn low_degree_first_then_low_row() {
        // A star: the centre has degree 3, the leaves win.
        assert_eq!(independent_set(4, &[(0, 1), (0, 2), (0, 3)]), [1, 2, 3]);
        assert_eq!(independent_set(2, &[(0, 1)]), [0]);
    }

    proptest! {
        #[test]
        fn independent_and_maximal(
            rows in 0u32..20, edges in proptest::collection::vec((0u32..20, 0u32..20), 0..60),
        ) {
            let edges: Vec<_> = edges.into_iter().filter(|(a, b)| a != b && *a < rows && *b < rows).collect();
            let set = independent_set(rows, &edges);
            let adjacent = |a: u32, b: u32| edges.contains(&(a, b)) || edges.contains(&(b, a));
            for &a in &set {
                prop_assert!(set.iter().all(|&b| !adjacent(a, b)));
            }
            for outside in (0..rows).filter(|row| !set.contains(row)) {
                prop_assert!(set.iter().any(|&b| adjacent(outside, b)), "row {} could be added", outside);
            }
        }
    }
}
