// Mean squared error on patches of `cols` pixels, a warp a patch, whose target is row ids[b, i] of sample b of `target`
// (B, n, cols), by default normalized by its own mean and unbiased variance.

struct Target {
    int first;
    float mean, rstd;
};

FN Target target_of(int row, const THREAD Pixels &target, GLOBAL_IN(u32) ids, int k, int n, int cols, int has_ids, int norm_pix,
                    Place at) {
    const int source = picked_row(row, ids, k, n, has_ids);
    if (source < 0) return Target{0, not_a_number(), 1.f};
    const int first = source * cols;
    if (!norm_pix) return Target{first, 0.f, 1.f};
    float sum = 0.f;
    for (int c = at.lane; c < cols; c += 32) sum += target.at(first + c, c % 3);
    const float mean = simd_sum(sum) / float(cols);
    float square = 0.f;
    for (int c = at.lane; c < cols; c += 32) {
        const float centered = target.at(first + c, c % 3) - mean;
        square += centered * centered;
    }
    return Target{first, mean, 1.f / sqrt_(simd_sum(square) / float(cols - 1) + 1e-6f)};
}

// The sum of squares of each row -> sums (rows).
KERNEL(pixel_loss, IN(0, float, pred) IN(1, float, target) IN(2, u8, bytes) IN(3, float, table) IN(4, u32, ids)
                   OUT(5, float, sums) VALUE(6, int, rows) VALUE(7, int, k) VALUE(8, int, n) VALUE(9, int, cols)
                   VALUE(10, int, is_bytes) VALUE(11, int, has_ids) VALUE(12, int, norm_pix)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const Pixels pixels{target, bytes, table, is_bytes};
    const Target t = target_of(row, pixels, ids, k, n, cols, has_ids, norm_pix, at);
    float sum = 0.f;
    for (int c = at.lane; c < cols; c += 32) {
        const float error = pred[row * cols + c] - (pixels.at(t.first + c, c % 3) - t.mean) * t.rstd;
        sum += error * error;
    }
    sum = simd_sum(sum);
    if (at.lane == 0) sums[row] = sum;
}

// dpred = 2 * dloss / elements * (pred - target).
KERNEL(pixel_loss_backward, IN(0, float, pred) IN(1, float, target) IN(2, u8, bytes) IN(3, float, table) IN(4, u32, ids)
                            IN(5, float, dloss) OUT(6, float, dpred) VALUE(7, int, rows) VALUE(8, int, k) VALUE(9, int, n)
                            VALUE(10, int, cols) VALUE(11, int, is_bytes) VALUE(12, int, has_ids)
                            VALUE(13, int, norm_pix)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const Pixels pixels{target, bytes, table, is_bytes};
    const Target t = target_of(row, pixels, ids, k, n, cols, has_ids, norm_pix, at);
    const float factor = 2.f * dloss[0] / (float(rows) * float(cols));
    for (int c = at.lane; c < cols; c += 32)
        dpred[row * cols + c] = factor * (pred[row * cols + c] - (pixels.at(t.first + c, c % 3) - t.mean) * t.rstd);
}
