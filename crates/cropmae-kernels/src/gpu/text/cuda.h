// The prelude of CUDA. NVRTC gets it, fragments.h and the kernels as one string, without any header of CUDA's.
//
// ELEM_BF16 makes `elem` a bfloat16, which needs compute capability 8.0; otherwise it is float.

#define FN __device__ __forceinline__
#define THREAD
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef ELEM_BF16
struct elem {
    unsigned short bits;
    elem() = default;
    FN elem(float f) { asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(f)); }
    FN operator float() const { return __uint_as_float(u32(bits) << 16); }
};
#else
using elem = float;
#endif

struct Place {
    int tid, lane, warp, group_x, group_y, group_z, group_size;
};
#define HERE()                                                                                              \
    Place{int(threadIdx.x), int(threadIdx.x % 32), int(threadIdx.x / 32), int(blockIdx.x), int(blockIdx.y), \
          int(blockIdx.z),  int(blockDim.x)}

// Aliases and not `T*` itself, because `const GLOBAL(T) p` is a pointer that does not move.
template <class T> using Pointer = T*;
#define GLOBAL(T) Pointer<T>
#define GLOBAL_IN(T) Pointer<const T>
#define SHARED_PTR(T) Pointer<T>
#define SHARED(T, n, count) __shared__ __align__(16) T n[count]
#define BARRIER() __syncthreads()
#define SIMD_BARRIER() __syncwarp()
// Before a loop that must be unrolled, because it indexes values in registers, and before one that must not be.
#define UNROLL _Pragma("unroll")
#define ROLL _Pragma("unroll 1")

// Launches have blocks of at most 128 threads, so that each thread may use 255 registers. In f32 a lane holds more of a
// matrix, and ptxas would rather spill than put fewer blocks on a processor, if it were not told that one is enough.
#ifdef ELEM_BF16
#define BOUNDS __launch_bounds__(128)
#else
#define BOUNDS __launch_bounds__(128, 1)
#endif
// The last parameter only ends the list: a launch passes 0. What a launch writes must not overlap its other arguments.
#define KERNEL(name, args) extern "C" __global__ void BOUNDS name(args int)
#define IN(i, T, n) const T *__restrict__ n,
#define OUT(i, T, n) T *__restrict__ n,
#define LIST(i, T, n) T *const *n,
#define VALUE(i, T, n) T n,

FN float shfl_xor(float v, int mask) { return __shfl_xor_sync(0xffffffffu, v, mask); }
FN float shfl(float v, int lane) { return __shfl_sync(0xffffffffu, v, lane); }
// All lanes get the same bits, because a sum of two does not depend on their order.
FN float simd_sum(float v) {
    for (int m = 16; m; m /= 2) v += shfl_xor(v, m);
    return v;
}
FN float rsqrt_(float v) { return rsqrtf(v); }
FN float sqrt_(float v) { return sqrtf(v); }
#ifdef ELEM_BF16
FN float exp_(float v) { return __expf(v); }  // two instructions; results are rounded to eight bits
#else
FN float exp_(float v) { return expf(v); }
#endif
FN float log_(float v) { return logf(v); }
FN float fmax_(float a, float b) { return a > b ? a : b; }  // fmaxf would drop a NaN on the right
FN float fabs_(float v) { return fabsf(v); }
FN float fma_(float a, float b, float c) { return fmaf(a, b, c); }

// Four neighboring elements in one load: `p + i` must be aligned to four elements.
struct Four {
    float x, y, z, w;
};
FN Four load4(const float *p, long long i) {
    const float4 v = *reinterpret_cast<const float4 *>(p + i);
    return Four{v.x, v.y, v.z, v.w};
}
#ifdef ELEM_BF16
FN Four load4(const elem *p, long long i) {
    const uint2 v = *reinterpret_cast<const uint2 *>(p + i);
    return Four{__uint_as_float(v.x << 16), __uint_as_float(v.x & 0xffff0000u), __uint_as_float(v.y << 16),
                __uint_as_float(v.y & 0xffff0000u)};
}
#endif

#ifdef ELEM_BF16
// mma.sync. A template, because fragments.h comes after the prelude.
template <class Geometry> struct MmaSync : Geometry {
    FN static void mma(float *c, const elem *a, const elem *b) {
        u32 ra[4], rb[2];
        for (int i = 0; i < 4; ++i) ra[i] = a[2 * i].bits | u32(a[2 * i + 1].bits) << 16;
        for (int i = 0; i < 2; ++i) rb[i] = b[2 * i].bits | u32(b[2 * i + 1].bits) << 16;
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
            "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
    }
};
struct Mma16816;
using Frag = MmaSync<Mma16816>;
#else
struct Fma1688;
using Frag = Fma1688;
#endif
