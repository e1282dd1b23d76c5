// Solves a system of n linear equations: LU decomposition with partial pivoting, in doubles.
#include "program.h"

#define MOST 256
static double matrix[MOST][MOST], right[MOST];
static uint32_t rows[MOST];

// Makes the matrix upper triangular, with the factors below its diagonal.
static void decompose(uint32_t n) {
    for (uint32_t k = 0; k < n; k++) {
        uint32_t pivot = k;
        for (uint32_t i = k + 1; i < n; i++) {
            if (__builtin_fabs(matrix[rows[i]][k]) > __builtin_fabs(matrix[rows[pivot]][k])) pivot = i;
        }
        uint32_t row = rows[pivot];
        rows[pivot] = rows[k];
        rows[k] = row;
        const double *top = matrix[row];
        for (uint32_t i = k + 1; i < n; i++) {
            double *below = matrix[rows[i]];
            double factor = below[k] / top[k];
            below[k] = factor;
            for (uint32_t j = k + 1; j < n; j++) below[j] -= factor * top[j];
        }
    }
}

// Replaces the right side by the solution, in the order of `rows`.
static void substitute(uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < i; j++) right[rows[i]] -= matrix[rows[i]][j] * right[rows[j]];
    }
    for (uint32_t i = n; i-- > 0;) {
        double sum = right[rows[i]];
        for (uint32_t j = i + 1; j < n; j++) sum -= matrix[rows[i]][j] * right[rows[j]];
        right[rows[i]] = sum / matrix[rows[i]][i];
    }
}

uint32_t run(uint32_t n) {
    if (n > MOST) n = MOST;
    uint32_t state = 1;
    for (uint32_t i = 0; i < n; i++) {
        rows[i] = i;
        right[i] = i + 1;
        for (uint32_t j = 0; j < n; j++) matrix[i][j] = (double)number(&state) / 65536.0 - 32768.0;
    }
    decompose(n);
    substitute(n);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        union { double number; uint32_t halves[2]; } bits = { right[rows[i]] };
        sum = mixed(mixed(sum, bits.halves[0]), bits.halves[1]);
    }
    return sum;
}
