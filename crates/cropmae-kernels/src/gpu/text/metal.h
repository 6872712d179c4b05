// The prelude of Metal 3.1. Apple's compiler gets it, fragments.h and the kernels as one string. Without a Mac, clang
// checks the same text through opencl.h.
//
// ELEM_BF16 makes `elem` a bfloat, ELEM_F16 a half, for GPUs without bfloat; otherwise it is float.
//
// Compile with fast math disabled: it assumes that there is no NaN. The pragma asks for this where it is known.
#include <metal_stdlib>
#if __METAL_VERSION__ >= 320
#pragma METAL fp math_mode(safe)
#endif

// Names of the standard library are written with their namespace: some of the kernels' own names are the same.
#define FN inline
#define THREAD thread
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#if defined(ELEM_BF16)
using elem = bfloat;
#elif defined(ELEM_F16)
using elem = half;
#else
using elem = float;
#endif

struct Place {
    int tid, lane, warp, group_x, group_y, group_z, group_size;
};
// Only in kernels: Metal hands the numbers over as parameters.
#define HERE() Place{int(tid_), int(lane_), int(warp_), int(group_.x), int(group_.y), int(group_.z), int(size_.x)}

// Aliases and not `device T*` itself, because `const GLOBAL(T) p` is a pointer that does not move.
template <class T> using Global = device T *;
template <class T> using Shared = threadgroup T *;
#define GLOBAL(T) Global<T>
#define GLOBAL_IN(T) Global<const T>
#define SHARED_PTR(T) Shared<T>
#define SHARED(T, n, count) alignas(16) threadgroup T n[count]
#define BARRIER() metal::threadgroup_barrier(metal::mem_flags::mem_device | metal::mem_flags::mem_threadgroup)
#define SIMD_BARRIER() metal::simdgroup_barrier(metal::mem_flags::mem_device | metal::mem_flags::mem_threadgroup)
// Before a loop that must be unrolled, because it indexes values in registers, and before one that must not be.
#define UNROLL _Pragma("clang loop unroll(full)")
#define ROLL _Pragma("clang loop unroll(disable)")

// An element of a list: the buffer's gpuAddress, 64 bits. The encoder must also be told to use the buffer.
template <class T> struct Listed {
    device T *at;
    operator device T *() const device { return at; }
};

// Launches have blocks of at most 128 threads.
#define KERNEL(name, args)                                                                                           \
    [[max_total_threads_per_threadgroup(128)]] kernel void name(                                                     \
        args metal::uint3 group_ [[threadgroup_position_in_grid]], metal::uint3 size_ [[threads_per_threadgroup]],   \
        u32 tid_ [[thread_index_in_threadgroup]], u32 lane_ [[thread_index_in_simdgroup]],                           \
        u32 warp_ [[simdgroup_index_in_threadgroup]])
#define IN(i, T, n) device const T *n [[buffer(i)]],
#define OUT(i, T, n) device T *n [[buffer(i)]],
#define LIST(i, T, n) device const Listed<T> *n [[buffer(i)]],
#define VALUE(i, T, n) constant T &n [[buffer(i)]],

FN float shfl_xor(float v, int mask) { return metal::simd_shuffle_xor(v, u16(mask)); }
FN float shfl(float v, int lane) { return metal::simd_shuffle(v, u16(lane)); }
// The same order as on the other devices, which Metal's own does not promise.
FN float simd_sum(float v) {
    for (int m = 16; m; m /= 2) v += shfl_xor(v, m);
    return v;
}
FN float rsqrt_(float v) { return metal::precise::rsqrt(v); }
FN float sqrt_(float v) { return metal::precise::sqrt(v); }
#if defined(ELEM_BF16) || defined(ELEM_F16)
FN float exp_(float v) { return metal::fast::exp(v); }
#else
FN float exp_(float v) { return metal::precise::exp(v); }
#endif
FN float log_(float v) { return metal::precise::log(v); }
FN float fmax_(float a, float b) { return a > b ? a : b; }  // metal::fmax would drop a NaN on the right
FN float fabs_(float v) { return metal::fabs(v); }
FN float fma_(float a, float b, float c) { return metal::fma(a, b, c); }

// Four neighboring elements in one load: `p + i` must be aligned to four elements.
struct Four {
    float x, y, z, w;
};
template <class T> FN Four load4(device const T *p, long i) {
    const metal::vec<T, 4> v = *reinterpret_cast<device const metal::vec<T, 4> *>(p + i);
    return Four{float(v.x), float(v.y), float(v.z), float(v.w)};
}
template <class T> FN Four load4(threadgroup const T *p, long i) {
    const metal::vec<T, 4> v = *reinterpret_cast<threadgroup const metal::vec<T, 4> *>(p + i);
    return Four{float(v.x), float(v.y), float(v.z), float(v.w)};
}

// simdgroup_matrix. A template, because fragments.h comes after the prelude.
template <class Geometry> struct SimdMatrix : Geometry {
    FN static void mma(thread float *c, const thread elem *a, const thread elem *b) {
        metal::simdgroup_matrix<elem, 8, 8> left, right;
        metal::simdgroup_matrix<float, 8, 8> sum;
        for (int e = 0; e < 2; ++e) {
            left.thread_elements()[e] = a[e];
            right.thread_elements()[e] = b[e];
            sum.thread_elements()[e] = c[e];
        }
        metal::simdgroup_multiply_accumulate(sum, left, right, sum);
        for (int e = 0; e < 2; ++e) c[e] = sum.thread_elements()[e];
    }
};
struct Simd888;
using Frag = SimdMatrix<Simd888>;
