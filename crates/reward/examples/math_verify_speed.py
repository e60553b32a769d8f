"""Math-Verify's pairs per second on the files that verify_pairs.rs is timed on.

    cargo build --release -p reward --example verify_pairs
    venv/bin/python crates/reward/examples/math_verify_speed.py \\
        target/release/examples/verify_pairs crates/reward/tests/golden/*.json

Runs our program on each file and prints both speeds and their ratio. Caches that Math-Verify keeps
between calls are left as they are; the fastest of three rounds counts.
"""

import json
import re
import subprocess
import sys
import time

from math_verify import parse, verify
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

CONFIG = (LatexExtractionConfig(), ExprExtractionConfig())


def round_seconds(cases):
    start = time.perf_counter()
    for case in cases:
        verify(parse(case["gold"], CONFIG), parse(case["prediction"], CONFIG))
    return time.perf_counter() - start


def main():
    program, *paths = sys.argv[1:]
    for path in paths:
        cases = json.load(open(path))["cases"]
        theirs = len(cases) / min(round_seconds(cases) for _ in range(3))
        output = subprocess.run([program, path], check=True, capture_output=True, text=True).stdout
        ours = float(re.search(r"([\d.]+) pairs per second", output).group(1))
        print(f"{path}: {ours:.0f} against {theirs:.1f} pairs per second, {ours / theirs:.0f} times")


main()
