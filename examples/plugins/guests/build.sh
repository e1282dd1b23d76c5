#!/bin/sh
# Builds the plug-ins, *.wasm in ../plugins. Needs wasm-tools; see ../../greet/README.md.
#   ./build.sh            with rustup's toolchain and its wasm32-unknown-unknown target
#   ./build.sh --debian   with Debian's packages, which bring the standard library as source
set -eu
cd "$(dirname "$0")"

case ${1-} in
    '') cargo=cargo ;;
    --debian)
        cargo=/usr/bin/cargo
        export RUSTC=/usr/bin/rustc
        # -Z build-std is for nightly toolchains only, unless this says otherwise.
        export RUSTC_BOOTSTRAP=1
        ;;
    *) echo "usage: $0 [--debian]" >&2; exit 2 ;;
esac

# No path of the building machine in the locations of panics: the sources get the names
# they have in rustup's standard library.
"$cargo" fetch --locked --target wasm32-unknown-unknown
separator=$(printf '\037')
flags=--remap-path-prefix=$PWD=guests
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags=$flags$separator--remap-path-prefix=$registry=/rust/deps
done

set -- build --locked --release --examples --target wasm32-unknown-unknown
if [ "$cargo" != cargo ]; then
    library=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust
    flags=$flags$separator--remap-path-prefix=$library=/rustc
    set -- "$@" -Z build-std=std,panic_abort \
        --config 'target.wasm32-unknown-unknown.linker="wasm-ld"'
fi
CARGO_ENCODED_RUSTFLAGS=$flags "$cargo" "$@"

for source in src/*.rs; do
    plugin=$(basename "$source" .rs)
    [ "$plugin" = lib ] && continue
    module=${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/examples/$plugin.wasm
    wasm-tools component new "$module" -o "../plugins/$plugin.wasm"
    wasm-tools validate "../plugins/$plugin.wasm"
done
