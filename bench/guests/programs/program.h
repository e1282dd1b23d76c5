// What the programs in C share. They need no library: what they work on, they make themselves.
#include <stdint.h>

// Numbers that look random: "xorshift32", as the programs in Rust have.
static inline uint32_t number(uint32_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

// A checksum with a number added to it.
static inline uint32_t mixed(uint32_t sum, uint32_t number) {
    return ((sum << 5 | sum >> 27) ^ number) * 0x9e3779b1;
}

uint32_t run(uint32_t n);
