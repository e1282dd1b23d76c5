#!/bin/sh
# Builds the programs for tests, *.wasm in this folder: core modules of WASI preview 1, and
# components of WASI 0.2 and, in p3, of WASI 0.3.
#   ./build.sh [--debian]   as ../../examples/build-guests.sh says
# The one in C needs clang, wasm-ld and a C library for WASI (Debian: clang lld wasi-libc
# libclang-rt-14-dev-wasm32); components need wasm-tools, as ../../examples/greet/README.md says.
set -eu
cd "$(dirname "$0")"

(cd rust && TARGET=wasm32-wasip1 ../../../examples/build-guests.sh "$@")
cp "${CARGO_TARGET_DIR:-rust/target}/wasm32-wasip1/release/tool.wasm" tool.wasm

clang --target=wasm32-wasi -O2 -s tool.c -o tool-c.wasm

(cd components && ../../../examples/build-guests.sh "$@")
built=${CARGO_TARGET_DIR:-components/target}/wasm32-unknown-unknown/release/examples
for component in http client; do
    wasm-tools component new "$built/$component.wasm" -o "$component.wasm"
    wasm-tools validate "$component.wasm"
done

(cd p3 && ./build.sh "$@")
