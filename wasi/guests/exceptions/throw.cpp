// Exceptions of C++: by value and by reference, thrown again, with destructors on the way.

#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Base {
    explicit Base(int code) : code(code) { ++alive; }
    Base(const Base &other) : code(other.code) { ++alive; }
    virtual ~Base() { --alive; }
    virtual const char *name() const { return "Base"; }
    int code;
    static int alive;
};

int Base::alive = 0;

struct Middle : Base {
    using Base::Base;
    const char *name() const override { return "Middle"; }
};

struct Leaf final : Middle {
    Leaf(int code, std::string note) : Middle(code), note(std::move(note)) {}
    const char *name() const override { return "Leaf"; }
    std::string note;
};

struct Side {
    virtual ~Side() = default;
    int side = 7;
};

// Two bases: the address of the second is not that of the whole.
struct Both : Base, Side {
    explicit Both(int code) : Base(code) {}
    const char *name() const override { return "Both"; }
};

// Prints its name when it is destroyed.
struct Guard {
    explicit Guard(std::string name) : name(std::move(name)) {}
    ~Guard() { std::printf(" ~%s%s", name.c_str(), std::uncaught_exceptions() ? "!" : ""); }
    std::string name;
};

volatile int zero = 0;

[[gnu::noinline]] void raise(int kind) {
    Guard guard("raise");
    switch (kind + zero) {
        case 0: throw Base(10);
        case 1: throw Middle(11);
        case 2: throw Leaf(12, "a note that is too long for the string itself");
        case 3: throw Both(13);
        case 4: throw 14;
        case 5: throw "text";
        case 6: throw std::runtime_error("of the library");
        case 7: throw 2.5;
        default: return;
    }
}

[[gnu::noinline]] void classify(int kind) {
    std::printf("%d:", kind);
    try {
        raise(kind);
        std::printf(" nothing");
    } catch (const Leaf &leaf) {
        std::printf(" Leaf %d %s", leaf.code, leaf.note.c_str());
    } catch (Side &side) {
        std::printf(" Side %d", side.side);
    } catch (const Base &base) {
        std::printf(" Base, really %s, %d", base.name(), base.code);
    } catch (int number) {
        std::printf(" int %d", number);
    } catch (const char *text) {
        std::printf(" char * %s", text);
    } catch (const std::exception &error) {
        std::printf(" std::exception %s", error.what());
    } catch (...) {
        std::printf(" something else");
    }
    std::printf(", %d alive\n", Base::alive);
}

// Ten frames, each with a guard; the lowest throws.
[[gnu::noinline]] int frames(int depth) {
    Guard guard("f" + std::to_string(depth));
    if (depth == 1) throw Leaf(99, "ten frames");
    return frames(depth - 1) + 1;
}

// Each frame catches what it does not know, and throws it again.
[[gnu::noinline]] void again(int depth) {
    try {
        if (depth == 0) throw Middle(5);
        again(depth - 1);
    } catch (const std::exception &) {
        std::printf(" wrong");
    } catch (Base &base) {
        base.code += 1;
        throw;
    }
}

// Throws while another exception is handled, in a `try` of its own and then out of the handler.
[[gnu::noinline]] void nested() {
    try {
        raise(1);
    } catch (const Middle &outer) {
        try {
            raise(4);
        } catch (int inner) {
            std::printf(" %d in %d,", inner, outer.code);
        }
        try {
            throw;
        } catch (const Base &same) {
            std::printf(" the same %d,", same.code);
        }
        throw std::out_of_range("from the handler");
    }
}

// Its constructor fails after one member was made.
struct Partial {
    Partial() : first("first"), second(fail()) {}
    static std::string fail() { throw std::logic_error("half made"); }
    Guard first, second;
};

[[gnu::noinline]] int count(int limit) {
    int caught = 0;
    for (int i = 0; i < limit; ++i) {
        try {
            if (i % 3 == 0) throw i;
            if (i % 3 == 1) throw Base(i);
        } catch (int number) {
            caught += number & 1;
            if (number == 29997) continue;
        } catch (const Base &base) {
            caught += base.code & 1;
        }
    }
    return caught;
}

void silent() noexcept {
    try {
        throw Leaf(1, "");
    } catch (...) {
    }
}

}  // namespace

int main() {
    for (int kind = 0; kind < 9; ++kind) classify(kind);

    std::printf("frames:");
    try {
        frames(10);
    } catch (Base &base) {
        std::printf(" %s %d", base.name(), base.code);
    }
    std::printf(", %d alive\nagain:", Base::alive);
    try {
        again(20);
    } catch (const Middle &middle) {
        std::printf(" %d\n", middle.code);
    }

    std::printf("nested:");
    try {
        nested();
    } catch (const std::logic_error &error) {
        std::printf(" %s, %d alive\n", error.what(), Base::alive);
    }

    std::printf("partial:");
    try {
        Partial partial;
    } catch (const std::exception &error) {
        std::printf(" %s\n", error.what());
    }

    std::printf("kept:");
    std::exception_ptr kept;
    try {
        raise(2);
    } catch (...) {
        kept = std::current_exception();
    }
    std::printf(" %d alive,", Base::alive);
    try {
        std::rethrow_exception(kept);
    } catch (const Leaf &leaf) {
        std::printf(" %s,", leaf.note.c_str());
    }
    kept = nullptr;
    std::printf(" %d alive\n", Base::alive);

    std::printf("library:");
    try {
        std::printf("%d", std::vector<int>(3).at(3 + zero));
    } catch (const std::out_of_range &) {
        std::printf(" out of range,");
    }
    try {
        std::printf("%s", std::string("short").substr(6 + zero).c_str());
    } catch (const std::exception &) {
        std::printf(" out of range,");
    }
    try {
        std::vector<char>().reserve(SIZE_MAX - zero);
        std::printf(" reserved,");
    } catch (const std::length_error &) {
        std::printf(" too long,");
    }
    try {
        std::printf(" %p", ::operator new(SIZE_MAX - 63 - zero));
    } catch (const std::bad_alloc &) {
        std::printf(" no memory,");
    }
    Side side;
    try {
        std::printf(" %d", dynamic_cast<Both &>(*(zero ? nullptr : &side)).code);
    } catch (const std::exception &error) {
        std::printf(" %s", error.what());
    }

    silent();
    std::printf("\ncount: %d, %d alive\n", count(30000), Base::alive);
    return Base::alive;
}
