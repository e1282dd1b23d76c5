#!/bin/sh
# Prints what a program answers if it is built for this machine: how the answers in
# ../../src/guests.rs were found.
#   ./native.sh NAME N
set -eu
cd "$(dirname "$0")"
if [ -e "$1.rs" ]; then
    cargo run --quiet --locked --release -- "$1" "$2"
else
    clang -std=c11 -O2 -Wall -ffp-contract=off "$1.c" native.c -o "target/$1"
    "target/$1" "$2"
fi
