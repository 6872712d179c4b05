// Dropout by a hash of a key and a position: see args/dropout.rs, whose masks these are.

struct RowMask {
    u32 first, second;
};

FN u64 splitmix64(u64 x) {
    x += 0x9e3779b97f4a7c15ul;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ul;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebul;
    return x ^ (x >> 31);
}

FN RowMask row_mask(u64 key, u32 row) {
    const u64 words = splitmix64(key ^ splitmix64(u64(row)));
    return RowMask{u32(words), u32(words >> 32)};
}

// What the element in `col` is multiplied by: 0 or `kept`.
FN float mask_factor(RowMask mask, u32 col, u32 threshold, float kept) {
    u32 h = col ^ mask.first;
    h = (h ^ (h >> 16)) * 0x7feb352du;
    h = ((h ^ (h >> 15)) + mask.second) * 0x846ca68bu;
    h ^= h >> 16;
    return h < threshold ? 0.f : kept;
}

// Dropout alone, forward and backward: a block a row.
KERNEL(dropout, IN(0, float, x) OUT(1, float, y) VALUE(2, int, cols) VALUE(3, u64, key) VALUE(4, u32, threshold)
                VALUE(5, float, kept)) {
    const Place at = HERE();
    const RowMask mask = row_mask(key, u32(at.group_x));
    const int first = at.group_x * cols;
    for (int c = at.tid; c < cols; c += at.group_size)
        y[first + c] = x[first + c] * mask_factor(mask, u32(c), threshold, kept);
}
