// Kernels with faults that the emulator must find. They are no part of what devices get.

// The sum of a block without the barrier between writing and reading.
KERNEL(fault_missing_barrier, IN(0, float, x) OUT(1, float, y)) {
    SHARED(float, warps, 32);
    const Place at = HERE();
    const float sum = simd_sum(x[at.tid]);
    if (at.lane == 0) warps[at.warp] = sum;
    float total = 0.f;
    for (int w = 0; w < at.group_size / 32; ++w) total += warps[w];
    y[at.tid] = total;
}

// The array is written again before all threads have read it.
KERNEL(fault_second_barrier, IN(0, float, x) OUT(1, float, y)) {
    SHARED(float, values, 128);
    const Place at = HERE();
    values[at.tid] = x[at.tid];
    BARRIER();
    const float first = values[(at.tid + 32) % 128];
    values[at.tid] = first;
    BARRIER();
    y[at.tid] = values[at.tid];
}

// Only some threads of the block come to the barrier.
KERNEL(fault_divergent_barrier, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    if (at.warp == 0) BARRIER();
    y[at.tid] = x[at.tid];
}

// Lanes read what others of their warp have written, without a barrier of the warp.
KERNEL(fault_missing_simd_barrier, IN(0, float, x) OUT(1, float, y)) {
    SHARED(float, values, 128);
    const Place at = HERE();
    values[at.tid] = x[at.tid];
    y[at.tid] = values[at.tid ^ 1];
}

// A shuffle in a branch that not all lanes take.
KERNEL(fault_divergent_shuffle, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    float v = x[at.tid];
    if (at.lane < 16) v = shfl_xor(v, 1);
    y[at.tid] = v;
}

// Shared memory is read that nobody has written.
KERNEL(fault_unwritten, IN(0, float, x) OUT(1, float, y)) {
    SHARED(float, values, 128);
    const Place at = HERE();
    if (at.tid < 100) values[at.tid] = x[at.tid];
    BARRIER();
    y[at.tid] = values[127 - at.tid];
}

// Blocks add to the same element.
KERNEL(fault_race_across_blocks, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    if (at.tid == 0) y[0] = x[at.group_x];
}

// Blocks add to the same element after a barrier, which orders threads of one block only.
KERNEL(fault_race_of_blocks_with_barriers, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    BARRIER();
    y[at.group_x * at.group_size + at.tid] = x[at.tid];
    BARRIER();
    if (at.tid == at.group_x) y[0] += 1.f;
    BARRIER();
}

// A block reads what another writes.
KERNEL(fault_read_of_another_block, IN(0, float, x) OUT(1, float, y)) {
    const Place at = HERE();
    const int i = at.group_x * at.group_size + at.tid;
    y[i] = x[i];
    if (at.group_x == 1) y[i] += float(y[at.tid]);
}

// Rows lie `cols` apart, not `cols` + 1.
KERNEL(fault_wrong_stride, IN(0, float, x) OUT(1, float, y) VALUE(2, int, cols)) {
    const Place at = HERE();
    for (int c = at.tid; c < cols; c += at.group_size) y[at.group_x * cols + c] = x[at.group_x * (cols + 1) + c];
}

// An id that is not a row.
KERNEL(fault_id_out_of_range, IN(0, float, x) IN(1, u32, ids) OUT(2, float, y)) {
    const Place at = HERE();
    y[at.tid] = x[int(ids[at.tid])];
}

// More shared memory than devices give without being asked.
KERNEL(fault_too_much_shared_memory, IN(0, float, x) OUT(1, float, y)) {
    SHARED(float, values, 13000);
    const Place at = HERE();
    values[at.tid] = x[at.tid];
    y[at.tid] = values[at.tid];
}
