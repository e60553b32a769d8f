// Attention over spans on tensor cores, and its gradient: FlashAttention-2 (arXiv:2307.08691). q, k, v and dout are
// bf16, sums and results f32. Tables are those of src/attention/plan.rs with tiles of kQueries queries and of kKeyTile
// key rows.
//
//   4 warps, each with rows of the tile for itself: scores and sums stay in its registers,
//   and scores turn into the left factor of the next product where they are
//
//   the other side comes tile by tile through shared memory, copied while the warps compute
//
// Kernels are made for a few head widths, into which a head is padded with zeros. The gradient computes scores again, in
// one kernel for queries and in one for keys and values, so that each row of a result is written once, by one block:
// results do not change from run to run.
#include "common.cuh"
#include "mma.cuh"
#include "attention.cuh"

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
// Queries of a tile: two blocks of 16 rows a warp, which share what a warp reads of the keys.
constexpr int kQueries = 128;
constexpr int kBlocks = kQueries / kWarps / 16;
// Keys that meet them at a time, forward and backward.
constexpr int kKeys = 64;
constexpr int kBackwardKeys = 32;
// Key rows of a tile, one block of 16 a warp, and queries that meet them at a time.
constexpr int kKeyTile = 64;
constexpr int kKeyTileQueries = 64;

// Rows of kWidth values in shared memory, in pieces of 16 bytes whose places are swapped row by row, so that eight rows
// at the same column lie in different banks.
template <int kWidth>
struct Rows {
    static constexpr int kPieces = kWidth / 8;
    static constexpr int kBytes = kWidth * 2;
    __device__ static __forceinline__ int twist(int row) {
        return kPieces % 8 == 0 ? row % 8 : kPieces % 4 == 0 ? row / 2 % 4 : row / 4 % 2;
    }
    __device__ static __forceinline__ int at(int row, int piece) { return row * kBytes + (piece ^ twist(row)) * 16; }
};

// Begins to copy 16 bytes of a row; zeros beyond `num` values. What is not aligned is copied value by value.
template <bool kAligned>
__device__ __forceinline__ void load_piece(SharedAt to, const bf16* from, int num) {
    if constexpr (kAligned) {
        copy_16(to, from, num > 0);
    } else {
#pragma unroll 1
        for (int pair = 0; pair < 8; pair += 2) {
            unsigned low = pair < num ? from[pair].bits : 0, high = pair + 1 < num ? from[pair + 1].bits : 0;
            store_4(to + 2 * pair, low | high << 16);
        }
    }
}

// Begins to copy rows of one head; zeros beyond `num` rows and `dim` columns.
template <int kWidth, int kNum, bool kAligned>
__device__ __forceinline__ void load_rows(SharedAt to, const bf16* from, int row_width, int num, int dim) {
    constexpr int kPieces = Rows<kWidth>::kPieces;
    if constexpr (kThreads % kPieces == 0) {
        // A thread keeps to its columns. Addresses are counted up, not kept: registers are short.
        constexpr int kStep = kThreads / kPieces;
        int row = threadIdx.x / kPieces, piece = threadIdx.x % kPieces;
        const bf16* at = from + row * row_width + piece * 8;
#pragma unroll
        for (int i = 0; i < (kNum + kStep - 1) / kStep; i++, row += kStep, at += kStep * row_width) {
            if (kNum % kStep != 0 && row >= kNum) break;
            load_piece<kAligned>(to + Rows<kWidth>::at(row, piece), at, row < num ? dim - piece * 8 : 0);
        }
    } else {
#pragma unroll
        for (int i = 0; i < (kNum * kPieces + kThreads - 1) / kThreads; i++) {
            int place = threadIdx.x + i * kThreads, row = place / kPieces, piece = place % kPieces;
            if (kNum * kPieces % kThreads != 0 && row >= kNum) break;
            load_piece<kAligned>(to + Rows<kWidth>::at(row, piece), from + row * row_width + piece * 8,
                                 row < num ? dim - piece * 8 : 0);
        }
    }
}

