"""The assembled model's parts, read by PyTorch to the point where a first forward pass may begin."""

import argparse

import torch

import inputs
import parts

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--bf16", action="store_true")
args = parser.parse_args()
held = []


def round_():
    held.clear()
    llm = parts.language_model(args.model, torch.bfloat16 if args.bf16 else torch.float32)
    held.extend([llm, parts.adapter(args.model), parts.encoder(args.model)])
    return [llm.config.num_hidden_layers, llm.config.vocab_size]


inputs.serve(round_, 0.0)
