// Which element of a small matrix product each lane holds. C (M, N) += A (M, K) B (K, N).
//
// A lane holds AE elements of A, BE of B and CE of C. CE elements lie in ROWS rows: `slot` says in which of them, and
// the lanes that share a row reduce over it together. The sizes are enumerators, because Metal wants static members in
// constant memory.

// mma.sync.m16n8k16 of CUDA, operands of 16 bits (PTX ISA, "Matrix Fragments for mma.m16n8k16").
struct Mma16816 {
    enum { M = 16, N = 8, K = 16, AE = 8, BE = 4, CE = 4, ROWS = 2 };
    FN static int a_row(int l, int e) { return l / 4 + 8 * ((e / 2) & 1); }
    FN static int a_col(int l, int e) { return 2 * (l % 4) + (e & 1) + 8 * (e / 4); }
    FN static int b_row(int l, int e) { return 2 * (l % 4) + (e & 1) + 8 * (e / 2); }
    FN static int b_col(int l, int) { return l / 4; }
    FN static int c_row(int l, int e) { return l / 4 + 8 * (e / 2); }
    FN static int c_col(int l, int e) { return 2 * (l % 4) + (e & 1); }
    FN static int slot(int e) { return e / 2; }
    FN static int slot_row(int l, int r) { return l / 4 + 8 * r; }
    FN static bool first_in_row(int l) { return l % 4 == 0; }
    FN static float row_max(float v) { v = fmax_(v, shfl_xor(v, 1)); return fmax_(v, shfl_xor(v, 2)); }
    FN static float row_sum(float v) { v += shfl_xor(v, 1); return v + shfl_xor(v, 2); }
};

// simdgroup_matrix 8x8 of Metal: the order of thread_elements().
struct Simd888 {
    enum { M = 8, N = 8, K = 8, AE = 2, BE = 2, CE = 2, ROWS = 1 };
    FN static int row(int l) { return ((l / 4) & 4) + ((l / 2) % 4); }
    FN static int col(int l, int e) { return ((l / 4) & 2) * 2 + (l % 2) * 2 + e; }
    FN static int a_row(int l, int) { return row(l); }
    FN static int a_col(int l, int e) { return col(l, e); }
    FN static int b_row(int l, int) { return row(l); }
    FN static int b_col(int l, int e) { return col(l, e); }
    FN static int c_row(int l, int) { return row(l); }
    FN static int c_col(int l, int e) { return col(l, e); }
    FN static int slot(int) { return 0; }
    FN static int slot_row(int l, int) { return row(l); }
    FN static bool first_in_row(int l) { return col(l, 0) == 0; }
    FN static float row_max(float v) { v = fmax_(v, shfl_xor(v, 1)); return fmax_(v, shfl_xor(v, 8)); }
    FN static float row_sum(float v) { v += shfl_xor(v, 1); return v + shfl_xor(v, 8); }
};

// Plain fused multiply-adds for f32: each lane has whatever its elements of C need, so that lanes exchange nothing.
struct Fma1688 {
    enum { M = 16, N = 8, K = 8, AE = 16, BE = 16, CE = 4, ROWS = 2 };
    FN static int a_row(int l, int e) { return l / 4 + 8 * (e / 8); }
    FN static int a_col(int, int e) { return e % 8; }
    FN static int b_row(int, int e) { return e / 2; }
    FN static int b_col(int l, int e) { return 2 * (l % 4) + (e & 1); }
    FN static int c_row(int l, int e) { return l / 4 + 8 * (e / 2); }
    FN static int c_col(int l, int e) { return 2 * (l % 4) + (e & 1); }
    FN static int slot(int e) { return e / 2; }
    FN static int slot_row(int l, int r) { return l / 4 + 8 * r; }
    FN static bool first_in_row(int l) { return l % 4 == 0; }
    FN static float row_max(float v) { v = fmax_(v, shfl_xor(v, 1)); return fmax_(v, shfl_xor(v, 2)); }
    FN static float row_sum(float v) { v += shfl_xor(v, 1); return v + shfl_xor(v, 2); }
    FN static void mma(THREAD float* c, const THREAD float* a, const THREAD float* b) {
        for (int k = 0; k < K; ++k)
            for (int e = 0; e < CE; ++e) c[e] = fma_(a[8 * (e / 2) + k], b[2 * k + (e & 1)], c[e]);
    }
};