// Where a lane points into rows for load_matrices and load_turned: rows 0 .. 16 of two pieces.
template <int kWidth>
struct Lane {
    SharedAt row;
    int piece;
    // Pieces after rows: a left factor, or a right one that is turned.
    static __device__ __forceinline__ Lane tall(SharedAt rows) {
        int lane = threadIdx.x % 32;
        return {rows + lane % 16 * Rows<kWidth>::kBytes, lane / 16 ^ Rows<kWidth>::twist(lane % 16)};
    }
    // Rows after pieces: a right factor.
    static __device__ __forceinline__ Lane wide(SharedAt rows) {
        int lane = threadIdx.x % 32, row = lane % 8 + lane / 16 * 8;
        return {rows + row * Rows<kWidth>::kBytes, lane / 8 % 2 ^ Rows<kWidth>::twist(row)};
    }
    // For rows from `first` on, a multiple of 16, and the pair of pieces `pair`.
    __device__ __forceinline__ SharedAt at(int first, int pair) const {
        return row + (first * Rows<kWidth>::kBytes + ((2 * pair) ^ piece) * 16);
    }
};

// scores = a · bᵀ: blocks of 16 rows of a (tall), columns of 8 rows of b (wide).
template <int kWidth, int kHigh, int kColumns>
__device__ __forceinline__ void multiply(float (&scores)[kHigh][kColumns][4], Lane<kWidth> a, Lane<kWidth> b) {
#pragma unroll
    for (int i = 0; i < kHigh; i++)
#pragma unroll
        for (int j = 0; j < kColumns; j++)
#pragma unroll
            for (int e = 0; e < 4; e++) scores[i][j][e] = 0.0f;
#pragma unroll
    for (int step = 0; step < kWidth / 16; step++) {
        unsigned left[kHigh][4];
#pragma unroll
        for (int i = 0; i < kHigh; i++) load_matrices(left[i], a.at(16 * i, step));
#pragma unroll
        for (int j = 0; j < kColumns / 2; j++) {
            unsigned right[4];
            load_matrices(right, b.at(16 * j, step));
#pragma unroll
            for (int i = 0; i < kHigh; i++) {
                mma(scores[i][2 * j], left[i], right[0], right[1]);
                mma(scores[i][2 * j + 1], left[i], right[2], right[3]);
            }
        }
    }
}

// Scores as a left factor: accumulators of two columns of 8 hold what a lane has of 16.
template <int kHigh, int kColumns>
__device__ __forceinline__ void pack(unsigned (&weights)[kHigh][kColumns / 2][4],
                                     const float (&scores)[kHigh][kColumns][4]) {
#pragma unroll
    for (int i = 0; i < kHigh; i++)
#pragma unroll
        for (int step = 0; step < kColumns / 2; step++)
#pragma unroll
            for (int part = 0; part < 4; part++) {
                const float* pair = scores[i][2 * step + part / 2] + part % 2 * 2;
                weights[i][step][part] = pack_bf16(pair[0], pair[1]);
            }
}

// sums += weights · b: column j of the weights meets row j of b (tall).
template <int kWidth, int kHigh, int kSteps>
__device__ __forceinline__ void add_rows(float (&sums)[kHigh][kWidth / 8][4], const unsigned (&weights)[kHigh][kSteps][4],
                                         Lane<kWidth> b) {
#pragma unroll
    for (int step = 0; step < kSteps; step++)
#pragma unroll
        for (int j = 0; j < kWidth / 16; j++) {
            unsigned right[4];
            load_turned(right, b.at(16 * step, j));
#pragma unroll
            for (int i = 0; i < kHigh; i++) {
                mma(sums[i][2 * j], weights[i][step], right[0], right[1]);
                mma(sums[i][2 * j + 1], weights[i][step], right[2], right[3]);
            }
        }
}

