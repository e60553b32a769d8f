"""Inputs from arithmetic, the same as `src/inputs.rs` makes; and the loop that answers one line per round."""

import json
import os
import resource
import sys
import time

import numpy as np
import torch

torch.set_num_threads(int(os.environ.get("BENCH_THREADS", "2")))


def token(stream, i):
    return 100 + (stream * 104_729 + i * 7_919) % 40_000


def tokens(stream, num):
    return [token(stream, i) for i in range(num)]


def features(first, rows, width):
    i = np.arange(first, first + rows * width, dtype=np.float64)
    return torch.from_numpy(np.sin(i * 0.37).astype(np.float32).reshape(rows, width))


def pixels(images, side):
    i = np.arange(images * 3 * side * side, dtype=np.float64)
    return torch.from_numpy(np.sin(i * 0.61).astype(np.float32).reshape(images, 3, side, side))


def serve(round_, loaded_in):
    """Answers every line of the standard input with one round's seconds and outputs."""
    print(json.dumps({"ready": True, "seconds": loaded_in}), flush=True)
    for _ in sys.stdin:
        begun = clocks()
        answer(begun, round_())


def clocks():
    return time.perf_counter(), time.process_time()


def answer(begun, outputs):
    """Prints what a round took that began at these clocks, and what came of it."""
    seconds, cpu = (now - then for now, then in zip(clocks(), begun))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "outputs": outputs, "peak_bytes": peak}), flush=True)
