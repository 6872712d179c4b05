// Multi-head attention without a matrix of all scores, forward and backward.
//
// A block of four warps owns TILE rows, queries or keys, of which each warp owns 16. It goes through the rows of the
// other kind in steps, which all warps read from shared memory. Heads are `d` wide; the kernels of a capacity C take
// every d <= C and fill up with zeros. Dropout acts on the probabilities: row (sample, head, query), column key.
//
// Arrays begin at multiples of 16 bytes. Heads whose offsets, strides and width are multiples of 8 are copied faster.

#define TILE 64
// Elements between rows of shared tiles, so that rows begin in different banks.
#define PAD 8

// Preludes may say how to unroll a loop, which values in registers need that are indexed by it, and how not to.
#ifndef UNROLL
#define UNROLL
#endif
#ifndef ROLL
#define ROLL
#endif

// Fragments in the 16 rows of a warp, and rows that a lane shares with others.
enum { ROW_TILES = 16 / Frag::M, SLOTS = ROW_TILES * Frag::ROWS };
// Whether each element of A is held by one lane. In these geometries the fragments of C, side by side, are those of A.
enum { CHAINED = int(Frag::AE) * 32 == int(Frag::M) * int(Frag::K) };

// A lane holds half as many elements of a product as it has columns: 16 rows on 32 lanes.
template <int C> struct Sizes {
    enum {
        STEP = C * int(sizeof(elem)) > 256 ? 16 : 32,  // rows of a step: GPUs of Apple have 32 KiB of shared memory
        TILE_ROWS = 2 * STEP,                          // of the shared tile: a step has two matrices
        OWN = C / Frag::K * ROW_TILES * Frag::AE,      // elements that a lane holds of 16 rows as left operand
        KEPT = OWN * int(sizeof(elem)) <= 128          // whether registers hold it; loading takes TILE rows of the tile
    };
};

// Where element `i` of a lane lies in 16 rows of COLS columns.
template <int COLS> FN int slot_of(int i) {
    return i / (Frag::CE * (COLS / Frag::N)) * Frag::ROWS + Frag::slot(i % Frag::CE);
}
template <int COLS> FN int row_of(int i, int lane) {
    return i / (Frag::CE * (COLS / Frag::N)) * Frag::M + Frag::c_row(lane, i % Frag::CE);
}
template <int COLS> FN int col_of(int i, int lane) {
    return i / Frag::CE % (COLS / Frag::N) * Frag::N + Frag::c_col(lane, i % Frag::CE);
}
// The row of a slot.
FN int slot_row_of(int slot, int lane) { return slot / Frag::ROWS * Frag::M + Frag::slot_row(lane, slot % Frag::ROWS); }

// What a prelude may replace by wider instructions.
#ifndef FRAG_LOADS
// A = the tile from (row, col) on.
FN void load_a(THREAD elem *a, SHARED_PTR(elem) tile, int stride, int row, int col, int lane) {
    UNROLL
    for (int e = 0; e < Frag::AE; ++e)
        a[e] = elem(tile[(row + Frag::a_row(lane, e)) * stride + col + Frag::a_col(lane, e)]);
}
// Two fragments side by side: B = the tile from (row, col) and from (row, col + N) on.
FN void load_b(THREAD elem *b, SHARED_PTR(elem) tile, int stride, int row, int col, int lane) {
    UNROLL
    for (int e = 0; e < 2 * Frag::BE; ++e)
        b[e] = elem(tile[(row + Frag::b_row(lane, e % Frag::BE)) * stride + col + e / Frag::BE * Frag::N +
                         Frag::b_col(lane, e % Frag::BE)]);
}
// Two fragments: B = the transposes of the tile from (row, col) and from (row + N, col) on.
FN void load_bt(THREAD elem *b, SHARED_PTR(elem) tile, int stride, int row, int col, int lane) {
    UNROLL
    for (int e = 0; e < 2 * Frag::BE; ++e)
        b[e] = elem(tile[(row + e / Frag::BE * Frag::N + Frag::b_col(lane, e % Frag::BE)) * stride + col +
                         Frag::b_row(lane, e % Frag::BE)]);
}
#endif
#ifndef WIDE_COPIES
// Eight elements that begin at a multiple of eight.
FN void load8(SHARED_PTR(elem) to, GLOBAL_IN(elem) from) {
    for (int e = 0; e < 8; ++e) to[e] = elem(from[e]);
}
FN void store8(GLOBAL(elem) to, SHARED_PTR(elem) from) {
    for (int e = 0; e < 8; ++e) to[e] = elem(from[e]);
}
#endif

