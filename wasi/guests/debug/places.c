// Traps in known places: ./places HOW
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct point {
    int32_t x, y;
    const char *name;
};

static int32_t table[4] = {3, 1, 4, 1};

static inline __attribute__((always_inline)) int32_t quotient(int32_t a, int32_t b) {
    int32_t result = a / b;
    return result;
}

__attribute__((noinline)) int32_t divide(struct point *at, int32_t by) {
    int32_t sum = at->x;
    for (int i = 0; i < 4; i++)
        sum += table[i];
    sum = quotient(sum, by);
    return sum + at->y;
}

__attribute__((noinline)) int32_t outside(struct point *at) {
    volatile int32_t *far = (int32_t *)0x7fffff00;
    return *far + at->y;
}

__attribute__((noinline)) int32_t deep(struct point *at, int depth) {
    if (depth == 0)
        __builtin_trap();
    return deep(at, depth - 1) + at->x;
}

static int compare(const void *a, const void *b) {
    const struct point *left = a, *right = b;
    return divide((struct point *)left, right->x);
}

int main(int argc, char **argv) {
    struct point points[3] = {{1, 2, "first"}, {0, 5, "second"}, {7, 9, "third"}};
    const char *how = argc > 1 ? argv[1] : "";
    int32_t result = 0;
    if (!strcmp(how, "divide"))
        result = divide(&points[0], argc - 2);
    else if (!strcmp(how, "outside"))
        result = outside(&points[1]);
    else if (!strcmp(how, "deep"))
        result = deep(&points[2], 3);
    else if (!strcmp(how, "callback"))
        qsort(points, 3, sizeof points[0], compare);
    else if (!strcmp(how, "abort"))
        abort();
    else
        result = divide(&points[0], 2);
    printf("%s: %d\n", how, result);
    return 0;
}
