// Attention over spans in f32, and its gradient, for any head width up to 128. Tables are those of
// src/attention/plan.rs with tiles of kTile queries and of kTile key rows.
//
//   256 threads = 16 × 16. Thread (x, y) has rows y, y + 16 and columns x, x + 16, …
//   of the 32 × 32 scores and of the 32 × dim sums.
//
// The gradient computes scores again, in one kernel for queries and in one for keys and values, so that each row of a
// result is written once, by one block: results do not change from run to run.
#include "common.cuh"
#include "attention.cuh"

// Queries of a tile, and key rows of a tile.
constexpr int kTile = 32;
constexpr int kSide = 16;
constexpr int kThreads = kSide * kSide;
// Rows of a tile that a thread has, and columns of a sum, each kSide apart.
constexpr int kRows = kTile / kSide;
constexpr int kColumns = 128 / kSide;
// Values from one row of weights to the next.
constexpr int kWeights = kTile + 1;

// Values from one row of a tile to the next: four at a time are read from 16 rows at once, which an odd number of
// fours spreads over all banks.
__device__ __forceinline__ int padded(int dim) { return 4 * ((dim + 3) / 4 | 1); }

// Rows of one head into shared memory; zeros beyond `num` rows and `dim` columns.
__device__ __forceinline__ void load_rows(float* to, const float* from, long long row_width, int num, int dim) {
    int stride = padded(dim);
    for (int row = threadIdx.x / 32; row < kTile; row += kThreads / 32) {
        for (int column = threadIdx.x % 32; column < stride; column += 32) {
            bool there = row < num && column < dim;
            to[row * stride + column] = there ? from[row * row_width + column] : 0.0f;
        }
    }
}

// products[i][j] = row y + 16·i of a · row x + 16·j of b.
__device__ __forceinline__ void multiply(const float* a, const float* b, int dim, float (&products)[kRows][kRows]) {
    int stride = padded(dim);
    const float* a_row = a + threadIdx.x / kSide * stride;
    const float* b_row = b + threadIdx.x % kSide * stride;
#pragma unroll
    for (int i = 0; i < kRows; i++)
#pragma unroll
        for (int j = 0; j < kRows; j++) products[i][j] = 0.0f;
    for (int d = 0; d < dim; d += 4) {
        float4 left[kRows], right[kRows];
#pragma unroll
        for (int i = 0; i < kRows; i++) {
            left[i] = *reinterpret_cast<const float4*>(a_row + kSide * i * stride + d);
            right[i] = *reinterpret_cast<const float4*>(b_row + kSide * i * stride + d);
        }
#pragma unroll
        for (int i = 0; i < kRows; i++)
#pragma unroll
            for (int j = 0; j < kRows; j++) {
                products[i][j] += left[i].x * right[j].x;
                products[i][j] += left[i].y * right[j].y;
                products[i][j] += left[i].z * right[j].z;
                products[i][j] += left[i].w * right[j].w;
            }
    }
}

// Shows weights to the threads that add up their rows: those of the same warp.
__device__ __forceinline__ void show(float* weights, const float (&values)[kRows][kRows]) {
    int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
    __syncwarp();
#pragma unroll
    for (int i = 0; i < kRows; i++)
#pragma unroll
        for (int j = 0; j < kRows; j++) weights[(y + kSide * i) * kWeights + x + kSide * j] = values[i][j];
    __syncwarp();
}

// sums[i][j] += Σ weights[y + 16·i][r] · column x + 16·j of row r.
__device__ __forceinline__ void add_rows(const float* weights, const float* rows, int dim,
                                         float (&sums)[kRows][kColumns]) {
    int stride = padded(dim), x = threadIdx.x % kSide, y = threadIdx.x / kSide;
#pragma unroll 4
    for (int r = 0; r < kTile; r++) {
        float weight[kRows];
#pragma unroll
        for (int i = 0; i < kRows; i++) weight[i] = weights[(y + kSide * i) * kWeights + r];
#pragma unroll
        for (int j = 0; j < kColumns; j++) {
            if (kSide * j >= dim) break;
            // A column beyond dim reads what is never written out.
            float value = x + kSide * j < stride ? rows[r * stride + x + kSide * j] : 0.0f;
#pragma unroll
            for (int i = 0; i < kRows; i++) sums[i][j] += weight[i] * value;
        }
    }
}

