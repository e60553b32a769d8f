#!/usr/bin/env python3
"""Runs ours and the peer in turn on the same work, checks that they agree, prints medians and ratios.

usage: bench/run.py --model VLM --peers DIR [--rounds N] [--output F.json] [WORK ...]

VLM is an assembled model of SmolLM2-135M and DINOv2-small, such as `vlm` in a demonstration's folder; DIR is the
environment that `bench/peers.sh` built. A ratio is our median time over the peer's: lower is better; so are those of
processor time (`cpu`) and of peak memory.
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
BINARY = os.path.join(HERE, "..", "target", "release", "bench")
GGUF = "~/.cache/sightline/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf"


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
    # Seconds that ours may take.
    limit: float | None = None
    # Format of the GGUF file that both sides decode from; the peer is then llama.cpp.
    gguf: str | None = None


def both(*flags):
    return {"ours": list(flags), "peer": list(flags)}


BF16 = ["--dtype", "bfloat16"]

COMPARISONS = [
    Comparison("adapter step, batch 1, eager", "adapter-step", **both("--batch", "1"), target=0.70),
    Comparison("adapter step, batch 4, eager", "adapter-step", **both("--batch", "4"), target=0.70),
    Comparison(
        "adapter step, batch 1, torch.compile", "adapter-step", ["--batch", "1"], ["--batch", "1", "--compile"], target=0.70
    ),
    Comparison(
        "adapter step, batch 4, torch.compile", "adapter-step", ["--batch", "4"], ["--batch", "4", "--compile"], target=0.70
    ),
    Comparison(
        "adapter step, batch 4, recompute and bf16 against eager", "adapter-step",
        ["--batch", "4", "--recompute", *BF16], ["--batch", "4"], tolerance=0.05, target=1.0,
    ),
    Comparison(
        "all weights training, batch 1", "adapter-step", **both("--batch", "1", "--all-weights"), target=0.85
    ),
    Comparison("DINOv2-small, batch 16, eager", "features", **both(), target=1.0),
    Comparison("DINOv2-small, batch 16, onnxruntime", "features", [], ["--onnx"], target=1.1),
    Comparison("decode, batch 1, bf16 against f32 loop", "decode", BF16, [], tolerance=None, target=0.35),
    Comparison("decode, batch 1, bf16 against bf16 loop", "decode", BF16, ["--bf16"], tolerance=None, target=0.35),
    Comparison("decode, batch 1, f32 against f32 generate", "decode", [], ["--generate"], tolerance=0.0),
    Comparison("decode, batch 8, f32 loop", "decode", **both("--batch", "8"), tolerance=0.0, target=0.33),
    Comparison(
        "decode, batch 8, f32 generate", "decode", ["--batch", "8"], ["--batch", "8", "--generate"], tolerance=0.0, target=0.33
    ),
    Comparison(
        "decode, batch 64, prompt of 256, f32 loop", "decode", **both("--batch", "64", "--prompt", "256"), tolerance=0.0, target=0.50
    ),
    # Weights are the file's; both sides round activations to 8 bits, each in its own way.
    Comparison(
        "decode_q4, batch 1, Q4_1 GGUF, llama.cpp", "decode", ["--dtype", "int4"], tolerance=None, target=1.1, gguf="Q4_1"
    ),
    Comparison(
        "decode_q8, batch 1, Q8_0 GGUF, llama.cpp", "decode", ["--dtype", "int8"], tolerance=None, target=1.1, gguf="Q8_0"
    ),
    Comparison("GRPO step, 4 × 8 × 96", "grpo-step", tolerance=0.0, target=0.30),
    Comparison("MPO step, 8 pairs of 300 + 100", "mpo-step", tolerance=None, target=0.35),
    # Decoders of JPEG differ by a fraction of a grey level; the same pictures as PNG agree to the last digit.
    Comparison("photographs of 1280 × 960 to 12 tiles", "images", tolerance=2e-2, target=0.35),
    Comparison("start-up, f32, from a warm file cache", "load", tolerance=0.0, limit=1.5),
    Comparison("start-up, bf16, from a warm file cache", "load", BF16, ["--bf16"], tolerance=0.0, limit=1.5),
]


class Side:
    """A program that does one round for each line."""

    def __init__(self, command, threads, peers="."):
        environment = os.environ | {"BENCH_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
        environment |= {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment |= {"PEERS": os.path.abspath(peers)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        ready = self.answer()
        self.load_seconds, self.flop = ready["seconds"], ready.get("flop")

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


def python(args):
    return os.path.join(args.peers, "bin", "python")


def agree(ours, theirs, tolerance):
    """Whether the outputs agree; None where they cannot be compared."""
    if tolerance is None:
        return None
    if len(ours) != len(theirs):
        return False
    return all(abs(a - b) <= tolerance * max(abs(a), abs(b), 1e-12) for a, b in zip(ours, theirs))


def peer_command(comparison, args):
    program = os.path.join(HERE, "peers", comparison.work.replace("-", "_"))
    return ["node", program + "_gguf.mjs"] if comparison.gguf else [python(args), program + ".py"]


def compare(comparison, args, flags):
    ours = Side([args.binary, comparison.work, *flags, *comparison.ours], args.threads)
    theirs = Side([*peer_command(comparison, args), *flags, *comparison.peer], args.threads, args.peers)
    rounds, cpu = {"ours": [], "peer": []}, {"ours": [], "peer": []}
    for number in range(args.rounds + 1):
        # The first round warms both up and is not counted.
        answers = {"ours": ours.round(), "peer": theirs.round()}
        for side in rounds:
            rounds[side] += [answers[side]["seconds"]] * (number > 0)
            cpu[side] += [answers[side]["cpu"]] * (number > 0)
    ours.close()
    theirs.close()
    median = {side: statistics.median(seconds) for side, seconds in rounds.items()}
    outputs = {side: answers[side]["outputs"] for side in answers}
    return {
        "name": comparison.name,
        "seconds": median,
        "ratio": median["ours"] / median["peer"],
        "target": comparison.target,
        "limit": comparison.limit,
        "cpu_seconds": {side: statistics.median(seconds) for side, seconds in cpu.items()},
        "peak_bytes": {side: answers[side]["peak_bytes"] for side in answers},
        "load_seconds": {"ours": ours.load_seconds, "peer": theirs.load_seconds},
        "agree": agree(outputs["ours"], outputs["peer"], comparison.tolerance),
        "equal_tokens": equal_tokens(outputs) if comparison.gguf else None,
        "flop": ours.flop,
        "rounds": rounds,
    }


def equal_tokens(outputs):
    """How many tokens the two greedy completions share before they part, and of how many."""
    pairs = list(zip(outputs["ours"], outputs["peer"]))
    parted = [number for number, (ours, theirs) in enumerate(pairs) if ours != theirs]
    return [parted[0] if parted else len(pairs), len(pairs)]


def peak_flops(args):
    """The most operations a second that a loop in registers reaches, the best of five rounds."""
    side = Side([args.binary, "peak"], args.threads)
    most = max(side.round()["outputs"][0] for _ in range(5))
    side.close()
    return most


def gguf(args, folder, kind):
    """The file of a format; that of 8 bits is made from that of 4."""
    if kind == "Q4_1":
        return args.gguf
    path = os.path.join(folder, f"{kind}.gguf")
    if not os.path.exists(path):
        subprocess.run([python(args), os.path.join(HERE, "peers", "q8_0.py"), args.gguf, path], check=True)
    return path


def photographs(args, folder):
    """Flags that name a folder of pictures, and one of settings with tiles of 448 pixels, at most 12."""
    model, photos = args.model, os.path.join(folder, "photographs")
    maker = [python(args), os.path.join(HERE, "peers", "photographs.py"), photos, str(args.photographs)]
    subprocess.run(maker, check=True)
    settings = os.path.join(folder, "settings")
    os.mkdir(settings)
    with open(os.path.join(model, "config.json")) as file:
        config = json.load(file)
    config |= {"force_image_size": 448, "min_dynamic_patch": 1, "max_dynamic_patch": 12, "use_thumbnail": True}
    with open(os.path.join(settings, "config.json"), "w") as file:
        json.dump(config, file)
    shutil.copy(os.path.join(model, "preprocessor_config.json"), settings)
    return ["--model", settings, "--folder", photos]


def verdict(result):
    if result["limit"] is not None:
        met = result["seconds"]["ours"] <= result["limit"]
        return f"{result['limit']:.1f} s {'reached' if met else 'missed'}"
    if result["target"] is None:
        return ""
    return f"{result['target']:.2f} {'reached' if result['ratio'] <= result['target'] else 'missed'}"


def show(result):
    def ratio(key):
        return result[key]["ours"] / result[key]["peer"]

    seconds = result["seconds"]
    outputs = {True: "agree", False: "DIFFER", None: "not compared"}[result["agree"]]
    if result["equal_tokens"]:
        outputs = "first {} of {} tokens".format(*result["equal_tokens"])
    print(
        f"{result['name']:58} {seconds['ours']:8.3f} {seconds['peer']:8.3f} {result['ratio']:6.2f}  {verdict(result):13}"
        f" {ratio('cpu_seconds'):6.2f} {ratio('peak_bytes'):6.2f}  {outputs}",
        flush=True,
    )


def show_share(result, peak):
    """The share of the machine's peak that a step of known operations reaches."""
    reached = result["flop"] / result["seconds"]["ours"]
    result["share_of_peak"] = reached / peak
    print(f"{'':6}{reached / 1e9:.0f} of {peak / 1e9:.0f} GFLOP/s: {reached / peak:.2f} of the peak", flush=True)


