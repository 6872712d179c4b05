// Mean squared error on patches of `cols` pixels, a warp a patch, whose target is row ids[b, i] of sample b of `target`
// (B, n, cols), by default normalized by its own mean and unbiased variance.

struct Target {
    int first;
    float mean, rstd;
};

FN Target target_of(int row, GLOBAL_IN(float) target, GLOBAL_IN(u32) ids, int k, int n, int cols, int has_ids, int norm_pix,
                    Place at) {
    const int first = (row / k * n + (has_ids ? int(ids[row]) : row % k)) * cols;
    if (!norm_pix) return Target{first, 0.f, 1.f};
    float sum = 0.f;
    for (int c = at.lane; c < cols; c += 32) sum += target[first + c];
    const float mean = simd_sum(sum) / float(cols);
    float square = 0.f;
    for (int c = at.lane; c < cols; c += 32) square += (target[first + c] - mean) * (target[first + c] - mean);
    return Target{first, mean, 1.f / sqrt_(simd_sum(square) / float(cols - 1) + 1e-6f)};
}

// The sum of squares of each row -> sums (rows).
KERNEL(pixel_loss, IN(0, float, pred) IN(1, float, target) IN(2, u32, ids) OUT(3, float, sums) VALUE(4, int, rows)
                   VALUE(5, int, k) VALUE(6, int, n) VALUE(7, int, cols) VALUE(8, int, has_ids) VALUE(9, int, norm_pix)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const Target t = target_of(row, target, ids, k, n, cols, has_ids, norm_pix, at);
    float sum = 0.f;
    for (int c = at.lane; c < cols; c += 32) {
        const float error = pred[row * cols + c] - (target[t.first + c] - t.mean) * t.rstd;
        sum += error * error;
    }
    sum = simd_sum(sum);
    if (at.lane == 0) sums[row] = sum;
}

// dpred = 2 * dloss / elements * (pred - target).
KERNEL(pixel_loss_backward, IN(0, float, pred) IN(1, float, target) IN(2, u32, ids) IN(3, float, dloss)
                            OUT(4, float, dpred) VALUE(5, int, rows) VALUE(6, int, k) VALUE(7, int, n) VALUE(8, int, cols)
                            VALUE(9, int, has_ids) VALUE(10, int, norm_pix)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const Target t = target_of(row, target, ids, k, n, cols, has_ids, norm_pix, at);
    const float factor = 2.f * dloss[0] / (float(rows) * float(cols));
    for (int c = at.lane; c < cols; c += 32)
        dpred[row * cols + c] = factor * (pred[row * cols + c] - (target[t.first + c] - t.mean) * t.rstd);
}
