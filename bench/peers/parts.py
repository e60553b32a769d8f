"""The assembled model's parts in PyTorch: the language model by transformers, the adapter as InternVL writes it."""

import json
import os
import tempfile

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, Dinov2Config, Dinov2Model


def weights(folder):
    return load_file(os.path.join(folder, "model.safetensors"))


def language_model(folder, dtype=torch.float32):
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)["llm_config"]
    config = AutoConfig.for_model(config.pop("model_type"), **config)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    prefix = "language_model."
    state = {k.removeprefix(prefix): v.float() for k, v in weights(folder).items() if k.startswith(prefix)}
    missing, extra = model.load_state_dict(state, strict=False)
    assert not extra and set(missing) <= {"lm_head.weight"}, (missing, extra)
    model.tie_weights()
    return model.to(dtype).eval().requires_grad_(False)


def adapter(folder):
    state = {k.removeprefix("mlp1."): v.float() for k, v in weights(folder).items() if k.startswith("mlp1.")}
    (wide, size), hidden = state["1.weight"].shape, state["3.weight"].shape[0]
    model = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, wide), nn.GELU(), nn.Linear(wide, hidden))
    model.load_state_dict(state)
    return model


def encoder(folder):
    """DINOv2, through a folder of its own: `from_pretrained` knows the names of old and new releases."""
    with open(os.path.join(folder, "config.json")) as file:
        config = Dinov2Config(**json.load(file)["vision_config"])
    prefix = "vision_model."
    state = {k.removeprefix(prefix): v.float() for k, v in weights(folder).items() if k.startswith(prefix)}
    with tempfile.TemporaryDirectory() as place:
        config.save_pretrained(place)
        save_file(state, os.path.join(place, "model.safetensors"), {"format": "pt"})
        model = Dinov2Model.from_pretrained(place, attn_implementation="sdpa", dtype=torch.float32)
    return model.eval().requires_grad_(False)
