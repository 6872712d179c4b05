// Runs a launch: each block's threads in a seeded order that a GPU may choose, too.
//
// One warp goes on as far as it gets, or for a few rendezvous, in an order drawn anew in each round. Advancing all threads alike
// would hide a missing barrier.
#pragma once
#include <algorithm>
#include <random>

#include "memory.h"

namespace emulator {

struct Grid {
    int32_t x, y, z, threads;
};

inline void thread_main() {
    current->fiber.entered();
    (*body)();
    {
        Unwatched own;
        current->state = Thread::DONE;
    }
    for (;;) current->fiber.suspend();
}

inline void diverged(const Thread& waits, const Thread& other, const char* what) {
    if (!found.empty()) return;
    found = "block (" + std::to_string(block->x) + ", " + std::to_string(block->y) + ", " + std::to_string(block->z) +
            "): thread " + std::to_string(waits.tid) + " waits at " + what + " of line " + std::to_string(waits.line) +
            ", thread " + std::to_string(other.tid) +
            (other.state == Thread::DONE ? " has ended" : " waits at line " + std::to_string(other.line));
}

// Lets threads `from`..`to` go on if all of them wait at the same rendezvous of the kind `at`.
inline bool release(int from, int to, Thread::State at) {
    auto& threads = block->threads;
    const Thread* first = nullptr;
    for (int i = from; i < to; ++i) {
        const Thread& t = *threads[i];
        if (t.state == at && !first) first = &t;
    }
    if (!first) return false;
    for (int i = from; i < to; ++i) {
        const Thread& t = *threads[i];
        if (t.state == Thread::READY) return false;
        // Others of a block may still wait for their warps: these go on first.
        if (t.state == Thread::AT_SIMD && at == Thread::AT_BARRIER) return false;
        if (t.state != at || t.line != first->line) {
            diverged(*first, t, at == Thread::AT_BARRIER ? "the barrier" : "the warp's rendezvous");
            return false;
        }
    }
    for (int i = from; i < to; ++i) threads[i]->state = Thread::READY;
    return true;
}

// Runs the lanes `from`..`to` that are ready, each to its next rendezvous.
inline bool advance(int from, int to, std::mt19937& random) {
    int lanes[32];
    const int count = to - from;
    for (int i = 0; i < count; ++i) lanes[i] = from + i;
    std::shuffle(lanes, lanes + count, random);
    bool ran = false;
    for (int i = 0; i < count && found.empty(); ++i) {
        current = block->threads[lanes[i]];
        if (current->state != Thread::READY) continue;
        ran = true;
        current->fiber.resume();
    }
    return ran;
}

inline void run_block(std::mt19937& random) {
    const int size = block->size, warps = (size + 31) / 32;
    std::vector<int> order(warps);
    for (int i = 0; i < warps; ++i) order[i] = i;
    for (;;) {
        std::shuffle(order.begin(), order.end(), random);
        for (int warp : order) {
            const int from = warp * 32, to = std::min(from + 32, size);
            int rounds = random() % 4 ? 1 << 30 : 1 + int(random() % 5);
            while (rounds-- > 0 && found.empty()) {
                const bool ran = advance(from, to, random);
                if (!release(from, to, Thread::AT_SIMD) && !ran) break;
            }
            if (!found.empty()) return;
        }
        const bool done = std::all_of(block->threads.begin(), block->threads.end(),
                                      [](const Thread* t) { return t->state == Thread::DONE; });
        if (done) return;
        const bool some_wait = release(0, size, Thread::AT_BARRIER);
        if (!found.empty()) return;
        (void)some_wait;
    }
}

// Empty, or what went wrong.
inline std::string launch(const Grid& grid, uint64_t seed, const std::function<void()>& kernel) {
    // Threads and their stacks are used again by all launches of this thread of the operating system.
    static thread_local std::vector<std::unique_ptr<Thread>> pool;
    Watch::launch_begins();
    Unwatched scheduler;
    std::mt19937 random(uint32_t(seed ^ seed >> 32));
    found.clear();
    body = &kernel;
    Block b;
    b.size = grid.threads;
    b.threads.resize(grid.threads);
    b.warps.resize((grid.threads + 31) / 32);
    block = &b;
    // Blocks run in an order of their own, too.
    const int64_t blocks = int64_t(grid.x) * grid.y * grid.z;
    std::vector<uint32_t> numbers(blocks);
    for (int64_t i = 0; i < blocks; ++i) numbers[i] = uint32_t(i);
    const int64_t sets = std::min<int64_t>(blocks, Watch::SETS);
    while (int64_t(pool.size()) < sets * b.size) pool.push_back(std::make_unique<Thread>());
    std::shuffle(numbers.begin(), numbers.end(), random);
    for (int64_t n = 0; n < blocks && found.empty(); ++n) {
        const uint32_t number = numbers[n];
        b.number = number;
        b.x = int(number % grid.x);
        b.y = int(number / grid.x % grid.y);
        b.z = int(number / grid.x / grid.y);
        b.shared.clear();
        b.shared_bytes = 0;
        b.ordered = std::make_unique<char[]>(2 * b.warps.size() + 2);
        for (auto& w : b.warps) w.multiplied[0] = w.multiplied[1] = 0;
        for (int i = 0; i < b.size; ++i) {
            Thread& t = *(b.threads[i] = pool[n % sets * b.size + i].get());
            t.tid = i;
            t.state = Thread::READY;
            t.barriers = t.simd_barriers = t.rendezvous = 0;
            t.fiber.start(thread_main);
        }
        run_block(random);
    }
    block = nullptr;
    current = nullptr;
    Watch::launch_ends();
    return found;
}

// An array of the block, which begins as NaN.
template <class T> Array<T> shared(int64_t count, const char* name) {
    for (auto& s : block->shared) {
        if (std::strcmp(s.name, name) == 0) {
            return {reinterpret_cast<T*>(s.bytes.get()), 0, count, reinterpret_cast<Shadow*>(s.shadow.get()), true, name};
        }
    }
    constexpr size_t units = sizeof(T) / Array<T>::UNIT ? sizeof(T) / Array<T>::UNIT : 1;
    {
        Unwatched own;
        SharedArray made{name, std::make_unique<char[]>(sizeof(T) * count), std::make_unique<char[]>(sizeof(Shadow) * units * count)};
        std::memset(made.bytes.get(), 0xff, sizeof(T) * count);
        block->shared_bytes += sizeof(T) * count;
        block->shared.push_back(std::move(made));
    }
    if (block->shared_bytes > 48 << 10) stop("has more than 48 KiB of shared memory");
    return shared<T>(count, name);
}

// Publishes `value` to the lanes of the warp and returns the values of all.
inline const float* exchange(float value, int line) {
    Exchange& warp = block->warps[current->tid / 32];
    const int turn = current->rendezvous & 1;
    {
        Unwatched own;
        warp.values[turn][current->tid % 32] = value;
    }
    meet(line);
    return warp.values[turn];
}

}  // namespace emulator
