#!/bin/sh
# Builds the components of WASI 0.3, *.wasm in this folder.
#   ./build.sh [--debian]   as ../../../examples/build-guests.sh says
# It needs wasm-tools, as ../../../examples/greet/README.md says.
set -eu
cd "$(dirname "$0")"

../../../examples/build-guests.sh "$@"
built=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/examples
for component in copy service chat middleware mixed cancel; do
    wasm-tools component new "$built/$component.wasm" -o "$component.wasm"
    wasm-tools validate --features cm-async "$component.wasm"
done

# The middleware before the service.
wasm-tools compose middleware.wasm -d service.wasm -o composed.wasm
wasm-tools validate --features cm-async composed.wasm
