// Runs a program in C on the machine itself: prints what `run` answers for the argument.
#include <stdio.h>
#include <stdlib.h>

#include "program.h"

int main(int count, char **arguments) {
    if (count != 2) return 2;
    printf("%u\n", run((uint32_t)atoi(arguments[1])));
    return 0;
}
