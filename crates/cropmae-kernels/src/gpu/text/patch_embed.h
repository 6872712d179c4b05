// Around the product of the patch embedding: rows of visible patches, the convolution's weight in the order of their
// values, and the rows of the position table.

// Row ids[b, i] of sample b of `patches` (B, n, cols) -> rows (B * k, cols), a warp a row. Without ids k is n. An id out of
// range becomes a row of NaN.
KERNEL(gather_patches, IN(0, float, patches) IN(1, u8, bytes) IN(2, float, table) IN(3, u32, ids) OUT(4, elem, rows)
                       VALUE(5, int, count) VALUE(6, int, k) VALUE(7, int, n) VALUE(8, int, cols) VALUE(9, int, is_bytes)
                       VALUE(10, int, has_ids)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= count) return;
    const Pixels pixels{patches, bytes, table, is_bytes};
    const int source = picked_row(row, ids, k, n, has_ids);
    for (int c = at.lane; c < cols; c += 32)
        rows[row * cols + c] = elem(source < 0 ? not_a_number() : pixels.at(source * cols + c, c % 3));
}

// y (B * k, d) = bias + the row of each patch in the position table `pos` (n, d).
KERNEL(gather_positions, IN(0, float, pos) IN(1, float, bias) IN(2, u32, ids) OUT(3, float, y) VALUE(4, int, count)
                         VALUE(5, int, k) VALUE(6, int, n) VALUE(7, int, d) VALUE(8, int, has_ids)) {
    const Place at = HERE();
    const int row = at.group_x * (at.group_size / 32) + at.warp;
    if (row >= count) return;
    const int source = picked_row(row, ids, k, n, has_ids);
    const int first = source < 0 ? 0 : source % n * d;
    for (int c = at.lane; c < d; c += 32) y[row * d + c] = source < 0 ? not_a_number() : bias[c] + pos[first + c];
}

// Where value `c` of a patch (row, column, channel) lies in a convolution's kernel (channel, row, column).
FN int convolution_index(int c, int area) { return c % 3 * area + c / 3; }

// w (d, 3, P, P) -> y (d, P * P * 3), area = P * P, a block a row.
KERNEL(convolution_weight, IN(0, float, w) OUT(1, elem, y) VALUE(2, int, area)) {
    const Place at = HERE();
    const int cols = 3 * area;
    for (int c = at.tid; c < cols; c += at.group_size)
        y[at.group_x * cols + c] = elem(w[at.group_x * cols + convolution_index(c, area)]);
}

// The gradient the way back: dw becomes beta * dw + dy, in the convolution's order.
KERNEL(convolution_gradient, IN(0, float, dy) OUT(1, float, dw) VALUE(2, int, area) VALUE(3, float, beta)) {
    const Place at = HERE();
    const int cols = 3 * area;
    for (int c = at.tid; c < cols; c += at.group_size) {
        const int to = at.group_x * cols + convolution_index(c, area);
        const float d = dy[at.group_x * cols + c];
        dw[to] = beta != 0.f ? beta * dw[to] + d : d;
    }
}
