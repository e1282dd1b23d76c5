#!/bin/sh
# Builds the plug-ins, *.wasm in ../plugins. Needs wasm-tools; see ../../greet/README.md.
#   ./build.sh [--debian]   as ../../build-guests.sh says
set -eu
cd "$(dirname "$0")"

../../build-guests.sh "$@"
for source in src/*.rs; do
    plugin=$(basename "$source" .rs)
    [ "$plugin" = lib ] && continue
    module=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/examples/$plugin.wasm
    wasm-tools component new "$module" -o "../plugins/$plugin.wasm"
    wasm-tools validate "../plugins/$plugin.wasm"
done
