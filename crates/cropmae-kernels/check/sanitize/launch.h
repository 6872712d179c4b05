// Launches as the crate makes them: by the function that it calls, with the arguments that it passes.
#pragma once
#include <cstdio>
#include <deque>
#include <set>

namespace trial {

using tried::bf16;
using tried::elem;
using tried::u32;
using tried::u64;
using tried::u8;
using Argument = tried::EmulatedArgument;
using Grid = tried::emulator::Grid;

inline int blocks(int count, int of) { return (count + of - 1) / of; }
inline Grid row(int blocks) { return {blocks, 1, 1, 128}; }

// What the launches use and leave behind.
inline u64 seed = 0;
inline std::set<std::string> launched;
// A hash of the arrays of each launch.
using Result = std::pair<std::string, u64>;
inline std::vector<Result> results;

// Memory of exactly its size, so that a sanitizer sees an access to the element behind it.
template <class T> struct Buffer {
    std::unique_ptr<T[]> data;
    int64_t length;
    T& operator[](int64_t i) { return data[i]; }
};

// All bits are set, which is NaN.
template <class T = float> Buffer<T> unset(int64_t length) {
    Buffer<T> b{std::make_unique<T[]>(length), length};
    if (length) std::memset(static_cast<void*>(b.data.get()), 0xff, sizeof(T) * length);
    return b;
}

// Numbers in -1..1.
template <class T = float> Buffer<T> numbers(int64_t length, u32 state = 1) {
    Buffer<T> b = unset<T>(length);
    for (int64_t i = 0; i < length; ++i) {
        state = state * 1664525u + 1013904223u;
        b[i] = T(float(state >> 8) / float(1 << 23) - 1.f);
    }
    return b;
}

template <class T> Buffer<T> list(std::initializer_list<T> values) {
    Buffer<T> b = unset<T>(int64_t(values.size()));
    std::copy(values.begin(), values.end(), b.data.get());
    return b;
}

// The arguments of a launch, and what they point to.
class Arguments {
  public:
    template <class T> void add(Buffer<T>& array) { all.push_back(argument(array)); }
    template <class T> void add(std::vector<Buffer<T>>& arrays) {
        lists.emplace_back();
        for (auto& array : arrays) lists.back().push_back(argument(array));
        all.push_back({tried::emulator::LIST, 0, lists.back().data(), int64_t(lists.back().size())});
    }
    template <class T> std::enable_if_t<std::is_arithmetic_v<T>> add(T value) {
        values.push_back(0);
        std::memcpy(&values.back(), &value, sizeof value);
        all.push_back({tried::emulator::VALUE, tried::emulator::type_of<T>(), &values.back(), 1});
    }

    u64 hash() const {
        u64 h = 14695981039346656037ull;
        for (const Argument& a : all) hash(a, h);
        return h;
    }

    std::vector<Argument> all;

  private:
    template <class T> static Argument argument(Buffer<T>& array) {
        return {tried::emulator::ARRAY, tried::emulator::type_of<T>(), array.data.get(), array.length};
    }
    static void hash(const Argument& a, u64& h) {
        const bool is_list = a.kind == tried::emulator::LIST;
        for (int64_t i = 0; is_list && i < a.length; ++i) hash(static_cast<const Argument*>(a.data)[i], h);
        if (is_list) return;
        const size_t size = size_t(a.length) * tried::emulator::size_of(a.type);
        for (size_t i = 0; i < size; ++i) h = (h ^ static_cast<const unsigned char*>(a.data)[i]) * 1099511628211ull;
    }

    std::deque<u64> values;
    std::deque<std::vector<Argument>> lists;
};

// Runs a kernel; ends the program if the emulator finds a fault.
template <class... A> void launch(const char* kernel, Grid grid, A&&... values) {
    Arguments arguments;
    (arguments.add(values), ...);
    char message[512];
    launched.insert(kernel);
    if (cropmae_emulate(kernel, &grid, seed, arguments.all.data(), arguments.all.size(), message, sizeof message)) {
        std::fprintf(stderr, "emulator: kernel %s, seed %d: %s\n", kernel, int(seed), message);
        std::exit(1);
    }
    results.emplace_back(kernel, arguments.hash());
}

}  // namespace trial
