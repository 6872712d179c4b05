// A block of threads and what its threads see of it.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fibers.h"

namespace emulator {

struct Thread {
    Fiber fiber;
    int tid = 0;
    enum State { READY, AT_BARRIER, AT_SIMD, DONE } state = READY;
    int line = 0;                 // of the rendezvous that it waits at
    uint32_t barriers = 0;        // that it has passed, of the block
    uint32_t simd_barriers = 0;   // that it has passed, of its warp, on purpose: shuffles order no memory
    uint32_t rendezvous = 0;      // of its warp, shuffles and products included
};

// What lanes exchange. There are two of each, in turn: a lane may be one rendezvous ahead of another, never two.
struct Exchange {
    float values[2][32];
    float a[2][32][16], b[2][32][16];
    float product[2][16 * 16];
    uint32_t multiplied[2] = {0, 0};  // the rendezvous whose product stands in `product`
};

struct SharedArray {
    const char* name;
    std::unique_ptr<char[]> bytes;
    std::unique_ptr<char[]> shadow;
};

struct Block {
    uint32_t number = 0;
    int x = 0, y = 0, z = 0, size = 0;
    std::vector<Thread*> threads;
    std::vector<Exchange> warps;
    std::vector<SharedArray> shared;
    size_t shared_bytes = 0;
    // Two tags for the barriers of each warp, in turn, and then two for those of the block. With one, a fast thread's next
    // barrier would order it before a slow thread's last. Another block has other tags, because nothing orders blocks.
    std::unique_ptr<char[]> ordered;
};

inline thread_local Block* block = nullptr;
inline thread_local Thread* current = nullptr;
inline thread_local const std::function<void()>* body = nullptr;
// The first fault of a launch; empty while there is none.
inline thread_local std::string found;

// Ends the launch: the current thread is never resumed.
[[noreturn]] inline void stop(const std::string& what) {
    if (found.empty()) {
        found = "block (" + std::to_string(block->x) + ", " + std::to_string(block->y) + ", " + std::to_string(block->z) +
                "), thread " + std::to_string(current->tid) + " " + what;
    }
    for (;;) current->fiber.suspend();
}

inline void wait(Thread::State at, int line) {
    {
        Unwatched own;
        current->state = at;
        current->line = line;
    }
    current->fiber.suspend();
}

// A barrier of the block.
inline void barrier(int line) {
    char* ordered = &block->ordered[2 * block->warps.size() + current->barriers % 2];
    publish(ordered);
    wait(Thread::AT_BARRIER, line);
    observe(ordered);
    Unwatched own;
    ++current->barriers;
}

// The lanes of a warp meet, without an order of memory.
inline void meet(int line) {
    {
        Unwatched own;
        ++current->rendezvous;
    }
    wait(Thread::AT_SIMD, line);
}

// A barrier of the warp.
inline void simd_barrier(int line) {
    char* ordered = &block->ordered[current->tid / 32 * 2 + current->simd_barriers % 2];
    publish(ordered);
    meet(line);
    observe(ordered);
    Unwatched own;
    ++current->simd_barriers;
}

}  // namespace emulator
