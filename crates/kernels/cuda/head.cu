// The log-prob head, a piece of the vocabulary at a time: a block a row of the piece's logits [rows, width].
//
//   logits of a piece ─► absorb: running softmax, entropy, target ─► finish: log-prob, entropy
//   logits again ─► slopes: ((token = target) − p) · factor / T ─► products with W or hidden
#include "common.cuh"

// What is known of a row after some pieces: the largest logit, Σ e^(z − top), Σ e^(z − top)·(z − top), and the target's.
struct State {
    float top, total, spread, chosen;
};

KERNEL void head_absorb(const float* logits, const unsigned* targets, State* states, float inverse_temperature,
                        int first, int width) {
    const float* row = logits + (long long)blockIdx.x * width;
    float top = -INFINITY;
    for (int j = threadIdx.x; j < width; j += blockDim.x) top = fmaxf(top, row[j] * inverse_temperature);
    top = block_max(top);
    float total = 0.0f, spread = 0.0f;
    for (int j = threadIdx.x; j < width; j += blockDim.x) {
        float below = row[j] * inverse_temperature - top, e = expf(below);
        total += e;
        spread += e * below;
    }
    total = block_sum(total);
    spread = block_sum(spread);
    if (threadIdx.x != 0) return;
    State state = states[blockIdx.x];
    if (first == 0) state = {-INFINITY, 0.0f, 0.0f, 0.0f};
    float joint = fmaxf(state.top, top);
    float before = first == 0 ? 0.0f : state.top - joint, now = top - joint;
    float keep = first == 0 ? 0.0f : expf(before), gain = expf(now);
    state.spread = keep * (state.spread + before * state.total) + gain * (spread + now * total);
    state.total = keep * state.total + gain * total;
    state.top = joint;
    int target = (int)targets[blockIdx.x] - first;
    if (target >= 0 && target < width) state.chosen = row[target] * inverse_temperature;
    states[blockIdx.x] = state;
}
EXPORT(head_absorb)

// A thread a row. `log_sum` is what slopes are computed from.
KERNEL void head_finish(const State* states, float* log_prob, float* entropy, float* log_sum, int rows) {
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= rows) return;
    State state = states[row];
    float log_total = logf(state.total);
    log_prob[row] = state.chosen - state.top - log_total;
    entropy[row] = log_total - state.spread / state.total;
    log_sum[row] = state.top + log_total;
}
EXPORT(head_finish)

template <class T>
__device__ __forceinline__ T rounded(float value);
template <>
__device__ __forceinline__ float rounded<float>(float value) { return value; }
template <>
__device__ __forceinline__ bf16 rounded<bf16>(float value) { return to_bf16(value); }

// Slopes of the log-probs with respect to the logits before the temperature; `factors` may be null for 1.
template <class T>
__device__ __forceinline__ void write_slopes(const float* logits, const unsigned* targets, const float* log_sum,
                                             const float* factors, T* slopes, float inverse_temperature, int first,
                                             int width) {
    long long at = (long long)blockIdx.x * width;
    int target = (int)targets[blockIdx.x] - first;
    float factor = inverse_temperature * (factors ? factors[blockIdx.x] : 1.0f), sum = log_sum[blockIdx.x];
    for (int j = threadIdx.x; j < width; j += blockDim.x) {
        float p = expf(logits[at + j] * inverse_temperature - sum);
        slopes[at + j] = rounded<T>(((j == target ? 1.0f : 0.0f) - p) * factor);
    }
}

KERNEL void head_slopes(const float* logits, const unsigned* targets, const float* log_sum, const float* factors,
                        float* slopes, float inverse_temperature, int first, int width) {
    write_slopes(logits, targets, log_sum, factors, slopes, inverse_temperature, first, width);
}
EXPORT(head_slopes)

KERNEL void head_slopes_bf16(const float* logits, const unsigned* targets, const float* log_sum, const float* factors,
                             bf16* slopes, float inverse_temperature, int first, int width) {
    write_slopes(logits, targets, log_sum, factors, slopes, inverse_temperature, first, width);
}
EXPORT(head_slopes_bf16)
