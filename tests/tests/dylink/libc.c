// The heap, and a count of what was taken of it. Used by all others.
#include "shared.h"

extern char __heap_base;
static char *next = &__heap_base;
unsigned allocations;

void *malloc(size_t size) {
  char *at = next;
  next += (size + 15) & ~(size_t)15;
  size_t have = __builtin_wasm_memory_size(0) << 16;
  if ((size_t)next > have) {
    size_t pages = ((size_t)next - have + 0xffff) >> 16;
    if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) __builtin_trap();
  }
  allocations++;
  return at;
}

void free(void *at) {}

void *realloc(void *old, size_t size) { return malloc(size); }

__attribute__((export_name("cabi_realloc")))
void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  byte *at = malloc(size);
  for (size_t i = 0; i < old_size && i < size; i++) at[i] = ((byte *)old)[i];
  return at;
}

size_t strlen(const char *text) {
  size_t len = 0;
  while (text[len]) len++;
  return len;
}

int memcmp(const void *a, const void *b, size_t len) {
  for (size_t i = 0; i < len; i++) {
    int diff = ((const byte *)a)[i] - ((const byte *)b)[i];
    if (diff) return diff;
  }
  return 0;
}
