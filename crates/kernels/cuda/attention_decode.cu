// Attention of few queries over long caches. Tables are those of `decode` in src/attention/plan.rs: a unit is some
// queries, of one span or of spans that share a past, and a chunk of the keys they see; a second kernel joins what the
// chunks of a query amount to. Keys and values are read once for all queries of a unit and all heads of a group.
//
//   rows = queries × heads of a group
//
//   scores   thread = a key and some of the rows      q and keys in shared memory
//   softmax  warp = a row
//   sums     thread = 16 bytes of a value's columns, some of the rows, and every n-th key; the n are added at last
//
// Keys and values come tile by tile, either copied while the other is used.
#include "common.cuh"
#include "mma.cuh"
#include "attention.cuh"

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;
// The most rows of a unit: UNIT_ROWS of plan.rs.
constexpr int kUnitRows = 64;
constexpr int kWidth = 128;

// Queries, as entries, and the chunk of keys they see.
struct __align__(16) Unit {
    int first, end, ranges, end_ranges;
};
// A query and the partial results it is made of.
struct __align__(16) Join {
    int row, parts, end_parts, unused;
};

// What a type of cache decides: values in 16 bytes, and keys of a tile, so that tiles are of one size.
template <class T>
struct Cache {
    static constexpr int kValues = 16 / sizeof(T);
    static constexpr int kKeys = 128 / sizeof(T);
    // Threads that have a key, and rows that each takes at a time.
    static constexpr int kParts = kThreads / kKeys;
    static constexpr int kScoreRows = 8 / kParts;
    // Threads that share the columns of a value, and rows that each adds up.
    static constexpr int kColumns = kWidth / kValues;
    static constexpr int kGroups = kThreads / kColumns;
    static constexpr int kSumRows = kUnitRows / kGroups;
};

__device__ __forceinline__ void unpack(const uint4& raw, float (&values)[8]) {
    unsigned pairs[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        values[2 * i] = __uint_as_float(pairs[i] << 16);
        values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
    }
}
__device__ __forceinline__ void unpack(const uint4& raw, float (&values)[4]) {
    values[0] = __uint_as_float(raw.x), values[1] = __uint_as_float(raw.y);
    values[2] = __uint_as_float(raw.z), values[3] = __uint_as_float(raw.w);
}

// Places in shared memory, for units of `rows` rows.
template <class T>
struct Places {
    // Pieces of 16 bytes in a row, from one row to the next (odd, for the banks), and values they hold.
    int pieces, stride, width;
    // From one key's weights to the next.
    int weight_stride;
    uint4 *keys, *values;
    float *queries, *weights, *top, *total, *keep;
    int* query_of;

    __device__ __forceinline__ Places(char* shared, int rows, int dim) {
        constexpr int kKeys = Cache<T>::kKeys;
        pieces = (dim + Cache<T>::kValues - 1) / Cache<T>::kValues, stride = pieces | 1;
        width = pieces * Cache<T>::kValues, weight_stride = (rows + 7) / 8 * 8 + 4;
        keys = reinterpret_cast<uint4*>(shared), values = keys + kKeys * stride;
        queries = reinterpret_cast<float*>(values + kKeys * stride);
        weights = queries + (rows + 7) / 8 * 8 * width;
        top = weights + kKeys * weight_stride, total = top + kUnitRows, keep = total + kUnitRows;
        query_of = reinterpret_cast<int*>(keep + kUnitRows);
    }
};

__device__ __forceinline__ unsigned bits_of(float value) { return __float_as_uint(value); }
__device__ __forceinline__ unsigned bits_of(bf16 value) { return value.bits; }

