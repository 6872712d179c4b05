// The sum of an array by one block, in a fixed order -> out (1) = factor * sum.
KERNEL(sum, IN(0, float, x) OUT(1, float, out) VALUE(2, int, length) VALUE(3, float, factor)) {
    SHARED(float, warps, 32);
    const Place at = HERE();
    float sum = 0.f;
    for (int i = at.tid; i < length; i += at.group_size) sum += x[i];
    sum = simd_sum(sum);
    if (at.lane == 0) warps[at.warp] = sum;
    BARRIER();
    if (at.tid == 0) {
        float total = 0.f;
        for (int w = 0; w < at.group_size / 32; ++w) total += warps[w];
        out[0] = factor * total;
    }
}
