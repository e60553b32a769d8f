#!/usr/bin/env python3
"""Runs ours and the peer in turn on the same work, checks that they agree, prints medians and ratios.

usage: bench/run.py --model VLM --peers DIR [--rounds N] [--output F.json] [WORK ...]

VLM is an assembled model of SmolLM2-135M and DINOv2-small, such as `vlm` in a demonstration's folder; DIR is the
environment that `bench/peers.sh` built. A ratio is our median time over the peer's: lower is better.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Comparison:
    """One row of the table."""

    name: str
    work: str
    ours: list[str] = field(default_factory=list)
    peer: list[str] = field(default_factory=list)
    # Largest relative difference of the outputs, or None where they cannot agree.
    tolerance: float | None = 1e-3
    target: float | None = None


def both(*flags):
    return {"ours": list(flags), "peer": list(flags)}


COMPARISONS = [
    Comparison("adapter step, batch 1, eager", "adapter-step", **both("--batch", "1"), target=0.70),
    Comparison("adapter step, batch 4, eager", "adapter-step", **both("--batch", "4"), target=0.70),
    Comparison(
        "adapter step, batch 1, torch.compile", "adapter-step", ["--batch", "1"], ["--batch", "1", "--compile"], target=0.70
    ),
    Comparison(
        "adapter step, batch 4, recompute and bf16 against eager", "adapter-step",
        ["--batch", "4", "--recompute", "--bf16"], ["--batch", "4"], tolerance=0.05, target=1.0,
    ),
    Comparison(
        "all weights training, batch 1", "adapter-step", **both("--batch", "1", "--all-weights"), target=0.85
    ),
    Comparison("DINOv2-small, batch 16, eager", "features", **both(), target=1.0),
    Comparison("DINOv2-small, batch 16, onnxruntime", "features", [], ["--onnx"], target=1.1),
    Comparison("decode, batch 1, bf16 against f32 loop", "decode", ["--bf16"], [], tolerance=None, target=0.35),
    Comparison("decode, batch 1, bf16 against bf16 loop", "decode", ["--bf16"], ["--bf16"], tolerance=None, target=0.35),
    Comparison("decode, batch 1, f32 against f32 generate", "decode", [], ["--generate"], tolerance=0.0),
    Comparison("decode, batch 8, f32 loop", "decode", **both("--batch", "8"), tolerance=0.0, target=0.33),
    Comparison(
        "decode, batch 8, f32 generate", "decode", ["--batch", "8"], ["--batch", "8", "--generate"], tolerance=0.0, target=0.33
    ),
    Comparison(
        "decode, batch 64, prompt of 256, f32 loop", "decode", **both("--batch", "64", "--prompt", "256"), tolerance=0.0, target=0.50
    ),
    Comparison("GRPO step, 4 × 8 × 96", "grpo-step", tolerance=0.0, target=0.30),
    Comparison("MPO step, 8 pairs of 300 + 100", "mpo-step", tolerance=None, target=0.35),
    Comparison("photographs of 1280 × 960 to 12 tiles", "images", tolerance=1e-3, target=0.35),
]


class Side:
    """A program that does one round for each line."""

    def __init__(self, command, threads):
        environment = os.environ | {"BENCH_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        environment |= {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        self.load_seconds = self.answer()["seconds"]

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{' '.join(self.process.args)}: ended early")

    def round(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def agree(ours, theirs, tolerance):
    if tolerance is None:
        return True
    if len(ours) != len(theirs):
        return False
    return all(abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-12) for a, b in zip(ours, theirs))


def compare(comparison, args, flags):
    peer = os.path.join(HERE, "peers", comparison.work.replace("-", "_") + ".py")
    ours = Side([args.binary, comparison.work, *flags, *comparison.ours], args.threads)
    theirs = Side([os.path.join(args.peers, "bin", "python"), peer, *flags, *comparison.peer], args.threads)
    rounds = {"ours": [], "peer": []}
    for number in range(args.rounds + 1):
        # The first round warms both up and is not counted.
        answers = {"ours": ours.round(), "peer": theirs.round()}
        for side in rounds:
            rounds[side] += [answers[side]["seconds"]] * (number > 0)
    ours.close()
    theirs.close()
    median = {side: statistics.median(seconds) for side, seconds in rounds.items()}
    return {
        "name": comparison.name,
        "seconds": median,
        "ratio": median["ours"] / median["peer"],
        "target": comparison.target,
        "peak_bytes": {side: answers[side]["peak_bytes"] for side in answers},
        "load_seconds": {"ours": ours.load_seconds, "peer": theirs.load_seconds},
        "agree": agree(answers["ours"]["outputs"], answers["peer"]["outputs"], comparison.tolerance),
        "rounds": rounds,
    }


def photographs(model, folder, count):
    """A folder of smooth pictures, and one of settings with tiles of 448 pixels, at most 12."""
    from PIL import Image
    import numpy as np

    photos = os.path.join(folder, "photographs")
    os.mkdir(photos)
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((1280, 960), Image.BICUBIC)
        image.save(os.path.join(photos, f"{number:04}.jpg"), quality=90)
    settings = os.path.join(folder, "settings")
    os.mkdir(settings)
    with open(os.path.join(model, "config.json")) as file:
        config = json.load(file)
    config |= {"force_image_size": 448, "min_dynamic_patch": 1, "max_dynamic_patch": 12, "use_thumbnail": True}
    with open(os.path.join(settings, "config.json"), "w") as file:
        json.dump(config, file)
    shutil.copy(os.path.join(model, "preprocessor_config.json"), settings)
    return ["--model", settings, "--folder", photos]


def show(result):
    ratio, target = result["ratio"], result["target"]
    memory = result["peak_bytes"]["ours"] / result["peak_bytes"]["peer"]
    verdict = "" if target is None else f"{target:.2f} {'reached' if ratio <= target else 'missed'}"
    seconds = result["seconds"]
    outputs = "agree" if result["agree"] else "DIFFER"
    print(
        f"{result['name']:58} {seconds['ours']:8.3f} {seconds['peer']:8.3f} {ratio:6.2f}  {verdict:13} {memory:6.2f}  {outputs}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peers", required=True)
    parser.add_argument("--binary", default=os.path.join(HERE, "..", "target", "release", "bench"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photographs", type=int, default=1000)
    parser.add_argument("--output")
    parser.add_argument("work", nargs="*", help="only rows whose name contains one of these")
    args = parser.parse_args()
    chosen = [c for c in COMPARISONS if not args.work or any(word in c.name for word in args.work)]
    print(f"{'work':58} {'ours s':>8} {'peer s':>8} {'ratio':>6}  {'target':13} {'memory':>6}  outputs")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for comparison in chosen:
            flags = ["--model", args.model]
            if comparison.work == "images":
                flags = photographs(args.model, folder, args.photographs)
            try:
                results.append(compare(comparison, args, flags))
                show(results[-1])
            except RuntimeError as error:
                print(f"{comparison.name:58} failed: {error}", flush=True)
    if args.output:
        with open(args.output, "w") as file:
            json.dump(results, file, indent=1)
    sys.exit(0 if all(result["agree"] for result in results) else 1)


if __name__ == "__main__":
    main()
