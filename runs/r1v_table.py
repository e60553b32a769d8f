#!/usr/bin/env python3
"""What each stage of runs/demo-r1v.toml did, a column a seed and their mean.

    runs/r1v_table.py runs/out/demo-r1v*
"""

import json
import sys
from pathlib import Path


def measured(stage):
    """Accuracy in per cent, mean tokens and the share that is well formed of an evaluation."""

    def read(seed):
        path = seed / stage / "summary.json"
        if not path.exists():
            return None
        found = json.loads(path.read_text())["image"]
        return 100 * found["accuracy"]["value"], found["mean_length"], 100 * found["well_formed"]

    return read


def round_of(number):
    """The same of a round of iterative-sft, 0 being its first stage on all samples."""

    def read(seed):
        path = seed / "iterative" / "rounds.jsonl"
        rows = map(json.loads, path.read_text().splitlines()) if path.exists() else []
        found = next((row["figures"] for row in rows if row.get("round") == number), None)
        return found and (100 * found["accuracy"], found["mean_length"], 100 * found["complete"])

    return read


def chains(stage):
    """Right answers in per cent, mean tokens and repetition in per cent of a distillation's chains."""

    def read(seed):
        path = seed / stage / "report.json"
        bins = json.loads(path.read_text())["calibration"]["bins"] if path.exists() else []
        total = sum(one["num_items"] for one in bins)
        if not total:
            return None
        mean = lambda key: sum(one[key] * one["num_items"] for one in bins) / total
        return 100 * mean("correct"), mean("mean_tokens"), 100 * mean("repetition")

    return read


STAGES = [
    ("before the swap", measured("eval-before-swap")),
    ("re-assembled, untrained", measured("eval-after-swap")),
    ("stage 1", round_of(0)),
    *((f"round {number}", round_of(number)) for number in range(1, 5)),
    ("chosen of these", measured("eval-iterative")),
    ("GRPO", measured("eval-grpo")),
]
PENALTIES = [
    ("none", chains("length-none")),
    ("1.1 for all", chains("length-fixed")),
    ("adaptive", chains("length-adaptive")),
]


def table(title, rows, columns, seeds):
    print(f"### {title}\n")
    for index, column in enumerate(columns):
        print(f"| {column} | {' | '.join(seed.name for seed in seeds)} | mean |")
        print("|---" + "|--:" * (len(seeds) + 1) + "|")
        for name, read in rows:
            values = [found and found[index] for found in map(read, seeds)]
            known = [value for value in values if value is not None]
            cells = ["–" if value is None else f"{value:.1f}" for value in values]
            mean = f"{sum(known) / len(known):.1f}" if known else "–"
            print(f"| {name} | {' | '.join(cells)} | {mean} |")
        print()


if __name__ == "__main__":
    seeds = [Path(argument) for argument in sys.argv[1:]]
    table("Stages", STAGES, ["accuracy, %", "tokens", "well formed, %"], seeds)
    table("Repetition penalty", PENALTIES, ["right, %", "tokens", "repeated, %"], seeds)
