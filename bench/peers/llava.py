"""The same parts as transformers' `LlavaForConditionalGeneration`, and the trainers' rounds as answers to lines."""

import json
import os
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from transformers import (
    BitImageProcessorPil,
    Dinov2Config,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

import inputs
import parts

PATCH, ROWS = 14, 64
SIDE = PATCH * int(ROWS**0.5)
TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def processor(folder):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.pad_token = tokenizer.eos_token = "<|im_end|>"
    tokenizer.padding_side = "left"
    images = BitImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, do_center_crop=False, do_resize=True, do_normalize=True
    )
    return LlavaProcessor(
        images, tokenizer, patch_size=PATCH, vision_feature_select_strategy="default",
        chat_template=TEMPLATE, num_additional_image_tokens=1,
    )


def model(folder, tokenizer):
    """Frozen parts, and a projector that trains: two layers, as LLaVA has it."""
    with open(os.path.join(folder, "config.json")) as file:
        settings = json.load(file)
    llm = parts.language_model(folder)
    vision = Dinov2Config(**settings["vision_config"])
    config = LlavaConfig(
        vision_config=vision, text_config=llm.config, image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1, vision_feature_select_strategy="default", image_seq_length=ROWS,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.vision_tower.load_state_dict(parts.encoder(folder).state_dict())
    model.model.language_model.load_state_dict(llm.model.state_dict())
    model.resize_token_embeddings(len(tokenizer))
    model.tie_weights()
    model.requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(True)
    model.config.eos_token_id = model.generation_config.eos_token_id = None
    return model


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


def text(tokenizer, stream, num):
    """A text of about `num` tokens."""
    return tokenizer.decode(inputs.tokens(stream, num))


class Rounds(TrainerCallback):
    """A trainer's step for every line of the standard input."""

    def __init__(self, outputs):
        self.outputs = outputs
        self.loaded = time.perf_counter()

    def on_train_begin(self, *_args, **_kwargs):
        print(json.dumps({"ready": True, "seconds": time.perf_counter() - self.loaded}), flush=True)

    def on_step_begin(self, _args, _state, control, **_kwargs):
        if not sys.stdin.readline():
            os._exit(0)
        self.begun = inputs.clocks()

    def on_step_end(self, _args, state, control, **_kwargs):
        inputs.answer(self.begun, self.outputs())


def folder():
    return tempfile.mkdtemp()
