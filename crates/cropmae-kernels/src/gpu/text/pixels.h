// Patches of pixels, as normalized values or as bytes, and the rows that ids pick of them.

// With `is_bytes` the value of a byte in channel c is table[256 * c + byte], otherwise it stands in `values`.
struct Pixels {
    GLOBAL_IN(float) values;
    GLOBAL_IN(u8) bytes;
    GLOBAL_IN(float) table;
    int is_bytes;
    FN float at(int index, int channel) const THREAD {
        return is_bytes ? table[256 * channel + int(bytes[index])] : values[index];
    }
};

// The row of (B, n) that belongs to row `row` of (B, k): ids[row] of its sample, or without ids, where k is n, its own
// place. An id out of range gives -1.
FN int picked_row(int row, GLOBAL_IN(u32) ids, int k, int n, int has_ids) {
    const int id = has_ids ? int(ids[row]) : row % k;
    return id >= 0 && id < n ? row / k * n + id : -1;
}

// What becomes of an id out of range: it reaches the loss.
FN float not_a_number() {
    const float zero = 0.f;
    return zero / zero;
}
