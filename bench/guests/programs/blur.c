// Blurs a picture of 256 by n grey points and finds its edges, with vectors of 128 bits.
#include "program.h"

#define WIDTH 256
#define MOST 1024
typedef uint8_t bytes __attribute__((vector_size(16)));
typedef uint8_t half __attribute__((vector_size(8)));
typedef uint16_t words __attribute__((vector_size(16)));

// A point at each side, and a row above and below, so that all points have neighbours.
static uint8_t picture[MOST + 2][WIDTH + 32], between[MOST + 2][WIDTH + 32];

static bytes load(const uint8_t *at) {
    bytes vector;
    __builtin_memcpy(&vector, at, sizeof vector);
    return vector;
}

static words widened(const uint8_t *at) {
    half vector;
    __builtin_memcpy(&vector, at, sizeof vector);
    return __builtin_convertvector(vector, words);
}

// Each point becomes the mean of itself, twice, and of those at both sides, `step` bytes away.
static void blur(uint32_t n, uint8_t (*from)[WIDTH + 32], uint8_t (*to)[WIDTH + 32], long step) {
    for (uint32_t y = 1; y <= n; y++) {
        for (uint32_t x = 16; x < WIDTH + 16; x += 8) {
            const uint8_t *at = &from[y][x];
            words sum = widened(at - step) + widened(at) * 2 + widened(at + step) + 2;
            half mean = __builtin_convertvector(sum >> 2, half);
            __builtin_memcpy(&to[y][x], &mean, sizeof mean);
        }
    }
}

static bytes smaller(bytes a, bytes b) {
    bytes is = (bytes)(a < b);
    return (a & is) | (b & ~is);
}

static bytes greater(bytes a, bytes b) {
    bytes is = (bytes)(a > b);
    return (a & is) | (b & ~is);
}

// Each point becomes the difference of the greatest and the smallest of its neighbours.
static void edges(uint32_t n, uint8_t (*from)[WIDTH + 32], uint8_t (*to)[WIDTH + 32]) {
    for (uint32_t y = 1; y <= n; y++) {
        for (uint32_t x = 16; x < WIDTH + 16; x += 16) {
            bytes up = load(&from[y - 1][x]), down = load(&from[y + 1][x]);
            bytes left = load(&from[y][x - 1]), right = load(&from[y][x + 1]);
            bytes most = greater(greater(up, down), greater(left, right));
            bytes least = smaller(smaller(up, down), smaller(left, right));
            bytes difference = most - least;
            __builtin_memcpy(&to[y][x], &difference, sizeof difference);
        }
    }
}

uint32_t run(uint32_t n) {
    if (n > MOST) n = MOST;
    uint32_t state = 1;
    for (uint32_t y = 1; y <= n; y++) {
        for (uint32_t x = 16; x < WIDTH + 16; x += 4) {
            uint32_t points = number(&state);
            __builtin_memcpy(&picture[y][x], &points, sizeof points);
        }
    }
    for (int round = 0; round < 4; round++) {
        blur(n, picture, between, 1);
        blur(n, between, picture, WIDTH + 32);
    }
    edges(n, picture, between);
    uint32_t sum = 0;
    for (uint32_t y = 1; y <= n; y++) {
        for (uint32_t x = 16; x < WIDTH + 16; x += 4) {
            uint32_t points;
            __builtin_memcpy(&points, &between[y][x], sizeof points);
            sum = mixed(sum, points);
        }
    }
    return sum;
}
