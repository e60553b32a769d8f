"""Makes the golden cases of the vision side with PyTorch and transformers 5.23 (float32, CPU).

Usage: python make_vision.py  (in this folder; needs the cases internvl-six-b, dinov2 and siglip)

internvl-layer-norm/        a checkpoint in InternVL-chat's layout whose encoder is InternViT-300M's
                            variant (LayerNorm with bias, qkv bias, no QK-norm), in two shards: one
                            BF16, one F16. reference.safetensors: pixels, states, features, logits,
                            the loss of the last tokens, and its gradient for every parameter.
vision-gradients.safetensors  gradient of sum(direction * patch states) for every parameter of the
                            other three encoders; DINOv2's at a size that resamples its table.

Gradients longer than 256 values are thinned to every (length // 256)-th.
"""
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import Dinov2Model, InternVLConfig, InternVLForConditionalGeneration
from transformers import InternVLVisionConfig, InternVLVisionModel, SiglipVisionModel

HERE = pathlib.Path(__file__).parent
torch.manual_seed(7)
torch.set_num_threads(1)


def thin(grad):
    flat = grad.detach().flatten().float()
    return flat[:: max(1, flat.numel() // 256)].clone()


# InternVL's own names from those of the transformers port, longest match first.
VISION_NAMES = [
    ("embeddings.cls_token", "embeddings.class_embedding"),
    ("embeddings.position_embeddings", "embeddings.position_embedding"),
    ("embeddings.patch_embeddings.projection", "embeddings.patch_embedding"),
    ("encoder.layer.", "encoder.layers."),
    ("attention.projection_layer", "attn.proj"),
    ("attention.q_norm", "attn.q_norm"),
    ("attention.k_norm", "attn.k_norm"),
    ("attention.", "attn."),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("lambda_1", "ls1"),
    ("lambda_2", "ls2"),
]


def original_vision(tensors):
    """Names and fused qkv of the original layout; values or gradients alike."""
    out = {}
    for name, value in tensors.items():
        for port, original in VISION_NAMES:
            name = name.replace(port, original)
        out[name] = value
    for name in [name for name in out if ".attn.q_proj." in name]:
        parts = [out.pop(name.replace("q_proj", part)) for part in ("q_proj", "k_proj", "v_proj")]
        out[name.replace("q_proj", "qkv")] = torch.cat(parts)
    return out


def port_vision(tensors):
    """The other way round, for loading an original checkpoint."""
    out = {}
    for name, value in tensors.items():
        for port, original in reversed(VISION_NAMES):
            name = name.replace(original, port) if original != "attn." else name
        name = name.replace("attn.", "attention.")
        if ".attention.qkv." in name:
            for part, third in zip(("q_proj", "k_proj", "v_proj"), value.chunk(3)):
                out[name.replace("qkv", part)] = third
        else:
            out[name] = value
    return out


def vision_gradients(case, model, pixels, first, rename=lambda tensors: tensors):
    states = model(pixel_values=pixels).last_hidden_state[:, first:]
    direction = torch.randn_like(states)
    (states * direction).sum().backward()
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    out = {f"{case}.grad.{name}": thin(grad) for name, grad in rename(grads).items()}
    return out | {f"{case}.pixel_values": pixels, f"{case}.direction": direction}


def published_dinov2(tensors):
    """The names in published checkpoints, which transformers 5 renames as it loads them."""
    names = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value",
             "o_proj": "output.dense"}
    out = {}
    for name, value in tensors.items():
        for new, old in names.items():
            name = name.replace(f"attention.{new}", f"attention.{old}")
        out[name] = value
    return out


def other_encoders():
    out = {}
    model = Dinov2Model.from_pretrained(HERE / "dinov2").eval()
    out |= vision_gradients("dinov2", model, torch.randn(1, 3, 28, 56), 1, published_dinov2)
    model = SiglipVisionModel.from_pretrained(HERE / "siglip").eval()
    out |= vision_gradients("siglip", model, torch.randn(1, 3, 70, 70), 0)
    c = json.loads((HERE / "internvl-six-b/config.json").read_text())["vision_config"]
    config = InternVLVisionConfig(
        hidden_size=c["hidden_size"], num_hidden_layers=c["num_hidden_layers"],
        num_attention_heads=c["num_attention_heads"], intermediate_size=c["intermediate_size"],
        attention_bias=False, use_qk_norm=True, norm_type="rms_norm", image_size=56, patch_size=14,
    )
    model = InternVLVisionModel(config).eval()
    tensors = {}
    for file in sorted((HERE / "internvl-six-b").glob("model-*.safetensors")):
        tensors |= load_file(file)
    prefix = "vision_model."
    tensors = {n[len(prefix):]: t for n, t in tensors.items() if n.startswith(prefix)}
    model.load_state_dict(port_vision(tensors))
    out |= vision_gradients("internvl-six-b", model, torch.randn(1, 3, 56, 56), 1, original_vision)
    save_file(out, HERE / "vision-gradients.safetensors")


def layer_norm_variant():
    vision = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=96)
    text = dict(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=80, vocab_size=64, rms_norm_eps=1e-6, max_position_embeddings=512,
        tie_word_embeddings=False,
    )
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(
            **vision, attention_bias=True, use_qk_norm=False, norm_type="layer_norm",
            image_size=56, patch_size=14,
        ),
        text_config=dict(model_type="qwen2", **text, rope_parameters={"rope_theta": 1e6, "rope_type": "default"}),
        image_token_id=60, downsample_ratio=0.5, tie_word_embeddings=False,
    )
    model = InternVLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            center = 1.0 if "norm" in name and name.endswith("weight") or "lambda" in name else 0.0
            value = center + torch.randn_like(p) * (0.2 if p.dim() < 2 else 0.15)
            value = value.bfloat16().float()  # so that BF16 and F16 (no tiny values) hold it exactly
            p.copy_(torch.where(value.abs() < 2.0**-12, torch.zeros_like(value), value))
    ids = torch.tensor([[1, 2, 61] + [60] * 8 + [62, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]])
    pixels = torch.randn(2, 3, 56, 56)
    labels = torch.where(torch.arange(ids.shape[1])[None] >= 15, ids, -100)
    out = model(input_ids=ids, pixel_values=pixels, labels=labels)
    out.loss.backward()
    tower = model.model.vision_tower(pixel_values=pixels).last_hidden_state
    features = model.get_image_features(pixel_values=pixels, vision_feature_layer=-1,
                                        vision_feature_select_strategy="default").pooler_output
    names = {}
    values = original_names({n: p.detach() for n, p in model.named_parameters()})
    grads = original_names({n: p.grad for n, p in model.named_parameters()})
    folder = HERE / "internvl-layer-norm"
    folder.mkdir(exist_ok=True)
    half = {n: v for n, v in values.items() if not n.startswith("language_model.")}
    brain = {n: v for n, v in values.items() if n.startswith("language_model.")}
    for number, (part, dtype) in enumerate([(half, torch.float16), (brain, torch.bfloat16)], 1):
        file = f"model-{number:05}-of-00002.safetensors"
        part = {n: v.to(dtype).contiguous() for n, v in part.items()}
        assert all(torch.equal(part[n].float(), values[n]) for n in part)
        save_file(part, folder / file, metadata={"format": "pt"})
        names |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 2 * sum(v.numel() for v in values.values())}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["InternVLChatModel"], "model_type": "internvl_chat",
        "downsample_ratio": 0.5, "dynamic_image_size": True, "force_image_size": 56,
        "min_dynamic_patch": 1, "max_dynamic_patch": 12, "use_thumbnail": True,
        "ps_version": "v2", "select_layer": -1, "template": "internvl2_5", "torch_dtype": "bfloat16",
        "llm_config": {
            "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **text, "rope_theta": 1e6,
            "rope_scaling": {"type": "dynamic", "factor": 2.0}, "hidden_act": "silu",
            "use_sliding_window": False,
        },
        "vision_config": {
            "architectures": ["InternVisionModel"], "model_type": "intern_vit_6b", **vision,
            "image_size": 56, "patch_size": 14, "qkv_bias": True, "qk_normalization": False,
            "norm_type": "layer_norm", "layer_norm_eps": 1e-6, "hidden_act": "gelu",
            "initializer_factor": 0.1, "drop_path_rate": 0.1, "num_channels": 3,
        },
    }, indent=1) + "\n")
    reference = {
        "pixel_values": pixels, "input_ids": ids, "vit_last_hidden_state": tower,
        "image_features": features.reshape(-1, features.shape[-1]), "logits": out.logits,
        "loss_from_token_15": out.loss.reshape(1),
    }
    reference |= {f"grad.{name}": thin(grad) for name, grad in grads.items()}
    save_file({n: v.detach().contiguous() for n, v in reference.items()}, folder / "reference.safetensors")


def original_names(tensors):
    out = {}
    tower = "model.vision_tower."
    vision = {n[len(tower):]: t for n, t in tensors.items() if n.startswith(tower)}
    out |= {f"vision_model.{n}": t for n, t in original_vision(vision).items()}
    for name, tensor in tensors.items():
        if name.startswith("model.multi_modal_projector."):
            name = name.removeprefix("model.multi_modal_projector.")
            for port, original in [("layer_norm", "mlp1.0"), ("linear_1", "mlp1.1"), ("linear_2", "mlp1.3")]:
                name = name.replace(port, original)
        elif name.startswith("model.language_model."):
            name = "language_model.model." + name.removeprefix("model.language_model.")
        elif name == "lm_head.weight":
            name = "language_model.lm_head.weight"
        else:
            continue
        out[name] = tensor
    return out


layer_norm_variant()
other_encoders()