// Begins to copy rows of one head; zeros beyond `num` rows and `dim` columns.
template <class T>
__device__ __forceinline__ void load_rows(uint4* to, const T* from, long long row_width, int num, int dim,
                                          const Places<T>& places) {
    constexpr int kValues = Cache<T>::kValues, kPerWord = 4 / sizeof(T);
    int pieces = places.pieces;
    bool aligned = dim % kValues == 0;
    for (int place = threadIdx.x; place < Cache<T>::kKeys * pieces; place += kThreads) {
        int row = place / pieces, piece = place % pieces;
        SharedAt at = shared_at(to + row * places.stride + piece);
        const T* values = from + row * row_width + piece * kValues;
        if (aligned) {
            copy_16(at, values, row < num);
            continue;
        }
        int there = row < num ? dim - piece * kValues : 0;
        for (int word = 0; word < 4; word++) {
            unsigned bits = 0;
            for (int i = 0; i < kPerWord; i++) {
                int d = word * kPerWord + i;
                if (d < there) bits |= bits_of(values[d]) << (i * 16);
            }
            store_4(at + 4 * word, bits);
        }
    }
}

// weights[key][row] = scores of the tile, -inf where a row does not see the key.
template <class T>
__device__ __forceinline__ void score(const Places<T>& places, const KeyWalk<Cache<T>::kKeys>& walk, int rows,
                                      float scale) {
    constexpr int kValues = Cache<T>::kValues, kScoreRows = Cache<T>::kScoreRows;
    int key = threadIdx.x % Cache<T>::kKeys, part = threadIdx.x / Cache<T>::kKeys;
    const uint4* of_key = places.keys + key * places.stride;
    for (int first = part * kScoreRows; first < rows; first += 8) {
        float scores[kScoreRows] = {};
        const float* queries = places.queries + first * places.width;
        for (int piece = 0; piece < places.pieces; piece++) {
            float values[kValues];
            unpack(of_key[piece], values);
#pragma unroll
            for (int r = 0; r < kScoreRows; r++)
#pragma unroll
                for (int i = 0; i < kValues; i += 4) {
                    float4 q = *reinterpret_cast<const float4*>(queries + r * places.width + piece * kValues + i);
                    scores[r] += q.x * values[i];
                    scores[r] += q.y * values[i + 1];
                    scores[r] += q.z * values[i + 2];
                    scores[r] += q.w * values[i + 3];
                }
        }
#pragma unroll
        for (int r = 0; r < kScoreRows; r++) {
            bool sees = key < walk.seen(places.query_of[first + r]);
            places.weights[key * places.weight_stride + first + r] = sees ? scores[r] * scale : -INFINITY;
        }
    }
}

// Scores become weights of the running softmax; `keep` is what earlier sums are worth.
template <class T>
__device__ __forceinline__ void soften(const Places<T>& places, int rows) {
    constexpr int kEach = Cache<T>::kKeys / 32;
    int lane = threadIdx.x % 32;
    for (int row = threadIdx.x / 32; row < rows; row += kWarps) {
        float scores[kEach], before = places.top[row], most = before, added = 0.0f;
#pragma unroll
        for (int i = 0; i < kEach; i++) {
            scores[i] = places.weights[(lane + 32 * i) * places.weight_stride + row];
            most = fmaxf(most, scores[i]);
        }
        most = warp_max(most);
        // A row that has seen nothing yet keeps its zeros.
        float base = most == -INFINITY ? 0.0f : most;
#pragma unroll
        for (int i = 0; i < kEach; i++) {
            scores[i] = expf(scores[i] - base);
            added += scores[i];
            places.weights[(lane + 32 * i) * places.weight_stride + row] = scores[i];
        }
        added = warp_sum(added);
        if (lane == 0) {
            float keep = expf(before - base);
            places.top[row] = most, places.keep[row] = keep;
            places.total[row] = places.total[row] * keep + added;
        }
    }
}

