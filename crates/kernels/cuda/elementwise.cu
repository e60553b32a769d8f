// Value by value, and row by row where a row has a factor: a thread a value, in strides of the whole grid.
#include "common.cuh"

#define FOR_EACH(i, n)                                                              \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (n);   \
         i += gridDim.x * (long long)blockDim.x)

KERNEL void to_bf16_values(const float* x, bf16* y, long long n) {
    FOR_EACH(i, n) y[i] = to_bf16(x[i]);
}
EXPORT(to_bf16_values)

KERNEL void add(float* x, const float* y, long long n) {
    FOR_EACH(i, n) x[i] += y[i];
}
EXPORT(add)

KERNEL void scale(float* x, float s, long long n) {
    FOR_EACH(i, n) x[i] *= s;
}
EXPORT(scale)

// x[r, ·] *= s[r]
KERNEL void scale_rows(float* x, const float* s, long long n, int cols) {
    FOR_EACH(i, n) x[i] *= s[i / cols];
}
EXPORT(scale_rows)

// y[·, c] = x[·, c] · v[c]
KERNEL void scale_columns(const float* x, const float* v, float* y, long long n, int cols) {
    FOR_EACH(i, n) y[i] = x[i] * v[i % cols];
}
EXPORT(scale_columns)

// y[·, c] += b[c]
KERNEL void add_to_rows(float* y, const float* b, long long n, int cols) {
    FOR_EACH(i, n) y[i] += b[i % cols];
}
EXPORT(add_to_rows)

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

KERNEL void swiglu(const float* gate, const float* up, float* y, long long n) {
    FOR_EACH(i, n) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
}
EXPORT(swiglu)

// silu'(g) = σ(g)·(1 + g·(1 − σ(g)))
KERNEL void swiglu_backward(const float* dy, const float* gate, const float* up, float* dgate, float* dup,
                            long long n) {
    FOR_EACH(i, n) {
        float g = gate[i], open = sigmoid(g);
        dgate[i] = dy[i] * up[i] * open * (1.0f + g * (1.0f - open));
        dup[i] = dy[i] * g * open;
    }
}
EXPORT(swiglu_backward)

// Φ(x), by the complement, which is exact in the left tail too.
__device__ __forceinline__ float normal_cdf(float x) { return 0.5f * erfcf(-0.70710678f * x); }

KERNEL void gelu_erf(const float* x, float* y, long long n) {
    FOR_EACH(i, n) y[i] = x[i] * normal_cdf(x[i]);
}
EXPORT(gelu_erf)

KERNEL void gelu_erf_backward(const float* dy, const float* x, float* dx, long long n) {
    FOR_EACH(i, n) {
        float density = 0.39894228f * expf(-0.5f * x[i] * x[i]);
        dx[i] = dy[i] * (normal_cdf(x[i]) + x[i] * density);
    }
}
EXPORT(gelu_erf_backward)

// √(2/π)·(x + 0.044715·x³)
__device__ __forceinline__ float tanh_argument(float x) {
    return 0.79788456f * (x + 0.044715f * x * x * x);
}

KERNEL void gelu_tanh(const float* x, float* y, long long n) {
    FOR_EACH(i, n) y[i] = 0.5f * x[i] * (1.0f + tanhf(tanh_argument(x[i])));
}
EXPORT(gelu_tanh)

KERNEL void gelu_tanh_backward(const float* dy, const float* x, float* dx, long long n) {
    FOR_EACH(i, n) {
        float t = tanhf(tanh_argument(x[i]));
        float slope = 0.79788456f * (1.0f + 3.0f * 0.044715f * x[i] * x[i]);
        dx[i] = dy[i] * (0.5f * (1.0f + t) + 0.5f * x[i] * (1.0f - t * t) * slope);
    }
}
EXPORT(gelu_tanh_backward)

// Turns the pairs (i, i + half) of every head of x [rows, heads·2·half]; cosines and sines are [rows, half].
KERNEL void rotate(float* x, const float* cosines, const float* sines, float direction, long long pairs, int heads,
                   int half) {
    FOR_EACH(at, pairs) {
        long long row = at / (heads * half);
        int head = at / half % heads, i = at % half;
        float c = cosines[row * half + i], s = sines[row * half + i] * direction;
        float* pair = x + (row * heads + head) * 2 * half + i;
        float a = pair[0], b = pair[half];
        pair[0] = a * c - b * s;
        pair[half] = b * c + a * s;
    }
}
EXPORT(rotate)

// One AdamW step (arXiv:1711.05101), its constants rounded once on the host.
KERNEL void adamw(float* value, const float* gradient, float* first, float* second, float keep, float rate, float beta1,
                  float rest1, float beta2, float rest2, float root, float eps, long long n) {
    FOR_EACH(i, n) {
        float g = gradient[i];
        float m = beta1 * first[i] + rest1 * g;
        float v = beta2 * second[i] + rest2 * g * g;
        value[i] = value[i] * keep + rate * m / (sqrtf(v) * root + eps);
        first[i] = m;
        second[i] = v;
    }
}
EXPORT(adamw)

// Whether a value is infinite or not a number, as a flag that is only ever raised.
KERNEL void find_non_finite(const float* x, int* found, long long n) {
    FOR_EACH(i, n) {
        if (!(fabsf(x[i]) < INFINITY)) atomicOr(found, 1);
    }
}
EXPORT(find_non_finite)

// Σ x² of each block's share, in f64; the host adds the blocks' sums in order.
KERNEL void sum_squares(const float* x, double* sums, long long n) {
    __shared__ double parts[256];
    double sum = 0.0;
    FOR_EACH(i, n) sum += (double)x[i] * (double)x[i];
    parts[threadIdx.x] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = parts[0];
}
EXPORT(sum_squares)
