"""Gradients of the Bradley-Terry loss of `reward-tiny`, by PyTorch.

usage: gradients.py FOLDER OUTPUT      (torch 2.15.0, transformers 5.23.0)
"""
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Qwen2_5_VLForConditionalGeneration

folder, output = Path(sys.argv[1]), sys.argv[2]
model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
head = load_file(folder / "value_head.safetensors")
weight = head["v_head.summary.weight"].clone().requires_grad_()
bias = head["v_head.summary.bias"].clone().requires_grad_()
reference = load_file(folder / "reference.safetensors")
cases = json.loads((folder / "reference.json").read_text())["cases"]


def score(case, response):
    ids = reference[f"case{case}.response{response}.input_ids"].long()
    types = (ids == model.config.image_token_id).long()
    out = model(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        mm_token_type_ids=types,
        pixel_values=reference[f"case{case}.pixel_values"],
        image_grid_thw=reference[f"case{case}.image_grid_thw"].long(),
        output_hidden_states=True,
    )
    return torch.nn.functional.linear(out.hidden_states[-1][0, -1], weight, bias)[0]


scores = [[score(case, response) for response in (0, 1)] for case in range(len(cases))]
for pair, case in zip(scores, cases):
    assert all(abs(got.item() - want) < 1e-4 for got, want in zip(pair, case["scores"])), (pair, case["scores"])
loss = torch.stack([-torch.nn.functional.logsigmoid(a - b) for a, b in scores]).mean()
loss.backward()
print("loss", loss.item())
wanted = {"v_head.summary.weight": weight.grad, "v_head.summary.bias": bias.grad}
for name, parameter in model.named_parameters():
    name = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
    if name.startswith("visual.merger.") or name == "model.norm.weight" or name.startswith("model.layers.1.self_attn."):
        wanted[name] = parameter.grad
save_file({name: grad.contiguous() for name, grad in wanted.items()}, output)