template <class T>
__device__ __forceinline__ void decode(const float* q, const T* k, const T* v, float* part_out, float* part_stats,
                                       const Unit* units, const KeyRange* ranges, const int* entries,
                                       int query_heads, int key_heads, int dim, float scale) {
    constexpr int kKeys = Cache<T>::kKeys, kValues = Cache<T>::kValues, kSumRows = Cache<T>::kSumRows;
    DYNAMIC_SHARED(char, shared);
    int key_head = blockIdx.x % key_heads, group = query_heads / key_heads;
    Unit unit = units[blockIdx.x / key_heads];
    int rows = (unit.end - unit.first) * group;
    long long key_width = (long long)key_heads * dim;
    Places<T> places(shared, rows, dim);
    KeyWalk<kKeys> walk(ranges, unit.ranges, unit.end_ranges);
    auto load = [&](uint4* to, const T* from) {
        load_rows(to, from + walk.at * key_width + key_head * dim, key_width, walk.num(), dim, places);
        end_copies();
    };
    load(places.keys, k);
    for (int row = threadIdx.x / 32; row < (rows + 7) / 8 * 8; row += kWarps) {
        int query = row / group, head = key_head * group + row % group;
        bool there = row < rows;
        const float* from = q + (there ? ((long long)entries[unit.first + query] * query_heads + head) * dim : 0);
        for (int d = threadIdx.x % 32; d < places.width; d += 32)
            places.queries[row * places.width + d] = there && d < dim ? from[d] : 0.0f;
        if (threadIdx.x % 32 == 0)
            places.query_of[row] = query, places.top[row] = -INFINITY, places.total[row] = 0.0f;
    }

    // Few rows leave threads for the keys to be split among.
    int row_groups = 1;
    while (row_groups * kSumRows < rows) row_groups *= 2;
    int splits = Cache<T>::kGroups / row_groups, piece = threadIdx.x % Cache<T>::kColumns;
    int first = threadIdx.x / Cache<T>::kColumns % row_groups * kSumRows;
    int split = threadIdx.x / Cache<T>::kColumns / row_groups;
    bool adds = piece < places.pieces;
    float sums[kSumRows][kValues] = {};
    while (!walk.done()) {
        // Keys are there, and values free.
        wait_for_copies<0>();
        __syncthreads();
        load(places.values, v);
        score(places, walk, rows, scale);
        // Scores are there, and keys free.
        __syncthreads();
        int num = walk.num();
        walk.advance();
        if (!walk.done()) load(places.keys, k);
        else end_copies();
        soften(places, rows);
        wait_for_copies<1>();
        __syncthreads();
        if (!adds) continue;
#pragma unroll
        for (int r = 0; r < kSumRows; r++) {
            if (first + r >= rows) break;
            float keep = places.keep[first + r];
#pragma unroll
            for (int c = 0; c < kValues; c++) sums[r][c] *= keep;
        }
#pragma unroll 2
        for (int key = split; key < num; key += splits) {
            float values[kValues];
            unpack(places.values[key * places.stride + piece], values);
            const float* weights = places.weights + key * places.weight_stride + first;
#pragma unroll
            for (int r = 0; r < kSumRows; r += 4) {
                if (first + r >= rows) break;
                float4 w = *reinterpret_cast<const float4*>(weights + r);
#pragma unroll
                for (int c = 0; c < kValues; c++) {
                    sums[r][c] += w.x * values[c];
                    sums[r + 1][c] += w.y * values[c];
                    sums[r + 2][c] += w.z * values[c];
                    sums[r + 3][c] += w.w * values[c];
                }
            }
        }
    }

    // The splits are added one after another, in the memory of the tiles.
    float* joined = reinterpret_cast<float*>(places.keys);
    for (int from = 1; from < splits; from++) {
        __syncthreads();
        if (adds && split == from)
#pragma unroll
            for (int r = 0; r < kSumRows; r++) {
                if (first + r >= rows) break;
#pragma unroll
                for (int c = 0; c < kValues; c++)
                    joined[(first + r) * places.width + piece * kValues + c] = sums[r][c];
            }
        __syncthreads();
        if (adds && split == 0)
#pragma unroll
            for (int r = 0; r < kSumRows; r++) {
                if (first + r >= rows) break;
#pragma unroll
                for (int c = 0; c < kValues; c++)
                    sums[r][c] += joined[(first + r) * places.width + piece * kValues + c];
            }
    }
    if (split != 0 || !adds) return;
#pragma unroll
    for (int r = 0; r < kSumRows; r++) {
        int row = first + r;
        if (row >= rows) break;
        long long at = (long long)(unit.first + row / group) * query_heads + key_head * group + row % group;
#pragma unroll
        for (int c = 0; c < kValues; c++)
            if (piece * kValues + c < dim) part_out[at * dim + piece * kValues + c] = sums[r][c];
        if (piece == 0) part_stats[2 * at] = places.top[row], part_stats[2 * at + 1] = places.total[row];
    }
}

