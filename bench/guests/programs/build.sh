#!/bin/sh
# Builds the programs, *.wasm in this folder: components that export `run` and import nothing.
#   ./build.sh [--debian]   as ../../../examples/build-guests.sh says
# Those in C need clang and wasm-ld (Debian: clang lld); components need wasm-tools, as
# ../../../examples/greet/README.md says. Nothing is optimised but by the compilers.
set -eu
cd "$(dirname "$0")"

# Wraps a core module as the component NAME.wasm.
component() {
    wasm-tools component embed world.wit "$1" |
        wasm-tools component new - -o "$2.wasm"
    wasm-tools validate "$2.wasm"
}

../../../examples/build-guests.sh "$@"
built=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release
for source in *.rs; do
    name=${source%.rs}
    component "$built/examples/$name.wasm" "$name"
done

for source in blur.c bytecode.c lu.c; do
    name=${source%.c}
    # Vectors are for the one that is written for them.
    case $name in blur) simd=-msimd128 ;; *) simd= ;; esac
    # shellcheck disable=SC2086 # nothing, if there is nothing
    clang --target=wasm32 -std=c11 -O3 -Wall -mbulk-memory -msign-ext -mnontrapping-fptoint $simd \
        -nostdlib -Wl,--no-entry -Wl,--export=run "$source" -o "$built/$name.wasm"
    component "$built/$name.wasm" "$name"
done
