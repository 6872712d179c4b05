// Sums over rows, in two launches of a fixed order: each block sums SUM_ROWS rows, and then the blocks' sums are added.

#define SUM_ROWS 64


// x (rows, cols) -> partial (blocks, cols), a thread a column.
KERNEL(sum_columns, IN(0, elem, x) OUT(1, float, partial) VALUE(2, int, rows) VALUE(3, int, cols)) {
    const Place at = HERE();
    const int c = at.group_x * at.group_size + at.tid;
    if (c >= cols) return;
    const int begin = at.group_y * SUM_ROWS;
    const int end = begin + SUM_ROWS < rows ? begin + SUM_ROWS : rows;
    float sum = 0.f;
    for (int row = begin; row < end; ++row) sum += float(x[row * cols + c]);
    partial[at.group_y * cols + c] = sum;
}

// The same for an f32 matrix, which is also copied as operands of products.
KERNEL(cast_columns, IN(0, float, x) OUT(1, elem, y) OUT(2, float, partial) VALUE(3, int, rows) VALUE(4, int, cols)) {
    const Place at = HERE();
    const int c = at.group_x * at.group_size + at.tid;
    if (c >= cols) return;
    const int begin = at.group_y * SUM_ROWS;
    const int end = begin + SUM_ROWS < rows ? begin + SUM_ROWS : rows;
    float sum = 0.f;
    for (int row = begin; row < end; ++row) {
        const float v = x[row * cols + c];
        y[row * cols + c] = elem(v);
        sum += v;
    }
    partial[at.group_y * cols + c] = sum;
}

// The sums of several matrices at once. Array i of `out` becomes betas[i] * itself + the sum over blocks b of
// partials[i][b * strides[i] + offsets[i] + c], for c < lengths[i]. `numbers` holds blocks, stride, offset, length of each.
KERNEL(finish_columns, LIST(0, const float, partials) LIST(1, float, out) IN(2, int, numbers) IN(3, float, betas)) {
    const Place at = HERE();
    const int i = at.group_y, c = at.group_x * at.group_size + at.tid;
    const int blocks = numbers[4 * i], stride = numbers[4 * i + 1], offset = numbers[4 * i + 2];
    if (c >= numbers[4 * i + 3]) return;
    GLOBAL_IN(float) partial = partials[i];
    float sum = 0.f;
    for (int b = 0; b < blocks; ++b) sum += partial[b * stride + offset + c];
    GLOBAL(float) y = out[i];
    // Not read where the factor is zero: it may hold NaN.
    y[c] = betas[i] != 0.f ? betas[i] * y[c] + sum : sum;
}