// to[y + 16·i][x + 16·j] = sums[i][j] · factors[i] for the first `num` rows.
__device__ __forceinline__ void write_rows(float* to, long long row_width, int num, int dim,
                                           const float (&sums)[kRows][kColumns], const float (&factors)[kRows]) {
    int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
#pragma unroll
    for (int i = 0; i < kRows; i++) {
        if (y + kSide * i >= num) break;
#pragma unroll
        for (int j = 0; j < kColumns; j++) {
            int column = x + kSide * j;
            if (column < dim) to[(y + kSide * i) * row_width + column] = sums[i][j] * factors[i];
        }
    }
}

// Over the 16 threads of a row.
__device__ __forceinline__ float row_sum(float value) {
    for (int lane = kSide / 2; lane > 0; lane /= 2) value += __shfl_xor_sync(kAllLanes, value, lane);
    return value;
}
__device__ __forceinline__ float row_max(float value) {
    for (int lane = kSide / 2; lane > 0; lane /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, lane));
    return value;
}

// out and log_sum_exp of the queries in tiles. `scale` is 1/√dim.
// Grid: tiles · query_heads. Block: 256. Shared: (3 · 32 · padded(dim) + 32 · 33) · 4 bytes.
KERNEL void __launch_bounds__(kThreads, 2) attention_forward_f32(const float* q, const float* k, const float* v,
        float* out, float* log_sum_exp, const QueryTile* tiles, const KeyRange* ranges, int query_heads, int key_heads,
        int dim, float scale) {
    DYNAMIC_SHARED(float, shared);
    int stride = padded(dim), x = threadIdx.x % kSide, y = threadIdx.x / kSide;
    float *queries = shared, *keys = queries + kTile * stride, *values = keys + kTile * stride;
    float* weights = values + kTile * stride;
    int head = blockIdx.x % query_heads, key_head = head * key_heads / query_heads;
    QueryTile tile = tiles[blockIdx.x / query_heads];
    long long query_width = (long long)query_heads * dim, key_width = (long long)key_heads * dim;
    long long query_at = tile.first * query_width + head * dim;
    load_rows(queries, q + query_at, query_width, tile.num, dim);
    float top[kRows] = {-INFINITY, -INFINITY}, total[kRows] = {}, sums[kRows][kColumns] = {};
    KeyWalk<kTile> walk(ranges, tile.ranges, tile.end_ranges);
    for (; !walk.done(); walk.advance()) {
        __syncthreads();
        long long at = walk.at * key_width + key_head * dim;
        load_rows(keys, k + at, key_width, walk.num(), dim);
        load_rows(values, v + at, key_width, walk.num(), dim);
        __syncthreads();
        float scores[kRows][kRows];
        multiply(queries, keys, dim, scores);
#pragma unroll
        for (int i = 0; i < kRows; i++) {
            int seen = walk.seen(y + kSide * i);
            float most = top[i];
#pragma unroll
            for (int j = 0; j < kRows; j++) {
                scores[i][j] = x + kSide * j < seen ? scores[i][j] * scale : -INFINITY;
                most = fmaxf(most, scores[i][j]);
            }
            most = row_max(most);
            // A row that has seen nothing yet keeps its zeros.
            float base = most == -INFINITY ? 0.0f : most, keep = expf(top[i] - base);
            top[i] = most;
            total[i] *= keep;
#pragma unroll
            for (int j = 0; j < kRows; j++) {
                scores[i][j] = expf(scores[i][j] - base);
                total[i] += scores[i][j];
            }
#pragma unroll
            for (int j = 0; j < kColumns; j++) sums[i][j] *= keep;
        }
        show(weights, scores);
        add_rows(weights, values, dim, sums);
    }
    float factors[kRows];
#pragma unroll
    for (int i = 0; i < kRows; i++) {
        total[i] = row_sum(total[i]);
        factors[i] = 1.0f / total[i];
        int row = y + kSide * i;
        if (x == 0 && row < tile.num)
            log_sum_exp[(long long)(tile.first + row) * query_heads + head] = top[i] + logf(total[i]);
    }
    write_rows(out + query_at, query_width, tile.num, dim, sums, factors);
}
EXPORT(attention_forward_f32)

