//! Clients that write vectors, many of which are too like one that was written lately.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tensor_chain::DEFAULT_EMBEDDING_DIM;
use tensor_client::text::Data;
use tensor_client::{ClientError, wire};
use tensor_tests::faults;

use crate::nodes::client;

const WRITERS: u64 = 16;
/// Blocks that a write may lie behind: those in between are compared with it.
const BEHIND: u64 = 6;

/// Writers at work.
pub struct Writers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<(u64, u64)>>,
}

impl Writers {
    pub fn start(endpoints: &[String]) -> Self {
        let (stop, seed) = (Arc::new(AtomicBool::new(false)), faults::seed("DIVERGENCE_SEED"));
        let write = |writer: u64| {
            let (endpoints, stop) = (endpoints.to_vec(), Arc::clone(&stop));
            let random = ChaCha8Rng::seed_from_u64(seed ^ writer);
            thread::spawn(move || write_until(writer, random, &endpoints, &stop))
        };
        let threads = (0..WRITERS).map(write).collect();
        Self { stop, threads }
    }

    /// Writes that stood, and writes that were refused for their vector.
    pub fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let counts = self.threads.into_iter().map(|thread| thread.join().unwrap());
        counts.fold((0, 0), |(stood, refused), (s, r)| (stood + s, refused + r))
    }
}

fn write_until(writer: u64, mut random: ChaCha8Rng, endpoints: &[String], stop: &AtomicBool) -> (u64, u64) {
    let (node, mut tip, mut stood, mut refused) = (client(endpoints), 0_u64, 0, 0);
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("{writer}-{n}");
        let batch = wire::Batch {
            begin_height: Some(tip.saturating_sub(u64::from(random.next_u32()) % BEHIND)),
            reads: Vec::new(),
            ops: vec![wire::Operation::Put { key, value: Data::of(b"value") }],
            embedding: Some(vector(&mut random)),
        };
        match node.wait(node.client().commit(&batch)) {
            Ok(receipt) => (tip, stood) = (receipt.height, stood + 1),
            Err(ClientError::Refused(wire::Problem::DeltaConflict { with, .. })) => {
                (tip, refused) = (tip.max(with), refused + 1);
            }
            // A node that ends leaves writes without an answer.
            Err(_) => {}
        }
    }
    (stood, refused)
}

/// Two components: of two vectors with the same first one and another second one the cosine is 0.8, which is too much.
fn vector(random: &mut ChaCha8Rng) -> Vec<f32> {
    let mut vector = vec![0.0; DEFAULT_EMBEDDING_DIM.get() as usize];
    let [first, second] = [random.next_u32(), random.next_u32()].map(|n| n as usize % vector.len());
    vector[second] = 0.5;
    vector[first] = 1.0;
    vector
}
