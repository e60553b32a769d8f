// Products of few rows with a matrix [outputs, inputs]: decoding, where reading the matrix is all there is to do. A warp
// has an output; each of its lanes reads 16 bytes of the matrix at a time and meets them with all rows.
#include "common.cuh"

// Rows of x that one pass over the matrix serves.
constexpr int kRows = 8;

template <class T>
struct Piece;
template <>
struct Piece<float> {
    static constexpr int kValues = 4;
    __device__ static void read(const float* at, float* values) {
        float4 raw = *reinterpret_cast<const float4*>(at);
        values[0] = raw.x, values[1] = raw.y, values[2] = raw.z, values[3] = raw.w;
    }
};
template <>
struct Piece<bf16> {
    static constexpr int kValues = 8;
    __device__ static void read(const bf16* at, float* values) {
        uint4 raw = *reinterpret_cast<const uint4*>(at);
        unsigned pairs[4] = {raw.x, raw.y, raw.z, raw.w};
        for (int i = 0; i < 4; i++) {
            values[2 * i] = __uint_as_float(pairs[i] << 16);
            values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
        }
    }
};

// y [rows, outputs] = x [rows, inputs] · Wᵀ (+ bias); rows ≤ 8, inputs a multiple of what a lane reads.
template <class T>
__device__ __forceinline__ void few_rows(const float* x, const T* weight, const float* bias, float* y, int rows,
                                         int inputs, int outputs) {
    constexpr int kValues = Piece<T>::kValues;
    int lane = threadIdx.x % 32, output = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (output >= outputs) return;
    float sums[kRows] = {};
    const T* row = weight + (long long)output * inputs;
    for (int at = lane * kValues; at < inputs; at += 32 * kValues) {
        float values[kValues];
        Piece<T>::read(row + at, values);
#pragma unroll
        for (int r = 0; r < kRows; r++) {
            if (r >= rows) break;
            const float* from = x + (long long)r * inputs + at;
#pragma unroll
            for (int i = 0; i < kValues; i++) sums[r] += values[i] * from[i];
        }
    }
    for (int r = 0; r < rows; r++) {
        float sum = warp_sum(sums[r]);
        if (lane == 0) y[(long long)r * outputs + output] = sum + (bias ? bias[output] : 0.0f);
    }
}

KERNEL void few_rows_f32(const float* x, const float* weight, const float* bias, float* y, int rows, int inputs,
                         int outputs) {
    few_rows(x, weight, bias, y, rows, inputs, outputs);
}
EXPORT(few_rows_f32)

KERNEL void few_rows_bf16(const float* x, const bf16* weight, const float* bias, float* y, int rows, int inputs,
                          int outputs) {
    few_rows(x, weight, bias, y, rows, inputs, outputs);
}
EXPORT(few_rows_bf16)
