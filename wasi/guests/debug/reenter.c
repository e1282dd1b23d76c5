// A core module without a runtime, whose import calls it back: outer -> host.call -> inner.
#include <stdint.h>

__attribute__((import_module("host"), import_name("call"))) int32_t host_call(int32_t value);

static int32_t calls;

__attribute__((noinline)) int32_t scaled(int32_t value, int32_t by) {
    volatile int32_t product = value * by;
    if (value < 0)
        __builtin_trap();
    calls += 1;
    return product + calls;
}

__attribute__((export_name("inner"))) int32_t inner(int32_t value) {
    int32_t result = scaled(value, 3);
    return result + 1;
}

__attribute__((export_name("outer"))) int32_t outer(int32_t value) {
    int32_t answer = host_call(value + 1);
    return answer * 2;
}
