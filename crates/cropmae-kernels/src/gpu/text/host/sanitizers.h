// What AddressSanitizer and ThreadSanitizer are told of fibers, and of the order that barriers make.
//
// Fibers are threads of their own to ThreadSanitizer. They are switched without an order between them, so that it sees as races
// what barriers do not order, in whatever order the scheduler runs the fibers. Without sanitizers all of this is nothing.
#pragma once
#include <cstddef>

#define EMULATOR_INLINE inline __attribute__((always_inline))

namespace emulator {

#if defined(EMULATOR_ASAN)

// A fiber as AddressSanitizer sees it.
class Watch {
  public:
    static constexpr int SETS = 1;

    // A stack may still be marked by a kernel that never came to its end.
    void start(char* stack, size_t size) {
        bottom = stack;
        length = size;
        __asan_unpoison_memory_region(stack, size);
    }
    // The scheduler's side of a switch to the fiber and back.
    void leaves_home() { __sanitizer_start_switch_fiber(&home, bottom, length); }
    void is_home() { __sanitizer_finish_switch_fiber(home, nullptr, nullptr); }
    // The fiber's side.
    void entered() { __sanitizer_finish_switch_fiber(nullptr, &home_bottom, &home_length); }
    void leaves_fiber() { __sanitizer_start_switch_fiber(&own, home_bottom, home_length); }
    void is_back() { __sanitizer_finish_switch_fiber(own, &home_bottom, &home_length); }

    static void launch_begins() {}
    static void launch_ends() {}

  private:
    void *own = nullptr, *home = nullptr;
    const void *bottom = nullptr, *home_bottom = nullptr;
    size_t length = 0, home_length = 0;
};

#elif defined(EMULATOR_TSAN)

extern "C" void AnnotateIgnoreReadsBegin(const char*, int);
extern "C" void AnnotateIgnoreReadsEnd(const char*, int);
extern "C" void AnnotateIgnoreWritesBegin(const char*, int);
extern "C" void AnnotateIgnoreWritesEnd(const char*, int);

// A fiber as ThreadSanitizer sees it. What switches is inlined: a call would return to the stack of calls of another fiber.
class Watch {
  public:
    // Blocks use other fibers than the blocks before them, because a fiber that ran two blocks would order them. Making a fiber
    // for each block would take most of the time.
    static constexpr int SETS = 4;

    void start(char*, size_t) {
        home = __tsan_get_current_fiber();
        if (!own) own = __tsan_create_fiber(0);
    }
    EMULATOR_INLINE void leaves_home() { __tsan_switch_to_fiber(own, __tsan_switch_to_fiber_no_sync); }
    EMULATOR_INLINE void is_home() {}
    EMULATOR_INLINE void entered() { __tsan_acquire(&begun); }
    EMULATOR_INLINE void leaves_fiber() {
        void* to = home;
        __tsan_release(&left);
        __tsan_switch_to_fiber(to, __tsan_switch_to_fiber_no_sync);
    }
    EMULATOR_INLINE void is_back() {}

    // A launch comes after all that was done before it, and before all that is done after it.
    static void launch_begins() { __tsan_release(&begun); }
    static void launch_ends() { __tsan_acquire(&left); }

  private:
    static inline char begun, left;
    void *own = nullptr, *home = nullptr;
};

#else

struct Watch {
    static constexpr int SETS = 1;
    void start(char*, size_t) {}
    void leaves_home() {}
    void is_home() {}
    void entered() {}
    void leaves_fiber() {}
    void is_back() {}
    static void launch_begins() {}
    static void launch_ends() {}
};

#endif

#if defined(EMULATOR_TSAN)

// What came before `publish` comes before what follows `observe` of the same tag.
inline void publish(char* tag) { __tsan_release(tag); }
inline void observe(char* tag) { __tsan_acquire(tag); }

// While it lives, accesses are those of the emulator and not of a kernel. A fiber must not be left meanwhile.
struct Unwatched {
    Unwatched() {
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
    }
    Unwatched(const Unwatched&) = delete;
    ~Unwatched() {
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
    }
};

#else

inline void publish(char*) {}
inline void observe(char*) {}
struct Unwatched {
    Unwatched() {}
};

#endif

}  // namespace emulator