// Writes the lane's pairs of a row of sums, times a factor; `to` is the row's start.
template <int kWidth, bool kAligned>
__device__ __forceinline__ void write_row(float* to, const float (&sums)[kWidth / 8][4], int half, float factor,
                                          int dim) {
    int pair = threadIdx.x % 4 * 2;
#pragma unroll
    for (int j = 0; j < kWidth / 8; j++) {
        int column = 8 * j + pair;
        float2 values = make_float2(sums[j][2 * half] * factor, sums[j][2 * half + 1] * factor);
        if constexpr (kAligned) {
            if (column < dim) *reinterpret_cast<float2*>(to + column) = values;
        } else {
            if (column < dim) to[column] = values.x;
            if (column + 1 < dim) to[column + 1] = values.y;
        }
    }
}

// Over the four lanes that have a row.
__device__ __forceinline__ float row_sum(float value) {
    value += __shfl_xor_sync(kAllLanes, value, 1);
    return value + __shfl_xor_sync(kAllLanes, value, 2);
}
__device__ __forceinline__ float row_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, 1));
    return fmaxf(value, __shfl_xor_sync(kAllLanes, value, 2));
}

// The running softmax of a warp's rows; scores become weights. `scale` is that of scores times log2 e.
struct Softmax {
    float top[kBlocks][2], total[kBlocks][2];

    __device__ __forceinline__ Softmax() {
#pragma unroll
        for (int i = 0; i < kBlocks; i++) {
            top[i][0] = top[i][1] = -INFINITY;
            total[i][0] = total[i][1] = 0.0f;
        }
    }

    template <int kColumns, int kSums>
    __device__ __forceinline__ void step(float (&scores)[kBlocks][kColumns][4], float (&sums)[kBlocks][kSums][4],
                                         float scale) {
#pragma unroll
        for (int i = 0; i < kBlocks; i++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float most = top[i][half];
#pragma unroll
                for (int j = 0; j < kColumns; j++)
                    most = fmaxf(most, fmaxf(scores[i][j][2 * half], scores[i][j][2 * half + 1]));
                most = row_max(most);
                // A row that has seen nothing yet keeps its zeros.
                float base = most == -INFINITY ? 0.0f : most * scale;
                float keep = exp2f_fast(top[i][half] * scale - base), added = 0.0f;
                top[i][half] = most;
#pragma unroll
                for (int j = 0; j < kColumns; j++)
#pragma unroll
                    for (int e = 2 * half; e < 2 * half + 2; e++) {
                        scores[i][j][e] = exp2f_fast(scores[i][j][e] * scale - base);
                        added += scores[i][j][e];
                    }
                total[i][half] = total[i][half] * keep + added;
#pragma unroll
                for (int j = 0; j < kSums; j++)
#pragma unroll
                    for (int e = 2 * half; e < 2 * half + 2; e++) sums[i][j][e] *= keep;
            }
    }
};

// Scores of keys that rows do not see become -inf; `first` is the tile's query in the warp's first row.
template <int kColumns, class Walk>
__device__ __forceinline__ void hide(float (&scores)[kBlocks][kColumns][4], const Walk& walk, int first) {
    int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < kBlocks; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int seen = walk.seen(first + 16 * i + 8 * half + lane / 4) - lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < kColumns; j++)
#pragma unroll
                for (int e = 0; e < 2; e++)
                    if (8 * j + e >= seen) scores[i][j][2 * half + e] = -INFINITY;
        }
}

