// Runs of bytes become pairs of a length and a byte.
#include "shared.h"

static int same(int value) { return value; }

// Data that has addresses in it: of a function, and of other data.
int (*zip_filter)(int) = same;
unsigned zipped;
static unsigned *const counter = &zipped;

// Set before anything else runs.
static unsigned longest;
__attribute__((constructor)) static void init(void) { longest = 200; }

size_t zip_bytes(const byte *in, size_t len, byte **out) {
  // A cycle of libraries: libimg calls this one. Weak, and so by a function pointer too.
  int threshold = img_threshold ? img_threshold() : 0;
  byte *to = *out = malloc(2 * len);
  for (size_t i = 0; i < len;) {
    size_t run = 1;
    while (i + run < len && in[i + run] == in[i] && run < longest) run++;
    int value = zip_filter(in[i]);
    *to++ = run;
    *to++ = value > threshold ? value : 0;
    i += run;
  }
  *counter += len;
  return to - *out;
}
