// Label propagation: the sources of each query in two launches. In the first, a block takes a tile of queries and a
// frame of sources, computes the tile's affinities with one tile of sources after the other, and keeps for each query
// the strongest sources of the frame. The second merges the frames' lists and averages labels. Affinities are never
// stored as a matrix.
//
// Cells are numbered along the shorter side of the grid ("lines" of cells), so that a tile covers few lines. Of equal
// affinities, the first source counts and, among its cells, the first one after the beginning of the panel in which
// the query's run of neighbors begins.

// Cells of a tile, and channels of it that lie in shared memory at a time.
#define CELLS 64
#define CHANNELS 16
// Elements between rows of shared tiles, so that rows begin in different banks and at multiples of four.
#define CELLS_ROW 68
// Less than any affinity.
#define NOTHING -3.4e38f

// What of a source counts: pairs whose squared distance is below `limit` are within the radius.
struct Cells {
    int height, width, limit, run, panel;
};

FN int count_of(Cells cells) { return cells.height * cells.width; }
FN int line_length(Cells cells) { return cells.width > cells.height ? cells.height : cells.width; }

// The row-major index of a cell.
FN int cell_of(Cells cells, int number) {
    return cells.width > cells.height ? number % cells.height * cells.width + number / cells.height : number;
}

FN bool within(Cells cells, int a, int b) {
    const int length = line_length(cells);
    const int lines = a / length - b / length, places = a % length - b % length;
    return lines * lines + places * places < cells.limit;
}

// Whether no pair of cells of two tiles is within the radius, by their lines alone.
FN bool far_apart(Cells cells, int a, int b) {
    const int length = line_length(cells), last = count_of(cells) - 1;
    const int before = a < b ? a : b, after = a < b ? b : a;
    const int end = before * CELLS + CELLS - 1;
    const int gap = after * CELLS / length - (end < last ? end : last) / length;
    return gap > 0 && gap * gap >= cells.limit;
}

// Where a cell comes among those of equal affinity.
FN int order_of(Cells cells, int query, int number) {
    const int panels = (count_of(cells) + cells.panel - 1) / cells.panel;
    const int home = query / cells.run * cells.run / cells.panel;
    return (number / cells.panel - home + panels) % panels * cells.panel + number % cells.panel;
}

// Where the features of a cell begin, or -1 beyond the last cell.
FN int features_of(Cells cells, int number, int channels) {
    return number < count_of(cells) ? cell_of(cells, number) * channels : -1;
}

// The cells of a tile whose features a thread loads.
struct TwoRows {
    int first, second;
};
FN TwoRows rows_of(Cells cells, int tile, int channels, Place at) {
    const int number = tile * CELLS + at.tid / (CHANNELS / 4);
    return TwoRows{features_of(cells, number, channels), features_of(cells, number + CELLS / 2, channels)};
}

// Four channels of a cell, and zeros beyond the last channel and cell.
FN Four four_channels(GLOBAL_IN(float) x, int row, int channel, int channels) {
    if (row < 0 || channel >= channels) return Four{0.f, 0.f, 0.f, 0.f};
    if (channels % 4 == 0) return load4(x, row + channel);
    return Four{x[row + channel], channel + 1 < channels ? float(x[row + channel + 1]) : 0.f,
                channel + 2 < channels ? float(x[row + channel + 2]) : 0.f,
                channel + 3 < channels ? float(x[row + channel + 3]) : 0.f};
}

struct TwoFours {
    Four first, second;
};
FN TwoFours fetch(GLOBAL_IN(float) x, TwoRows rows, int channel, int channels, Place at) {
    const int c = channel + at.tid % (CHANNELS / 4) * 4;
    return TwoFours{four_channels(x, rows.first, c, channels), four_channels(x, rows.second, c, channels)};
}

// Into a shared tile (CHANNELS, CELLS_ROW).
FN void store4(SHARED_PTR(float) tile, int cell, Four v, Place at) {
    const int c = at.tid % (CHANNELS / 4) * 4;
    tile[c * CELLS_ROW + cell] = v.x;
    tile[(c + 1) * CELLS_ROW + cell] = v.y;
    tile[(c + 2) * CELLS_ROW + cell] = v.z;
    tile[(c + 3) * CELLS_ROW + cell] = v.w;
}
FN void store_fetched(SHARED_PTR(float) tile, TwoFours v, Place at) {
    store4(tile, at.tid / (CHANNELS / 4), v.first, at);
    store4(tile, at.tid / (CHANNELS / 4) + CELLS / 2, v.second, at);
}