// Rows of a head in a packed matrix. `wide`: groups of eight columns are whole and aligned.
struct HeadIn {
    GLOBAL_IN(elem) at;
    int stride, count, width;
    bool wide;
};
struct HeadOut {
    GLOBAL(elem) at;
    int stride, count, width;
    bool wide;
};

// The first element of the head of a block. In 64 bits: a batch may have more elements than an int can count.
FN u64 head_begin(int offset, int stride, int count, int width, Place at) {
    return u64(offset) + u64(at.group_z) * u64(count) * u64(stride) + u64(at.group_y * width);
}
FN bool is_wide(u64 begin, int stride, int width) { return ((begin | u64(stride) | u64(width)) & 7) == 0; }
FN HeadIn head_in(GLOBAL_IN(elem) p, int offset, int stride, int count, int width, Place at) {
    const u64 begin = head_begin(offset, stride, count, width, at);
    return HeadIn{p + begin, stride, count, width, is_wide(begin, stride, width)};
}
FN HeadOut head_out(GLOBAL(elem) p, int offset, int stride, int count, int width, Place at) {
    const u64 begin = head_begin(offset, stride, count, width, at);
    return HeadOut{p + begin, stride, count, width, is_wide(begin, stride, width)};
}

// Element (row, col), and 0 beyond the rows and columns.
FN elem element(HeadIn x, int row, int col) {
    return row < x.count && col < x.width ? elem(x.at[row * x.stride + col]) : elem(0.f);
}

// ROWS rows from `row` on into shared memory.
template <int C, int ROWS> FN void load_rows(SHARED_PTR(elem) tile, HeadIn x, int row, Place at) {
    for (int i = at.tid; i < ROWS * C / 8; i += at.group_size) {
        const int r = i / (C / 8), col = i % (C / 8) * 8;
        if (x.wide && row + r < x.count && col < x.width) {
            load8(tile + (r * (C + PAD) + col), x.at + ((row + r) * x.stride + col));
        } else {
            for (int e = 0; e < 8; ++e) tile[r * (C + PAD) + col + e] = element(x, row + r, col + e);
        }
    }
}

// The 16 rows that a warp owns, as left operand.
template <int C, int KEPT = Sizes<C>::KEPT> struct Own {
    elem kept[KEPT ? int(Sizes<C>::OWN) : 1];
};

// Loads what is kept, by way of shared memory.
template <int C, int KEPT> FN void keep(THREAD Own<C, KEPT> *own, HeadIn x, SHARED_PTR(elem) tile, Place at) {
    if (!KEPT) {
        own->kept[0] = elem(0.f);
        return;
    }
    BARRIER();  // the tile may still be read
    load_rows<C, TILE>(tile, x, at.group_x * TILE, at);
    BARRIER();
    UNROLL
    for (int i = 0; i < (KEPT ? int(Sizes<C>::OWN / Frag::AE) : 0); ++i)
        load_a(own->kept + i * Frag::AE, tile, C + PAD, at.warp * 16 + i % ROW_TILES * Frag::M,
               i / ROW_TILES * Frag::K, at.lane);
}