// part_out [entries, query_heads, dim] = Σ weights · values, part_stats [entries, query_heads, 2] = the score that
// weights count from, and their sum. `entries` names the query row of each. `scale` is 1/√dim.
// Grid: units · key_heads. Block: 128. Shared, with n the most rows of a unit, rounded up to a multiple of 8, and
// p = dim / 8, rounded up: 128 · (p | 1) · 16 + n · p · 32 + 64 · (n + 4) · 4 + 1024 bytes.
KERNEL void __launch_bounds__(kThreads, 4) attention_decode_bf16(const float* q, const bf16* k, const bf16* v,
        float* part_out, float* part_stats, const Unit* units, const KeyRange* ranges, const int* entries,
        int query_heads, int key_heads, int dim, float scale) {
    decode(q, k, v, part_out, part_stats, units, ranges, entries, query_heads, key_heads, dim, scale);
}
EXPORT(attention_decode_bf16)

// As attention_decode_bf16, of a cache in f32.
// Shared, with p = dim / 4, rounded up: 64 · (p | 1) · 16 + n · p · 16 + 32 · (n + 4) · 4 + 1024 bytes.
KERNEL void __launch_bounds__(kThreads, 4) attention_decode_f32(const float* q, const float* k, const float* v,
        float* part_out, float* part_stats, const Unit* units, const KeyRange* ranges, const int* entries,
        int query_heads, int key_heads, int dim, float scale) {
    decode(q, k, v, part_out, part_stats, units, ranges, entries, query_heads, key_heads, dim, scale);
}
EXPORT(attention_decode_f32)

// out and log_sum_exp of the queries in joins; `parts` names their entries. A warp a query and head.
// Grid: joins · query_heads / 4, rounded up. Block: 128. Shared: none.
KERNEL void attention_decode_join(const float* part_out, const float* part_stats, float* out, float* log_sum_exp,
                                  const Join* joins, const int* parts, int num_joins, int query_heads, int dim) {
    int item = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (item >= num_joins * query_heads) return;
    Join join = joins[item / query_heads];
    int head = item % query_heads;
    if (join.parts == join.end_parts) return;
    float top = -INFINITY, total = 0.0f;
    for (int i = join.parts; i < join.end_parts; i++)
        top = fmaxf(top, part_stats[2 * ((long long)parts[i] * query_heads + head)]);
    float sums[kWidth / 32] = {};
    for (int i = join.parts; i < join.end_parts; i++) {
        long long at = (long long)parts[i] * query_heads + head;
        float weight = expf(part_stats[2 * at] - top);
        total += weight * part_stats[2 * at + 1];
#pragma unroll
        for (int j = 0; j < kWidth / 32; j++)
            if (lane + 32 * j < dim) sums[j] += weight * part_out[at * dim + lane + 32 * j];
    }
    long long at = (long long)join.row * query_heads + head;
#pragma unroll
    for (int j = 0; j < kWidth / 32; j++)
        if (lane + 32 * j < dim) out[at * dim + lane + 32 * j] = sums[j] / total;
    if (lane == 0) log_sum_exp[at] = top + logf(total);
}
EXPORT(attention_decode_join)