template <int kWidth, bool kAligned>
__device__ __forceinline__ void forward(const bf16* q, const bf16* k, const bf16* v, float* out, float* log_sum_exp,
                                        const QueryTile* tiles, const KeyRange* ranges, int query_heads, int key_heads,
                                        int dim, float scale) {
    DYNAMIC_SHARED(char, shared);
    SharedAt queries = shared_at(shared), keys = queries + kQueries * Rows<kWidth>::kBytes;
    SharedAt values = keys + kKeys * Rows<kWidth>::kBytes;
    int head = blockIdx.x % query_heads, lane = threadIdx.x % 32;
    int query_width = query_heads * dim, key_width = key_heads * dim;
    QueryTile tile = tiles[blockIdx.x / query_heads];
    int column = head * key_heads / query_heads * dim;
    KeyWalk<kKeys> walk(ranges, tile.ranges, tile.end_ranges);
    load_rows<kWidth, kQueries, kAligned>(queries, q + (long long)tile.first * query_width + head * dim, query_width,
                                          tile.num, dim);
    load_rows<kWidth, kKeys, kAligned>(keys, k + ((long long)walk.at * key_width + column), key_width,
                                           walk.num(), dim);
    end_copies();

    // The warp's rows: from `first` to `last`, if there are any.
    int first = threadIdx.x / 32 * (16 * kBlocks), last = min(first + 16 * kBlocks, tile.num) - 1;
    Lane<kWidth> of_queries = Lane<kWidth>::tall(queries + first * Rows<kWidth>::kBytes);
    Lane<kWidth> of_keys = Lane<kWidth>::wide(keys), of_values = Lane<kWidth>::tall(values);
    float by_two = scale * kLog2E, sums[kBlocks][kWidth / 8][4] = {};
    Softmax softmax;
    while (!walk.done()) {
        // Keys are there, and values free.
        wait_for_copies<0>();
        __syncthreads();
        load_rows<kWidth, kKeys, kAligned>(values, v + ((long long)walk.at * key_width + column), key_width,
                                           walk.num(), dim);
        end_copies();
        bool busy = first <= last && walk.seen(last) > 0, hides = walk.seen(first) < kKeys;
        unsigned weights[kBlocks][kKeys / 16][4];
        if (busy) {
            float scores[kBlocks][kKeys / 8][4];
            multiply(scores, of_queries, of_keys);
            if (hides) hide(scores, walk, first);
            softmax.step(scores, sums, by_two);
            pack(weights, scores);
        }
        // Values are there, and keys free.
        wait_for_copies<0>();
        __syncthreads();
        walk.advance();
        if (!walk.done()) {
            load_rows<kWidth, kKeys, kAligned>(keys, k + ((long long)walk.at * key_width + column), key_width,
                                           walk.num(), dim);
            end_copies();
        }
        if (busy) add_rows<kWidth>(sums, weights, of_values);
    }
    if (first > last) return;
#pragma unroll
    for (int i = 0; i < kBlocks; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = first + 16 * i + 8 * half + lane / 4;
            float total = row_sum(softmax.total[i][half]);
            if (row > last) continue;
            long long at = (long long)(tile.first + row) * query_heads + head;
            write_row<kWidth, kAligned>(out + at * dim, sums[i], half, 1.0f / total, dim);
            if (lane % 4 == 0) log_sum_exp[at] = softmax.top[i][half] * scale + logf(total);
        }
}

// p = exp(scores − log_sum) and scores = p · (slopes − mean), with `scale` as in Softmax and log_sum in powers of 2.
__device__ __forceinline__ void differentiate(float& score, float& slope, float scale, float log_sum, float mean) {
    score = exp2f_fast(score * scale - log_sum);
    slope = score * (slope - mean);
}

