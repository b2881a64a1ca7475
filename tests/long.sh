#!/usr/bin/env bash
# The full doses of what .ci/run does in small: tests/long.sh [DOSE...], every one without a name; --list names them.
# Together they take some hours. What came of each is written to tests/long.md, with the commit that it was tried on.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TERM_COLOR=never CARGO_INCREMENTAL=0 HAVE_STRACE=1
record=tests/long.md

# The whole workspace and the same profile as .ci/run, so that nothing is built twice.
tests() {
  # A name that no test has any more would pass: it has to run one.
  cargo test --workspace --locked --test "$1" -- --nocapture "${@:2}" 2>&1 |
    awk '{ print; fflush() } /^running [1-9]/ { ran = 1 } END { exit !ran }'
}

declare -A what=(
  [kills]="1,000 kill -9 of real nodes under load"
  [pauses]="100 paused leaders"
  [partitions]="200 partitions"
  [syscalls]="a fault in each of the first 200 system calls of a node alone"
  [faults]="200 faults in system calls of one node of three"
  [flips]="1,000 flipped bits in files of one node of three"
  [puts]="20 times 100 killed puts on one directory, fresh seeds"
  [bytes]="every byte of the block log, one flip each"
  [power]="power losses: 3,000 moments of a chain in a directory, 500 of a node"
  [power-files]="40 power losses of a node whose log begins and removes files"
  [divergence]="100,000 log entries on different hardware, compared at every checkpoint"
  [simulation]="1,000 fresh seeds of the simulated cluster"
  [properties]="property tests, 20,000 cases each"
  [guard]="slices against inaccessible pages: every length to 1,100 at every distance"
  [asan]="AddressSanitizer: kernels, guard and agreement tests"
  [second-driver]="the GPU backend under a second driver"
)
doses=(kills pauses partitions syscalls faults flips puts bytes power power-files divergence simulation properties guard
  asan second-driver)

run() {
  case $1 in
    kills) CLUSTER_KILLS=1000 tests cluster kills:: ;;
    pauses) CLUSTER_PAUSES=100 tests cluster pause:: ;;
    partitions) CLUSTER_PARTITIONS=200 tests cluster partitions_lose ;;
    syscalls) CLUSTER_SYSCALLS=200 tests cluster disk::a_node_alone ;;
    faults) CLUSTER_FAULTS=200 tests cluster disk::a_fault ;;
    flips) CLUSTER_FLIPS=1000 tests cluster damage:: ;;
    puts) for _ in $(seq 20); do tests faults killing || return; done ;;
    bytes) EVERY_BYTE=1 tests faults two_thousand ;;
    power) POWER_IMAGES=3000 POWER_NODE_IMAGES=500 tests power ;;
    power-files) POWER_NODE_WRITES=2400 POWER_NODE_BYTES=200000 POWER_NODE_IMAGES=40 tests power of_a_node ;;
    divergence) DIVERGENCE_ENTRIES=100000 tests divergence agree ;;
    simulation) SIM_SEEDS=1000 tests/simulation.sh fresh_seeds ;;
    properties)
      PROPTEST_CASES=20000 cargo test --release --locked -p tensor-tests --test agreement &&
        PROPTEST_CASES=20000 cargo test --release --locked -p tensor-kernels -p tensor-chain
      ;;
    guard) GUARD_FULL=1 cargo test --release --locked -p tensor-tests --test guard ;;
    asan) tests/asan.sh ;;
    second-driver) tests/second-driver.sh ;;
  esac
}

if [ "${1:-}" = --list ]; then
  for dose in "${doses[@]}"; do printf '%-14s %s\n' "$dose" "${what[$dose]}"; done
  exit
fi
for dose in "$@"; do
  [ -n "${what[$dose]:-}" ] || { echo "no dose is called $dose: see tests/long.sh --list" >&2 && exit 2; }
done
commit=$(git rev-parse --short HEAD)
git diff --quiet HEAD -- . ":!$record" || commit+=-dirty
failed=0
for dose in "${@:-${doses[@]}}"; do
  printf '\n== %s: %s\n' "$dose" "${what[$dose]}"
  start=$SECONDS result=passed
  (run "$dose") || result=FAILED failed=1
  line="| $dose | ${what[$dose]} | $result | $((SECONDS - start)) s | $(date -u +%F) | $commit |"
  echo "$line"
  # In place of what came of it before.
  { grep -v "^| $dose |" "$record" || true; } >"$record.new"
  echo "$line" >>"$record.new"
  mv "$record.new" "$record"
done
exit $failed
