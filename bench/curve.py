#!/usr/bin/env python3
"""How the adapter step's time and memory grow with the packed length: one sequence, and sequences of 512 tokens.

usage: bench/curve.py --model VLM [--most TOKENS] [--keep-all] [--output F.json]

Each point is a process of its own and the faster of two steps. Layers are computed again in the backward pass, so that
a layer keeps its input for each token; with --keep-all it keeps everything. Time is fitted by what a token costs, and,
for one sequence, by what the square of the length costs in attention.
"""

import argparse
import json
import os

from run import BINARY, Side

SHORT = 512


def measure(args, batch, tokens):
    """Seconds and peak bytes of a step."""
    flags = ["--model", args.model, "--batch", str(batch), "--tokens", str(tokens)]
    side = Side([args.binary, "adapter-step", *flags, *([] if args.keep_all else ["--recompute"])], args.threads)
    answers = [side.round() for _ in range(2)]
    side.close()
    fastest = min(answers, key=lambda answer: answer["seconds"])
    return {
        "tokens": batch * tokens,
        "seconds": fastest["seconds"],
        "cpu_seconds": fastest["cpu"],
        "peak_bytes": answers[-1]["peak_bytes"],
    }


def fit(points, powers):
    """Least squares of relative errors: the factor of each power of the length, and the largest relative error."""
    rows = [[point["tokens"] ** power / point["seconds"] for power in powers] for point in points]
    products = [[sum(row[i] * row[j] for row in rows) for j in range(len(powers))] for i in range(len(powers))]
    sums = [sum(row[i] for row in rows) for i in range(len(powers))]
    if len(powers) == 1:
        factors = [sums[0] / products[0][0]]
    else:
        (a, b), (c, d) = products
        factors = [(sums[0] * d - b * sums[1]) / (a * d - b * c), (a * sums[1] - c * sums[0]) / (a * d - b * c)]
    errors = [abs(1 - sum(factor * value for factor, value in zip(factors, row))) for row in rows]
    return factors, max(errors)


def slope(points):
    """Bytes that a token adds, between the shortest and the longest."""
    first, last = points[0], points[-1]
    return (last["peak_bytes"] - first["peak_bytes"]) / (last["tokens"] - first["tokens"])


def kept(model):
    """Bytes of a layer's inputs for one token, and of its keys and values, over all layers, in f32."""
    with open(os.path.join(model, "config.json")) as file:
        config = json.load(file)["llm_config"]
    layers, hidden = config["num_hidden_layers"], config["hidden_size"]
    head = config.get("head_dim") or hidden // config["num_attention_heads"]
    return 4 * layers * hidden, 4 * layers * 2 * config["num_key_value_heads"] * head


def cells(point):
    seconds, tokens = point["seconds"], point["tokens"]
    return f"{seconds:9.2f} {1e3 * seconds / tokens:9.3f} {point['peak_bytes'] / 1e6:9.0f}"


def show(result, args):
    one, packed = result["one_sequence"], result["packed"]
    (token, pair), error = fit(one, [1, 2])
    print(f"one sequence:      {1e3 * token:.3f} ms a token and {1e6 * pair:.4f} µs a token squared, within {error:.0%}")
    (token,), error = fit(packed, [1])
    print(f"sequences of {SHORT}:  {1e3 * token:.3f} ms a token, within {error:.0%}")
    states, keys = kept(args.model)
    print(
        f"memory: {slope(one) / 1e3:.1f} and {slope(packed) / 1e3:.1f} kB a token; "
        f"a hidden state a layer is {states / 1e3:.1f} kB, keys and values are {keys / 1e3:.1f} kB"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--most", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep-all", action="store_true")
    parser.add_argument("--output")
    args = parser.parse_args()
    lengths = [SHORT << n for n in range(16) if SHORT << n <= args.most]
    print(f"{'':8}{'one sequence':>29}{f'sequences of {SHORT}':>31}")
    print(f"{'tokens':8}" + f"{'s':>9} {'ms/token':>9} {'peak MB':>9}  " * 2)
    result = {"one_sequence": [], "packed": []}
    for tokens in lengths:
        result["one_sequence"].append(measure(args, 1, tokens))
        result["packed"].append(measure(args, tokens // SHORT, SHORT))
        print(f"{tokens:<8}{cells(result['one_sequence'][-1])}  {cells(result['packed'][-1])}", flush=True)
    show(result, args)
    if args.output:
        with open(args.output, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
