//! Blocks from elsewhere and blocks that were tampered with: what is wrong is found and named.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{HandClock, begin_put, chain, config, delta, put, write_log};
use tensor_chain::encoding::{Decode, Encode};
use tensor_chain::{
    Block, BlockFault, ChainConfig, ChainError, ChainParams, Changeset, GlobalCodebook, Height, Identity,
    Omitted, Rejection, Stamp, StateRoot, TensorChain, TensorStore, Transaction, TxRoot, ValidatorSignature,
    VerifyDepth, verify_dir,
};

/// A chain of six blocks with supplied deltas, a codebook and codes.
fn original() -> TensorChain {
    let chain = chain();
    chain.put("a", "1").unwrap();
    let workspace = begin_put(&chain, "b", "2");
    workspace.set_delta(delta(&[0.5, 0.0, 1.0, 0.0])).unwrap();
    chain.commit(workspace).unwrap();
    save_codebook(&chain, vec![vec![1.0, 0.0, 0.0, 0.0], vec![0.0, 0.0, 1.0, 0.0]]);
    let workspace = begin_put(&chain, "c", "3");
    workspace.set_delta(delta(&[0.0, 0.1, 4.0, 0.0])).unwrap();
    chain.commit(workspace).unwrap();
    chain.delete("a").unwrap();
    chain
}

fn save_codebook(chain: &TensorChain, centroids: Vec<Vec<f32>>) {
    let codebook = GlobalCodebook::from_centroids(centroids).unwrap().with_epoch(1);
    let data = codebook.to_bytes();
    chain.auto_commit(Transaction::Put { key: tensor_chain::CODEBOOK_KEY.into(), data }).unwrap();
}

fn blocks(chain: &TensorChain) -> Vec<Block> {
    chain.iter().map(Result::unwrap).collect()
}

/// A copy of a chain that ends at a height.
fn copy_to(chain: &TensorChain, height: u64, dir: &Path) -> TensorChain {
    write_log(&blocks(chain)[..=height as usize], chain.params().unwrap(), dir);
    let copy = TensorChain::new(TensorStore::open(dir).unwrap(), "copy");
    copy.initialize().unwrap();
    copy
}

/// Recomputes every link, as someone would who wants a changed block to fit.
fn relink(blocks: &mut [Block]) {
    for n in 1..blocks.len() {
        blocks[n].header.prev_hash = blocks[n - 1].hash();
    }
}

fn verify(blocks: &[Block], params: &ChainParams, depth: VerifyDepth) -> Result<(), ChainError> {
    let dir = tempfile::tempdir().unwrap();
    write_log(blocks, params, dir.path());
    verify_dir(dir.path(), depth).map(drop)
}

#[test]
fn a_block_of_another_node_is_appended_as_it_is() {
    let (original, dir) = (original(), tempfile::tempdir().unwrap());
    let copy = copy_to(&original, 0, dir.path());
    for block in &blocks(&original)[1..] {
        let receipt = copy.append_block(block).unwrap();
        assert_eq!((receipt.height, receipt.hash), (block.header.height, block.hash()));
    }
    assert_eq!(copy.tip_hash(), original.tip_hash());
    assert_eq!(copy.get("b").unwrap(), original.get("b").unwrap());
    copy.verify_full().unwrap();
    // And the copy goes on with blocks of its own.
    copy.put("d", "4").unwrap();
    copy.verify_full().unwrap();
}

#[test]
fn a_proposed_block_is_not_written_until_it_is_appended() {
    let chain = original();
    let changeset = Changeset::single(put("x", "y")).unwrap();
    let block = chain.new_block().changeset(changeset).build().unwrap();
    assert_eq!((chain.height(), chain.get("x").unwrap()), (Height(5), None));
    chain.append_block(&block).unwrap();
    assert_eq!(chain.get("x").unwrap(), Some(b"y".to_vec()));
    let again = chain.append_block(&block).unwrap_err();
    assert!(matches!(again, ChainError::ValidationFailed { fault: BlockFault::Height { .. }, .. }));
}

