// An update of all weights at once. A block takes UPDATE_ELEMENTS elements of one tensor: `work` holds the number of the
// tensor, the first element and the end for each block.

#define UPDATE_ELEMENTS 4096

// AdamW. `numbers` holds for each tensor: keep = 1 - lr * decay, step = lr / (1 - b1^t), root = 1 / sqrt(1 - b2^t), b1, b2,
// 1 - b1, 1 - b2, eps. The gradient is `scale` times the sums, whose squares' sum is `squares`, and scaled down to the norm
// `max_norm`. After a fault, which `guard` tells, nothing changes.
KERNEL(adamw, LIST(0, float, params) LIST(1, const float, grads) LIST(2, float, exp_avgs) LIST(3, float, exp_avg_sqs)
              IN(4, int, work) IN(5, float, numbers) IN(6, float, squares) IN(7, float, guard) VALUE(8, float, scale)
              VALUE(9, float, max_norm)) {
    const Place at = HERE();
    if (guard[0] != 0.f) return;
    const int tensor = work[3 * at.group_x], end = work[3 * at.group_x + 2];
    GLOBAL(float) param = params[tensor];
    GLOBAL_IN(float) grad = grads[tensor];
    GLOBAL(float) exp_avg = exp_avgs[tensor];
    GLOBAL(float) exp_avg_sq = exp_avg_sqs[tensor];
    GLOBAL_IN(float) number = numbers + 8 * tensor;
    const float keep = number[0], step = number[1], root = number[2], b1 = number[3], b2 = number[4];
    const float gain1 = number[5], gain2 = number[6], eps = number[7];
    const float norm = sqrt_(squares[0]) * scale + 1e-6f;
    const float factor = norm > max_norm ? max_norm / norm * scale : scale;
    for (int i = work[3 * at.group_x + 1] + at.tid; i < end; i += at.group_size) {
        const float g = grad[i] * factor;
        const float m = b1 * exp_avg[i] + gain1 * g;
        const float v = b2 * exp_avg_sq[i] + gain2 * (g * g);
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        param[i] = param[i] * keep - step * m / (sqrt_(v) * root + eps);
    }
}

// average = keep * average + gain * value, unless there was a fault.
KERNEL(ema, LIST(0, float, averages) LIST(1, const float, values) IN(2, int, work) IN(3, float, guard)
            VALUE(4, float, keep) VALUE(5, float, gain)) {
    const Place at = HERE();
    if (guard[0] != 0.f) return;
    GLOBAL(float) average = averages[work[3 * at.group_x]];
    GLOBAL_IN(float) value = values[work[3 * at.group_x]];
    const int end = work[3 * at.group_x + 2];
    for (int i = work[3 * at.group_x + 1] + at.tid; i < end; i += at.group_size)
        average[i] = keep * average[i] + gain * value[i];
}

// The sum of squares of each block's elements -> sums (blocks).
KERNEL(square_sums, LIST(0, const float, grads) IN(1, int, work) OUT(2, float, sums)) {
    SHARED(float, warps, 32);
    const Place at = HERE();
    GLOBAL_IN(float) grad = grads[work[3 * at.group_x]];
    const int end = work[3 * at.group_x + 2];
    float sum = 0.f;
    for (int i = work[3 * at.group_x + 1] + at.tid; i < end; i += at.group_size) sum += grad[i] * grad[i];
    sum = simd_sum(sum);
    if (at.lane == 0) warps[at.warp] = sum;
    BARRIER();
    if (at.tid == 0) {
        float total = 0.f;
        for (int w = 0; w < at.group_size / 32; ++w) total += warps[w];
        sums[at.group_x] = total;
    }
}

// The first number that is not finite -> first (3): 1 + what it is, where, and the number.
KERNEL(check_finite, IN(0, float, number) OUT(1, float, first) VALUE(2, int, what) VALUE(3, int, position)) {
    const Place at = HERE();
    if (at.tid != 0 || first[0] != 0.f || number[0] - number[0] == 0.f) return;
    first[0] = float(1 + what);
    first[1] = float(position);
    first[2] = number[0];
}
