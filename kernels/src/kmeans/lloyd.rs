//! Lloyd's iteration: move each centroid to the mean of its rows, assign each row to its nearest centroid,
//! until nothing moves.

use std::cmp::Ordering;

use super::Points;

/// What training found. `centroids` and `assignments` belong together: each row is assigned to the
/// nearest of these very centroids.
pub(crate) struct Trained<V> {
    pub(crate) centroids: Vec<V>,
    pub(crate) assignments: Vec<u32>,
    pub(crate) iterations: usize,
    pub(crate) converged: bool,
}

/// Clusters the rows into at most `k`. Empty where there are no rows or `k` is 0.
pub(crate) fn train<P: Points>(points: &P, k: usize, max_iterations: usize, seed: u64) -> Trained<P::Value> {
    let seeds = points.seeds(k, seed);
    let k = seeds.len();
    let centroids: Vec<_> = seeds.into_iter().flat_map(|row| points.row(row)).copied().collect();
    let mut trained = Trained { centroids, assignments: Vec::new(), iterations: 0, converged: k == 0 };
    if k == 0 {
        return trained;
    }
    trained.assignments = points.assign(&trained.centroids);
    let mut before: Option<Clusters> = None;
    while !trained.converged && trained.iterations < max_iterations {
        let mut clusters = Clusters::group(&trained.assignments, k);
        let deviations = |assignments: &[u32]| points.deviations(&trained.centroids, assignments);
        if fill_empty(&clusters, &mut trained.assignments, deviations) {
            clusters = Clusters::group(&trained.assignments, k);
        }
        // The mean of the same rows is the same; late rounds move few rows.
        let same = |id| before.as_ref().is_some_and(|before| before.members(id) == clusters.members(id));
        let changed: Vec<bool> = (0..k).map(|id| !same(id)).collect();
        points.update(&clusters, &changed, &mut trained.centroids);
        before = Some(clusters);
        let assignments = points.assign(&trained.centroids);
        trained.converged = assignments == trained.assignments;
        trained.assignments = assignments;
        trained.iterations += 1;
    }
    trained
}

/// The rows of each cluster, ascending.
pub(crate) struct Clusters {
    offsets: Vec<usize>,
    rows: Vec<u32>,
}

impl Clusters {
    /// Sorts rows by cluster: `assignments[row]` is below `k`.
    pub(crate) fn group(assignments: &[u32], k: usize) -> Self {
        let mut offsets = vec![0; k + 1];
        for &cluster in assignments {
            offsets[cluster as usize + 1] += 1;
        }
        for cluster in 0..k {
            offsets[cluster + 1] += offsets[cluster];
        }
        let mut next = offsets.clone();
        let mut rows = vec![0; assignments.len()];
        for (row, &cluster) in (0..).zip(assignments) {
            let slot = &mut next[cluster as usize];
            rows[*slot] = row;
            *slot += 1;
        }
        Self { offsets, rows }
    }

    /// Number of clusters, empty ones included.
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The rows of cluster `id`, ascending.
    pub(crate) fn members(&self, id: usize) -> &[u32] {
        &self.rows[self.offsets[id]..self.offsets[id + 1]]
    }
}

/// Gives each empty cluster, in ascending order, the row farthest from its own centroid (ties to the lowest
/// row) among those whose cluster keeps a member, and returns whether any row moved. A row that lies on
/// its centroid stays: with nothing far to take, the cluster stays empty and its centroid where it was.
fn fill_empty<D: Copy + PartialOrd + Default>(
    clusters: &Clusters,
    assignments: &mut [u32],
    deviations: impl FnOnce(&[u32]) -> Vec<D>,
) -> bool {
    let mut sizes: Vec<usize> = (0..clusters.len()).map(|id| clusters.members(id).len()).collect();
    let empty: Vec<u32> = (0..).zip(&sizes).filter(|&(_, &size)| size == 0).map(|(id, _)| id).collect();
    if empty.is_empty() {
        return false;
    }
    let deviations = deviations(assignments);
    let mut farthest: Vec<usize> =
        (0..assignments.len()).filter(|&row| deviations[row] > D::default()).collect();
    // A stable sort: equal deviations stay in ascending row. Deviations are finite, so all compare.
    farthest.sort_by(|&a, &b| deviations[b].partial_cmp(&deviations[a]).unwrap_or(Ordering::Equal));
    let mut empty = empty.into_iter().peekable();
    let mut moved = false;
    for row in farthest {
        let Some(&id) = empty.peek() else { break };
        let donor = assignments[row] as usize;
        if sizes[donor] > 1 {
            sizes[donor] -= 1;
            sizes[id as usize] = 1;
            assignments[row] = id;
            moved = true;
            empty.next();
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Assignments after filling the empty ones of `k` clusters, where they changed.
    fn filled(assignments: &[u32], k: usize, deviations: &[u32]) -> Option<Vec<u32>> {
        let mut assignments = assignments.to_vec();
        let clusters = Clusters::group(&assignments, k);
        fill_empty(&clusters, &mut assignments, |_| deviations.to_vec()).then_some(assignments)
    }

    #[test]
    fn clusters_list_their_rows_in_ascending_order() {
        let clusters = Clusters::group(&[2, 0, 2, 0, 2], 4);
        let members: Vec<_> = (0..4).map(|id| clusters.members(id)).collect();
        assert_eq!(members, [&[1, 3][..], &[], &[0, 2, 4], &[]]);
    }

    #[test]
    fn an_empty_cluster_takes_the_farthest_row() {
        assert_eq!(filled(&[0, 1], 2, &[5, 5]), None);
        assert_eq!(filled(&[0, 0, 0], 2, &[1, 7, 3]), Some(vec![0, 1, 0]));
        assert_eq!(filled(&[0, 0, 0], 2, &[7, 1, 7]), Some(vec![1, 0, 0]), "ties to the lowest row");
        assert_eq!(filled(&[3, 3, 3, 3], 4, &[1, 9, 5, 7]), Some(vec![3, 0, 2, 1]), "in ascending cluster");
        assert_eq!(filled(&[0, 2, 2, 0], 3, &[1, 3, 4, 9]), Some(vec![0, 2, 2, 1]));
        assert_eq!(filled(&[0, 2, 2], 3, &[9, 3, 4]), Some(vec![0, 2, 1]), "a last member stays");
        assert_eq!(filled(&[0, 0, 0, 0], 4, &[0, 0, 6, 0]), Some(vec![0, 0, 1, 0]), "nothing far to take");
        assert_eq!(filled(&[0, 0], 2, &[0, 0]), None);
    }
}