// A thread owns eight queries and four sources of the tile.
FN int first_query(Place at) { return at.tid / 16 * 8; }
FN int first_source(Place at) { return at.tid % 16 * 4; }

FN void add_source4(THREAD float *sums, float query, Four source) {
    sums[0] = fma_(query, source.x, sums[0]);
    sums[1] = fma_(query, source.y, sums[1]);
    sums[2] = fma_(query, source.z, sums[2]);
    sums[3] = fma_(query, source.w, sums[3]);
}

// sums = the affinities of two tiles. Each is one chain of multiply-adds over the channels.
FN void add_affinities(THREAD float *sums, GLOBAL_IN(float) queries, TwoRows query_rows, GLOBAL_IN(float) sources,
                       TwoRows source_rows, int channels, SHARED_PTR(float) query_tile, SHARED_PTR(float) source_tile,
                       Place at) {
    UNROLL
    for (int i = 0; i < 32; ++i) sums[i] = 0.f;
    TwoFours q = fetch(queries, query_rows, 0, channels, at), s = fetch(sources, source_rows, 0, channels, at);
    ROLL
    for (int channel = 0; channel < channels; channel += CHANNELS) {
        BARRIER();  // all threads are done with the channels before
        store_fetched(query_tile, q, at);
        store_fetched(source_tile, s, at);
        BARRIER();
        if (channel + CHANNELS < channels) {  // on their way while the others are multiplied
            q = fetch(queries, query_rows, channel + CHANNELS, channels, at);
            s = fetch(sources, source_rows, channel + CHANNELS, channels, at);
        }
        UNROLL
        for (int c = 0; c < CHANNELS; ++c) {
            const Four low = load4(query_tile, c * CELLS_ROW + first_query(at));
            const Four high = load4(query_tile, c * CELLS_ROW + first_query(at) + 4);
            const Four source = load4(source_tile, c * CELLS_ROW + first_source(at));
            add_source4(sums, low.x, source);
            add_source4(sums + 4, low.y, source);
            add_source4(sums + 8, low.z, source);
            add_source4(sums + 12, low.w, source);
            add_source4(sums + 16, high.x, source);
            add_source4(sums + 20, high.y, source);
            add_source4(sums + 24, high.z, source);
            add_source4(sums + 28, high.w, source);
        }
    }
}

// The strongest sources of a query in one frame, strongest first: slot i lies at i * stride.
struct Strongest {
    GLOBAL(float) affinities;
    GLOBAL(u32) numbers;
    int slots, stride;
};

FN void insert(Strongest list, Cells cells, int query, float affinity, int number) {
    const int order = order_of(cells, query, number);
    int slot = list.slots;
    while (slot > 0) {
        const int before = (slot - 1) * list.stride;
        const float other = list.affinities[before];
        if (other > affinity) break;
        if (other == affinity && order_of(cells, query, int(list.numbers[before])) < order) break;
        if (slot < list.slots) {
            list.affinities[before + list.stride] = other;
            list.numbers[before + list.stride] = list.numbers[before];
        }
        --slot;
    }
    if (slot == list.slots) return;
    list.affinities[slot * list.stride] = affinity;
    list.numbers[slot * list.stride] = u32(number);
}

// Each source that is listed `counts[2 * source]` times without a radius and `counts[2 * source + 1]` times within it:
// features (N, channels) -> for each query the affinities and numbers of its `slots` strongest cells (sources, slots, N).
KERNEL(propagate_search, IN(0, float, queries) LIST(1, const float, sources) IN(2, int, counts)
                         OUT(3, float, affinities) OUT(4, u32, numbers) VALUE(5, int, channels) VALUE(6, int, slots)
                         VALUE(7, int, height) VALUE(8, int, width) VALUE(9, int, limit) VALUE(10, int, run)
                         VALUE(11, int, panel)) {
    SHARED(float, query_tile, CHANNELS * CELLS_ROW);
    SHARED(float, source_tile, CHANNELS * CELLS_ROW);
    SHARED(float, tile, CELLS * (CELLS + 1));
    const Place at = HERE();
    const Cells cells = Cells{height, width, limit, run, panel};
    const int count = count_of(cells), tiles = (count + CELLS - 1) / CELLS;
    GLOBAL_IN(float) features = sources[at.group_y];
    const bool everywhere = counts[2 * at.group_y] > 0;
    const TwoRows query_rows = rows_of(cells, at.group_x, channels, at);
    // The first threads own a query each. Its list is read and written by its thread alone.
    const int query = at.group_x * CELLS + at.tid;
    const bool owner = at.tid < CELLS && query < count;
    const Strongest list = Strongest{affinities + (at.group_y * slots * count + query),
                                     numbers + (at.group_y * slots * count + query), slots, count};
    float weakest = NOTHING;
    if (owner) {
        for (int i = 0; i < slots; ++i) list.affinities[i * count] = NOTHING;
        for (int i = 0; i < slots; ++i) list.numbers[i * count] = 0;
    }
    // Near cells are the most similar, and a strong list early saves work.
    ROLL
    for (int i = 0; i < tiles; ++i) {
        const int other = (at.group_x + i) % tiles;
        if (!everywhere && far_apart(cells, at.group_x, other)) continue;
        float sums[32];
        add_affinities(sums, queries, query_rows, features, rows_of(cells, other, channels, at), channels, query_tile,
                       source_tile, at);
        UNROLL
        for (int s = 0; s < 4; ++s) {
            UNROLL
            for (int q = 0; q < 8; ++q)
                tile[(first_source(at) + s) * (CELLS + 1) + first_query(at) + q] = sums[4 * q + s];
        }
        BARRIER();
        if (owner) {
            for (int s = 0; s < CELLS; ++s) {
                const float affinity = tile[s * (CELLS + 1) + at.tid];
                const int number = other * CELLS + s;
                // Almost all end here.
                if (!(affinity >= weakest) || number >= count) continue;
                if (!everywhere && !within(cells, query, number)) continue;
                insert(list, cells, query, affinity, number);
                weakest = list.affinities[(slots - 1) * count];
            }
        }
    }
}

