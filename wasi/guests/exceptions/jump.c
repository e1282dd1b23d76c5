// setjmp and longjmp: across frames, in a loop, with values kept, and between two buffers.

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

static jmp_buf outer, inner, loop;
static volatile int depth_reached;

// Calls itself, and jumps away from the lowest frame.
__attribute__((noinline)) static int descend(int depth, int value) {
    volatile char room[64];
    memset((char *)room, depth, sizeof room);
    depth_reached = depth;
    if (depth == 0) longjmp(outer, value);
    return descend(depth - 1, value) + room[3];
}

// Finds the first negative number, by a jump out of two calls.
__attribute__((noinline)) static void look(const int *numbers, int index) {
    if (numbers[index] < 0) longjmp(loop, index + 1);
}

__attribute__((noinline)) static int find(const int *numbers, int length) {
    int found = setjmp(loop);
    if (found != 0) return found - 1;
    for (int i = 0; i < length; ++i) look(numbers, i);
    return -1;
}

// A `setjmp` within another; first to the inner one, then to the outer.
__attribute__((noinline)) static void both(int round) {
    int value = setjmp(inner);
    printf(" inner %d", value);
    if (value == 0) longjmp(inner, 10 + round);
    longjmp(outer, value * 2);
}

// A `longjmp` while another frame has a `setjmp` of its own, which is not meant.
__attribute__((noinline)) static int passes(int value) {
    jmp_buf mine;
    if (setjmp(mine) != 0) {
        printf(" wrong");
        return -1;
    }
    return descend(5, value);
}

static int calls;

__attribute__((noinline)) static int step(jmp_buf *buffer, int times) {
    ++calls;
    if (calls < times) longjmp(*buffer, calls);
    return calls;
}

int main(void) {
    // `longjmp` with 0 gives 1.
    int values[] = {1, 42, -7, 0};
    for (int i = 0; i < 4; ++i) {
        int value = setjmp(outer);
        if (value == 0) {
            descend(50, values[i]);
            printf("not reached\n");
            return 1;
        }
        printf("jumped: %d from depth %d\n", value, depth_reached);
    }

    // What did not change between the two keeps its value; what is volatile also if it did.
    int kept = 123;
    const char *text = "text";
    double number = 1.5;
    volatile int changed = 0;
    int value = setjmp(outer);
    if (value < 5) {
        ++changed;
        descend(3, value + 1);
    }
    printf("kept: %d %s %.1f, changed %d, value %d\n", kept, text, number, changed, value);

    // A jump back in a loop, by the same frame's calls.
    jmp_buf here;
    int sum = 0;
    volatile int total = 0;
    value = setjmp(here);
    total += value;
    sum = step(&here, 1000);
    printf("loop: %d calls, total %d\n", sum, total);

    printf("both:");
    for (volatile int round = 0; round < 3; ++round) {
        value = setjmp(outer);
        if (value == 0) both(round);
        printf(" outer %d", value);
    }

    printf("\npasses:");
    value = setjmp(outer);
    if (value == 0) passes(77);
    printf(" %d\n", value);

    int numbers[] = {3, 1, 4, -1, 5};
    int none[] = {1, 2};
    printf("found: %d %d\n", find(numbers, 5), find(none, 2));

    // Many jumps: no memory and no stack is lost.
    volatile int many = 0;
    value = setjmp(outer);
    if (++many < 100000) descend(many % 7, many);
    printf("many: %d, last %d\n", many, value);
    return 0;
}
