// Multi-head attention without a matrix of all scores, forward and backward.
//
// A block of four warps holds TILE rows, queries or keys, 16 for each warp, and goes through the others in steps of STEP, which all
// warps read from shared memory. Heads are `d` wide; the kernels of a capacity C take all d <= C and fill up with zeros.
// Dropout acts on the probabilities, whose row is (sample, head, query) and whose column is the key.

#define TILE 64
#define STEP 32
// Elements between rows of shared tiles, so that rows begin in different banks.
#define PAD 8

// Tiles of a product in the 16 rows of a warp, and in the columns of a step.
enum { ROW_TILES = 16 / Frag::M, STEP_TILES = STEP / Frag::N, SLOTS = ROW_TILES * Frag::ROWS };

// Rows of a head in a packed matrix.
struct Rows {
    int first, stride, count, width;
};

// Element (row, column) of `p`, and 0 beyond its rows and columns.
FN elem element(GLOBAL_IN(elem) p, Rows rows, int row, int col) {
    return row < rows.count && col < rows.width ? elem(p[rows.first + row * rows.stride + col]) : elem(0.f);
}

// STEP rows from `row` on into shared memory.
template <int C> FN void load_step(SHARED_PTR(elem) tile, GLOBAL_IN(elem) p, Rows rows, int row, Place at) {
    for (int i = at.tid; i < STEP * C; i += at.group_size)
        tile[i / C * (C + PAD) + i % C] = element(p, rows, row + i / C, i % C);
}

// s (ROW_TILES, STEP_TILES) = rows `row0`.. of `p` times the rows of the tile, transposed.
template <int C>
FN void products(THREAD float *s, GLOBAL_IN(elem) p, Rows rows, int row0, SHARED_PTR(elem) tile, Place at) {
    for (int i = 0; i < ROW_TILES * STEP_TILES * Frag::CE; ++i) s[i] = 0.f;
    for (int k = 0; k < C; k += Frag::K) {
        for (int t = 0; t < ROW_TILES; ++t) {
            elem a[Frag::AE];
            for (int e = 0; e < Frag::AE; ++e)
                a[e] = element(p, rows, row0 + t * Frag::M + Frag::a_row(at.lane, e), k + Frag::a_col(at.lane, e));
            for (int j = 0; j < STEP_TILES; ++j) {
                elem b[Frag::BE];
                for (int e = 0; e < Frag::BE; ++e)
                    b[e] = tile[(j * Frag::N + Frag::b_col(at.lane, e)) * (C + PAD) + k + Frag::b_row(at.lane, e)];
                Frag::mma(s + (t * STEP_TILES + j) * Frag::CE, a, b);
            }
        }
    }
}

// Row, in the 16 of the warp, and column, in the step, of element `e` of tile (t, j).
FN int row_of(int t, int e, int lane) { return t * Frag::M + Frag::c_row(lane, e); }
FN int col_of(int j, int e, int lane) { return j * Frag::N + Frag::c_col(lane, e); }

// The warp's own part of a shared tile gets `s`, as operands of the next product.
FN void share(SHARED_PTR(elem) weights, const THREAD float *s, Place at) {
    SIMD_BARRIER();  // the part may still be read
    for (int t = 0; t < ROW_TILES; ++t)
        for (int j = 0; j < STEP_TILES; ++j)
            for (int e = 0; e < Frag::CE; ++e)
                weights[(at.warp * 16 + row_of(t, e, at.lane)) * (STEP + PAD) + col_of(j, e, at.lane)] =
                    elem(s[(t * STEP_TILES + j) * Frag::CE + e]);
    SIMD_BARRIER();
}

