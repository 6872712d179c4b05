// Faults for sanitizers to find: those of faults.h, and kernels whose faults the emulator's own checks do not see.
#pragma once
#include "launch.h"

namespace tried {

// A value beyond those that a thread holds.
KERNEL(fault_beyond_registers, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    float kept[4];
    for (int i = 0; i < 4; ++i) kept[i] = x[at.tid];
    y[at.group_x * at.group_size + at.tid] = kept[at.tid < 100 ? 3 : 4];
}

// A number of elements that 32 bits do not hold.
KERNEL(fault_overflow, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    const int rows = (at.tid + 1) << 20, cols = 1 << 11;
    const int last = rows * cols;
    y[at.group_x * at.group_size + at.tid] = x[last < 0 ? 0 : 1];
}

}  // namespace tried

namespace trial {

// Runs a kernel with a fault on one block, or on two where the fault is one of several blocks.
inline void fault(const std::string& name) {
    auto x = numbers(256), y = unset(256);
    if (name == "fault_wrong_stride") {
        launch(name.c_str(), row(2), x, y, 128);
    } else if (name == "fault_id_out_of_range") {
        auto few = numbers(5), two = unset(2);
        auto ids = list<u32>({4, 5});
        launch(name.c_str(), Grid{1, 1, 1, 2}, few, ids, two);
    } else {
        launch(name.c_str(), row(name.find("block") != name.npos ? 2 : 1), x, y);
    }
}

}  // namespace trial
