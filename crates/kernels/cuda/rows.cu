// Whole rows: moved, and summed over. A block a row where rows move.
#include "common.cuh"

// to[i] = from[indices[i]]
KERNEL void gather_rows(const float* from, const unsigned* indices, float* to, int cols) {
    const float* source = from + (long long)indices[blockIdx.x] * cols;
    float* target = to + (long long)blockIdx.x * cols;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) target[c] = source[c];
}
EXPORT(gather_rows)

// As gather_rows of a table in bf16: the embedding look-up.
KERNEL void gather_rows_bf16(const bf16* from, const unsigned* indices, float* to, int cols) {
    const bf16* source = from + (long long)indices[blockIdx.x] * cols;
    float* target = to + (long long)blockIdx.x * cols;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) target[c] = to_float(source[c]);
}
EXPORT(gather_rows_bf16)

// to[indices[i]] = from[i]
KERNEL void write_rows(float* to, const unsigned* indices, const float* from, int cols) {
    float* target = to + (long long)indices[blockIdx.x] * cols;
    const float* source = from + (long long)blockIdx.x * cols;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) target[c] = source[c];
}
EXPORT(write_rows)

// to[indices[i]] += from[i]; an index may come twice.
KERNEL void scatter_add_rows(float* to, const unsigned* indices, const float* from, int cols) {
    float* target = to + (long long)indices[blockIdx.x] * cols;
    const float* source = from + (long long)blockIdx.x * cols;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) atomicAdd(target + c, source[c]);
}
EXPORT(scatter_add_rows)

constexpr int kColumns = 32;

// sums[c] += Σ_r x[r, c]·y[r, c]. A block has 32 columns and adds its rows in a fixed order.
__device__ __forceinline__ void add_column_sums(const float* x, const float* y, float* sums, int rows, int cols) {
    __shared__ float parts[8][kColumns + 1];
    int lane = threadIdx.x % kColumns, line = threadIdx.x / kColumns;
    int lines = blockDim.x / kColumns, column = blockIdx.x * kColumns + lane;
    float sum = 0.0f;
    if (column < cols) {
        for (int r = line; r < rows; r += lines) {
            float value = x[(long long)r * cols + column];
            sum += y ? value * y[(long long)r * cols + column] : value;
        }
    }
    parts[line][lane] = sum;
    __syncthreads();
    if (line == 0 && column < cols) {
        for (int other = 1; other < lines; other++) sum += parts[other][lane];
        sums[column] += sum;
    }
}

// Gradient of a bias.
KERNEL void column_sums(const float* x, float* sums, int rows, int cols) {
    add_column_sums(x, nullptr, sums, rows, cols);
}
EXPORT(column_sums)

// Gradient of a factor by column.
KERNEL void column_products(const float* x, const float* y, float* sums, int rows, int cols) {
    add_column_sums(x, y, sums, rows, cols);
}
EXPORT(column_products)