// A place in the lists of all frames, source * slots + slot. Places of equal affinities are in the order that counts.
struct Candidate {
    float affinity;
    int place;
};

// The first candidate after `last`, the same for all lanes. Its place is `places` if there is none.
FN Candidate next_candidate(GLOBAL_IN(float) affinities, int stride, int places, Candidate last, int lane) {
    Candidate next = Candidate{NOTHING, places};
    for (int place = lane; place < places; place += 32) {
        const float affinity = affinities[place * stride];
        const bool after = affinity < last.affinity || (affinity == last.affinity && place > last.place);
        if (after && affinity > next.affinity) next = Candidate{affinity, place};
    }
    for (int lanes = 16; lanes; lanes /= 2) {
        const float affinity = shfl_xor(next.affinity, lanes);
        const int place = int(shfl_xor(float(next.place), lanes));
        if (affinity > next.affinity || (affinity == next.affinity && place < next.place))
            next = Candidate{affinity, place};
    }
    return next;
}

// The strongest `top_k` sources of each query, a warp a query, with their weights and places (top_k, N), and
// y = the sources' `labels` (N, classes) by these weights.
KERNEL(propagate_average, IN(0, float, affinities) IN(1, u32, numbers) LIST(2, const float, labels) IN(3, int, counts)
                          OUT(4, float, weights) OUT(5, u32, places) OUT(6, float, y) VALUE(7, int, sources)
                          VALUE(8, int, slots) VALUE(9, int, top_k) VALUE(10, float, temperature)
                          VALUE(11, int, classes) VALUE(12, int, height) VALUE(13, int, width) VALUE(14, int, limit)) {
    const Place at = HERE();
    const Cells cells = Cells{height, width, limit, 1, 1};
    const int count = count_of(cells), query = at.group_x * (at.group_size / 32) + at.warp;
    if (query >= count) return;
    float strongest = 0.f, total = 0.f;
    int filled = 0;
    Candidate last = Candidate{-NOTHING, -1};
    while (filled < top_k) {
        last = next_candidate(affinities + query, count, sources * slots, last, at.lane);
        if (last.place >= sources * slots) break;
        const float scaled = last.affinity / temperature;
        if (filled == 0) strongest = scaled;
        const float weight = exp_(scaled - strongest);
        const int source = last.place / slots, number = int(numbers[last.place * count + query]);
        int copies = counts[2 * source] + (within(cells, query, number) ? int(counts[2 * source + 1]) : 0);
        // Copies have equal affinities and take neighboring places.
        for (; copies > 0 && filled < top_k; --copies, ++filled) {
            total += weight;
            if (at.lane == 0) {
                weights[filled * count + query] = weight;
                places[filled * count + query] = u32(last.place);
            }
        }
    }
    SIMD_BARRIER();
    for (int c = at.lane; c < classes; c += 32) {
        float mean = 0.f;
        for (int i = 0; i < filled; ++i) {
            const int place = int(places[i * count + query]);
            GLOBAL_IN(float) of_source = labels[place / slots];
            const int cell = cell_of(cells, int(numbers[place * count + query]));
            mean += weights[i * count + query] / total * of_source[cell * classes + c];
        }
        y[cell_of(cells, query) * classes + c] = mean;
    }
}
