// RMSNorm (arXiv:1910.07467) and LayerNorm (arXiv:1607.06450) over the last axis: a block a row.
#include "common.cuh"

// The mean of a row and one over its standard deviation; with `centred` false the mean is taken as 0.
struct Moments {
    float mean, inverse;
};

__device__ __forceinline__ Moments moments(const float* x, int cols, float eps, bool centred) {
    float mean = 0.0f;
    if (centred) {
        float sum = 0.0f;
        for (int c = threadIdx.x; c < cols; c += blockDim.x) sum += x[c];
        mean = block_sum(sum) / cols;
    }
    float power = 0.0f;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) power += (x[c] - mean) * (x[c] - mean);
    return {mean, rsqrtf(block_sum(power) / cols + eps)};
}

KERNEL void rms_norm(const float* x, const float* weight, float eps, float* y, int cols) {
    x += (long long)blockIdx.x * cols;
    y += (long long)blockIdx.x * cols;
    Moments m = moments(x, cols, eps, false);
    for (int c = threadIdx.x; c < cols; c += blockDim.x) y[c] = x[c] * m.inverse * weight[c];
}
EXPORT(rms_norm)

KERNEL void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y, int cols) {
    x += (long long)blockIdx.x * cols;
    y += (long long)blockIdx.x * cols;
    Moments m = moments(x, cols, eps, true);
    for (int c = threadIdx.x; c < cols; c += blockDim.x) y[c] = (x[c] - m.mean) * m.inverse * weight[c] + bias[c];
}
EXPORT(layer_norm)

// dx = (g − mean(g) − n·mean(g·n)) / deviation with g = dy·w and n the normed row; RMSNorm has no mean(g). Rows of n
// go to `normal` where the weight trains: its gradient is a sum over rows.
__device__ __forceinline__ void backward(const float* dy, const float* x, const float* weight, float eps, float* dx,
                                         float* normal, int cols, bool centred) {
    long long at = (long long)blockIdx.x * cols;
    dy += at, x += at, dx += at;
    Moments m = moments(x, cols, eps, centred);
    float level = 0.0f, along = 0.0f;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) {
        float g = dy[c] * weight[c];
        level += g;
        along += g * (x[c] - m.mean) * m.inverse;
    }
    level = centred ? block_sum(level) / cols : 0.0f;
    along = block_sum(along) / cols;
    for (int c = threadIdx.x; c < cols; c += blockDim.x) {
        float n = (x[c] - m.mean) * m.inverse;
        dx[c] = m.inverse * (dy[c] * weight[c] - level - n * along);
        if (normal) normal[at + c] = n;
    }
}

KERNEL void rms_norm_backward(const float* dy, const float* x, const float* weight, float eps, float* dx, float* normal,
                              int cols) {
    backward(dy, x, weight, eps, dx, normal, cols, false);
}
EXPORT(rms_norm_backward)

KERNEL void layer_norm_backward(const float* dy, const float* x, const float* weight, float eps, float* dx,
                                float* normal, int cols) {
    backward(dy, x, weight, eps, dx, normal, cols, true);
}
EXPORT(layer_norm_backward)
