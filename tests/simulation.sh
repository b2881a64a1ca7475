#!/usr/bin/env bash
# The simulated cluster: tests/simulation.sh [TEST]. SIM_SEEDS says how many fresh seeds, SIM_SEED runs one again.
set -euo pipefail
cd "$(dirname "$0")/.."
# The whole workspace: with one package alone the dependencies would have other features, and be built anew.
cargo test -q --locked --workspace --features simulation --test simulation -- --nocapture "$@"
