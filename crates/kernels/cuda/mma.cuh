// Tensor cores by warps, and copies that go on while a block computes. PTX ISA, "Matrix fragments for mma.m16n8k16" and
// "ldmatrix".
//
// Where kernels are emulated each of these does what its layout says, lane by lane. A copy then lands when it is waited
// for, or at once with -DEMULATED_EAGER: a kernel that is right both ways neither reads too early nor overwrites what is
// still read.
//
// Comes after common.cuh.
#pragma once

// An address in shared memory, counted in bytes.
#ifdef EMULATED
typedef char* SharedAt;
inline SharedAt shared_at(void* at) { return static_cast<char*>(at); }
#else
typedef unsigned SharedAt;
__device__ __forceinline__ SharedAt shared_at(void* at) {
    return static_cast<unsigned>(__cvta_generic_to_shared(at));
}
#endif

#ifdef EMULATED
namespace emulator {

struct Copy {
    char* to;
    const void* from;
    size_t bytes;
    bool there;
    void land() const {
        if (there) memcpy(to, from, bytes);
        else memset(to, 0, bytes);
    }
};
// The copies of each thread: groups that are under way, the last of them open.
inline std::vector<std::vector<std::vector<Copy>>> copies;

inline std::vector<std::vector<Copy>>& own_copies() {
    if (copies.size() <= self().thread.x) copies.resize(self().thread.x + 1);
    auto& own = copies[self().thread.x];
    if (own.empty()) own.emplace_back();
    return own;
}

inline void copy_later(const Copy& copy) {
#ifdef EMULATED_EAGER
    copy.land();
#else
    own_copies().back().push_back(copy);
#endif
}

}  // namespace emulator
#endif

// c [16, 8] += a [16, 16] · b [16, 8]. With lane = 4·g + t, a lane holds pairs of columns 2t, 2t + 1:
//   a: rows g and g + 8, then the same 8 columns on;  b: columns are its rows, 2t and 2t + 8, of column g;
//   c: row g, then row g + 8.
__device__ __forceinline__ void mma(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#ifdef EMULATED
    struct Shown {
        unsigned a[4], b[2];
    };
    emulator::exchange(Shown{{a[0], a[1], a[2], a[3]}, {b0, b1}}, [&](auto of) {
        auto half = [](unsigned pair, int high) { return __uint_as_float(high ? pair & 0xffff0000u : pair << 16); };
        unsigned g = emulator::lane() / 4, t = emulator::lane() % 4;
        for (unsigned from = 0; from < 4; from++) {
            Shown left = of(4 * g + from);
            for (unsigned column = 0; column < 2; column++) {
                Shown right = of(4 * (2 * t + column) + from);
                for (int part = 0; part < 2; part++)
                    for (int high = 0; high < 2; high++) {
                        float value = half(right.b[part], high);
                        c[column] += half(left.a[2 * part], high) * value;
                        c[2 + column] += half(left.a[2 * part + 1], high) * value;
                    }
            }
        }
        return 0;
    });
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// Four 8 × 8 matrices, the rows of matrix i at the addresses of lanes 8·i .. 8·i + 8. A lane gets of each the pair of
// columns 2t, 2t + 1 in row g.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], SharedAt row) {
#ifdef EMULATED
    emulator::exchange(row, [&](auto of) {
        unsigned g = emulator::lane() / 4, t = emulator::lane() % 4;
        for (unsigned i = 0; i < 4; i++) memcpy(&to[i], of(8 * i + g) + 4 * t, 4);
        return 0;
    });
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
#endif
}

// As load_matrices, each matrix turned over: a lane gets the pair of rows 2t, 2t + 1 in column g.
__device__ __forceinline__ void load_turned(unsigned (&to)[4], SharedAt row) {
#ifdef EMULATED
    emulator::exchange(row, [&](auto of) {
        unsigned g = emulator::lane() / 4, t = emulator::lane() % 4;
        for (unsigned i = 0; i < 4; i++) {
            unsigned short low, high;
            memcpy(&low, of(8 * i + 2 * t) + 2 * g, 2);
            memcpy(&high, of(8 * i + 2 * t + 1) + 2 * g, 2);
            to[i] = low | static_cast<unsigned>(high) << 16;
        }
        return 0;
    });
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
#endif
}

// Begins to copy 16 bytes, aligned, or to write as many zeros: `from` is then not read.
__device__ __forceinline__ void copy_16(SharedAt to, const void* from, bool there) {
#ifdef EMULATED
    emulator::copy_later({to, from, 16, there});
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0) : "memory");
#endif
}

// As copy_16, 4 bytes.
__device__ __forceinline__ void copy_4(SharedAt to, const void* from, bool there) {
#ifdef EMULATED
    emulator::copy_later({to, from, 4, there});
#else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(there ? 4 : 0) : "memory");
#endif
}

__device__ __forceinline__ void store_4(SharedAt to, unsigned value) {
#ifdef EMULATED
    memcpy(to, &value, 4);
#else
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(value) : "memory");
#endif
}

// Ends a group of the copies that this thread has begun.
__device__ __forceinline__ void end_copies() {
#ifdef EMULATED
    emulator::own_copies().emplace_back();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all of this thread's groups but the last `kPending` have landed.
template <int kPending>
__device__ __forceinline__ void wait_for_copies() {
#ifdef EMULATED
    auto& own = emulator::own_copies();
    while (own.size() > kPending + 1) {
        for (const emulator::Copy& copy : own.front()) copy.land();
        own.erase(own.begin());
    }
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}