// dq of the queries in tiles.
// Grid: tiles · query_heads. Block: 256. Shared: (4 · 32 · padded(dim) + 32 · 33) · 4 bytes.
KERNEL void __launch_bounds__(kThreads, 2) attention_backward_query_f32(const float* q, const float* k, const float* v,
        const float* dout, const float* log_sum_exp, const float* delta, float* dq, const QueryTile* tiles,
        const KeyRange* ranges, int query_heads, int key_heads, int dim, float scale) {
    DYNAMIC_SHARED(float, shared);
    int stride = padded(dim), x = threadIdx.x % kSide, y = threadIdx.x / kSide;
    float *queries = shared, *slopes = queries + kTile * stride, *keys = slopes + kTile * stride;
    float *values = keys + kTile * stride, *weights = values + kTile * stride;
    int head = blockIdx.x % query_heads, key_head = head * key_heads / query_heads;
    QueryTile tile = tiles[blockIdx.x / query_heads];
    long long query_width = (long long)query_heads * dim, key_width = (long long)key_heads * dim;
    long long query_at = tile.first * query_width + head * dim;
    load_rows(queries, q + query_at, query_width, tile.num, dim);
    load_rows(slopes, dout + query_at, query_width, tile.num, dim);
    float log_sum[kRows] = {}, mean[kRows] = {}, sums[kRows][kColumns] = {};
    for (int i = 0; i < kRows; i++) {
        int row = y + kSide * i;
        if (row >= tile.num) break;
        long long at = (long long)(tile.first + row) * query_heads + head;
        log_sum[i] = log_sum_exp[at], mean[i] = delta[at];
    }
    KeyWalk<kTile> walk(ranges, tile.ranges, tile.end_ranges);
    for (; !walk.done(); walk.advance()) {
        __syncthreads();
        long long at = walk.at * key_width + key_head * dim;
        load_rows(keys, k + at, key_width, walk.num(), dim);
        load_rows(values, v + at, key_width, walk.num(), dim);
        __syncthreads();
        float p[kRows][kRows], dp[kRows][kRows];
        multiply(queries, keys, dim, p);
        multiply(slopes, values, dim, dp);
#pragma unroll
        for (int i = 0; i < kRows; i++) {
            int seen = walk.seen(y + kSide * i);
#pragma unroll
            for (int j = 0; j < kRows; j++) {
                bool sees = x + kSide * j < seen && y + kSide * i < tile.num;
                dp[i][j] = sees ? expf(p[i][j] * scale - log_sum[i]) * (dp[i][j] - mean[i]) : 0.0f;
            }
        }
        show(weights, dp);
        add_rows(weights, keys, dim, sums);
    }
    float factors[kRows] = {scale, scale};
    write_rows(dq + query_at, query_width, tile.num, dim, sums, factors);
}
EXPORT(attention_backward_query_f32)

