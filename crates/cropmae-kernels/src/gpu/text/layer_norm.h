// Layer normalization over rows of `cols` elements, a warp a row: y = (s - mean) * rstd * w + b.

struct Moments {
    float mean, rstd;
};

// `s` is the row of the warp.
FN Moments row_moments(GLOBAL_IN(float) s, int cols, float eps, Place at) {
    float sum = 0.f;
    for (int c = at.lane; c < cols; c += 32) sum += s[c];
    const float mean = simd_sum(sum) / float(cols);
    float square = 0.f;
    for (int c = at.lane; c < cols; c += 32) square += (s[c] - mean) * (s[c] - mean);
    return Moments{mean, rsqrt_(simd_sum(square) / float(cols) + eps)};
}

KERNEL(layer_norm, IN(0, float, x) IN(1, float, w) IN(2, float, b) OUT(3, elem, y) VALUE(4, int, rows)
                   VALUE(5, int, cols) VALUE(6, float, eps)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const GLOBAL_IN(float) s = x + row * cols;
    const Moments m = row_moments(s, cols, eps, at);
    for (int c = at.lane; c < cols; c += 32) y[row * cols + c] = elem((s[c] - m.mean) * m.rstd * w[c] + b[c]);
}

// s = residual + dropout(x), y = LN(s). Lanes read back only what they have written themselves.
KERNEL(residual_layer_norm, IN(0, float, x) IN(1, float, residual) IN(2, float, w) IN(3, float, b) OUT(4, float, s)
                            OUT(5, float, y) VALUE(6, int, rows) VALUE(7, int, cols) VALUE(8, float, eps)
                            VALUE(9, u64, key) VALUE(10, u32, threshold) VALUE(11, float, kept)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const int first = row * cols;
    const RowMask mask = row_mask(key, u32(row));
    float sum = 0.f;
    for (int c = at.lane; c < cols; c += 32) {
        float branch = x[first + c];
        if (threshold) branch *= mask_factor(mask, u32(c), threshold, kept);
        const float value = residual[first + c] + branch;
        s[first + c] = value;
        sum += value;
    }
    const float mean = simd_sum(sum) / float(cols);
    float square = 0.f;
    for (int c = at.lane; c < cols; c += 32) {
        const float centered = s[first + c] - mean;
        square += centered * centered;
    }
    const float rstd = rsqrt_(simd_sum(square) / float(cols) + eps);
    for (int c = at.lane; c < cols; c += 32) y[first + c] = (s[first + c] - mean) * rstd * w[c] + b[c];
}

// dx = rstd * (g - mean(g) - n * mean(g * n)) + residual, with g = dy * w and n = (s - mean) * rstd; also as operands of
// products where these have another type. The moments of each row are kept for the gradients of w and b.
KERNEL(layer_norm_dx, IN(0, float, s) IN(1, elem, dy) IN(2, float, w) IN(3, float, residual) OUT(4, float, dx)
                      OUT(5, elem, operand) OUT(6, float, moments) VALUE(7, int, rows) VALUE(8, int, cols)
                      VALUE(9, float, eps) VALUE(10, int, has_residual) VALUE(11, int, has_operand)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= rows) return;
    const int first = row * cols;
    const Moments m = row_moments(s + first, cols, eps, at);
    float sum = 0.f, dot = 0.f;
    for (int c = at.lane; c < cols; c += 32) {
        const float g = float(dy[first + c]) * w[c];
        sum += g;
        dot += g * ((s[first + c] - m.mean) * m.rstd);
    }
    const float mean_g = simd_sum(sum) / float(cols), mean_gn = simd_sum(dot) / float(cols);
    for (int c = at.lane; c < cols; c += 32) {
        const float g = float(dy[first + c]) * w[c];
        const float n = (s[first + c] - m.mean) * m.rstd;
        float d = m.rstd * (g - mean_g - n * mean_gn);
        if (has_residual) d += residual[first + c];
        dx[first + c] = d;
        if (has_operand) operand[first + c] = elem(d);
    }
    if (at.lane == 0) {
        moments[2 * row] = m.mean;
        moments[2 * row + 1] = m.rstd;
    }
}

// Sums over the rows of a block -> partial (blocks, 3, cols), a thread a column: dw = sum of dy * n, db = sum of dy, and the sum
// of dx, which is the gradient of the bias that was added to the input.
KERNEL(layer_norm_dw, IN(0, float, s) IN(1, elem, dy) IN(2, float, dx) IN(3, float, moments) OUT(4, float, partial)
                      VALUE(5, int, rows) VALUE(6, int, cols)) {
    const Place at = HERE();
    const int c = at.group_x * at.group_size + at.tid;
    if (c >= cols) return;
    const int begin = at.group_y * SUM_ROWS;
    const int end = begin + SUM_ROWS < rows ? begin + SUM_ROWS : rows;
    float dw = 0.f, db = 0.f, sum = 0.f;
    for (int row = begin; row < end; ++row) {
        const float d = float(dy[row * cols + c]);
        dw += d * ((s[row * cols + c] - moments[2 * row]) * moments[2 * row + 1]);
        db += d;
        sum += dx[row * cols + c];
    }
    partial[(3 * at.group_y) * cols + c] = dw;
    partial[(3 * at.group_y + 1) * cols + c] = db;
    partial[(3 * at.group_y + 2) * cols + c] = sum;
}
