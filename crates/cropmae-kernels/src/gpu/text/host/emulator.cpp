// The kernels of one precision, compiled for this machine. EMULATE is the name of the function to call, and VARIANT that of the
// namespace: the kernels of all precisions are linked into one program, under the same names.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if !defined(_WIN32)
#include <ucontext.h>
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATOR_ASAN
#elif __has_feature(thread_sanitizer)
#define EMULATOR_TSAN
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EMULATOR_ASAN
#elif defined(__SANITIZE_THREAD__)
#define EMULATOR_TSAN
#endif
#if defined(EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#elif defined(EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace VARIANT {
#include "host.h"

#include "../kernels.h"
#include "faults.h"
}  // namespace VARIANT

// Runs a kernel; returns 0, or 1 with what went wrong in `message`.
extern "C" int EMULATE(const char* name, const VARIANT::emulator::Grid* grid, uint64_t seed,
                       const VARIANT::EmulatedArgument* arguments, size_t count, char* message, size_t capacity) {
    const std::string wrong = VARIANT::emulator::run(name, *grid, seed, arguments, count);
    if (capacity) {
        const size_t length = std::min(wrong.size(), capacity - 1);
        std::memcpy(message, wrong.data(), length);
        message[length] = 0;
    }
    return !wrong.empty();
}