// The fragments of columns k * K and on. What is not kept is loaded each time.
template <int C, int KEPT>
FN void own_operand(THREAD elem *a, const THREAD Own<C, KEPT> *own, HeadIn x, int k, Place at) {
    const int row = at.group_x * TILE + at.warp * 16, col = k * Frag::K;
    UNROLL
    for (int i = 0; i < ROW_TILES * Frag::AE; ++i) {
        const int t = i / Frag::AE, e = i % Frag::AE;
        if (KEPT) a[i] = own->kept[KEPT ? k * ROW_TILES * Frag::AE + i : 0];
        else a[i] = element(x, row + t * Frag::M + Frag::a_row(at.lane, e), col + Frag::a_col(at.lane, e));
    }
}

// s += columns k * K.. of the warp's rows times those of the tile's rows, transposed.
template <int C, int KEPT>
FN void add_columns(THREAD float *s, HeadIn x, const THREAD Own<C, KEPT> *own, int k, SHARED_PTR(elem) tile, Place at) {
    elem a[ROW_TILES * Frag::AE];
    own_operand(a, own, x, k, at);
    UNROLL
    for (int j = 0; j < Sizes<C>::STEP / Frag::N; j += 2) {
        elem b[2 * Frag::BE];
        load_bt(b, tile, C + PAD, j * Frag::N, k * Frag::K, at.lane);
        UNROLL
        for (int i = 0; i < 2 * ROW_TILES; ++i) {
            const int t = i / 2, first = (t * (Sizes<C>::STEP / Frag::N) + j + i % 2) * Frag::CE;
            Frag::mma(s + first, a + t * Frag::AE, b + i % 2 * Frag::BE);
        }
    }
}

// s = the rows of the warp times the rows of the tile, transposed.
template <int C, int KEPT>
FN void products(THREAD float *s, HeadIn x, const THREAD Own<C, KEPT> *own, SHARED_PTR(elem) tile, Place at) {
    UNROLL
    for (int i = 0; i < Sizes<C>::STEP / 2; ++i) s[i] = 0.f;
    if (KEPT) {
        UNROLL
        for (int k = 0; k < C / Frag::K; ++k) add_columns(s, x, own, k, tile, at);
    } else {
        ROLL  // unrolled, it would load all operands at once and run out of registers
        for (int k = 0; k < C / Frag::K; ++k) add_columns(s, x, own, k, tile, at);
    }
}

// Fragment k of the weights, which are a product's result, as left operand of the next product.
FN void to_operand(THREAD elem *a, const THREAD float *weights, int k, int lane) {
    UNROLL
    for (int e = 0; e < Frag::AE; ++e) {
        if (CHAINED) a[e] = elem(weights[k * Frag::AE + e]);
        // Fma1688: the four lanes of two rows hold two columns each.
        else a[e] = elem(shfl(weights[k * Frag::CE + e / 8 * 2 + e % 2], (lane & 28) + e % 8 / 2));
    }
}

// c += A B. In f32 the product is summed by itself first: a sum over thousands of tokens would lose digits term by
// term.
FN void add_product(THREAD float *c, const THREAD elem *a, const THREAD elem *b) {
    enum { APART = sizeof(elem) == 4 };
    float product[Frag::CE];
    UNROLL
    for (int e = 0; e < Frag::CE; ++e) product[e] = APART ? 0.f : c[e];
    Frag::mma(product, a, b);
    UNROLL
    for (int e = 0; e < Frag::CE; ++e) c[e] = APART ? c[e] + product[e] : product[e];
}

// sums += the weights times the rows of the tile.
template <int C> FN void accumulate(THREAD float *sums, const THREAD float *weights, SHARED_PTR(elem) tile, Place at) {
    UNROLL
    for (int k = 0; k < Sizes<C>::STEP / Frag::K; ++k) {
        elem a[ROW_TILES * Frag::AE];
        UNROLL
        for (int t = 0; t < ROW_TILES; ++t)
            to_operand(a + t * Frag::AE, weights + t * (Sizes<C>::STEP / Frag::N) * Frag::CE, k, at.lane);
        UNROLL
        for (int j = 0; j < C / Frag::N; j += 2) {
            elem b[2 * Frag::BE];
            load_b(b, tile, C + PAD, k * Frag::K, j * Frag::N, at.lane);
            UNROLL
            for (int i = 0; i < 2 * ROW_TILES; ++i) {
                const int t = i / 2, first = (t * (C / Frag::N) + j + i % 2) * Frag::CE;
                add_product(sums + first, a + t * Frag::AE, b + i % 2 * Frag::BE);
            }
        }
    }
}

