#!/usr/bin/env python3
"""Tables of what run.sh left behind, a column a seed and their mean.

    runs/ablations/table.py runs/out/demo-preferences-*
"""

import json
import sys
from pathlib import Path

RUNS = [
    "sft", "mpo", "with-buffer", "without-buffer", "group-buffer", "dynamic-sampling",
    "small-groups", "small-groups-without-buffer", "warm-start",
    "normalize_then_sum", "bounded_sum", "sum_then_normalize", "with-lora", "with-vision", "mpo-grpo",
]


def summary(seed, run, file):
    path = seed / f"eval-{run}-{file}" / "summary.json"
    return json.loads(path.read_text())["image"] if path.exists() else None


def accuracy(file):
    """Right answers in per cent."""

    def read(seed, run):
        found = summary(seed, run, file)
        return found and 100 * found["accuracy"]["value"]

    return read


def length(seed, run):
    found = summary(seed, run, "held_out")
    return found and found["mean_length"]


def hallucination(seed, run):
    found = summary(seed, run, "probe")
    return found and 100 * found["hallucination"]


def metric(key, steps=slice(None), of=lambda values: sum(values) / len(values)):
    """A metric over some of a run's steps, its mean unless said otherwise."""

    def read(seed, run):
        path = seed / run / "metrics.jsonl"
        if not path.exists():
            return None
        values = [row[key] for row in map(json.loads, path.read_text().splitlines()) if key in row][steps]
        return of(values) if values else None

    return read


def percent(values):
    return 100 * sum(values) / len(values)


FIGURES = [
    ("accuracy, %", accuracy("held_out")),
    ("hallucination, %", hallucination),
    # What answers neither yes nor no hallucinates nothing.
    ("right about presence and absence, %", accuracy("probe")),
    ("tokens", length),
    ("effective fraction before the buffer, first 8 steps, %", metric("effective_fraction/before", slice(8), percent)),
    ("effective fraction before the buffer, last 8 steps, %", metric("effective_fraction/before", slice(-8, None), percent)),
    ("effective fraction after the buffer, last 8 steps, %", metric("effective_fraction/after", slice(-8, None), percent)),
    ("rule reward, last 8 steps", metric("rewards/rule/mean", slice(-8, None))),
    ("tokens sampled", metric("num_sampled_tokens", of=sum)),
]


def cell(value):
    return "–" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value > 1 else f"{value:.2f}"


def table(title, read, seeds):
    rows = [(run, [read(seed, run) for seed in seeds]) for run in RUNS]
    rows = [(run, values) for run, values in rows if any(value is not None for value in values)]
    print(f"### {title}\n\n| run | {' | '.join(seed.name for seed in seeds)} | mean |")
    print("|---" + "|--:" * (len(seeds) + 1) + "|")
    for run, values in rows:
        known = [value for value in values if value is not None]
        print(f"| {run} | {' | '.join(map(cell, values))} | {cell(sum(known) / len(known))} |")
    print()


if __name__ == "__main__":
    seeds = [Path(argument) for argument in sys.argv[1:]]
    for title, read in FIGURES:
        table(title, read, seeds)
