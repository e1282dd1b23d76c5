// What the libraries have of each other.
typedef __SIZE_TYPE__ size_t;
typedef unsigned char byte;

// libc
void *malloc(size_t size);
extern unsigned allocations;

// libzip
size_t zip_bytes(const byte *in, size_t len, byte **out);
extern int (*zip_filter)(int);
extern unsigned zipped;

// libimg, which libzip can do without
__attribute__((weak)) int img_threshold(void);
size_t img_compress(const byte *in, size_t len, byte **out);