FN void store_element(HeadOut y, int row, int col, elem value) {
    if (row < y.count && col < y.width) y.at[row * y.stride + col] = value;
}

// Writes the rows of the warp, each times the factor of its slot: by way of shared memory where it has room for a tile.
template <int C>
FN void store_rows(HeadOut y, const THREAD float *sums, const THREAD float *factors, SHARED_PTR(elem) tile, Place at) {
    enum { STAGED = Sizes<C>::TILE_ROWS >= TILE };
    const SHARED_PTR(elem) part = tile + at.warp * 16 * (C + PAD);
    const int row0 = at.group_x * TILE + at.warp * 16;
    BARRIER();  // the tile may still be read
    UNROLL
    for (int i = 0; i < C / 2; ++i) {
        const elem value = elem(sums[i] * factors[slot_of<C>(i)]);
        const int row = row_of<C>(i, at.lane), col = col_of<C>(i, at.lane);
        if (STAGED) part[row * (C + PAD) + col] = value;
        else store_element(y, row0 + row, col, value);
    }
    if (!STAGED) return;
    SIMD_BARRIER();
    for (int i = at.lane; i < 16 * C / 8; i += 32) {
        const int row = i / (C / 8), col = i % (C / 8) * 8;
        if (y.wide && row0 + row < y.count && col < y.width) {
            store8(y.at + ((row0 + row) * y.stride + col), part + (row * (C + PAD) + col));
        } else {
            for (int e = 0; e < 8; ++e) store_element(y, row0 + row, col + e, elem(part[row * (C + PAD) + col + e]));
        }
    }
}

// s = scale * s; the columns from `count` on, which are beyond the last key, become -1e30.
template <int STEP> FN void scale_scores(THREAD float *s, float scale, int count, int lane) {
    UNROLL
    for (int i = 0; i < STEP / 2; ++i) s[i] *= scale;
    if (count >= STEP) return;
    UNROLL
    for (int i = 0; i < STEP / 2; ++i)
        if (col_of<STEP>(i, lane) >= count) s[i] = -1e30f;
}

// Which probabilities of a head are dropped, beginning with the mask's row of its first query.
struct Dropped {
    u64 key;
    u32 threshold;
    float kept;
    int first;
};

FN RowMask query_mask(Dropped dropped, int query) {
    RowMask mask = RowMask{0, 0};
    if (dropped.threshold) mask = row_mask(dropped.key, u32(dropped.first + query));
    return mask;
}

// Multiplies by the mask, for rows of queries and columns of keys.
template <int STEP> FN void drop(THREAD float *p, const THREAD RowMask *masks, Dropped dropped, int key0, int lane) {
    if (!dropped.threshold) return;
    UNROLL
    for (int i = 0; i < STEP / 2; ++i)
        p[i] *= mask_factor(masks[slot_of<STEP>(i)], u32(key0 + col_of<STEP>(i, lane)), dropped.threshold,
                            dropped.kept);
}

// The softmax of the rows so far.
struct Softmax {
    float top[SLOTS], total[SLOTS];
};

// s = exp(s - max); what was summed with the former max must be multiplied by `correction`.
template <int STEP> FN void softmax_step(THREAD Softmax *rows, THREAD float *s, THREAD float *correction) {
    float sum[SLOTS];
    UNROLL
    for (int i = 0; i < SLOTS; ++i) {
        correction[i] = rows->top[i];
        sum[i] = 0.f;
    }
    UNROLL
    for (int i = 0; i < STEP / 2; ++i)
        rows->top[slot_of<STEP>(i)] = fmax_(rows->top[slot_of<STEP>(i)], s[i]);
    UNROLL
    for (int i = 0; i < SLOTS; ++i) {
        rows->top[i] = Frag::row_max(rows->top[i]);
        correction[i] = exp_(correction[i] - rows->top[i]);
    }
    UNROLL
    for (int i = 0; i < STEP / 2; ++i) {
        s[i] = exp_(s[i] - rows->top[slot_of<STEP>(i)]);
        sum[slot_of<STEP>(i)] += s[i];
    }
    UNROLL
    for (int i = 0; i < SLOTS; ++i) rows->total[i] = rows->total[i] * correction[i] + Frag::row_sum(sum[i]);
}