// sums (ROW_TILES, C / N) += the warp's part of `weights` times the rows of the tile. Each step is summed by itself first, which
// keeps long sums exact.
template <int C> FN void accumulate(THREAD float *sums, SHARED_PTR(elem) weights, SHARED_PTR(elem) tile, Place at) {
    enum { DEPTH = STEP / Frag::K };
    for (int t = 0; t < ROW_TILES; ++t) {
        elem a[DEPTH * Frag::AE];
        for (int k = 0; k < DEPTH; ++k)
            for (int e = 0; e < Frag::AE; ++e)
                a[k * Frag::AE + e] = weights[(at.warp * 16 + t * Frag::M + Frag::a_row(at.lane, e)) * (STEP + PAD) +
                                              k * Frag::K + Frag::a_col(at.lane, e)];
        for (int i = 0; i < C / Frag::N; ++i) {
            float c[Frag::CE];
            for (int e = 0; e < Frag::CE; ++e) c[e] = 0.f;
            for (int k = 0; k < DEPTH; ++k) {
                elem b[Frag::BE];
                for (int e = 0; e < Frag::BE; ++e)
                    b[e] = tile[(k * Frag::K + Frag::b_row(at.lane, e)) * (C + PAD) + i * Frag::N +
                                Frag::b_col(at.lane, e)];
                Frag::mma(c, a + k * Frag::AE, b);
            }
            for (int e = 0; e < Frag::CE; ++e) sums[(t * (C / Frag::N) + i) * Frag::CE + e] += c[e];
        }
    }
}

// Writes `factor` times the sums to rows `row0`.. of `y`; `factors`, if any, hold another factor for each slot.
template <int C>
FN void store(GLOBAL(elem) y, Rows rows, int row0, const THREAD float *sums, float factor, const THREAD float *factors,
              Place at) {
    for (int t = 0; t < ROW_TILES; ++t)
        for (int i = 0; i < C / Frag::N; ++i)
            for (int e = 0; e < Frag::CE; ++e) {
                const int row = row0 + row_of(t, e, at.lane), col = i * Frag::N + Frag::c_col(at.lane, e);
                const float value = sums[(t * (C / Frag::N) + i) * Frag::CE + e] * factor *
                                    factors[t * Frag::ROWS + Frag::slot(e)];
                if (row < rows.count && col < rows.width) y[rows.first + row * rows.stride + col] = elem(value);
            }
}

// Which probabilities of a head are dropped, beginning with the row of its first query.
struct Dropped {
    u64 key;
    u32 threshold;
    float kept;
    int first;
};

// What the probability of a query and a key is multiplied by.
FN float dropout_factor(Dropped dropped, int query, int key) {
    if (!dropped.threshold) return 1.f;
    return mask_factor(row_mask(dropped.key, u32(dropped.first + query)), u32(key), dropped.threshold, dropped.kept);
}

// Row of the tile's slot `i`, in the 16 of the warp.
FN int slot_row_of(int i, int lane) { return i / Frag::ROWS * Frag::M + Frag::slot_row(lane, i % Frag::ROWS); }

