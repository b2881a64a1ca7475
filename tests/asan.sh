#!/usr/bin/env bash
# AddressSanitizer over the kernels: their own tests, every operation over a sample of lengths (tests/guard) and
# the agreement tests. Instructions that the compiler does not know as loads (tiles) are tests/guard's alone.
# A nightly flag on the pinned compiler, so everything is built anew under target/asan. `tests/asan.sh kernels` stops early.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/asan
# What is held until the process ends, such as a thread pool, is not a leak.
export ASAN_OPTIONS=detect_leaks=0 PROPTEST_CASES=${PROPTEST_CASES:-64}
cargo_asan() { cargo test --locked --target x86_64-unknown-linux-gnu "$@"; }

cargo_asan -p tensor-kernels --lib
[ "${1:-}" = kernels ] || cargo_asan -p tensor-tests --test guard --test agreement
