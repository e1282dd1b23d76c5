/* What Debian's C library for WASI does not have. */
#pragma once

/* Who called setjmp, which of its calls it was, and what longjmp throws. */
typedef struct {
    void *invocation;
    unsigned label;
    struct {
        void *buffer;
        int value;
    } thrown;
} jmp_buf[1];

int setjmp(jmp_buf) __attribute__((__returns_twice__));
_Noreturn void longjmp(jmp_buf, int);
