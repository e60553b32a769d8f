"""Forward, loss and backward to the adapter through the language model, in PyTorch."""

import argparse
import time

import torch

import inputs
import parts

IMAGE_ROWS = 64

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--tokens", type=int, default=512)
parser.add_argument("--all-weights", action="store_true")
parser.add_argument("--recompute", action="store_true")
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--compile", action="store_true")
args = parser.parse_args()

start = time.perf_counter()
llm = parts.language_model(args.model)
adapter = parts.adapter(args.model)
if args.all_weights:
    llm.requires_grad_(True)
if args.recompute:
    llm.train()
    llm.gradient_checkpointing_enable({"use_reentrant": False})
width = adapter[0].weight.shape[0]
features = inputs.features(0, args.batch * IMAGE_ROWS, width).view(args.batch, IMAGE_ROWS, width)
ids = torch.tensor([inputs.tokens(s, args.tokens) for s in range(args.batch)])
trained = [p for m in (adapter, llm) for p in m.parameters() if p.requires_grad]


def loss_of(features):
    text = llm.get_input_embeddings()(ids[:, IMAGE_ROWS:])
    logits = llm(inputs_embeds=torch.cat([adapter(features), text], 1), use_cache=False).logits
    logits = logits[:, IMAGE_ROWS - 1 : -1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, IMAGE_ROWS:].flatten())


if args.compile:
    loss_of = torch.compile(loss_of)


def round_():
    for parameter in trained:
        parameter.grad = None
    loss = loss_of(features)
    loss.backward()
    norm = sum(p.grad.double().pow(2).sum() for p in trained).sqrt()
    return [loss.item(), norm.item()]


inputs.serve(round_, time.perf_counter() - start)
