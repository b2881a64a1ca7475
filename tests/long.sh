#!/usr/bin/env bash
# The full doses: what .ci/run does in small. Takes about an hour; prints what it did.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "every byte of the block log, one flip each"
EVERY_BYTE=1 cargo test --release -p tensor-node --test faults -- two_thousand --nocapture
echo "20 rounds of 100 killed puts, fresh seeds"
for _ in $(seq 20); do cargo test -q --release -p tensor-node --test faults -- killing --nocapture; done
echo "power losses: 3,000 moments of a chain in a directory, 500 of a node, 40 of one whose log begins and removes files"
POWER_IMAGES=3000 POWER_NODE_IMAGES=500 cargo test --release -p tensor-node --test power -- --nocapture
POWER_NODE_WRITES=2400 POWER_NODE_BYTES=200000 POWER_NODE_IMAGES=40 \
  cargo test --release -p tensor-node --test power -- of_a_node --nocapture
echo "100,000 log entries on different hardware, compared at every checkpoint"
DIVERGENCE_ENTRIES=100000 cargo test --release -p tensor-node --test divergence -- agree --nocapture
echo "a cluster of real processes: 1,000 kills, 100 pauses, 200 partitions, every system call up to 200, 1,000 flips"
CLUSTER_KILLS=1000 CLUSTER_PAUSES=100 CLUSTER_PARTITIONS=200 CLUSTER_SYSCALLS=200 CLUSTER_FAULTS=200 CLUSTER_FLIPS=1000 \
  cargo test --release -p tensor-node --test cluster -- --nocapture
echo "1,000 fresh seeds of the simulated cluster"
SIM_SEEDS=1000 tests/simulation.sh fresh_seeds
echo "property tests, 20,000 cases each"
PROPTEST_CASES=20000 cargo test --release -p tensor-tests --test agreement
PROPTEST_CASES=20000 cargo test --release -p tensor-kernels -p tensor-chain
echo "slices against inaccessible pages: every length to 1,100 at every distance"
GUARD_FULL=1 cargo test --release -p tensor-tests --test guard
echo "AddressSanitizer: kernels, guard and agreement tests"
tests/asan.sh
echo "the GPU backend under a second driver"
tests/second-driver.sh
