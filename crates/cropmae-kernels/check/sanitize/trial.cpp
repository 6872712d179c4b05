// Launches every kernel in the emulator, to be compiled with a sanitizer: check/sanitize.py does this and reads what it says.
//
//     trial ORDERS                  all kernels, in so many orders of the threads
//     trial ORDERS attention.h:117  the same without the barrier of that line
//     trial SEED fault_NAME         a kernel with a fault, in one order
//     trial                         the names of all kernels, those with faults included
//
// It ends with 0 if nothing was found. A kernel that is registered and not launched here is a fault, and so is one that computes
// other bits in another order.
#include "barriers.h"

#define EMULATE cropmae_emulate
#define VARIANT tried
#define EMULATOR_SWITCH cropmae_switch
#include "../../src/gpu/text/host/emulator.cpp"

#include "faults.h"
#include "kernels.h"

static bool is_fault(const std::string& kernel) { return kernel.rfind("fault_", 0) == 0; }

static int compare(const std::vector<trial::Result>& first) {
    for (size_t i = 0; i < first.size(); ++i) {
        if (trial::results[i] != first[i]) {
            std::fprintf(stderr, "trial: kernel %s, launch %zu: other bits in another order\n", first[i].first.c_str(), i);
            return 1;
        }
    }
    return 0;
}

int main(int count, char** arguments) {
    const auto& kernels = tried::emulator::kernels();
    if (count < 2) {
        for (const auto& kernel : kernels) std::printf("%s\n", kernel.first.c_str());
        return 0;
    }
    const int number = std::atoi(arguments[1]);
    if (count > 2 && is_fault(arguments[2])) {
        trial::seed = trial::u64(number);
        trial::fault(arguments[2]);
        return 0;
    }
    if (count > 2) barriers::leave_out(arguments[2]);
    std::vector<trial::Result> first;
    for (int order = 0; order < number; ++order) {
        trial::seed = trial::u64(order);
        trial::results.clear();
        trial::all();
        if (order == 0) first = trial::results;
        if (compare(first)) return 1;
    }
    int missing = 0;
    for (const auto& kernel : kernels) {
        if (is_fault(kernel.first) || trial::launched.count(kernel.first)) continue;
        std::fprintf(stderr, "trial: kernel %s is not launched\n", kernel.first.c_str());
        ++missing;
    }
    std::printf("%zu launches of %zu kernels, %d times\n", first.size(), trial::launched.size(), number);
    return missing != 0;
}
