#!/bin/sh
# Builds greet.wasm beside this script. Needs wasm-tools; see README.md.
#   ./build.sh [--debian]   as ../build-guests.sh says
set -eu
cd "$(dirname "$0")"

../build-guests.sh "$@"
module=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/greet.wasm
wasm-tools component new "$module" -o greet.wasm
wasm-tools validate greet.wasm
