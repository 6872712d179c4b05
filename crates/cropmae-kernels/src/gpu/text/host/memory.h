// Memory that checks each access: its bounds, that shared memory was written before it is read, and that no two threads
// touch an element, one of them writing, without a barrier between them.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

#include "block.h"

namespace emulator {

// Who touched an element last. Epochs count the barriers that the thread had passed.
struct Access {
    uint32_t block = 0;         // 0: nobody; ANY: several blocks
    uint16_t thread = 0;        // thread, or a WARP of several threads, or ANY
    uint16_t simd_epoch = 0;    // barriers of the warp
    uint32_t epoch = 0;         // barriers of the block
};
#ifdef UNCHECKED
constexpr bool CHECKED = false;  // a sanitizer checks instead
#else
constexpr bool CHECKED = true;
#endif
constexpr uint32_t ANY_BLOCK = 0xffffffff;
constexpr uint16_t ANY_THREAD = 0xffff, WARP = 0x8000;

struct Shadow {
    Access written, read;
};

// Elements from `data` on, `length` of them from `first`. Copies with another beginning know the whole array's bounds.
template <class T> struct Array {
    using Value = std::remove_const_t<T>;
    static constexpr size_t UNIT = 2;  // bytes that a shadow stands for: two neighboring bytes of an array share one

    T* data = nullptr;
    int64_t first = 0;       // where this view begins
    int64_t length = 0;      // of the whole array
    Shadow* shadow = nullptr;  // none: races are not looked for
    bool shared = false;
    const char* name = "";

    struct Element {
        const Array* array;
        int64_t at;
        operator Value() const { return array->read(at); }
        // In one step, as from a plain reference: float(x[i]) where x holds bfloat16.
        template <class U, class = std::enable_if_t<std::is_same_v<U, float> && std::is_class_v<Value>>>
        operator U() const { return U(array->read(at)); }
        Value operator=(Value value) const { array->write(at, value); return value; }
        Value operator=(const Element& other) const { return *this = Value(other); }
        Value operator+=(Value value) const { return *this = Value(*this) + value; }
        Value operator*=(Value value) const { return *this = Value(*this) * value; }
    };

    Array operator+(int64_t offset) const {
        Array moved = *this;
        moved.first += offset;
        return moved;
    }
    Array& operator+=(int64_t offset) { first += offset; return *this; }
    operator Array<const T>() const { return {data, first, length, shadow, shared, name}; }

    auto operator[](int64_t i) const {
        if constexpr (std::is_const_v<T>) return read(first + i);
        else return Element{this, first + i};
    }

    Value read(int64_t at) const {
        if (CHECKED && !inside(at)) return poison();
        if (CHECKED && shadow) {
            Shadow& s = shadow[at * sizeof(T) / UNIT];
            if (shared && !s.written.block) fault("reads", at, "before it is written");
            if (conflicts(s.written)) fault("reads", at, "that another thread wrote since the last barrier", s.written);
            note_read(s.read);
        }
        return data[at];
    }

    void write(int64_t at, Value value) const {
        if constexpr (!std::is_const_v<T>) {
            if (CHECKED && !inside(at)) return;
            if (CHECKED && shadow) {
                Shadow& s = shadow[at * sizeof(T) / UNIT];
                if (conflicts(s.written)) fault("writes", at, "that another thread wrote since the last barrier", s.written);
                if (conflicts(s.read)) fault("writes", at, "that another thread read since the last barrier", s.read);
                s.written = me();
            }
            data[at] = value;
        }
    }

  private:
    static Value poison() {
        Value value;
        std::memset(static_cast<void*>(&value), 0xff, sizeof value);
        return value;
    }

    bool inside(int64_t at) const {
        if (at >= 0 && at < length) return true;
        fault("touches", at, ("outside of its " + std::to_string(length) + " elements").c_str());
        return false;
    }

    static Access me() {
        const Thread& t = *current;
        return {block->number + 1, uint16_t(t.tid), uint16_t(t.simd_barriers), t.barriers};
    }

    // Whether an earlier access is not ordered before one of the current thread.
    static bool conflicts(const Access& earlier) {
        if (!earlier.block) return false;
        const Thread& t = *current;
        if (earlier.block != block->number + 1) return true;
        if (earlier.epoch < t.barriers || earlier.thread == t.tid) return false;
        if (earlier.thread == ANY_THREAD) return true;
        const int warp = earlier.thread & WARP ? earlier.thread & ~WARP : earlier.thread / 32;
        return warp != t.tid / 32 || earlier.simd_epoch >= uint16_t(t.simd_barriers);
    }

    static void note_read(Access& read) {
        const Access mine = me();
        if (read.block && read.block != mine.block) {
            read.block = ANY_BLOCK;
            return;
        }
        if (!read.block || read.epoch < mine.epoch || read.thread == mine.thread) {
            read = mine;
            return;
        }
        if (read.thread == ANY_THREAD) return;
        const int warp = read.thread & WARP ? read.thread & ~WARP : read.thread / 32;
        const bool same_warp = warp == mine.thread / 32;
        if (same_warp && read.simd_epoch < mine.simd_epoch) {
            read = mine;
            return;
        }
        read.thread = same_warp ? WARP | warp : ANY_THREAD;
        read.simd_epoch = mine.simd_epoch;
    }

    void fault(const char* verb, int64_t at, const char* what, const Access& other = {}) const {
        std::string text = std::string(verb) + " " + (shared ? "shared " : "") + name + "[" + std::to_string(at) + "] " + what;
        if (other.block == ANY_BLOCK) text += " (threads of several blocks)";
        else if (other.block && other.block != block->number + 1) text += " (block " + std::to_string(other.block - 1) + ")";
        else if (other.block && other.thread < WARP) text += " (thread " + std::to_string(other.thread) + ")";
        stop(text);
    }
};

template <class T> using Pointer = Array<T>;

}  // namespace emulator