// O = (exp(S - max) * mask) V / sum of exp(S - max), with the running softmax of Milakov and Gimelshein (arXiv 1805.02867) in
// the order of FlashAttention (Dao et al., arXiv 2205.14135); lse = max + log(sum).
template <int C>
FN void attend(GLOBAL_IN(elem) q, GLOBAL_IN(elem) k, GLOBAL_IN(elem) v, GLOBAL(elem) o, GLOBAL(float) lse, Rows q_rows,
               Rows k_rows, Rows v_rows, Rows o_rows, float scale, Dropped dropped, SHARED_PTR(elem) keys,
               SHARED_PTR(elem) values, SHARED_PTR(elem) weights, Place at) {
    const int row0 = at.group_x * TILE + at.warp * 16;
    float sums[ROW_TILES * (C / Frag::N) * Frag::CE], top[SLOTS], total[SLOTS];
    for (int i = 0; i < ROW_TILES * (C / Frag::N) * Frag::CE; ++i) sums[i] = 0.f;
    for (int i = 0; i < SLOTS; ++i) {
        top[i] = -1e30f;
        total[i] = 0.f;
    }
    for (int key0 = 0; key0 < k_rows.count; key0 += STEP) {
        BARRIER();  // all warps are done with the step before
        load_step<C>(keys, k, k_rows, key0, at);
        load_step<C>(values, v, v_rows, key0, at);
        BARRIER();
        float s[ROW_TILES * STEP_TILES * Frag::CE];
        products<C>(s, q, q_rows, row0, keys, at);
        float best[SLOTS], sum[SLOTS], keep[SLOTS];
        for (int i = 0; i < SLOTS; ++i) {
            best[i] = top[i];
            sum[i] = 0.f;
        }
        for (int t = 0; t < ROW_TILES; ++t)
            for (int j = 0; j < STEP_TILES; ++j)
                for (int e = 0; e < Frag::CE; ++e) {
                    const int i = (t * STEP_TILES + j) * Frag::CE + e, slot = t * Frag::ROWS + Frag::slot(e);
                    s[i] = key0 + col_of(j, e, at.lane) < k_rows.count ? s[i] * scale : -1e30f;
                    best[slot] = fmax_(best[slot], s[i]);
                }
        for (int i = 0; i < SLOTS; ++i) {
            best[i] = Frag::row_max(best[i]);
            keep[i] = exp_(top[i] - best[i]);
            top[i] = best[i];
        }
        for (int t = 0; t < ROW_TILES; ++t)
            for (int j = 0; j < STEP_TILES; ++j)
                for (int e = 0; e < Frag::CE; ++e) {
                    const int i = (t * STEP_TILES + j) * Frag::CE + e, slot = t * Frag::ROWS + Frag::slot(e);
                    const float p = exp_(s[i] - top[slot]);
                    sum[slot] += p;
                    s[i] = p * dropout_factor(dropped, row0 + row_of(t, e, at.lane), key0 + col_of(j, e, at.lane));
                }
        for (int i = 0; i < SLOTS; ++i) total[i] = total[i] * keep[i] + Frag::row_sum(sum[i]);
        for (int t = 0; t < ROW_TILES; ++t)
            for (int i = 0; i < C / Frag::N; ++i)
                for (int e = 0; e < Frag::CE; ++e)
                    sums[(t * (C / Frag::N) + i) * Frag::CE + e] *= keep[t * Frag::ROWS + Frag::slot(e)];
        share(weights, s, at);
        accumulate<C>(sums, weights, values, at);
    }
    float inverse[SLOTS];
    for (int i = 0; i < SLOTS; ++i) {
        inverse[i] = 1.f / total[i];
        const int row = row0 + slot_row_of(i, at.lane);
        if (Frag::first_in_row(at.lane) && row < o_rows.count) lse[row] = top[i] + log_(total[i]);
    }
    store<C>(o, o_rows, row0, sums, 1.f, inverse, at);
}

