// What metal.h uses of Metal, in C++ for OpenCL: check/compile.py puts this before metal.h, and clang then checks
// address spaces as Apple's compiler does. Functions are only declared, because nothing is run.

#define device __global
#define threadgroup __local
#define thread __private

#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#pragma OPENCL EXTENSION __cl_clang_non_portable_kernel_param_types : enable  // lists

// Metal converts float to bfloat only where the text says so. The way back is explicit here as well, which refuses
// products of two bfloats: Metal would round them to eight bits, and the other compilers would not.
struct bfloat {
    unsigned short bits;
    bfloat() = default;
    explicit bfloat(float);
    explicit operator float() const;
};

namespace metal {

typedef unsigned int uint3 __attribute__((ext_vector_type(3)));

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2 };
mem_flags operator|(mem_flags, mem_flags);
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);

float simd_shuffle(float, unsigned short lane);
float simd_shuffle_xor(float, unsigned short mask);

float fabs(float);
float fma(float, float, float);
namespace precise {
float exp(float);
float log(float);
float rsqrt(float);
float sqrt(float);
}  // namespace precise
namespace fast {
float exp(float);
}  // namespace fast

template <class T, int N> struct vec;
template <class T> struct vec<T, 4> {
    T x, y, z, w;
};

template <class T, int Cols, int Rows> struct simdgroup_matrix {
    thread T *thread_elements();
};
template <class D, class A, class B, class C>
void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8> &, simdgroup_matrix<A, 8, 8>,
                                   simdgroup_matrix<B, 8, 8>, simdgroup_matrix<C, 8, 8>);

}  // namespace metal
