// Traps in known places: ./shapes HOW
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace shapes {

struct Shape {
    virtual ~Shape() = default;
    virtual int area(int scale) const = 0;
};

template <typename T> struct Square final : Shape {
    T side;
    explicit Square(T side) : side(side) {}
    __attribute__((noinline)) int area(int scale) const override {
        return static_cast<int>(side * side) / scale;
    }
};

struct Broken final : Shape {
    __attribute__((noinline)) int area(int scale) const override {
        if (scale < 0)
            return 0;
        std::abort();
    }
};

template <typename F> __attribute__((noinline)) int apply(const Shape &shape, F each) {
    return each(shape.area(each(0)));
}

} // namespace shapes

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    shapes::Square<int> small(3);
    shapes::Square<long long> large(4);
    shapes::Broken broken;
    const shapes::Shape *shape = &small;
    if (!std::strcmp(how, "abort"))
        shape = &broken;
    else if (!std::strcmp(how, "large"))
        shape = &large;
    int scale = std::strcmp(how, "divide") && std::strcmp(how, "large") ? 2 : 0;
    int result = shapes::apply(*shape, [scale](int value) { return value + scale; });
    std::printf("%d\n", result);
    return 0;
}
