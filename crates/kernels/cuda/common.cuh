// What all kernels share: bf16, sums over a warp and a block, and the names that differ where kernels are emulated.

#ifdef EMULATED
#include "emulator.h"
#else
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
#define INFINITY __int_as_float(0x7f800000)
#define KERNEL extern "C" __global__
#define EXPORT(name)
#define DYNAMIC_SHARED(type, name)                   \
    extern __shared__ __align__(128) char dynamic_shared[]; \
    type* name = reinterpret_cast<type*>(dynamic_shared)
__device__ __forceinline__ float exp2f_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

constexpr unsigned kAllLanes = 0xffffffffu;

// The upper half of an f32.
struct bf16 {
    unsigned short bits;
};

__device__ __forceinline__ float to_float(bf16 value) {
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
__device__ __forceinline__ float to_float(float value) { return value; }

// Rounds to the nearest, ties to even; what is not a number stays so.
__device__ __forceinline__ bf16 to_bf16(float value) {
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<unsigned short>((bits >> 16) | 0x40u)};
    return {static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

// Two values in one register, the first in the lower half.
__device__ __forceinline__ unsigned pack_bf16(float low, float high) {
#ifdef EMULATED
    return to_bf16(low).bits | static_cast<unsigned>(to_bf16(high).bits) << 16;
#else
    unsigned packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#endif
}

__device__ __forceinline__ float warp_sum(float value) {
    for (int lane = 16; lane > 0; lane /= 2) value += __shfl_xor_sync(kAllLanes, value, lane);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (int lane = 16; lane > 0; lane /= 2) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, lane));
    return value;
}

// The sum over the block, in every thread. All threads call it.
__device__ __forceinline__ float block_sum(float value) {
    __shared__ float parts[32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, num_warps = blockDim.x / 32;
    value = warp_sum(value);
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    value = warp_sum(lane < num_warps ? parts[lane] : 0.0f);
    __syncthreads();
    return value;
}

__device__ __forceinline__ float block_max(float value) {
    __shared__ float parts[32];
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, num_warps = blockDim.x / 32;
    value = warp_max(value);
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    value = warp_max(lane < num_warps ? parts[lane] : -INFINITY);
    __syncthreads();
    return value;
}
