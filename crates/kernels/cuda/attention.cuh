// What attention kernels share: the tables of src/attention/plan.rs, and a walk over the tiles they name.
//
// Rows of q, dout, out and dq are [query heads, dim], rows of k, v, dk and dv [key heads, dim], rows of log_sum_exp
// and delta [query heads]. Query i, counted in its tile, run or unit, sees key row r of a range if r < end and
// r < limit + i·step.
//
// Comes after common.cuh.
#pragma once

constexpr float kLog2E = 1.4426950408889634f;

// Consecutive queries of one span.
struct __align__(16) QueryTile {
    int first, num, ranges, end_ranges;
};
// Key rows that queries of a tile or unit see.
struct __align__(16) KeyRange {
    int first, end, limit, step;
};
// Consecutive key rows.
struct __align__(16) KeyTile {
    int first, end, runs, end_runs;
};
// Consecutive queries that see some rows of a key tile.
struct __align__(16) QueryRun {
    int first, end, limit, step, first_key, end_key, unused[2];
};

// A place among the key tiles of `kKeys` rows that a query tile sees, the same in all threads of a block.
template <int kKeys>
struct KeyWalk {
    const KeyRange* ranges;
    int next, end_ranges;
    // Rows at .. end are left of the range.
    int at, end, limit, step;

    __device__ __forceinline__ KeyWalk(const KeyRange* ranges, int first, int end_ranges)
        : ranges(ranges), next(first), end_ranges(end_ranges), at(0), end(0), limit(0), step(0) {
        open();
    }
    __device__ __forceinline__ void open() {
        if (next >= end_ranges) return;
        KeyRange range = ranges[next++];
        at = range.first, end = range.end, limit = range.limit, step = range.step;
    }
    __device__ __forceinline__ bool done() const { return at >= end; }
    __device__ __forceinline__ int num() const { return min(kKeys, end - at); }
    __device__ __forceinline__ void advance() {
        at += kKeys;
        if (at >= end) open();
    }
    // How many rows of the tile query i sees, if positive.
    __device__ __forceinline__ int seen(int i) const { return min(end, limit + i * step) - at; }
};

// A place among the tiles of `kQueries` queries that see a key tile: for each query head of the group, run by run.
template <int kQueries>
struct QueryWalk {
    const QueryRun* runs;
    int head, end_head, first_run, end_runs, run;
    // The first query of the tile.
    int at;

    __device__ __forceinline__ QueryWalk(const QueryRun* runs, int first_run, int end_runs, int head, int end_head)
        : runs(runs), head(head), end_head(end_head), first_run(first_run), end_runs(end_runs), run(first_run),
          at(runs[first_run].first) {}
    __device__ __forceinline__ bool done() const { return head >= end_head; }
    // Read again where it is asked for: registers are short.
    __device__ __forceinline__ const QueryRun& here() const { return runs[run]; }
    __device__ __forceinline__ int num() const { return min(kQueries, here().end - at); }
    __device__ __forceinline__ void advance() {
        at += kQueries;
        if (at < here().end) return;
        if (++run == end_runs) {
            run = first_run;
            head++;
        }
        if (head < end_head) at = here().first;
    }
    // The limit of the tile's first query.
    __device__ __forceinline__ int limit() const { return here().limit + (at - here().first) * here().step; }
    // The end of the key rows that the tile's query i sees.
    __device__ __forceinline__ int seen(int i) const { return min(here().end_key, limit() + i * here().step); }
};