// O = (exp(S - max) * mask) V / sum of exp(S - max), with the running softmax of Milakov and Gimelshein (arXiv
// 1805.02867) in the order of FlashAttention (Dao et al., arXiv 2205.14135); lse = max + log(sum).
template <int C>
FN void attend(HeadIn q, HeadIn k, HeadIn v, HeadOut o, GLOBAL(float) lse, float scale, Dropped dropped,
               SHARED_PTR(elem) tile, Place at) {
    enum { STEP = Sizes<C>::STEP };
    const int row0 = at.group_x * TILE + at.warp * 16;
    const SHARED_PTR(elem) keys = tile, values = tile + STEP * (C + PAD);
    Own<C> own;
    keep(&own, q, tile, at);
    float sums[C / 2], factors[SLOTS];
    Softmax rows;
    RowMask masks[SLOTS];
    UNROLL
    for (int i = 0; i < C / 2; ++i) sums[i] = 0.f;
    UNROLL
    for (int i = 0; i < SLOTS; ++i) {
        rows.top[i] = -1e30f;
        rows.total[i] = 0.f;
        masks[i] = query_mask(dropped, row0 + slot_row_of(i, at.lane));
    }
    for (int key0 = 0; key0 < k.count; key0 += STEP) {
        BARRIER();  // all warps are done with the step before
        load_rows<C, STEP>(keys, k, key0, at);
        load_rows<C, STEP>(values, v, key0, at);
        BARRIER();
        float s[STEP / 2];
        products(s, q, &own, keys, at);
        scale_scores<STEP>(s, scale, k.count - key0, at.lane);
        softmax_step<STEP>(&rows, s, factors);
        UNROLL
        for (int i = 0; i < C / 2; ++i) sums[i] *= factors[slot_of<C>(i)];
        drop<STEP>(s, masks, dropped, key0, at.lane);
        accumulate<C>(sums, s, values, at);
    }
    UNROLL
    for (int i = 0; i < SLOTS; ++i) {
        factors[i] = 1.f / rows.total[i];
        const int row = row0 + slot_row_of(i, at.lane);
        if (Frag::first_in_row(at.lane) && row < o.count) lse[row] = rows.top[i] + log_(rows.total[i]);
    }
    store_rows<C>(o, sums, factors, tile, at);
}

// The product of eight elements with eight.
FN float dot8(HeadIn x, HeadIn y, int row, int col) {
    float sum = 0.f;
    if (x.wide && y.wide && row < x.count && col < x.width) {
        for (int e = 0; e < 8; e += 4) {
            const Four a = load4(x.at, row * x.stride + col + e), b = load4(y.at, row * y.stride + col + e);
            sum += a.x * b.x + a.y * b.y + (a.z * b.z + a.w * b.w);
        }
    } else {
        for (int e = 0; e < 8; ++e) sum += float(element(x, row, col + e)) * float(element(y, row, col + e));
    }
    return sum;
}

// dots = the products of rows of x and y, for the 16 rows of the warp: C / 8 lanes a row.
template <int C> FN void dot_rows(SHARED_PTR(float) dots, HeadIn x, HeadIn y, Place at) {
    for (int i = at.lane; i < 16 * C / 8; i += 32) {
        const int r = at.warp * 16 + i / (C / 8);
        float dot = dot8(x, y, at.group_x * TILE + r, i % (C / 8) * 8);
        for (int lanes = 1; lanes < C / 8; lanes *= 2) dot += shfl_xor(dot, lanes);
        if (i % (C / 8) == 0) dots[r] = dot;
    }
    SIMD_BARRIER();
}

