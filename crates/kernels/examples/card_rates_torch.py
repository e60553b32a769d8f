"""The work of card_rates.rs in PyTorch: copies, products and attention as it does them best."""

import json
import statistics

import torch
import torch.nn.functional as F

ROUNDS = 10
HEADS, KEY_HEADS, DIM = 40, 8, 128


def milliseconds(work):
    times = []
    for _ in range(ROUNDS + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times[1:])


def report(work, ms, unit, amount):
    print(json.dumps({"work": work, "ms": round(ms, 3), unit: round(amount / ms * 1e3, 1)}))


def zeros(*shape):
    return torch.zeros(*shape, dtype=torch.bfloat16, device="cuda")


def attention(rows):
    q = zeros(1, HEADS, rows, DIM).requires_grad_()
    k, v = (zeros(1, HEADS, rows, DIM).requires_grad_() for _ in range(2))
    flop = 4e-12 * rows * (rows + 1) / 2 * HEADS * DIM
    dout = zeros(1, HEADS, rows, DIM)

    def forward():
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    with torch.no_grad():
        report("attention_sequence", milliseconds(forward), "tflop_s", flop)
    report("attention_sequence_both", milliseconds(lambda: forward().backward(dout)), "tflop_s", 3.5 * flop)


def main():
    print(json.dumps({"card": torch.cuda.get_device_name(), "torch": torch.__version__}))
    one, two = (torch.zeros(1 << 28, device="cuda") for _ in range(2))
    report("copy", milliseconds(lambda: two.copy_(one)), "gb_s", 8e-9 * (1 << 28))
    del one, two
    x, weight = zeros(8192, 5120), zeros(27648, 5120)
    report("product", milliseconds(lambda: x @ weight.T), "tflop_s", 2e-12 * 8192 * 5120 * 27648)
    weight = zeros(18944, 3584)
    for rows in (1, 8):
        x = zeros(rows, 3584)
        report(f"rows_{rows}", milliseconds(lambda: x @ weight.T), "gb_s", 2e-9 * 18944 * 3584)
    attention(16384)


if __name__ == "__main__":
    main()