template <int kWidth, bool kAligned>
__device__ __forceinline__ void backward_query(const bf16* q, const bf16* k, const bf16* v, const bf16* dout,
                                               const float* log_sum_exp, const float* delta, float* dq,
                                               const QueryTile* tiles, const KeyRange* ranges, int query_heads,
                                               int key_heads, int dim, float scale) {
    constexpr int kBytes = Rows<kWidth>::kBytes;
    DYNAMIC_SHARED(char, shared);
    SharedAt queries = shared_at(shared), slopes = queries + kQueries * kBytes;
    SharedAt keys = slopes + kQueries * kBytes, values = keys + kBackwardKeys * kBytes;
    int head = blockIdx.x % query_heads, lane = threadIdx.x % 32;
    int query_width = query_heads * dim, key_width = key_heads * dim, column = head * key_heads / query_heads * dim;
    QueryTile tile = tiles[blockIdx.x / query_heads];
    KeyWalk<kBackwardKeys> walk(ranges, tile.ranges, tile.end_ranges);
    auto load = [&](SharedAt to, const bf16* from) {
        load_rows<kWidth, kBackwardKeys, kAligned>(to, from + ((long long)walk.at * key_width + column), key_width,
                                                   walk.num(), dim);
    };
    long long start = (long long)tile.first * query_width + head * dim;
    load_rows<kWidth, kQueries, kAligned>(queries, q + start, query_width, tile.num, dim);
    load_rows<kWidth, kQueries, kAligned>(slopes, dout + start, query_width, tile.num, dim);
    load(keys, k);
    load(values, v);
    end_copies();

    // The warp's rows: from `first` to `last`, if there are any.
    int first = threadIdx.x / 32 * (16 * kBlocks), last = min(first + 16 * kBlocks, tile.num) - 1;
    Lane<kWidth> of_queries = Lane<kWidth>::tall(queries + first * kBytes);
    Lane<kWidth> of_slopes = Lane<kWidth>::tall(slopes + first * kBytes);
    Lane<kWidth> of_keys = Lane<kWidth>::wide(keys), of_values = Lane<kWidth>::wide(values);
    float by_two = scale * kLog2E, sums[kBlocks][kWidth / 8][4] = {}, log_sum[kBlocks][2], mean[kBlocks][2];
#pragma unroll
    for (int i = 0; i < kBlocks; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = first + 16 * i + 8 * half + lane / 4;
            long long at = (long long)(tile.first + row) * query_heads + head;
            log_sum[i][half] = row <= last ? log_sum_exp[at] * kLog2E : 0.0f;
            mean[i][half] = row <= last ? delta[at] : 0.0f;
        }
    while (!walk.done()) {
        wait_for_copies<0>();
        __syncthreads();
        bool busy = first <= last && walk.seen(last) > 0, hides = walk.seen(first) < kBackwardKeys;
        unsigned weights[kBlocks][kBackwardKeys / 16][4];
        if (busy) {
            float scores[kBlocks][kBackwardKeys / 8][4], steep[kBlocks][kBackwardKeys / 8][4];
            multiply(scores, of_queries, of_keys);
            if (hides) hide(scores, walk, first);
            multiply(steep, of_slopes, of_values);
#pragma unroll
            for (int i = 0; i < kBlocks; i++)
#pragma unroll
                for (int j = 0; j < kBackwardKeys / 8; j++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        differentiate(scores[i][j][e], steep[i][j][e], by_two, log_sum[i][e / 2], mean[i][e / 2]);
            pack(weights, steep);
        }
        // Values are free; keys are still to be added up.
        __syncthreads();
        walk.advance();
        if (!walk.done()) load(values, v);
        if (busy) add_rows<kWidth>(sums, weights, Lane<kWidth>::tall(keys));
        __syncthreads();
        if (!walk.done()) load(keys, k);
        end_copies();
    }
    if (first > last) return;
#pragma unroll
    for (int i = 0; i < kBlocks; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int row = first + 16 * i + 8 * half + lane / 4;
            if (row > last) continue;
            write_row<kWidth, kAligned>(dq + (long long)(tile.first + row) * query_width + head * dim, sums[i], half,
                                        scale, dim);
        }
}

// As hide, for scores of the warp's keys, from row `first` on, with queries as columns.
template <int kColumns, class Walk>
__device__ __forceinline__ void hide_keys(float (&scores)[1][kColumns][4], const Walk& walk, int first) {
    int lane = threadIdx.x % 32, limit = walk.limit(), step = walk.here().step;
    int first_key = walk.here().first_key, end_key = walk.here().end_key;
#pragma unroll
    for (int j = 0; j < kColumns; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            int row = first + lane / 4 + e / 2 * 8, query = 8 * j + lane % 4 * 2 + e % 2;
            if (row < first_key || row >= min(end_key, limit + query * step)) scores[0][j][e] = -INFINITY;
        }
}

// Queries and slopes come tile by tile: queries to two places by turns, as they are needed to the end of a step.
template <int kWidth, bool kAligned>
__device__ __forceinline__ void backward_key(const bf16* q, const bf16* k, const bf16* v, const bf16* dout,
                                             const float* log_sum_exp, const float* delta, float* dk, float* dv,
                                             const KeyTile* tiles, const QueryRun* runs, int query_heads, int key_heads,
                                             int dim, float scale) {
    constexpr int kBytes = Rows<kWidth>::kBytes, kColumns = kKeyTileQueries / 8;
    DYNAMIC_SHARED(char, shared);
    SharedAt keys = shared_at(shared), values = keys + kKeyTile * kBytes, slopes = values + kKeyTile * kBytes;
    SharedAt queries = slopes + kKeyTileQueries * kBytes;
    // Log-sums and means of queries, in two places as well.
    float* moments = reinterpret_cast<float*>(shared + (2 * kKeyTile + 3 * kKeyTileQueries) * kBytes);
    int key_head = blockIdx.x % key_heads, group = query_heads / key_heads, lane = threadIdx.x % 32, turn = 0;
    int query_width = query_heads * dim, key_width = key_heads * dim;
    KeyTile tile = tiles[blockIdx.x / key_heads];
    QueryWalk<kKeyTileQueries> walk(runs, tile.runs, tile.end_runs, key_head * group, (key_head + 1) * group);
    auto load_slopes = [&] {
        load_rows<kWidth, kKeyTileQueries, kAligned>(
            slopes, dout + ((long long)walk.at * query_width + walk.head * dim), query_width, walk.num(), dim);
    };
    auto load_queries = [&] {
        load_rows<kWidth, kKeyTileQueries, kAligned>(queries + turn * (kKeyTileQueries * kBytes),
                                                     q + ((long long)walk.at * query_width + walk.head * dim),
                                                     query_width, walk.num(), dim);
        int row = threadIdx.x % kKeyTileQueries;
        bool there = row < walk.num();
        const float* from = threadIdx.x < kKeyTileQueries ? log_sum_exp : delta;
        copy_4(shared_at(moments) + (turn * kThreads + threadIdx.x) * 4,
               from + (there ? (long long)(walk.at + row) * query_heads + walk.head : 0), there);
    };
    long long start = (long long)tile.first * key_width + key_head * dim;
    load_rows<kWidth, kKeyTile, kAligned>(keys, k + start, key_width, tile.end - tile.first, dim);
    load_rows<kWidth, kKeyTile, kAligned>(values, v + start, key_width, tile.end - tile.first, dim);
    load_queries();
    load_slopes();
    end_copies();

    // The warp's key rows.
    int first = tile.first + threadIdx.x / 32 * 16, last = min(first + 16, tile.end) - 1;
    Lane<kWidth> of_keys = Lane<kWidth>::tall(keys + threadIdx.x / 32 * (16 * kBytes));
    Lane<kWidth> of_values = Lane<kWidth>::tall(values + threadIdx.x / 32 * (16 * kBytes));
    float by_two = scale * kLog2E, of_k[1][kWidth / 8][4] = {}, of_v[1][kWidth / 8][4] = {};
    while (!walk.done()) {
        // Queries and slopes are there, and the other place for queries is free.
        wait_for_copies<0>();
        __syncthreads();
        SharedAt now = queries + turn * (kKeyTileQueries * kBytes);
        const float *log_sums = moments + turn * kThreads + lane % 4 * 2, *means = log_sums + kKeyTileQueries;
        bool busy = last >= walk.here().first_key && first < walk.seen(walk.num() - 1);
        bool hides = first < walk.here().first_key || first + 16 > walk.seen(0);
        QueryWalk<kKeyTileQueries> here = walk;
        walk.advance();
        turn ^= 1;
        if (!walk.done()) {
            load_queries();
            end_copies();
        }
        unsigned weights[1][kColumns / 2][4];
        if (busy) {
            float scores[1][kColumns][4], steep[1][kColumns][4];
            multiply(scores, of_keys, Lane<kWidth>::wide(now));
            if (hides) hide_keys(scores, here, first);
            multiply(steep, of_values, Lane<kWidth>::wide(slopes));
#pragma unroll
            for (int j = 0; j < kColumns; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int query = 8 * j + e % 2;
                    differentiate(scores[0][j][e], steep[0][j][e], by_two, log_sums[query] * kLog2E, means[query]);
                }
            pack(weights, scores);
            add_rows<kWidth>(of_v, weights, Lane<kWidth>::tall(slopes));
            pack(weights, steep);
        }
        // Slopes are free.
        __syncthreads();
        if (!walk.done()) {
            load_slopes();
            end_copies();
        }
        if (busy) add_rows<kWidth>(of_k, weights, Lane<kWidth>::tall(now));
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = first + 8 * half + lane / 4;
        if (row > last) continue;
        long long at = (long long)row * key_width + key_head * dim;
        write_row<kWidth, kAligned>(dk + at, of_k[0], half, scale, dim);
        write_row<kWidth, kAligned>(dv + at, of_v[0], half, 1.0f, dim);
    }
}

// attention_forward_bf16_W: out and log_sum_exp of the queries in tiles, for dim ≤ W, a multiple of 8; _any takes any
// dim ≤ 128, slowly. `scale` is 1/√dim.
// Grid: tiles · query_heads. Block: 128. Shared: 256 · W · 2 bytes (W = 128 for _any).
#define FORWARD(name, width, aligned)                                                                               \
    KERNEL void __launch_bounds__(kThreads, 2) attention_forward_bf16_##name(                                       \
            const bf16* q, const bf16* k, const bf16* v, float* out, float* log_sum_exp, const QueryTile* tiles,    \
            const KeyRange* ranges, int query_heads, int key_heads, int dim, float scale) {                         \
        forward<width, aligned>(q, k, v, out, log_sum_exp, tiles, ranges, query_heads, key_heads, dim, scale);      \
    }                                                                                                               \
    EXPORT(attention_forward_bf16_##name)

// attention_backward_query_bf16_W: dq of the queries in tiles.
// Grid: tiles · query_heads. Block: 128. Shared: 320 · W · 2 bytes.
#define BACKWARD_QUERY(name, width, aligned)                                                                        \
    KERNEL void __launch_bounds__(kThreads, 2) attention_backward_query_bf16_##name(                                \
            const bf16* q, const bf16* k, const bf16* v, const bf16* dout, const float* log_sum_exp,                \
            const float* delta, float* dq, const QueryTile* tiles, const KeyRange* ranges, int query_heads,         \
            int key_heads, int dim, float scale) {                                                                  \
        backward_query<width, aligned>(q, k, v, dout, log_sum_exp, delta, dq, tiles, ranges, query_heads,           \
                                       key_heads, dim, scale);                                                      \
    }                                                                                                               \
    EXPORT(attention_backward_query_bf16_##name)

// attention_backward_key_bf16_W: dk and dv of the key rows in tiles.
// Grid: tiles · key_heads. Block: 128. Shared: 320 · W · 2 + 1024 bytes.
#define BACKWARD_KEY(name, width, aligned)                                                                          \
    KERNEL void __launch_bounds__(kThreads, 2) attention_backward_key_bf16_##name(                                  \
            const bf16* q, const bf16* k, const bf16* v, const bf16* dout, const float* log_sum_exp,                \
            const float* delta, float* dk, float* dv, const KeyTile* tiles, const QueryRun* runs, int query_heads,  \
            int key_heads, int dim, float scale) {                                                                  \
        backward_key<width, aligned>(q, k, v, dout, log_sum_exp, delta, dk, dv, tiles, runs, query_heads,           \
                                     key_heads, dim, scale);                                                        \
    }                                                                                                               \
    EXPORT(attention_backward_key_bf16_##name)

#define ALL(name, width, aligned)            \
    FORWARD(name, width, aligned)            \
    BACKWARD_QUERY(name, width, aligned)     \
    BACKWARD_KEY(name, width, aligned)

// With -DATTENTION_WIDTH=W only the kernels of that width are compiled, with 0 those of any: one takes some seconds.
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 16
ALL(16, 16, true)
#endif
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 32
ALL(32, 32, true)
#endif
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 64
ALL(64, 64, true)
#endif
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 80
ALL(80, 80, true)
#endif
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 96
ALL(96, 96, true)
#endif
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 128
ALL(128, 128, true)
#endif
#if !defined(ATTENTION_WIDTH) || ATTENTION_WIDTH == 0
ALL(any, 128, false)
#endif