// With P = exp(S - lse) and dP = (dO V^T) * mask: dS = P * (dP - delta), delta = the row sums of dO * O, and
// dQ = scale * dS K.
template <int C>
FN void attend_dq(GLOBAL_IN(elem) q, GLOBAL_IN(elem) k, GLOBAL_IN(elem) v, GLOBAL_IN(elem) o, GLOBAL_IN(elem) dy,
                  GLOBAL_IN(float) lse, GLOBAL(elem) dq, GLOBAL(float) delta, Rows q_rows, Rows k_rows, Rows v_rows,
                  Rows o_rows, Rows dq_rows, float scale, Dropped dropped, SHARED_PTR(elem) keys,
                  SHARED_PTR(elem) values, SHARED_PTR(elem) weights, Place at) {
    const int row0 = at.group_x * TILE + at.warp * 16;
    float sums[ROW_TILES * (C / Frag::N) * Frag::CE], ones[SLOTS], row_lse[SLOTS], row_delta[SLOTS];
    for (int i = 0; i < ROW_TILES * (C / Frag::N) * Frag::CE; ++i) sums[i] = 0.f;
    for (int r = 0; r < 16; ++r) {
        const int row = row0 + r;
        float dot = 0.f;
        for (int c = at.lane; c < C; c += 32)
            dot += float(element(dy, o_rows, row, c)) * float(element(o, o_rows, row, c));
        dot = simd_sum(dot);
        for (int i = 0; i < SLOTS; ++i)
            if (slot_row_of(i, at.lane) == r) row_delta[i] = dot;
        if (at.lane == 0 && row < o_rows.count) delta[row] = dot;
    }
    for (int i = 0; i < SLOTS; ++i) {
        const int row = row0 + slot_row_of(i, at.lane);
        row_lse[i] = row < o_rows.count ? float(lse[row]) : 0.f;
        ones[i] = 1.f;
    }
    for (int key0 = 0; key0 < k_rows.count; key0 += STEP) {
        BARRIER();  // all warps are done with the step before
        load_step<C>(keys, k, k_rows, key0, at);
        load_step<C>(values, v, v_rows, key0, at);
        BARRIER();
        float s[ROW_TILES * STEP_TILES * Frag::CE], dp[ROW_TILES * STEP_TILES * Frag::CE];
        products<C>(s, q, q_rows, row0, keys, at);
        products<C>(dp, dy, o_rows, row0, values, at);
        for (int t = 0; t < ROW_TILES; ++t)
            for (int j = 0; j < STEP_TILES; ++j)
                for (int e = 0; e < Frag::CE; ++e) {
                    const int i = (t * STEP_TILES + j) * Frag::CE + e, slot = t * Frag::ROWS + Frag::slot(e);
                    const int key = key0 + col_of(j, e, at.lane);
                    const float p = key < k_rows.count ? exp_(s[i] * scale - row_lse[slot]) : 0.f;
                    const float factor = dropout_factor(dropped, row0 + row_of(t, e, at.lane), key);
                    s[i] = p * (dp[i] * factor - row_delta[slot]);
                }
        share(weights, s, at);
        accumulate<C>(sums, weights, keys, at);
    }
    store<C>(dq, dq_rows, row0, sums, scale, ones, at);
}

// The transposed products, for a tile of keys: dV = (P * mask)^T dO and dK = scale * dS^T Q.
template <int C>
FN void attend_dkv(GLOBAL_IN(elem) q, GLOBAL_IN(elem) k, GLOBAL_IN(elem) v, GLOBAL_IN(elem) dy, GLOBAL_IN(float) lse,
                   GLOBAL_IN(float) delta, GLOBAL(elem) dkv, Rows q_rows, Rows k_rows, Rows v_rows, Rows o_rows,
                   Rows dk_rows, Rows dv_rows, float scale, Dropped dropped, SHARED_PTR(elem) queries,
                   SHARED_PTR(elem) grads, SHARED_PTR(elem) weights, Place at) {
    const int row0 = at.group_x * TILE + at.warp * 16;
    float dk[ROW_TILES * (C / Frag::N) * Frag::CE], dv[ROW_TILES * (C / Frag::N) * Frag::CE], ones[SLOTS];
    for (int i = 0; i < ROW_TILES * (C / Frag::N) * Frag::CE; ++i) dk[i] = dv[i] = 0.f;
    for (int i = 0; i < SLOTS; ++i) ones[i] = 1.f;
    for (int query0 = 0; query0 < q_rows.count; query0 += STEP) {
        BARRIER();  // all warps are done with the step before
        load_step<C>(queries, q, q_rows, query0, at);
        load_step<C>(grads, dy, o_rows, query0, at);
        BARRIER();
        float s[ROW_TILES * STEP_TILES * Frag::CE], dp[ROW_TILES * STEP_TILES * Frag::CE];
        products<C>(s, k, k_rows, row0, queries, at);
        products<C>(dp, v, v_rows, row0, grads, at);
        for (int t = 0; t < ROW_TILES; ++t)
            for (int j = 0; j < STEP_TILES; ++j)
                for (int e = 0; e < Frag::CE; ++e) {
                    const int i = (t * STEP_TILES + j) * Frag::CE + e;
                    const int key = row0 + row_of(t, e, at.lane), query = query0 + col_of(j, e, at.lane);
                    const bool inside = query < q_rows.count && key < k_rows.count;
                    const float p = inside ? exp_(s[i] * scale - float(lse[query])) : 0.f;
                    const float factor = inside ? dropout_factor(dropped, query, key) : 0.f;
                    s[i] = p * factor;
                    dp[i] = inside ? p * (dp[i] * factor - float(delta[query])) : 0.f;
                }
        share(weights, s, at);
        accumulate<C>(dv, weights, grads, at);
        share(weights, dp, at);
        accumulate<C>(dk, weights, queries, at);
    }
    store<C>(dkv, dk_rows, row0, dk, scale, ones, at);
    store<C>(dkv, dv_rows, row0, dv, 1.f, ones, at);
}

