// The exact GELU, x * Phi(x), with dropout, on pre-activations (rows, cols). A thread a column, SUM_ROWS rows a block.

// (1 - Phi(x)) / exp(-x^2 / 2) for x >= 0: a polynomial in t = 1 / (1 + 0.4 x / sqrt 2), the form of Abramowitz and Stegun
// 7.1.26, fitted for a relative error of 1e-7 over [0, 8.5].
FN float normal_tail(float x) {
    const float t = 1.f / (1.f + 0.28284272f * x);
    float p = 0.034040984f;
    p = p * t - 0.18316449f;
    p = p * t + 0.3154231f;
    p = p * t - 0.1595559f;
    p = p * t + 0.18803942f;
    p = p * t + 0.075497925f;
    p = p * t + 0.1171613f;
    p = p * t + 0.1125576f;
    return p * t;
}

struct Gelu {
    float value, slope;
};

FN Gelu gelu_of(float x) {
    const float density = exp_(-0.5f * (x * x));
    const float tail = density * normal_tail(fabs_(x));
    const float relu = x < 0.f ? 0.f : x;
    const float cdf = x < 0.f ? tail : 1.f - tail;
    return Gelu{relu - fabs_(x) * tail, cdf + x * (0.3989423f * density)};
}

KERNEL(gelu, IN(0, elem, pre) OUT(1, elem, act) VALUE(2, int, rows) VALUE(3, int, cols) VALUE(4, u64, key)
             VALUE(5, u32, threshold) VALUE(6, float, kept)) {
    const Place at = HERE();
    const int c = at.group_x * at.group_size + at.tid;
    if (c >= cols) return;
    const int begin = at.group_y * SUM_ROWS;
    const int end = begin + SUM_ROWS < rows ? begin + SUM_ROWS : rows;
    for (int row = begin; row < end; ++row) {
        float value = gelu_of(float(pre[row * cols + c])).value;
        if (threshold) value *= mask_factor(row_mask(key, u32(row)), u32(c), threshold, kept);
        act[row * cols + c] = elem(value);
    }
}

// The activations again, the gradient of the pre-activations from that of the activations, and its sums over rows.
KERNEL(gelu_backward, IN(0, elem, pre) IN(1, elem, dact) OUT(2, elem, act) OUT(3, elem, dpre) OUT(4, float, partial)
                      VALUE(5, int, rows) VALUE(6, int, cols) VALUE(7, u64, key) VALUE(8, u32, threshold)
                      VALUE(9, float, kept)) {
    const Place at = HERE();
    const int c = at.group_x * at.group_size + at.tid;
    if (c >= cols) return;
    const int begin = at.group_y * SUM_ROWS;
    const int end = begin + SUM_ROWS < rows ? begin + SUM_ROWS : rows;
    float sum = 0.f;
    for (int row = begin; row < end; ++row) {
        const int i = row * cols + c;
        Gelu g = gelu_of(float(pre[i]));
        if (threshold) {
            const float factor = mask_factor(row_mask(key, u32(row)), u32(c), threshold, kept);
            g.value *= factor;
            g.slope *= factor;
        }
        const float d = float(dact[i]) * g.slope;
        act[i] = elem(g.value);
        dpre[i] = elem(d);
        sum += d;
    }
    partial[at.group_y * cols + c] = sum;
}