// dk and dv of the key rows in tiles.
// Grid: tiles · key_heads. Block: 256. Shared: (4 · 32 · padded(dim) + 2 · 32 · 33 + 64) · 4 bytes.
KERNEL void __launch_bounds__(kThreads, 2) attention_backward_key_f32(const float* q, const float* k, const float* v,
        const float* dout, const float* log_sum_exp, const float* delta, float* dk, float* dv, const KeyTile* tiles,
        const QueryRun* runs, int query_heads, int key_heads, int dim, float scale) {
    DYNAMIC_SHARED(float, shared);
    int stride = padded(dim), x = threadIdx.x % kSide, y = threadIdx.x / kSide;
    float *queries = shared, *slopes = queries + kTile * stride, *keys = slopes + kTile * stride;
    float *values = keys + kTile * stride, *weights = values + kTile * stride;
    float *log_sums = weights + 2 * kTile * kWeights, *means = log_sums + kTile;
    int key_head = blockIdx.x % key_heads, group = query_heads / key_heads;
    KeyTile tile = tiles[blockIdx.x / key_heads];
    int num = tile.end - tile.first;
    long long query_width = (long long)query_heads * dim, key_width = (long long)key_heads * dim;
    long long key_at = tile.first * key_width + key_head * dim;
    load_rows(keys, k + key_at, key_width, num, dim);
    load_rows(values, v + key_at, key_width, num, dim);
    float of_keys[kRows][kColumns] = {}, of_values[kRows][kColumns] = {};
    QueryWalk<kTile> walk(runs, tile.runs, tile.end_runs, key_head * group, (key_head + 1) * group);
    for (; !walk.done(); walk.advance()) {
        __syncthreads();
        long long at = walk.at * query_width + walk.head * dim;
        load_rows(queries, q + at, query_width, walk.num(), dim);
        load_rows(slopes, dout + at, query_width, walk.num(), dim);
        if (int(threadIdx.x) < walk.num()) {
            long long row = (long long)(walk.at + threadIdx.x) * query_heads + walk.head;
            log_sums[threadIdx.x] = log_sum_exp[row], means[threadIdx.x] = delta[row];
        }
        __syncthreads();
        float p[kRows][kRows], dp[kRows][kRows];
        multiply(keys, queries, dim, p);
        multiply(values, slopes, dim, dp);
#pragma unroll
        for (int j = 0; j < kRows; j++) {
            int query = x + kSide * j;
            int seen = query < walk.num() ? walk.seen(query) : 0;
#pragma unroll
            for (int i = 0; i < kRows; i++) {
                int row = tile.first + y + kSide * i;
                bool sees = row >= walk.here().first_key && row < seen;
                p[i][j] = sees ? expf(p[i][j] * scale - log_sums[query]) : 0.0f;
                dp[i][j] = sees ? p[i][j] * (dp[i][j] - means[query]) : 0.0f;
            }
        }
        show(weights, p);
        show(weights + kTile * kWeights, dp);
        add_rows(weights, slopes, dim, of_values);
        add_rows(weights + kTile * kWeights, queries, dim, of_keys);
    }
    float by_one[kRows] = {1.0f, 1.0f}, by_scale[kRows] = {scale, scale};
    write_rows(dv + key_at, key_width, num, dim, of_values, by_one);
    write_rows(dk + key_at, key_width, num, dim, of_keys, by_scale);
}
EXPORT(attention_backward_key_f32)

// delta [queries, query heads] = Σ dout · out over each head, what the softmax subtracts from the slopes of its rows. A
// warp a row of one head.
template <class T>
__device__ __forceinline__ void write_delta(const T* dout, const float* out, float* delta, int rows, int dim) {
    int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    long long at = (long long)row * dim;
    float sum = 0.0f;
    for (int d = lane; d < dim; d += 32) sum += to_float(dout[at + d]) * out[at + d];
    sum = warp_sum(sum);
    if (lane == 0) delta[row] = sum;
}

// rows = queries · query_heads. Grid: rows / (threads / 32), rounded up. Block: whole warps, 256. Shared: none.
KERNEL void attention_delta(const float* dout, const float* out, float* delta, int rows, int dim) {
    write_delta(dout, out, delta, rows, dim);
}
EXPORT(attention_delta)

// As attention_delta, for slopes rounded as attention_bf16.cu takes them.
KERNEL void attention_delta_bf16(const bf16* dout, const float* out, float* delta, int rows, int dim) {
    write_delta(dout, out, delta, rows, dim);
}
EXPORT(attention_delta_bf16)