// The kernels of a capacity. Element (sample, token, head, column) of q lies at q_offset + (sample * n + token) * q_stride +
// head * d + column, those of k and v at k_offset and v_offset with m tokens a sample, and those of o with rows of heads * d.
#define ATTENTION(C)                                                                                                   \
    KERNEL(attention_##C, IN(0, elem, q) IN(1, elem, k) IN(2, elem, v) OUT(3, elem, o) OUT(4, float, lse)              \
           VALUE(5, int, n) VALUE(6, int, m) VALUE(7, int, heads) VALUE(8, int, d) VALUE(9, int, q_offset)             \
           VALUE(10, int, q_stride) VALUE(11, int, k_offset) VALUE(12, int, v_offset) VALUE(13, int, kv_stride)        \
           VALUE(14, int, o_offset) VALUE(15, int, lse_offset) VALUE(16, float, scale) VALUE(17, u64, key)             \
           VALUE(18, u32, threshold) VALUE(19, float, kept)) {                                                         \
        SHARED(elem, keys, STEP * (C + PAD));                                                                          \
        SHARED(elem, values, STEP * (C + PAD));                                                                        \
        SHARED(elem, weights, TILE * (STEP + PAD));                                                                    \
        const Place at = HERE();                                                                                       \
        const int sample = at.group_z, column = at.group_y * d, first = (sample * heads + at.group_y) * n;             \
        attend<C>(q, k, v, o, lse + (lse_offset + first),                                                              \
                  Rows{q_offset + sample * n * q_stride + column, q_stride, n, d},                                     \
                  Rows{k_offset + sample * m * kv_stride + column, kv_stride, m, d},                                   \
                  Rows{v_offset + sample * m * kv_stride + column, kv_stride, m, d},                                   \
                  Rows{o_offset + sample * n * heads * d + column, heads * d, n, d}, scale,                            \
                  Dropped{key, threshold, kept, first}, keys, values, weights, at);                                    \
    }                                                                                                                  \
    KERNEL(attention_dq_##C, IN(0, elem, q) IN(1, elem, k) IN(2, elem, v) IN(3, elem, o) IN(4, elem, dy)               \
           IN(5, float, lse) OUT(6, elem, dq) OUT(7, float, delta) VALUE(8, int, n) VALUE(9, int, m)                   \
           VALUE(10, int, heads) VALUE(11, int, d) VALUE(12, int, q_offset) VALUE(13, int, q_stride)                   \
           VALUE(14, int, k_offset) VALUE(15, int, v_offset) VALUE(16, int, kv_stride) VALUE(17, int, o_offset)        \
           VALUE(18, int, lse_offset) VALUE(19, int, dq_offset) VALUE(20, int, dq_stride) VALUE(21, float, scale)      \
           VALUE(22, u64, key) VALUE(23, u32, threshold) VALUE(24, float, kept)) {                                     \
        SHARED(elem, keys, STEP * (C + PAD));                                                                          \
        SHARED(elem, values, STEP * (C + PAD));                                                                        \
        SHARED(elem, weights, TILE * (STEP + PAD));                                                                    \
        const Place at = HERE();                                                                                       \
        const int sample = at.group_z, column = at.group_y * d, first = (sample * heads + at.group_y) * n;             \
        attend_dq<C>(q, k, v, o, dy, lse + (lse_offset + first), dq, delta + (lse_offset + first),                     \
                     Rows{q_offset + sample * n * q_stride + column, q_stride, n, d},                                  \
                     Rows{k_offset + sample * m * kv_stride + column, kv_stride, m, d},                                \
                     Rows{v_offset + sample * m * kv_stride + column, kv_stride, m, d},                                \
                     Rows{o_offset + sample * n * heads * d + column, heads * d, n, d},                                \
                     Rows{dq_offset + sample * n * dq_stride + column, dq_stride, n, d}, scale,                        \
                     Dropped{key, threshold, kept, first}, keys, values, weights, at);                                 \
    }                                                                                                                  \
    KERNEL(attention_dkv_##C, IN(0, elem, q) IN(1, elem, k) IN(2, elem, v) IN(3, elem, dy) IN(4, float, lse)           \
           IN(5, float, delta) OUT(6, elem, dkv) VALUE(7, int, n) VALUE(8, int, m) VALUE(9, int, heads)                \
           VALUE(10, int, d) VALUE(11, int, q_offset) VALUE(12, int, q_stride) VALUE(13, int, k_offset)                \
           VALUE(14, int, v_offset) VALUE(15, int, kv_stride) VALUE(16, int, o_offset) VALUE(17, int, lse_offset)      \
           VALUE(18, int, dk_offset) VALUE(19, int, dv_offset) VALUE(20, int, dkv_stride) VALUE(21, float, scale)      \
           VALUE(22, u64, key) VALUE(23, u32, threshold) VALUE(24, float, kept)) {                                     \
        SHARED(elem, queries, STEP * (C + PAD));                                                                       \
        SHARED(elem, grads, STEP * (C + PAD));                                                                         \
        SHARED(elem, weights, TILE * (STEP + PAD));                                                                    \
        const Place at = HERE();                                                                                       \
        const int sample = at.group_z, column = at.group_y * d, first = (sample * heads + at.group_y) * n;             \
        attend_dkv<C>(q, k, v, dy, lse + (lse_offset + first), delta + (lse_offset + first), dkv,                      \
                      Rows{q_offset + sample * n * q_stride + column, q_stride, n, d},                                 \
                      Rows{k_offset + sample * m * kv_stride + column, kv_stride, m, d},                               \
                      Rows{v_offset + sample * m * kv_stride + column, kv_stride, m, d},                               \
                      Rows{o_offset + sample * n * heads * d + column, heads * d, n, d},                               \
                      Rows{dk_offset + sample * m * dkv_stride + column, dkv_stride, m, d},                            \
                      Rows{dv_offset + sample * m * dkv_stride + column, dkv_stride, m, d}, scale,                     \
                      Dropped{key, threshold, kept, first}, queries, grads, weights, at);                              \
    }

