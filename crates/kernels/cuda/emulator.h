// CUDA C on the CPU, so that kernels are tested where there is no card.
//
//   blocks    one after another
//   threads   fibers of one block, switched at barriers and at warp exchanges
//   __shared__ static memory, which the block that runs has to itself
//
// What a kernel computes is what it computes on a card, but for the order of atomics; what it costs is not.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <csetjmp>
#include <cstring>
#include <tuple>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(n) alignas(n)

struct dim3 {
    unsigned x, y, z;
};
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }

namespace emulator {

constexpr int kWarp = 32;
constexpr size_t kStack = 256 << 10;

struct Barrier {
    unsigned expected = 0, arrived = 0, generation = 0;
};

// A thread's stack, kept from block to block. Contexts are for a first entry alone: switching them asks the system each
// time, jumping does not.
struct Fiber {
    ucontext_t context;
    jmp_buf jump;
    std::vector<char> stack;
    dim3 thread;
    bool entered = false;
    bool done = true;
};

struct Launch {
    unsigned grid[3];
    unsigned threads;
    unsigned shared;
};

// The block that runs.
struct Block {
    size_t num_threads;
    std::vector<Barrier> warps;
    // What the lanes of each warp show one another.
    std::vector<std::array<std::array<char, 64>, kWarp>> shown;
    Barrier all;
    size_t current = 0;
    void (*body)(void*) = nullptr;
    void* argument = nullptr;
};

inline Block* block = nullptr;
inline std::vector<Fiber*> fibers;
inline Fiber outside;
inline dim3 block_index, block_size, grid_size;
inline char* dynamic_shared = nullptr;

inline Fiber& self() { return *fibers[block->current]; }

inline void go(Fiber& from, Fiber& to) {
    if (_setjmp(from.jump) != 0) return;
    if (to.entered) _longjmp(to.jump, 1);
    to.entered = true;
    setcontext(&to.context);
}

// The next thread of the block that has not ended; the same one if there is no other.
inline size_t next_alive() {
    for (size_t step = 1; step < block->num_threads; step++) {
        size_t next = (block->current + step) % block->num_threads;
        if (!fibers[next]->done) return next;
    }
    return block->current;
}

inline void yield() {
    Fiber& from = self();
    size_t next = next_alive();
    if (next == block->current) {
        fprintf(stderr, "emulator: a barrier that not all threads reach\n");
        abort();
    }
    block->current = next;
    go(from, *fibers[next]);
}

inline void wait(Barrier& barrier) {
    unsigned generation = barrier.generation;
    if (++barrier.arrived == barrier.expected) {
        barrier.arrived = 0;
        barrier.generation++;
        return;
    }
    while (barrier.generation == generation) yield();
}

inline unsigned lane() { return self().thread.x % kWarp; }
inline unsigned warp() { return self().thread.x / kWarp; }
inline void wait_warp() { wait(block->warps[warp()]); }

// Shows a value to the warp; `read` sees what every lane shows.
template <class T, class R>
auto exchange(const T& value, R read) {
    static_assert(sizeof(T) <= 64, "what a lane shows");
    auto& shown = block->shown[warp()];
    memcpy(shown[lane()].data(), &value, sizeof(T));
    wait_warp();
    auto of = [&](unsigned lane) {
        T other;
        memcpy(&other, shown[lane % kWarp].data(), sizeof(T));
        return other;
    };
    auto result = read(of);
    wait_warp();
    return result;
}

// A thread of one block after another.
inline void enter() {
    for (;;) {
        block->body(block->argument);
        Fiber& from = self();
        from.done = true;
        size_t next = next_alive();
        bool last = fibers[next]->done;
        block->current = next;
        go(from, last ? outside : *fibers[next]);
    }
}

inline void add_fiber() {
    Fiber* fiber = new Fiber;
    fiber->stack.resize(kStack);
    fiber->thread = {unsigned(fibers.size()), 0, 0};
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.data();
    fiber->context.uc_stack.ss_size = kStack;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, enter, 0);
    fibers.push_back(fiber);
}

inline void run_block(Block& b) {
    while (fibers.size() < b.num_threads) add_fiber();
    for (size_t i = 0; i < b.num_threads; i++) fibers[i]->done = false;
    b.current = 0;
    block = &b;
    outside.entered = true;
    go(outside, *fibers[0]);
    block = nullptr;
}

template <class... A, size_t... I>
void run_with(const Launch& launch, void (*kernel)(A...), void** args, std::index_sequence<I...>) {
    if (launch.threads % kWarp != 0) {
        fprintf(stderr, "emulator: %u threads are not whole warps\n", launch.threads);
        abort();
    }
    auto call = [&] { kernel(*static_cast<std::remove_reference_t<A>*>(args[I])...); };
    using Call = decltype(call);
    std::vector<char> memory(launch.shared + 128);
    size_t base = reinterpret_cast<size_t>(memory.data());
    dynamic_shared = reinterpret_cast<char*>((base + 127) / 128 * 128);
    Block b;
    b.num_threads = launch.threads;
    b.warps.resize(launch.threads / kWarp);
    b.shown.resize(b.warps.size());
    b.all.expected = launch.threads;
    for (Barrier& warp : b.warps) warp.expected = kWarp;
    b.body = [](void* c) { (*static_cast<Call*>(c))(); };
    b.argument = &call;
    grid_size = {launch.grid[0], launch.grid[1], launch.grid[2]};
    block_size = {launch.threads, 1, 1};
    for (unsigned z = 0; z < grid_size.z; z++)
        for (unsigned y = 0; y < grid_size.y; y++)
            for (unsigned x = 0; x < grid_size.x; x++) {
                block_index = {x, y, z};
                run_block(b);
            }
}

template <class... A>
void run(const Launch& launch, void (*kernel)(A...), void** args) {
    run_with(launch, kernel, args, std::index_sequence_for<A...>{});
}

}  // namespace emulator

#define threadIdx (emulator::self().thread)
#define blockIdx emulator::block_index
#define blockDim emulator::block_size
#define gridDim emulator::grid_size

#define KERNEL static
#define EXPORT(name)                                                                    \
    extern "C" void launch_##name(const emulator::Launch* launch, void** args) {        \
        emulator::run(*launch, name, args);                                             \
    }
#define DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(emulator::dynamic_shared)

inline void __syncthreads() { emulator::wait(emulator::block->all); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait_warp(); }

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    unsigned from = emulator::lane() ^ mask;
    return emulator::exchange(value, [&](auto of) { return of(from); });
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return emulator::exchange(value, [&](auto of) { return of(lane); });
}

inline float __uint_as_float(unsigned bits) { float f; memcpy(&f, &bits, 4); return f; }
inline unsigned __float_as_uint(float f) { unsigned bits; memcpy(&bits, &f, 4); return bits; }
inline float __int_as_float(int bits) { float f; memcpy(&f, &bits, 4); return f; }
inline float exp2f_fast(float x) { return exp2f(x); }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float atomicAdd(float* at, float value) { float old = *at; *at += value; return old; }
inline int atomicOr(int* at, int value) { int old = *at; *at |= value; return old; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
