"""Greedy completions of a forced length: a loop with a static cache, or transformers' `generate`."""

import argparse
import time

import torch
from transformers import StaticCache

import inputs
import parts

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--prompt", type=int, default=32)
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--bf16", action="store_true")
parser.add_argument("--generate", action="store_true")
args = parser.parse_args()

start = time.perf_counter()
llm = parts.language_model(args.model, torch.bfloat16 if args.bf16 else torch.float32)
prompt = torch.tensor([inputs.tokens(0, args.prompt)] * args.batch)


def by_generate():
    return llm.generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, eos_token_id=None,
        pad_token_id=0, min_new_tokens=args.tokens, max_new_tokens=args.tokens,
    )[0, args.prompt :].tolist()


def by_loop():
    cache = StaticCache(config=llm.config, max_cache_len=args.prompt + args.tokens)
    place, drawn, ids = torch.arange(args.prompt), [], prompt
    for _ in range(args.tokens):
        logits = llm(ids, past_key_values=cache, cache_position=place, position_ids=place[None], use_cache=True, logits_to_keep=1).logits
        ids = logits[:, -1].argmax(-1, keepdim=True)
        drawn.append(ids[0, 0].item())
        place = place[-1:] + 1
    return drawn


def round_():
    with torch.inference_mode():
        return by_generate() if args.generate else by_loop()


inputs.serve(round_, time.perf_counter() - start)