ATTENTION(32)
ATTENTION(64)
ATTENTION(128)

// softmax(Q K^T * scale) of q (B, n, heads * d) and k (B, m, heads * d) -> map (B, heads, n, m), for pictures: a warp a row.
KERNEL(attention_map, IN(0, elem, q) IN(1, elem, k) OUT(2, float, map) VALUE(3, int, rows) VALUE(4, int, n)
                      VALUE(5, int, m) VALUE(6, int, heads) VALUE(7, int, d) VALUE(8, float, scale)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const int sample = row / (heads * n), head = row / n % heads;
    GLOBAL_IN(elem) query = q + ((sample * n + row % n) * heads + head) * d;
    float top = -1e30f, total = 0.f;
    // Lanes read back only what they have written themselves.
    for (int j = at.lane; j < m; j += 32) {
        GLOBAL_IN(elem) key = k + ((sample * m + j) * heads + head) * d;
        float s = 0.f;
        for (int c = 0; c < d; ++c) s += float(query[c]) * float(key[c]);
        map[row * m + j] = s * scale;
        top = fmax_(top, s * scale);
    }
    for (int lanes = 16; lanes; lanes /= 2) top = fmax_(top, shfl_xor(top, lanes));
    for (int j = at.lane; j < m; j += 32) {
        const float e = exp_(map[row * m + j] - top);
        map[row * m + j] = e;
        total += e;
    }
    total = simd_sum(total);
    for (int j = at.lane; j < m; j += 32) map[row * m + j] = float(map[row * m + j]) / total;
}
