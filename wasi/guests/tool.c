/* A program for tests, in C: its first argument says what it does. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int count_words(void) {
    long lines = 0, words = 0, bytes = 0;
    int c, in_word = 0;
    while ((c = getchar()) != EOF) {
        bytes++;
        lines += c == '\n';
        int is_space = c == ' ' || c == '\n' || c == '\t';
        words += in_word && is_space;
        in_word = !is_space;
    }
    printf("%ld %ld %ld\n", lines, words + in_word, bytes);
    return 0;
}

static int copy(const char *from, const char *to) {
    FILE *in = fopen(from, "rb");
    if (!in) {
        fprintf(stderr, "%s: %s\n", from, strerror(errno));
        return 2;
    }
    FILE *out = fopen(to, "wb");
    if (!out) {
        fprintf(stderr, "%s: %s\n", to, strerror(errno));
        return 3;
    }
    static char buffer[1 << 16];
    size_t count, total = 0;
    while ((count = fread(buffer, 1, sizeof buffer, in)) > 0)
        total += fwrite(buffer, 1, count, out);
    printf("%zu\n", total);
    return fclose(in) || fclose(out);
}

static int list(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return 2;
    }
    long count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    printf("%ld\n", count);
    return closedir(dir);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "wc"))
        return count_words();
    if (!strcmp(what, "copy") && argc == 4)
        return copy(argv[2], argv[3]);
    if (!strcmp(what, "list") && argc == 3)
        return list(argv[2]);
    if (!strcmp(what, "getenv") && argc == 3) {
        const char *value = getenv(argv[2]);
        puts(value ? value : "(not set)");
        return 0;
    }
    if (!strcmp(what, "isatty")) {
        printf("%d %d %d\n", isatty(0), isatty(1), isatty(2));
        return 0;
    }
    fprintf(stderr, "what is %s?\n", what);
    return 64;
}
