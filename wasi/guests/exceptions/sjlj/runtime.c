/* What LLVM calls in place of setjmp and longjmp (-mllvm -wasm-enable-sjlj). */
#include "setjmp.h"

/* setjmp: `label` is which call in its function, `invocation` which call of the function. */
void __wasm_setjmp(void *buffer, unsigned label, void *invocation) {
    jmp_buf *it = buffer;
    (*it)->invocation = invocation;
    (*it)->label = label;
}

/* Caught: the label of the call that has to return again, or 0 if it is another function's. */
unsigned __wasm_setjmp_test(void *buffer, void *invocation) {
    jmp_buf *it = buffer;
    return (*it)->invocation == invocation ? (*it)->label : 0;
}

/* longjmp: throws a pointer to the buffer and the value, with the tag __c_longjmp. */
void __wasm_longjmp(void *buffer, int value) {
    jmp_buf *it = buffer;
    (*it)->thrown.buffer = buffer;
    (*it)->thrown.value = value == 0 ? 1 : value;
    __builtin_wasm_throw(1, &(*it)->thrown);
}
