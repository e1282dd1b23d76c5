// What the component exports.
#include "shared.h"

void *dlopen(const char *name, int flags);
void *dlsym(void *library, const char *name);

__attribute__((import_module("$root"), import_name("progress"))) void progress(unsigned bytes);

struct slice { byte *at; size_t len; };

__attribute__((export_name("zip"))) struct slice *zip(const byte *in, size_t len) {
  static struct slice out;
  progress(len);
  out.len = zip_bytes(in, len, &out.at);
  return &out;
}

__attribute__((export_name("compress"))) struct slice *compress(const byte *in, size_t len) {
  static struct slice out;
  out.len = img_compress(in, len, &out.at);
  return &out;
}

__attribute__((export_name("counts"))) unsigned *counts(void) {
  static unsigned out[2];
  out[0] = zipped;
  out[1] = allocations;
  return out;
}

struct option { byte is_some; unsigned value; };

__attribute__((export_name("call"))) struct option *call(char *symbol, size_t len, unsigned value) {
  static struct option out;
  char *name = malloc(len + 1);
  for (size_t i = 0; i < len; i++) name[i] = symbol[i];
  name[len] = 0;
  unsigned (*found)(unsigned) = dlsym(dlopen("libplugin.so", 0), name);
  out.is_some = found != 0;
  if (found) out.value = found(value);
  return &out;
}

static unsigned table[256];

__attribute__((export_name("work"))) unsigned work(unsigned rounds) {
  unsigned sum = 0;
  for (unsigned round = 0; round < rounds; round++) {
    for (unsigned i = 0; i < 256; i++) {
      table[i] += zip_filter(i) * i + zipped;
      sum += table[i] + img_threshold();
    }
  }
  return sum;
}
