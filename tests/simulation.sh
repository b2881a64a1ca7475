#!/usr/bin/env bash
# The simulated cluster: tests/simulation.sh [TEST]. SIM_SEEDS says how many fresh seeds, SIM_SEED runs one again.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo test -q --locked -p tensor-tests --features simulation --test simulation -- --nocapture "$@"
