// Barriers of kernels of which one can be left out, by its file and line, such as "attention.h:117".
#pragma once
#include <cstdlib>
#include <cstring>
#include <string>

namespace barriers {

inline std::string left_out_file;
inline int left_out_line = 0;

inline void leave_out(const char* place) {
    const char* colon = std::strchr(place, ':');
    left_out_file = std::string(place, colon ? colon - place : 0);
    left_out_line = colon ? std::atoi(colon + 1) : 0;
}

inline bool stands(const char* path, int line) {
    if (line != left_out_line) return true;
    const char* slash = std::strrchr(path, '/');
    return left_out_file != (slash ? slash + 1 : path);
}

}  // namespace barriers

#define BARRIER() (barriers::stands(__FILE__, __LINE__) ? emulator::barrier(__LINE__) : void())
#define SIMD_BARRIER() (barriers::stands(__FILE__, __LINE__) ? emulator::simd_barrier(__LINE__) : void())
