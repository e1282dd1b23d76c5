#!/bin/sh
# Builds the libraries beside this script. Needs Python and its package `ziglang`; see README.md.
set -eu
cd "$(dirname "$0")"
object=$(mktemp)
trap 'rm -f "$object"' EXIT
for source in libc libzip libimg libplugin main; do
    python3 -m ziglang cc --target=wasm32-wasi -fPIC -O2 -g0 -fno-builtin -fvisibility=default -c "$source.c" -o "$object"
    python3 -m ziglang wasm-ld --experimental-pic -shared --unresolved-symbols=import-dynamic \
        --export-dynamic --strip-all "$object" -o "$source.so"
done