def show_memory(result, model):
    """Peak memory of our side against the bytes of the weights."""
    names = [name for name in os.listdir(model) if name.endswith(".safetensors")]
    size = sum(os.path.getsize(os.path.join(model, name)) for name in names)
    result["share_of_file"] = result["peak_bytes"]["ours"] / size
    print(f"{'':6}peak memory is {result['share_of_file']:.2f} of the file's {size / 1e6:.0f} MB", flush=True)


def flags_of(comparison, args, folder):
    if comparison.work == "images":
        return photographs(args, folder)
    if comparison.gguf:
        return ["--model", args.model, "--gguf", gguf(args, folder, comparison.gguf)]
    return ["--model", args.model]


def run(comparison, args, folder):
    result = compare(comparison, args, flags_of(comparison, args, folder))
    show(result)
    if result["flop"]:
        show_share(result, peak_flops(args))
    if comparison.work == "load":
        show_memory(result, args.model)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--peers", required=True)
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--gguf", default=os.path.expanduser(GGUF), help="SmolLM2-135M-Instruct in Q4_1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photographs", type=int, default=1000)
    parser.add_argument("--output")
    parser.add_argument("work", nargs="*", help="only rows whose name contains one of these")
    args = parser.parse_args()
    chosen = [c for c in COMPARISONS if not args.work or any(word in c.name for word in args.work)]
    print(f"{'work':58} {'ours s':>8} {'peer s':>8} {'ratio':>6}  {'target':13} {'cpu':>6} {'memory':>6}  outputs")
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for comparison in chosen:
            try:
                results.append(run(comparison, args, folder))
            except RuntimeError as error:
                print(f"{comparison.name:58} failed: {error}", flush=True)
    if args.output:
        with open(args.output, "w") as file:
            json.dump(results, file, indent=1)
    sys.exit(1 if len(results) < len(chosen) or any(result["agree"] is False for result in results) else 0)


if __name__ == "__main__":
    main()
