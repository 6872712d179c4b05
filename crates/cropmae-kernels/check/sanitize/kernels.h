// All kernels, on sizes that fill no block, warp or tile, and on some that do.
#pragma once
#include "launch.h"

namespace trial {

// Kernels that give a warp a row, and those that give a thread a column and a block 64 rows.
inline Grid by_warps(int rows) { return row(blocks(rows, 4)); }
inline Grid by_columns(int rows, int cols) { return {blocks(cols, 128), blocks(rows, 64), 1, 128}; }

struct Mask {
    u64 key;
    u32 threshold;
    float kept;
};
constexpr Mask NONE{0, 0, 1.f}, TENTH{0x1234567890abcdefull, 429496730u, 1.f / 0.9f};

inline void dropout(int rows, int cols) {
    auto x = numbers(rows * cols), y = unset(rows * cols);
    launch("dropout", row(rows), x, y, cols, TENTH.key, TENTH.threshold, TENTH.kept);
}

inline void columns(int rows, int cols) {
    auto x = numbers(rows * cols);
    auto y = unset<elem>(rows * cols);
    std::vector<Buffer<float>> partials, out;
    for (int i = 0; i < 2; ++i) partials.push_back(unset(blocks(rows, 64) * cols));
    out.push_back(unset(cols));
    out.push_back(numbers(cols - cols / 2));
    launch("cast_columns", by_columns(rows, cols), x, y, partials[0], rows, cols);
    launch("sum_columns", by_columns(rows, cols), y, partials[1], rows, cols);
    // The second array is added to, from the middle of a row on.
    auto numbers = list<int>({blocks(rows, 64), cols, 0, cols, blocks(rows, 64), cols, cols / 2, cols - cols / 2});
    auto betas = list<float>({0.f, 1.f});
    launch("finish_columns", Grid{blocks(cols, 128), 2, 1, 128}, partials, out, numbers, betas);
}

inline void casts(int rows, int cols) {
    const int length = rows * cols;
    auto x = numbers(length), back = unset(length);
    auto y = unset<elem>(length);
    launch("cast", row(blocks(length, 4096)), x, y, length);
    launch("widen", row(blocks(length, 4096)), y, back, length);
    std::vector<Buffer<float>> tensors;
    tensors.push_back(numbers(length));
    tensors.push_back(numbers(3));
    auto all = unset<elem>(length + 3);
    auto work = list<int>({0, 0, length / 2, 0, 0, length / 2, length, 0, 1, 0, 3, length});
    launch("cast_all", row(3), tensors, all, work);
}

inline void layer_norm(int rows, int cols, Mask mask) {
    auto x = numbers(rows * cols, 1), residual = numbers(rows * cols, 2), w = numbers(cols, 3), b = numbers(cols, 4);
    auto dy = numbers<elem>(rows * cols, 5), y = unset<elem>(rows * cols), operand = unset<elem>(rows * cols);
    auto s = unset(rows * cols), sum = unset(rows * cols), dx = unset(rows * cols), moments = unset(2 * rows);
    const float eps = 1e-6f;
    launch("layer_norm", by_warps(rows), x, w, b, y, rows, cols, eps);
    launch("residual_layer_norm", by_warps(rows), x, residual, w, b, s, sum, rows, cols, eps, mask.key, mask.threshold,
           mask.kept);
    const int has_residual = mask.threshold != 0, has_operand = !has_residual;
    launch("layer_norm_dx", by_warps(rows), s, dy, w, residual, dx, operand, moments, rows, cols, eps, has_residual,
           has_operand);
    auto partial = unset(3 * blocks(rows, 64) * cols);
    launch("layer_norm_dw", by_columns(rows, cols), s, dy, dx, moments, partial, rows, cols);
}

inline void gelu(int rows, int cols, Mask mask) {
    auto pre = numbers<elem>(rows * cols, 1), dact = numbers<elem>(rows * cols, 2);
    auto act = unset<elem>(rows * cols), again = unset<elem>(rows * cols), dpre = unset<elem>(rows * cols);
    auto partial = unset(blocks(rows, 64) * cols);
    const Grid grid = by_columns(rows, cols);
    launch("gelu", grid, pre, act, rows, cols, mask.key, mask.threshold, mask.kept);
    launch("gelu_backward", grid, pre, dact, again, dpre, partial, rows, cols, mask.key, mask.threshold, mask.kept);
}

// `batch` sequences of n queries and m keys; `packed`: q, k and v in one matrix with rows before them, and n = m.
struct Sequences {
    int batch, n, m, heads, width;
    bool packed;
};

inline void attention(Sequences s, Mask mask) {
    const int d = s.heads * s.width, first = s.packed ? 3 : 0;
    const int q_stride = s.packed ? 3 * d : d, kv_stride = s.packed ? 3 * d : 2 * d;
    const int q_offset = first * q_stride, k_offset = s.packed ? q_offset + d : 0, v_offset = k_offset + d;
    const int q_length = (first + s.batch * s.n) * q_stride, kv_length = (first + s.batch * s.m) * kv_stride;
    const int o_offset = first * d, o_length = (first + s.batch * s.n) * d, lse_length = s.batch * s.heads * s.n;
    auto q = numbers<elem>(q_length, 1), separate = numbers<elem>(kv_length, 2), dy = numbers<elem>(o_length, 3);
    auto& kv = s.packed ? q : separate;
    auto o = unset<elem>(o_length), dq = unset<elem>(q_length), dkv = unset<elem>(kv_length);
    auto lse = unset(lse_length), delta = unset(lse_length);
    const std::string capacity = s.width <= 32 ? "32" : s.width <= 64 ? "64" : "128";
    const float scale = 1.f / std::sqrt(float(s.width));
    const Grid by_queries{blocks(s.n, 64), s.heads, s.batch, 128}, by_keys{blocks(s.m, 64), s.heads, s.batch, 128};
    launch(("attention_" + capacity).c_str(), by_queries, q, kv, kv, o, lse, s.n, s.m, s.heads, s.width, q_offset, q_stride,
           k_offset, v_offset, kv_stride, o_offset, 0, scale, mask.key, mask.threshold, mask.kept);
    launch(("attention_dq_" + capacity).c_str(), by_queries, q, kv, kv, o, dy, lse, dq, delta, s.n, s.m, s.heads, s.width,
           q_offset, q_stride, k_offset, v_offset, kv_stride, o_offset, 0, q_offset, q_stride, scale, mask.key,
           mask.threshold, mask.kept);
    auto& into = s.packed ? dq : dkv;
    launch(("attention_dkv_" + capacity).c_str(), by_keys, q, kv, kv, dy, lse, delta, into, s.n, s.m, s.heads, s.width,
           q_offset, q_stride, k_offset, v_offset, kv_stride, o_offset, 0, k_offset, v_offset, kv_stride, scale, mask.key,
           mask.threshold, mask.kept);
}

inline void attention_map(int batch, int n, int m, int heads, int width) {
    const int rows = batch * heads * n;
    auto q = numbers<elem>(batch * n * heads * width, 1), k = numbers<elem>(batch * m * heads * width, 2);
    auto map = unset(rows * m);
    launch("attention_map", by_warps(rows), q, k, map, rows, n, m, heads, width, 0.5f);
}

// `k` of `n` patches of each of two samples; without ids, all of them.
inline void patches(int n, int k, int area, int d, bool some) {
    const int count = 2 * (some ? k : n), cols = 3 * area, has_ids = some, per_sample = some ? k : n;
    auto x = numbers(2 * n * cols, 1), pos = numbers(n * d, 2), bias = numbers(d, 3), w = numbers(d * cols, 4);
    auto ids = unset<u32>(some ? count : 1);
    for (int i = 0; i < ids.length; ++i) ids[i] = u32((n - 1 - i % per_sample) % n);
    auto visible = unset<elem>(count * cols), operand = unset<elem>(d * cols);
    auto y = unset(count * d), dw = numbers(d * cols, 5);
    auto bytes = unset<u8>(2 * n * cols);
    for (int i = 0; i < bytes.length; ++i) bytes[i] = u8(i * 7);
    auto table = numbers(3 * 256, 7);
    for (int is_bytes = 0; is_bytes < 2; ++is_bytes)
        launch("gather_patches", by_warps(count), x, bytes, table, ids, visible, count, per_sample, n, cols, is_bytes, has_ids);
    launch("gather_positions", by_warps(count), pos, bias, ids, y, count, per_sample, n, d, has_ids);
    launch("convolution_weight", row(d), w, operand, area);
    launch("convolution_gradient", row(d), w, dw, area, some ? 1.f : 0.f);
    auto prediction = numbers(count * cols, 6), sums = unset(count), dloss = list<float>({0.5f});
    auto gradient = unset(count * cols), loss = unset(1);
    for (int is_bytes = 0; is_bytes < 2; ++is_bytes)
        launch("pixel_loss", by_warps(count), prediction, x, bytes, table, ids, sums, count, per_sample, n, cols, is_bytes,
               has_ids, has_ids);
    launch("sum", row(1), sums, loss, count, 1.f / float(count * cols));
    for (int is_bytes = 0; is_bytes < 2; ++is_bytes)
        launch("pixel_loss_backward", by_warps(count), prediction, x, bytes, table, ids, dloss, gradient, count, per_sample, n,
               cols, is_bytes, has_ids, has_ids);
}

// Two tensors, in blocks of up to 4096 elements.
inline void update(int length, int other) {
    std::vector<Buffer<float>> params, grads, exp_avgs, exp_avg_sqs, averages;
    std::vector<int> entries;
    int tensor = 0;
    for (int elements : {length, other}) {
        params.push_back(numbers(elements, 1));
        grads.push_back(numbers(elements, 2));
        exp_avgs.push_back(numbers(elements, 3));
        averages.push_back(numbers(elements, 4));
        exp_avg_sqs.push_back(numbers(elements, 5));
        for (int i = 0; i < elements; ++i) exp_avg_sqs.back()[i] *= exp_avg_sqs.back()[i];
        for (int begin = 0; begin < elements; begin += 4096)
            entries.insert(entries.end(), {tensor, begin, std::min(begin + 4096, elements)});
        ++tensor;
    }
    auto work = unset<int>(int64_t(entries.size()));
    std::copy(entries.begin(), entries.end(), work.data.get());
    const int count = int(entries.size()) / 3;
    auto settings = unset(16);
    for (int i = 0; i < 16; ++i) {
        const float one[] = {0.99f, 1e-3f, 1.5f, 0.9f, 0.95f, 0.1f, 0.05f, 1e-8f};
        settings[i] = one[i % 8];
    }
    auto sums = unset(count), squares = unset(1), guard = list<float>({0.f, 0.f, 0.f});
    launch("square_sums", row(count), grads, work, sums);
    launch("sum", row(1), sums, squares, count, 1.f);
    launch("check_finite", Grid{1, 1, 1, 32}, squares, guard, 1, 7);
    launch("adamw", row(count), params, grads, exp_avgs, exp_avg_sqs, work, settings, squares, guard, 0.5f, 0.1f);
    launch("ema", row(count), averages, params, work, guard, 0.9f, 0.1f);
}

// Labels of two frames, of which the second counts only within the radius.
inline void propagation(int height, int width, int channels, int top_k) {
    const int cells = height * width, classes = 3, limit = 10, run = 32, panel = 48;
    const int slots = std::min(top_k, cells);
    auto queries = numbers(cells * channels, 1);
    std::vector<Buffer<float>> sources, labels;
    for (u32 i = 2; i < 4; ++i) {
        sources.push_back(numbers(cells * channels, i));
        labels.push_back(numbers(cells * classes, i + 2));
    }
    auto counts = list<int>({1, 1, 0, 1});
    auto affinities = unset(2 * slots * cells);
    auto found = unset<u32>(2 * slots * cells), places = unset<u32>(top_k * cells);
    launch("propagate_search", Grid{blocks(cells, 64), 2, 1, 128}, queries, sources, counts, affinities, found, channels,
           slots, height, width, limit, run, panel);
    auto weights = unset(top_k * cells), y = unset(cells * classes);
    launch("propagate_average", by_warps(cells), affinities, found, labels, counts, weights, places, y, 2, slots, top_k, 0.7f,
           classes, height, width, limit);
}

inline void all() {
    constexpr struct { int rows, cols; } SIZES[] = {{1, 1}, {3, 5}, {65, 130}, {7, 384}};
    for (auto [rows, cols] : SIZES) {
        dropout(rows, cols);
        columns(rows, cols);
        casts(rows, cols);
        for (Mask mask : {NONE, TENTH}) {
            layer_norm(rows, cols, mask);
            gelu(rows, cols, mask);
        }
    }
    casts(1, 4097);
    attention_map(2, 5, 33, 2, 7);
    patches(5, 2, 4, 33, true);
    patches(7, 7, 16, 130, false);
    update(5000, 3);
    update(1, 4096);
    // Heads whose rows are copied eight elements at a time, and one by one.
    const Sequences sequences[] = {{1, 1, 1, 1, 8, false},    {2, 3, 5, 2, 7, false},    {1, 70, 33, 1, 32, false},
                                   {2, 66, 66, 2, 16, true},  {1, 65, 70, 1, 64, false}, {1, 34, 34, 2, 33, true},
                                   {1, 66, 40, 1, 80, false}, {1, 17, 65, 1, 128, false}};
    Mask mask = NONE;
    for (const Sequences& s : sequences) {
        attention(s, mask);
        mask = mask.threshold ? NONE : TENTH;
    }
    propagation(5, 13, 8, 3);
    propagation(2, 3, 20, 7);
    propagation(11, 12, 6, 5);
}

}  // namespace trial
