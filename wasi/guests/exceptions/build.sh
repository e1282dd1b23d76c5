#!/bin/sh
# Builds the programs that throw, *.wasm in this folder: core modules of WASI preview 1, each with
# today's instructions (try_table) and, as *-legacy.wasm, with those that they have replaced (try).
#   LLVM=FOLDER ./build.sh
# FOLDER has libcxx, libcxxabi and libunwind of LLVM 22 as source, which the package `ziglang` of
# PyPI brings in ziglang/lib; README.md says more. The rest is Debian's: rustc-web cargo-web
# rust-web-src clang-22 lld-22 wasi-libc libclang-rt-22-dev-wasm32.
set -eu
cd "$(dirname "$0")"
: "${LLVM:?the folder with libcxx, libcxxabi and libunwind}"
LLVM=$(cd "$LLVM" && pwd)
libc=/usr/lib/wasm32-wasi
target=${CARGO_TARGET_DIR:-$PWD/rust/target}
objects=$target/objects
mkdir -p "$objects"

# build.sh of the examples is for panics that abort.
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
library=$("$RUSTC" --print sysroot)/lib/rustlib/src/rust

# What CMake says in builds of libc++.
config='-D_LIBCPP_ABI_VERSION=1 -D_LIBCPP_ABI_NAMESPACE=__1 -D_LIBCPP_HAS_MUSL_LIBC=1
    -D_LIBCPP_HAS_THREADS=0 -D_LIBCPP_HAS_THREAD_API_PTHREAD=0 -D_LIBCXXABI_HAS_NO_THREADS
    -D_LIBCPP_HAS_MONOTONIC_CLOCK=1 -D_LIBCPP_HAS_TERMINAL=0 -D_LIBCPP_HAS_FILESYSTEM=0
    -D_LIBCPP_HAS_RANDOM_DEVICE=0 -D_LIBCPP_HAS_LOCALIZATION=0 -D_LIBCPP_HAS_UNICODE=0
    -D_LIBCPP_HAS_WIDE_CHARACTERS=0 -D_LIBCPP_HAS_TIME_ZONE_DATABASE=0
    -D_LIBCPP_HAS_VENDOR_AVAILABILITY_ANNOTATIONS=0 -D_LIBCPP_PSTL_BACKEND_SERIAL
    -D_LIBCPP_HARDENING_MODE_DEFAULT=2 -D_LIBCPP_ASSERTION_SEMANTIC_DEFAULT=2
    -DLIBCXXABI_NON_DEMANGLING_TERMINATE'

# build LEGACY SUFFIX
build() {
    legacy=$1 suffix=$2
    flags="-Cpanic=unwind -Ctarget-feature=+exception-handling
        -Cllvm-args=-wasm-use-legacy-eh=$legacy
        -Clink-self-contained=no -Clink-arg=-L$libc -Clink-arg=$libc/crt1-command.o
        --remap-path-prefix=$library=/rustc --remap-path-prefix=$PWD/rust=unwind"
    # shellcheck disable=SC2086 # several words
    flags=$(printf '%s ' $flags)
    (cd rust && CARGO_TARGET_DIR=$target RUSTFLAGS=$flags /usr/bin/cargo build --locked --release \
        --ignore-rust-version --target wasm32-wasip1 -Z build-std=std,panic_unwind \
        --config 'target.wasm32-wasip1.linker="wasm-ld-22"')
    cp "$target/wasm32-wasip1/release/unwind.wasm" "unwind$suffix.wasm"

    # Debian's wasm-opt does not know today's instructions.
    common="--target=wasm32-wasi -Wno-deprecated -Os -DNDEBUG -mllvm -wasm-use-legacy-eh=$legacy
        -ffile-prefix-map=$LLVM=/llvm"
    link='-fuse-ld=/usr/bin/wasm-ld-22 --no-wasm-opt -s'
    clang-22 --target=wasm32-wasi -Wno-deprecated -c tags.s -o "$objects/tags.o"

    # shellcheck disable=SC2086 # several words
    {
        cxx="clang++-22 $common -std=c++23 -fwasm-exceptions -nostdinc++
            -isystem $LLVM/libcxx/include -isystem $LLVM/libcxxabi/include"
        cxx="$cxx $(printf '%s ' $config)"
        set --
        for source in \
            libcxxabi/src/abort_message libcxxabi/src/cxa_aux_runtime \
            libcxxabi/src/cxa_default_handlers libcxxabi/src/cxa_exception \
            libcxxabi/src/cxa_exception_storage libcxxabi/src/cxa_handlers \
            libcxxabi/src/cxa_personality libcxxabi/src/cxa_virtual \
            libcxxabi/src/fallback_malloc libcxxabi/src/private_typeinfo \
            libcxxabi/src/stdlib_exception libcxxabi/src/stdlib_new_delete \
            libcxxabi/src/stdlib_stdexcept libcxxabi/src/stdlib_typeinfo \
            libcxx/src/exception libcxx/src/new_helpers libcxx/src/stdexcept libcxx/src/string \
            libcxx/src/vector
        do
            object=$objects/$(basename "$(dirname "$(dirname "$source")")")_$(basename "$source").o
            $cxx -w -D_LIBCPP_BUILDING_LIBRARY -D_LIBCXXABI_BUILDING_LIBRARY \
                -DLIBCXX_BUILDING_LIBCXXABI -I"$LLVM/libcxx/src" -I"$LLVM/libcxx/src/include" \
                -I"$LLVM/libcxx/libc" -I"$LLVM/libcxxabi/src" \
                -c "$LLVM/$source.cpp" -o "$object"
            set -- "$@" "$object"
        done
        clang-22 $common -w -std=c17 -fexceptions -fwasm-exceptions -D_LIBUNWIND_HIDE_SYMBOLS \
            -Dthread_local=_Thread_local -I"$LLVM/libunwind/include" \
            -c "$LLVM/libunwind/src/Unwind-wasm.c" -o "$objects/unwind.o"
        $cxx -Wall -Wextra throw.cpp "$@" "$objects/unwind.o" "$objects/tags.o" \
            -nostdlib++ $link -o "throw$suffix.wasm"

        clang-22 $common -mexception-handling -mllvm -wasm-enable-sjlj -Wall -Wextra -Isjlj \
            jump.c sjlj/runtime.c "$objects/tags.o" $link -o "jump$suffix.wasm"
    }
}

build false ''
build true -legacy
