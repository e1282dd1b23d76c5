// An interpreter of a small machine with registers, which counts the primes below n, computes a
// Fibonacci number by recursion, and how long the numbers below 300 take by the rule of Collatz.
#include "program.h"

enum op { SET, MOVE, ADD, SUB, MUL, HALF, ODD, LESS, LOAD, STORE, JUMP, NO, YES, CALL, RETURN, STOP };

// An operation on registers, or on a register and a number.
#define OP(op, a, b, c) ((uint32_t)(op) | (a) << 8 | (b) << 16 | (c) << 24)
#define WITH(op, a, number) OP(op, a, number, 0)

// The places that jumps and calls go to.
enum { PRIME = 3, MULTIPLE = 9, NEXT = 14, AFTER = 16, START = 22, STEP = 26, EVEN = 34, DONE = 36,
       SHORTER = 39, END = 41, FIB = 42, LEAF = 52 };

static const uint32_t code[] = {
    // Register 0 is n, 1 the number, 2 its multiples, 4 always 1, 5 counts the primes.
    WITH(SET, 4, 1),
    WITH(SET, 5, 0),
    WITH(SET, 1, 2),
    OP(LESS, 3, 1, 0), // PRIME
    WITH(NO, 3, AFTER),
    OP(LOAD, 3, 1, 0),
    WITH(YES, 3, NEXT),
    OP(ADD, 5, 5, 4),
    OP(MUL, 2, 1, 1),
    OP(LESS, 3, 2, 0), // MULTIPLE
    WITH(NO, 3, NEXT),
    OP(STORE, 2, 4, 0),
    OP(ADD, 2, 2, 1),
    WITH(JUMP, 0, MULTIPLE),
    OP(ADD, 1, 1, 4), // NEXT
    WITH(JUMP, 0, PRIME),
    // The caller's register 12 is the callee's 0.
    WITH(SET, 12, 15), // AFTER
    WITH(CALL, 12, FIB),
    // Register 2 is where the number 1 has come to, 6 in how many steps, 7 the most of them.
    WITH(SET, 9, 200),
    OP(ADD, 9, 9, 9),
    WITH(SET, 10, 3),
    WITH(SET, 1, 1),
    OP(LESS, 3, 1, 9), // START
    WITH(NO, 3, END),
    OP(MOVE, 2, 1, 0),
    WITH(SET, 6, 0),
    OP(LESS, 3, 4, 2), // STEP
    WITH(NO, 3, DONE),
    OP(ADD, 6, 6, 4),
    OP(ODD, 3, 2, 0),
    WITH(NO, 3, EVEN),
    OP(MUL, 2, 2, 10),
    OP(ADD, 2, 2, 4),
    WITH(JUMP, 0, STEP),
    OP(HALF, 2, 2, 0), // EVEN
    WITH(JUMP, 0, STEP),
    OP(LESS, 3, 7, 6), // DONE
    WITH(NO, 3, SHORTER),
    OP(MOVE, 7, 6, 0),
    OP(ADD, 1, 1, 4), // SHORTER
    WITH(JUMP, 0, START),
    OP(STOP, 0, 0, 0), // END
    WITH(SET, 1, 2), // FIB
    OP(LESS, 2, 0, 1),
    WITH(YES, 2, LEAF),
    WITH(SET, 1, 1),
    OP(SUB, 3, 0, 1),
    WITH(CALL, 3, FIB),
    OP(SUB, 4, 0, 1),
    OP(SUB, 4, 4, 1),
    WITH(CALL, 4, FIB),
    OP(ADD, 0, 3, 4),
    OP(RETURN, 0, 0, 0), // LEAF
};

#define CELLS 65536
static uint32_t memory[CELLS];
static uint32_t registers[256];
static struct {
    const uint32_t *at;
    uint32_t *window;
} calls[32];

// Interprets the code from its start, and answers how many operations that took.
static uint32_t interpret(void) {
    const uint32_t *at = code;
    uint32_t *r = registers;
    uint32_t depth = 0;
    for (uint32_t count = 1;; count++) {
        uint32_t op = *at++;
        uint32_t a = op >> 8 & 255, b = op >> 16 & 255, c = op >> 24;
        switch ((enum op)(op & 255)) {
        case SET: r[a] = b; break;
        case MOVE: r[a] = r[b]; break;
        case ADD: r[a] = r[b] + r[c]; break;
        case SUB: r[a] = r[b] - r[c]; break;
        case MUL: r[a] = r[b] * r[c]; break;
        case HALF: r[a] = r[b] >> 1; break;
        case ODD: r[a] = r[b] & 1; break;
        case LESS: r[a] = r[b] < r[c]; break;
        case LOAD: r[a] = memory[r[b] % CELLS]; break;
        case STORE: memory[r[a] % CELLS] = r[b]; break;
        case JUMP: at = code + b; break;
        case NO: if (!r[a]) at = code + b; break;
        case YES: if (r[a]) at = code + b; break;
        case CALL:
            calls[depth].at = at;
            calls[depth++].window = r;
            r += a;
            at = code + b;
            break;
        case RETURN:
            at = calls[--depth].at;
            r = calls[depth].window;
            break;
        case STOP: return count;
        }
    }
}

uint32_t run(uint32_t n) {
    for (uint32_t cell = 0; cell < n; cell++) memory[cell % CELLS] = 0;
    registers[0] = n;
    uint32_t sum = mixed(interpret(), registers[5]);
    return mixed(mixed(sum, registers[12]), registers[7]);
}
