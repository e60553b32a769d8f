#!/usr/bin/env python3
"""Two measurements of the same items over several seeds, paired: the exact McNemar test.

    runs/compare.py eval-low-2 eval-high-2 runs/out/thresholds-*

The names are of folders with `completions.jsonl`, inside each of the folders that follow.
"""

import json
import sys
from math import comb
from pathlib import Path


def verdicts(folder):
    """Whether each completion is right, by item and sample."""
    lines = (folder / "completions.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return {(record["id"], record.get("sample", 0)): record["correct"] for record in records}


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    one, other, *folders = sys.argv[1:]
    won = lost = right = right_before = items = 0
    for folder in map(Path, folders):
        before, after = verdicts(folder / one), verdicts(folder / other)
        if before.keys() != after.keys():
            sys.exit(f"{folder}: {one} and {other} measured other items")
        won += sum(after[key] and not before[key] for key in before)
        lost += sum(before[key] and not after[key] for key in before)
        right_before, right = right_before + sum(before.values()), right + sum(after.values())
        items += len(before)
    differ = won + lost
    tail = sum(comb(differ, i) for i in range(min(won, lost) + 1))
    p = min(1.0, 2 * tail / 2**differ)
    shares = f"{right_before / items:.1%} → {right / items:.1%}"
    print(f"{one} → {other}: {shares} of {items}, {won} won, {lost} lost, p = {p:.4f}")


if __name__ == "__main__":
    main()
