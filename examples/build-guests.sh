#!/bin/sh
# Builds the library and the examples, or the programs, of the package in the current folder as
# core modules, for the target TARGET (wasm32-unknown-unknown, if it is not set, or wasm32-wasip1).
# The same bytes come out in any folder.
#   build-guests.sh            with rustup's toolchain and its target
#   build-guests.sh --debian   with Debian's packages, which bring the standard library as source
set -eu
target=${TARGET:-wasm32-unknown-unknown}

case ${1-} in
    '') cargo=cargo ;;
    --debian)
        cargo=/usr/bin/cargo
        export RUSTC=/usr/bin/rustc
        # -Z build-std is for nightly toolchains only, unless this says otherwise.
        export RUSTC_BOOTSTRAP=1
        ;;
    *) echo "expected --debian or nothing, found $1" >&2; exit 2 ;;
esac

# No path of the building machine in the locations of panics: the sources get the names
# they have in rustup's standard library.
"$cargo" fetch --locked --target "$target"
separator=$(printf '\037')
flags=--remap-path-prefix=$PWD=$(basename "$PWD")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags=$flags$separator--remap-path-prefix=$registry=/rust/deps
done

case $target in
    *-unknown) parts='--lib --examples' ;;
    *) parts=--bins ;;
esac
# shellcheck disable=SC2086 # several words
set -- build --locked --release $parts --target "$target"
if [ "$cargo" != cargo ]; then
    library=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust
    flags=$flags$separator--remap-path-prefix=$library=/rustc
    if [ "$target" = wasm32-wasip1 ]; then
        # Debian's C library, where rustup's toolchain brings its own.
        libc=/usr/lib/wasm32-wasi
        for flag in link-self-contained=no "link-arg=-L$libc" "link-arg=$libc/crt1-command.o"; do
            flags=$flags$separator-C$separator$flag
        done
    fi
    # The toolchain may be older than dependencies say that they need: whether it is new enough,
    # compiling them tells.
    set -- "$@" --ignore-rust-version -Z build-std=std,panic_abort --config "target.$target.linker=\"wasm-ld\""
fi
CARGO_ENCODED_RUSTFLAGS=$flags "$cargo" "$@"
