// Opened when it runs.
#include "shared.h"

unsigned plugin_twice(unsigned value) { return 2 * value; }

unsigned plugin_zipped(unsigned value) { return zipped + value; }
