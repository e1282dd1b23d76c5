#!/bin/sh
# Builds the library and the examples of the package in the current folder for
# wasm32-unknown-unknown, as core modules. The same bytes come out in any folder.
#   build-guests.sh            with rustup's toolchain and its wasm32-unknown-unknown target
#   build-guests.sh --debian   with Debian's packages, which bring the standard library as source
set -eu

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
"$cargo" fetch --locked --target wasm32-unknown-unknown
separator=$(printf '\037')
flags=--remap-path-prefix=$PWD=$(basename "$PWD")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags=$flags$separator--remap-path-prefix=$registry=/rust/deps
done

set -- build --locked --release --lib --examples --target wasm32-unknown-unknown
if [ "$cargo" != cargo ]; then
    library=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust
    flags=$flags$separator--remap-path-prefix=$library=/rustc
    set -- "$@" -Z build-std=std,panic_abort \
        --config 'target.wasm32-unknown-unknown.linker="wasm-ld"'
fi
CARGO_ENCODED_RUSTFLAGS=$flags "$cargo" "$@"
