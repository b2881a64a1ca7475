//! Nodes that compute on different hardware agree at every checkpoint, and one that computes wrongly is found out.
//!
//! Writes carry vectors of which many may not stand together, so kernels decide what is in each block.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod nodes;
mod writers;
mod wrong_kernel;

use nodes::{Machine, Nodes, await_that};
use writers::Writers;

/// Heights that are voted on.
const CHECKPOINT_EVERY: u64 = 50;

/// Log entries of a run: DIVERGENCE_ENTRIES, or few.
fn entries() -> u64 {
    std::env::var("DIVERGENCE_ENTRIES").ok().and_then(|entries| entries.parse().ok()).unwrap_or(600)
}

#[test]
fn nodes_on_different_hardware_agree_at_every_checkpoint() {
    let nodes = Nodes::start([Machine::scalar(), Machine::fastest(), Machine::other()]);
    let writers = Writers::start(&nodes.endpoints());
    await_that("enough entries are applied", || nodes.applied() >= entries());
    let (accepted, refused) = writers.stop();
    assert!(
        accepted > 100 && refused > 20,
        "kernels decided too little: {accepted} stood, {refused} did not"
    );
    let last = nodes.await_finality();
    assert!(last >= 2 * CHECKPOINT_EVERY, "{last}");
    for height in (0..=last).step_by(CHECKPOINT_EVERY as usize) {
        let blocks = nodes.blocks(height);
        assert!(blocks.windows(2).all(|two| two[0] == two[1]), "at height {height}: {blocks:?}");
    }
}

#[test]
fn a_node_whose_kernel_is_wrong_ends_with_30_and_stays_out_while_the_others_go_on() {
    let mut nodes = Nodes::start([Machine::scalar(), Machine::fastest(), Machine::wrong()]);
    let writers = Writers::start(&nodes.endpoints());
    assert_eq!(nodes.await_end(2), Some(30));
    let before = nodes.applied();
    await_that("the others go on", || nodes.applied() > before + 100);
    writers.stop();
    let last = nodes.await_finality();
    assert!(last >= CHECKPOINT_EVERY, "{last}");
    let blocks = nodes.blocks(last);
    assert_eq!((blocks.len(), &blocks[0]), (2, &blocks[1]));

    // With a sound kernel it would go on with its unsound chain.
    let (code, said) = nodes.start_again(2);
    assert_eq!(code, Some(30), "{said}");
    assert!(said.contains("in quarantine") && said.contains("empty this directory"), "{said}");
}
