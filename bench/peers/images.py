"""InternVL's published preprocessing of a folder of photographs: Pillow, and torch for the normalisation."""

import argparse
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image

import inputs

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--folder", required=True)
args = parser.parse_args()

start = time.perf_counter()
torch.set_num_threads(1)  # The threads are the pool's, as in a data loader.
with open(os.path.join(args.model, "config.json")) as file:
    config = json.load(file)
with open(os.path.join(args.model, "preprocessor_config.json")) as file:
    processor = json.load(file)
side, most = config["force_image_size"], config["max_dynamic_patch"]
mean, std = torch.tensor(processor["image_mean"]), torch.tensor(processor["image_std"])
files = sorted(os.path.join(args.folder, name) for name in os.listdir(args.folder))


def grid(width, height):
    ratios = sorted({(i, j) for n in range(1, most + 1) for i in range(1, n + 1) for j in range(1, n + 1) if i * j <= most}, key=lambda x: x[0] * x[1])
    best, smallest = (1, 1), float("inf")
    for i, j in ratios:
        difference = abs(width / height - i / j)
        if difference < smallest or (difference == smallest and width * height > 0.5 * side * side * i * j):
            best, smallest = (i, j), difference
    return best


def tiles(path):
    image = Image.open(path).convert("RGB")
    columns, rows = grid(*image.size)
    resized = image.resize((columns * side, rows * side), Image.BICUBIC)
    cut = [
        resized.crop((c * side, r * side, (c + 1) * side, (r + 1) * side)) for r in range(rows) for c in range(columns)
    ]
    if len(cut) > 1:
        cut.append(image.resize((side, side), Image.BICUBIC))
    values = torch.stack([torch.from_numpy(np.asarray(tile)) for tile in cut]).permute(0, 3, 1, 2)
    values = (values.float() / 255 - mean[:, None, None]) / std[:, None, None]
    return len(cut), values.double().mean().item()


pool = ThreadPoolExecutor(int(os.environ.get("BENCH_THREADS", "2")))


def round_():
    found = list(pool.map(tiles, files))
    return [float(sum(num for num, _ in found)), sum(value for _, value in found) / len(found)]


inputs.serve(round_, time.perf_counter() - start)
