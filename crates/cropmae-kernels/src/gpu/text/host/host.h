// The prelude of the emulator: what cuda.h and metal.h are to their compilers.
//
// ELEM_BF16 makes `elem` a bfloat16, otherwise it is float. METAL simulates Metal's matrices, of either type, in the place of
// CUDA's.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#define FN inline
#define THREAD
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned char u8;

struct bf16 {
    uint16_t bits;
    bf16() = default;
    bf16(float f) {
        u32 u;
        std::memcpy(&u, &f, 4);
        bits = f == f ? uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16) : 0x7fff;
    }
    operator float() const {
        const u32 u = u32(bits) << 16;
        float f;
        std::memcpy(&f, &u, 4);
        return f;
    }
};

#include "registry.h"

#ifdef ELEM_BF16
using elem = bf16;
#else
using elem = float;
#endif

struct Place {
    int tid, lane, warp, group_x, group_y, group_z, group_size;
};
#define HERE() Place{emulator::current->tid, emulator::current->tid % 32, emulator::current->tid / 32, \
                     emulator::block->x, emulator::block->y, emulator::block->z, emulator::block->size}
#define GLOBAL(T) emulator::Array<T>
#define GLOBAL_IN(T) emulator::Array<const T>
#define SHARED_PTR(T) emulator::Array<T>
#define SHARED(T, n, count) emulator::Array<T> n = emulator::shared<T>(count, #n)
#ifndef BARRIER  // check/sanitize leaves out one at a time
#define BARRIER() emulator::barrier(__LINE__)
#define SIMD_BARRIER() emulator::simd_barrier(__LINE__)
#endif

#define KERNEL(name, args)                                                     \
    static void name(args int);                                                \
    static const emulator::Registered registered_##name(#name, #args, &name);  \
    static void name(args int)
#define IN(i, T, n) emulator::Array<const T> n,
#define OUT(i, T, n) emulator::Array<T> n,
#define LIST(i, T, n) const emulator::List<T>& n,
#define VALUE(i, T, n) T n,

inline float shfl_xor(float v, int mask, int line = __builtin_LINE()) {
    return emulator::exchange(v, line)[(emulator::current->tid % 32) ^ mask];
}
inline float shfl(float v, int lane, int line = __builtin_LINE()) { return emulator::exchange(v, line)[lane]; }
// Summed as five exchanges would sum it, in one.
inline float simd_sum(float v, int line = __builtin_LINE()) {
    const float* values = emulator::exchange(v, line);
    float s[32];
    for (int l = 0; l < 32; ++l) s[l] = values[l];
    for (int m = 16; m; m /= 2)
        for (int l = 0; l < m; ++l) s[l] += s[l + m];
    return s[0];
}
inline float rsqrt_(float v) { return 1.f / std::sqrt(v); }
inline float sqrt_(float v) { return std::sqrt(v); }
inline float exp_(float v) { return std::exp(v); }
inline float log_(float v) { return std::log(v); }
inline float fmax_(float a, float b) { return a > b ? a : b; }
inline float fabs_(float v) { return std::fabs(v); }
inline float fma_(float a, float b, float c) { return std::fma(a, b, c); }

#include "../fragments.h"

// The matrix units: the lanes of a warp lay their fragments together, and the first to go on multiplies.
template <class Geometry> struct Simulated : Geometry {
    using G = Geometry;
    static void mma(float* c, const elem* a, const elem* b, int line = __builtin_LINE()) {
        auto& warp = emulator::block->warps[emulator::current->tid / 32];
        const int lane = emulator::current->tid % 32, turn = emulator::current->rendezvous & 1;
        {
            emulator::Unwatched own;
            for (int e = 0; e < G::AE; ++e) warp.a[turn][lane][e] = a[e];
            for (int e = 0; e < G::BE; ++e) warp.b[turn][lane][e] = b[e];
        }
        emulator::meet(line);
        emulator::Unwatched own;
        float* product = warp.product[turn];
        if (warp.multiplied[turn] != emulator::current->rendezvous) {
            warp.multiplied[turn] = emulator::current->rendezvous;
            float A[G::M][G::K], B[G::K][G::N];
            for (int l = 0; l < 32; ++l) {
                for (int e = 0; e < G::AE; ++e) A[G::a_row(l, e)][G::a_col(l, e)] = warp.a[turn][l][e];
                for (int e = 0; e < G::BE; ++e) B[G::b_row(l, e)][G::b_col(l, e)] = warp.b[turn][l][e];
            }
            for (int m = 0; m < G::M; ++m)
                for (int n = 0; n < G::N; ++n) {
                    float sum = 0.f;
                    for (int k = 0; k < G::K; ++k) sum += A[m][k] * B[k][n];
                    product[m * G::N + n] = sum;
                }
        }
        for (int e = 0; e < G::CE; ++e) c[e] += product[G::c_row(lane, e) * G::N + G::c_col(lane, e)];
    }
};

#if defined(METAL)
using Frag = Simulated<Simd888>;
#elif defined(ELEM_BF16)
using Frag = Simulated<Mma16816>;
#else
using Frag = Fma1688;
#endif

// Four neighboring elements at once, whose first has an index divisible by four.
struct Four {
    float x, y, z, w;
};
template <class T> inline Four load4(const T& p, int64_t i) {
    if ((p.first + i) % 4) emulator::stop("loads four elements that are not aligned");
    return {float(p[i]), float(p[i + 1]), float(p[i + 2]), float(p[i + 3])};
}