// With P = exp(S - lse) and dP = (dO V^T) * mask: dS = P * (dP - delta), delta = the row sums of dO * O, and
// dQ = scale * dS K.
template <int C>
FN void attend_dq(HeadIn q, HeadIn k, HeadIn v, HeadIn o, HeadIn dy, GLOBAL_IN(float) lse, HeadOut dq,
                  GLOBAL(float) delta, float scale, Dropped dropped, SHARED_PTR(elem) tile, SHARED_PTR(float) dots,
                  Place at) {
    enum { STEP = Sizes<C>::STEP };
    const int row0 = at.group_x * TILE + at.warp * 16;
    const SHARED_PTR(elem) keys = tile, values = tile + STEP * (C + PAD);
    Own<C> own_q, own_dy;
    keep(&own_q, q, tile, at);
    keep(&own_dy, dy, tile, at);
    dot_rows<C>(dots, dy, o, at);
    float sums[C / 2], scales[SLOTS], row_lse[SLOTS], row_delta[SLOTS];
    RowMask masks[SLOTS];
    UNROLL
    for (int i = 0; i < C / 2; ++i) sums[i] = 0.f;
    UNROLL
    for (int i = 0; i < SLOTS; ++i) {
        const int r = slot_row_of(i, at.lane), row = row0 + r;
        const bool inside = row < dy.count;
        scales[i] = scale;
        row_lse[i] = inside ? float(lse[row]) : 1e30f;
        row_delta[i] = dots[at.warp * 16 + r];
        if (inside && Frag::first_in_row(at.lane)) delta[row] = row_delta[i];
        masks[i] = query_mask(dropped, row);
    }
    for (int key0 = 0; key0 < k.count; key0 += STEP) {
        BARRIER();  // all warps are done with the step before
        load_rows<C, STEP>(keys, k, key0, at);
        load_rows<C, STEP>(values, v, key0, at);
        BARRIER();
        float s[STEP / 2], dp[STEP / 2];
        products(s, q, &own_q, keys, at);
        products(dp, dy, &own_dy, values, at);
        scale_scores<STEP>(s, scale, k.count - key0, at.lane);
        drop<STEP>(dp, masks, dropped, key0, at.lane);
        UNROLL
        for (int i = 0; i < STEP / 2; ++i)
            s[i] = exp_(s[i] - row_lse[slot_of<STEP>(i)]) * (dp[i] - row_delta[slot_of<STEP>(i)]);
        accumulate<C>(sums, s, keys, at);
    }
    store_rows<C>(dq, sums, scales, tile, at);
}

// What a step of queries has in shared memory beside its rows, STEP numbers each.
struct QueryStep {
    SHARED_PTR(float) lse;
    SHARED_PTR(float) delta;
    SHARED_PTR(u32) first;
    SHARED_PTR(u32) second;
};

// Queries beyond the last get a probability of 0: exp(0 - 1e30).
template <int STEP>
FN void load_queries(QueryStep step, GLOBAL_IN(float) lse, GLOBAL_IN(float) delta, int query0, int count,
                     Dropped dropped, Place at) {
    if (at.tid >= STEP) return;
    const int query = query0 + at.tid;
    const bool inside = query < count;
    step.lse[at.tid] = inside ? float(lse[query]) : 1e30f;
    step.delta[at.tid] = inside ? float(delta[query]) : 0.f;
    const RowMask mask = query_mask(dropped, query);
    step.first[at.tid] = mask.first;
    step.second[at.tid] = mask.second;
}

