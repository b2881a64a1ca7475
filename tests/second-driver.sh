#!/usr/bin/env bash
# The GPU tests, golden vectors among them, once more under SwiftShader, a second driver with a compiler of its own and
# narrower limits than Mesa's: what only one driver gets right is not right. Debian ships it in chromium-common, which is
# unpacked, not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
(cd "$folder" && apt-get download chromium-common)
dpkg-deb --fsys-tarfile "$folder"/chromium-common_*.deb | tar -C "$folder" -x --wildcards '*libvk_swiftshader.so'
library=$(find "$folder" -name libvk_swiftshader.so)
printf '{"file_format_version":"1.0.0","ICD":{"library_path":"%s","api_version":"1.0.5"}}' "$library" >"$folder/icd.json"
# The loader wants a folder of its own, and must not find another driver.
export VK_DRIVER_FILES="$folder/icd.json" XDG_RUNTIME_DIR="$folder" REQUIRE_GPU=1
cargo test --locked -p tensor-tests --features gpu --test gpu
