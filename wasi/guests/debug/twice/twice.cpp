// Optimised: the linker keeps this unit's copy of `Sum::up_to`, and these functions follow it.
#include "twice.h"

__attribute__((noinline)) static int quotient(int a, int b) {
    return a / b;
}

int large(int end);

extern "C" __attribute__((export_name("run"))) int run(int end) {
    Sum sum{end};
    return sum.up_to(end) + quotient(7, end) + large(end);
}