// The transposed products, for a tile of keys: dV = (P * mask)^T dO and dK = scale * dS^T Q.
template <int C>
FN void attend_dkv(HeadIn q, HeadIn k, HeadIn v, HeadIn dy, GLOBAL_IN(float) lse, GLOBAL_IN(float) delta, HeadOut dk,
                   HeadOut dv, float scale, Dropped dropped, SHARED_PTR(elem) tile, QueryStep step, Place at) {
    enum { STEP = Sizes<C>::STEP };
    const int row0 = at.group_x * TILE + at.warp * 16;
    const SHARED_PTR(elem) queries = tile, grads = tile + STEP * (C + PAD);
    Own<C> own_k;
    Own<C, Sizes<C>::KEPT && C <= 64> own_v;  // both would leave too few registers for two sums
    keep(&own_k, k, tile, at);
    keep(&own_v, v, tile, at);
    float dk_sums[C / 2], dv_sums[C / 2], factors[SLOTS];
    UNROLL
    for (int i = 0; i < C / 2; ++i) dk_sums[i] = dv_sums[i] = 0.f;
    for (int query0 = 0; query0 < q.count; query0 += STEP) {
        BARRIER();  // all warps are done with the step before
        load_rows<C, STEP>(queries, q, query0, at);
        load_rows<C, STEP>(grads, dy, query0, at);
        load_queries<STEP>(step, lse, delta, query0, q.count, dropped, at);
        BARRIER();
        float s[STEP / 2], dp[STEP / 2];
        products(s, k, &own_k, queries, at);
        products(dp, v, &own_v, grads, at);
        UNROLL
        for (int i = 0; i < STEP / 2; ++i) {
            const int query = col_of<STEP>(i, at.lane), key = row0 + row_of<STEP>(i, at.lane);
            const float p = exp_(s[i] * scale - step.lse[query]);
            float factor = 1.f;
            if (dropped.threshold) {
                const RowMask mask = RowMask{step.first[query], step.second[query]};
                factor = mask_factor(mask, u32(key), dropped.threshold, dropped.kept);
            }
            s[i] = p * factor;
            dp[i] = p * (dp[i] * factor - step.delta[query]);
        }
        accumulate<C>(dv_sums, s, grads, at);
        accumulate<C>(dk_sums, dp, queries, at);
    }
    UNROLL
    for (int i = 0; i < SLOTS; ++i) factors[i] = scale;
    store_rows<C>(dk, dk_sums, factors, tile, at);
    UNROLL
    for (int i = 0; i < SLOTS; ++i) factors[i] = 1.f;
    store_rows<C>(dv, dv_sums, factors, tile, at);
}

