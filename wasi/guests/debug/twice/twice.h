// A function that two units have compiled, one of them to more bytes.
#pragma once

struct Sum {
    int value;

    __attribute__((noinline)) int up_to(int end) const {
        int sum = value;
        for (int i = 0; i < end; i++)
            sum += i;
        return sum;
    }
};