#[test]
fn a_block_that_nobody_would_append_is_not_built() {
    let chain = original();
    let changeset = |name: &str, operations: usize, bytes: usize| {
        let puts = (0..operations).map(|n| put(&format!("{name}{n}"), vec![0; bytes])).collect();
        Changeset::new(None, [].into(), puts, None).unwrap()
    };
    let build = |changesets: Vec<Changeset>| {
        changesets.into_iter().fold(chain.new_block(), |block, changeset| block.changeset(changeset)).build()
    };
    let too_many = vec![changeset("a", 500, 0), changeset("b", 501, 0)];
    let too_long = vec![changeset("a", 1, 600_000), changeset("b", 1, 600_000)];
    for changesets in [vec![], too_many, too_long] {
        let error = build(changesets).unwrap_err();
        assert_eq!(fault_name(&error), "Size", "{error}");
        assert!(matches!(error, ChainError::ValidationFailed { height: Height(6), .. }), "{error}");
    }
    let most = build(vec![changeset("a", 500, 0), changeset("b", 500, 0)]).unwrap();
    chain.append_block(&most).unwrap();
}

/// The fault that is found, what is done to the block, and how deep one must look.
type Tampering = (&'static str, fn(&mut Block), VerifyDepth);

/// Every field of a block, tampered with in one way or another.
fn tamperings() -> Vec<Tampering> {
    use VerifyDepth::{Full, Links};
    vec![
        ("InvalidHash", |b| b.header.prev_hash.0[0] ^= 1, Links),
        ("TxRoot", |b| b.header.tx_root = TxRoot([7; 32]), Links),
        ("TxCount", |b| b.header.tx_count += 1, Links),
        ("Timestamp", |b| b.header.timestamp_ms = 1, Links),
        ("Signature", |b| b.header.timestamp_ms += 1, Links),
        ("Signature", |b| b.header.signature[5] ^= 1, Links),
        ("Signature", |b| b.header.proposer.0[0] ^= 1, Links),
        ("Signature", |b| b.header.proposer_key = Identity::from_bytes(&[9; 32]).public_key_bytes(), Links),
        ("Size", |b| b.changesets.clear(), Links),
        ("TxRoot", |b| b.changesets = vec![Changeset::single(put("c", "forged")).unwrap()], Links),
        (
            "Signature",
            |b| {
                b.changesets = vec![Changeset::single(put("c", "forged")).unwrap()];
                b.header.tx_root = b.compute_tx_root();
            },
            Links,
        ),
        (
            "ValidatorSignatures",
            |b| {
                let signature = ValidatorSignature { validator: Default::default(), signature: [0; 64] };
                b.signatures = vec![signature];
            },
            Links,
        ),
        ("StateRoot", |b| b.header.state_root = StateRoot([7; 32]), Full),
        ("Delta", |b| b.header.delta = tensor_kernels::DeltaSum::zero(4), Full),
        ("Codes", |b| b.header.quantized_codes = vec![0], Full),
        ("Codes", |b| b.header.quantized_codes.clear(), Full),
        ("Codes", |b| b.header.codebook_epoch += 1, Full),
    ]
}

fn fault_name(error: &ChainError) -> String {
    match error {
        ChainError::ValidationFailed { fault, .. } => {
            format!("{fault:?}").split([' ', '(', '{']).next().unwrap().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn append_refuses_every_tampered_field_and_names_it() {
    let original = original();
    for (expected, tamper, _) in tamperings() {
        let dir = tempfile::tempdir().unwrap();
        let copy = copy_to(&original, 3, dir.path());
        let genuine = blocks(&original)[4].clone();
        let mut block = genuine.clone();
        tamper(&mut block);
        assert_ne!(block, genuine);
        let error = copy.append_block(&block).unwrap_err();
        assert_eq!(fault_name(&error), expected, "{error}");
        assert_eq!(copy.height(), Height(3));
        copy.append_block(&genuine).unwrap();
    }
}

#[test]
fn verification_finds_every_tampered_field_and_names_the_block() {
    let original = original();
    let params = original.params().unwrap().clone();
    for (expected, tamper, needed) in tamperings() {
        let mut blocks = blocks(&original);
        tamper(&mut blocks[4]);
        // As it is: whatever the field, the next block no longer fits.
        let error = verify(&blocks, &params, VerifyDepth::Links).unwrap_err();
        assert!(matches!(error, ChainError::ValidationFailed { height: Height(4 | 5), .. }), "{error}");
        // With all links made to fit again.
        if expected == "InvalidHash" {
            continue; // that would undo it
        }
        relink(&mut blocks);
        let found = verify(&blocks, &params, needed).unwrap_err();
        assert_eq!(fault_name(&found), expected, "{found}");
        assert!(matches!(found, ChainError::ValidationFailed { height: Height(4), .. }));
        if needed == VerifyDepth::Full {
            verify(&blocks, &params, VerifyDepth::Links).unwrap();
        }
    }
}

#[test]
fn verification_finds_blocks_that_are_missing_or_out_of_place() {
    let original = original();
    let params = original.params().unwrap().clone();
    let blocks = blocks(&original);
    verify(&blocks, &params, VerifyDepth::Full).unwrap();
    // A part of a chain is a chain: only a hash from elsewhere tells that something is missing at the end.
    verify(&blocks[..3], &params, VerifyDepth::Full).unwrap();

    let mut renumbered = [&blocks[..2], &blocks[3..]].concat();
    for (n, block) in renumbered.iter_mut().enumerate() {
        block.header.height = Height(n as u64);
    }
    assert_eq!(fault_name(&verify(&renumbered, &params, VerifyDepth::Links).unwrap_err()), "InvalidHash");
    relink(&mut renumbered);
    assert_eq!(fault_name(&verify(&renumbered, &params, VerifyDepth::Full).unwrap_err()), "StateRoot");

    // Blocks of one chain do not fit another chain's genesis, nor its signatures another chain.
    let stranger = common::chain_with(ChainConfig { clock: Arc::new(HandClock::default()), ..config() });
    let other = stranger.params().unwrap().clone();
    assert_eq!(fault_name(&verify(&blocks, &other, VerifyDepth::Links).unwrap_err()), "InvalidHash");
    let mut adopted = [&[stranger.get_genesis().unwrap().unwrap()], &blocks[1..]].concat();
    relink(&mut adopted);
    assert_eq!(fault_name(&verify(&adopted, &other, VerifyDepth::Links).unwrap_err()), "Signature");

    assert!(matches!(verify(&[], &params, VerifyDepth::Links), Err(ChainError::EmptyChain)));
}

#[test]
fn a_genesis_that_claims_a_state_is_found() {
    let original = original();
    let params = original.params().unwrap().clone();
    let mut blocks = blocks(&original);
    blocks[0].header.state_root = StateRoot([1; 32]);
    relink(&mut blocks);
    assert_eq!(fault_name(&verify(&blocks, &params, VerifyDepth::Full).unwrap_err()), "StateRoot");
}

#[test]
fn a_signed_block_of_a_changeset_that_does_not_stand_is_refused() {
    // The proposer signs what no honest node would have accepted.
    let original = original();
    let block = blocks(&original).pop().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_to(&original, 4, dir.path());
    let begin = Some(Height(1));
    for (changeset, expected) in [
        (
            Changeset::single(Transaction::Update { key: "absent".into(), data: vec![] }).unwrap(),
            Rejection::KeyAbsent { key: "absent".into() },
        ),
        (
            Changeset::new(begin, [].into(), vec![put("b", "late")], None).unwrap(),
            Rejection::Conflict {
                cause: tensor_chain::ConflictCause::Key { key: "b".into() },
                with: Height(2),
            },
        ),
    ] {
        let mut forged = block.clone();
        forged.changesets = vec![changeset];
        let stamp = Stamp::sign(
            original.store().identity().unwrap(),
            original.params().unwrap().chain_id,
            forged.header.timestamp_ms,
            &forged.changesets,
        );
        forged.header.signature = stamp.signature;
        forged.header.tx_root = forged.compute_tx_root();
        let fault = BlockFault::Rejected { position: 0, rejection: expected };
        match copy.append_block(&forged).unwrap_err() {
            ChainError::ValidationFailed { height: Height(5), fault: found } => assert_eq!(found, fault),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_was_left_out_has_places_in_one_batch_in_order() {
    let original = original();
    let genuine = blocks(&original).pop().unwrap();
    let (params, dir) = (original.params().unwrap(), tempfile::tempdir().unwrap());
    let copy = copy_to(&original, 4, dir.path());
    let with = |positions: &[u32]| {
        let omitted = positions.iter().map(|&position| Omitted { position, digest: [position as u8; 32] });
        Block { omitted: omitted.collect(), ..genuine.clone() }
    };
    let many = |count: u32| (1..=count).collect::<Vec<_>>();
    for positions in [&[1, 0][..], &[1, 1], &[0, 0], &[2], &[0, 3], &[u32::MAX], &many(1_000)] {
        let block = with(positions);
        let error = copy.append_block(&block).unwrap_err();
        assert_eq!(fault_name(&error), "Omitted", "{error}");
        assert!(!block.is_signed(params.chain_id) && Block::from_bytes(&block.to_bytes()).is_err());
    }
    for positions in [&[0][..], &[1], &[0, 2], &[1, 2], &many(999)] {
        let block = with(positions);
        assert_eq!(Block::from_bytes(&block.to_bytes()).unwrap(), block);
        assert_eq!(fault_name(&copy.append_block(&block).unwrap_err()), "Signature", "nobody signed that");
    }
}

#[test]
fn blocks_come_back_from_their_bytes_and_no_other_bytes_decode() {
    let original = original();
    for block in blocks(&original) {
        let bytes = block.to_bytes();
        assert_eq!(Block::from_bytes(&bytes).unwrap(), block);
        for length in 0..bytes.len() {
            assert!(Block::from_bytes(&bytes[..length]).is_err());
        }
        // One encoding per value: what decodes after a change is another block.
        for position in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << (position % 8);
            if let Ok(other) = Block::from_bytes(&changed) {
                assert_eq!(other.to_bytes(), changed);
                assert_ne!(other, block);
            }
        }
    }
}

#[test]
fn codes_follow_the_codebook_in_force() {
    let chain = original();
    let headers: Vec<_> = blocks(&chain).into_iter().map(|block| block.header).collect();
    // The block that brings the codebook is still without; the next one is near the second entry.
    let codes: Vec<_> = headers.iter().map(|h| (h.codebook_epoch, h.quantized_codes.clone())).collect();
    assert_eq!(codes[..5], [(0, vec![]), (0, vec![]), (0, vec![]), (0, vec![]), (1, vec![1])]);
    let drift = chain.drift(Height(0), chain.height()).unwrap();
    assert_eq!(drift.blocks.first().unwrap().height, Height(4));

    // Reserved for codebooks of the next epoch and the chain's dimension.
    let key = || tensor_chain::CODEBOOK_KEY.to_owned();
    let book =
        |dim: usize, epoch| GlobalCodebook::from_centroids(vec![vec![1.0; dim]]).unwrap().with_epoch(epoch);
    for operation in [
        put(tensor_chain::CODEBOOK_KEY, "not a codebook"),
        put(tensor_chain::CODEBOOK_KEY, book(3, 2).to_bytes()),
        put(tensor_chain::CODEBOOK_KEY, book(4, 1).to_bytes()),
        put(tensor_chain::CODEBOOK_KEY, book(4, 3).to_bytes()),
        Transaction::Delete { key: key() },
        Transaction::Update { key: key(), data: book(4, 2).to_bytes() },
    ] {
        let error = chain.auto_commit(operation).unwrap_err();
        assert!(error.to_string().contains("codebook"), "{error}");
    }
    chain.put(key(), book(4, 2).to_bytes()).unwrap();
    chain.verify_full().unwrap();
}

#[test]
fn a_clock_that_jumps_does_not_stop_the_chain() {
    let clock = Arc::new(HandClock::default());
    let chain = common::chain_with(ChainConfig { clock: Arc::clone(&clock) as _, ..config() });
    for now in [u64::MAX, 0, 12] {
        clock.set(now);
        chain.put("k", "").unwrap();
    }
    chain.verify_full().unwrap();
}