// The kernels of a capacity. Element (sample, token, head, column) of q lies at q_offset + (sample * n + token) *
// q_stride + head * d + column, those of k and v at k_offset and v_offset with m tokens a sample, and those of o with
// rows of heads * d.
#define ATTENTION(C)                                                                                                   \
    KERNEL(attention_##C, IN(0, elem, q) IN(1, elem, k) IN(2, elem, v) OUT(3, elem, o) OUT(4, float, lse)              \
           VALUE(5, int, n) VALUE(6, int, m) VALUE(7, int, heads) VALUE(8, int, d) VALUE(9, int, q_offset)             \
           VALUE(10, int, q_stride) VALUE(11, int, k_offset) VALUE(12, int, v_offset) VALUE(13, int, kv_stride)        \
           VALUE(14, int, o_offset) VALUE(15, int, lse_offset) VALUE(16, float, scale) VALUE(17, u64, key)             \
           VALUE(18, u32, threshold) VALUE(19, float, kept)) {                                                         \
        SHARED(elem, tile, Sizes<C>::TILE_ROWS * (C + PAD));                                                           \
        const Place at = HERE();                                                                                       \
        const int first = (at.group_z * heads + at.group_y) * n;                                                       \
        attend<C>(head_in(q, q_offset, q_stride, n, d, at), head_in(k, k_offset, kv_stride, m, d, at),                 \
                  head_in(v, v_offset, kv_stride, m, d, at), head_out(o, o_offset, heads * d, n, d, at),               \
                  lse + (lse_offset + first), scale, Dropped{key, threshold, kept, first}, tile, at);                  \
    }                                                                                                                  \
    KERNEL(attention_dq_##C, IN(0, elem, q) IN(1, elem, k) IN(2, elem, v) IN(3, elem, o) IN(4, elem, dy)               \
           IN(5, float, lse) OUT(6, elem, dq) OUT(7, float, delta) VALUE(8, int, n) VALUE(9, int, m)                   \
           VALUE(10, int, heads) VALUE(11, int, d) VALUE(12, int, q_offset) VALUE(13, int, q_stride)                   \
           VALUE(14, int, k_offset) VALUE(15, int, v_offset) VALUE(16, int, kv_stride) VALUE(17, int, o_offset)        \
           VALUE(18, int, lse_offset) VALUE(19, int, dq_offset) VALUE(20, int, dq_stride) VALUE(21, float, scale)      \
           VALUE(22, u64, key) VALUE(23, u32, threshold) VALUE(24, float, kept)) {                                     \
        SHARED(elem, tile, Sizes<C>::TILE_ROWS * (C + PAD));                                                           \
        SHARED(float, dots, TILE);                                                                                     \
        const Place at = HERE();                                                                                       \
        const int first = (at.group_z * heads + at.group_y) * n;                                                       \
        attend_dq<C>(head_in(q, q_offset, q_stride, n, d, at), head_in(k, k_offset, kv_stride, m, d, at),              \
                     head_in(v, v_offset, kv_stride, m, d, at), head_in(o, o_offset, heads * d, n, d, at),             \
                     head_in(dy, o_offset, heads * d, n, d, at), lse + (lse_offset + first),                           \
                     head_out(dq, dq_offset, dq_stride, n, d, at), delta + (lse_offset + first), scale,                \
                     Dropped{key, threshold, kept, first}, tile, dots, at);                                            \
    }                                                                                                                  \
    KERNEL(attention_dkv_##C, IN(0, elem, q) IN(1, elem, k) IN(2, elem, v) IN(3, elem, dy) IN(4, float, lse)           \
           IN(5, float, delta) OUT(6, elem, dkv) VALUE(7, int, n) VALUE(8, int, m) VALUE(9, int, heads)                \
           VALUE(10, int, d) VALUE(11, int, q_offset) VALUE(12, int, q_stride) VALUE(13, int, k_offset)                \
           VALUE(14, int, v_offset) VALUE(15, int, kv_stride) VALUE(16, int, o_offset) VALUE(17, int, lse_offset)      \
           VALUE(18, int, dk_offset) VALUE(19, int, dv_offset) VALUE(20, int, dkv_stride) VALUE(21, float, scale)      \
           VALUE(22, u64, key) VALUE(23, u32, threshold) VALUE(24, float, kept)) {                                     \
        SHARED(elem, tile, Sizes<C>::TILE_ROWS * (C + PAD));                                                           \
        SHARED(float, step_lse, Sizes<C>::STEP);                                                                       \
        SHARED(float, step_delta, Sizes<C>::STEP);                                                                     \
        SHARED(u32, step_first, Sizes<C>::STEP);                                                                       \
        SHARED(u32, step_second, Sizes<C>::STEP);                                                                      \
        const Place at = HERE();                                                                                       \
        const int first = (at.group_z * heads + at.group_y) * n;                                                       \
        attend_dkv<C>(head_in(q, q_offset, q_stride, n, d, at), head_in(k, k_offset, kv_stride, m, d, at),             \
                      head_in(v, v_offset, kv_stride, m, d, at), head_in(dy, o_offset, heads * d, n, d, at),           \
                      lse + (lse_offset + first), delta + (lse_offset + first),                                        \
                      head_out(dkv, dk_offset, dkv_stride, m, d, at), head_out(dkv, dv_offset, dkv_stride, m, d, at),  \
                      scale, Dropped{key, threshold, kept, first}, tile,                                               \
                      QueryStep{step_lse, step_delta, step_first, step_second}, at);                                   \
    }

ATTENTION(32)
ATTENTION(64)
ATTENTION(128)

// softmax(Q K^T * scale) of q (B, n, heads * d) and k (B, m, heads * d) -> map (B, heads, n, m), for pictures: a warp a
// row.
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
