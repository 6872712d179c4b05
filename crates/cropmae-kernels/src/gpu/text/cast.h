// Operands of products from f32 tensors, of which a block takes CAST_ELEMENTS elements.
#define CAST_ELEMENTS 4096

KERNEL(cast, IN(0, float, x) OUT(1, elem, y) VALUE(2, int, length)) {
    const Place at = HERE();
    const int begin = at.group_x * CAST_ELEMENTS;
    for (int i = begin + at.tid; i < begin + CAST_ELEMENTS && i < length; i += at.group_size) y[i] = elem(x[i]);
}

KERNEL(widen, IN(0, elem, x) OUT(1, float, y) VALUE(2, int, length)) {
    const Place at = HERE();
    const int begin = at.group_x * CAST_ELEMENTS;
    for (int i = begin + at.tid; i < begin + CAST_ELEMENTS && i < length; i += at.group_size) y[i] = float(x[i]);
}

// Tensors one behind the other in `y`: `work` holds the number of the tensor, the first element, the end, and where the tensor
// begins in `y`, for each block.
KERNEL(cast_all, LIST(0, const float, tensors) OUT(1, elem, y) IN(2, int, work)) {
    const Place at = HERE();
    GLOBAL_IN(int) mine = work + 4 * at.group_x;
    GLOBAL_IN(float) x = tensors[mine[0]];
    const int end = mine[2], first = mine[3];
    for (int i = mine[1] + at.tid; i < end; i += at.group_size) y[first + i] = elem(x[i]);
}
