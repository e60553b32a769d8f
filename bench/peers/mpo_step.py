"""One step of TRL's `DPOTrainer` with MPO's three losses, its reference run in every step: it stores none for images."""

import argparse

from datasets import Dataset
from trl import DPOConfig, DPOTrainer

import llava

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--pairs", type=int, default=8)
parser.add_argument("--prompt", type=int, default=300)
parser.add_argument("--length", type=int, default=100)
args = parser.parse_args()

processor = llava.processor(args.model)
model = llava.model(args.model, processor.tokenizer)


def message(role, words, image=False):
    content = [{"type": "image"}] if image else []
    return [{"role": role, "content": content + [{"type": "text", "text": words}]}]


def row(index):
    words = [llava.text(processor.tokenizer, 3 * index, args.prompt - llava.ROWS)]
    words += [llava.text(processor.tokenizer, 3 * index + nth, args.length) for nth in (1, 2)]
    return {
        "prompt": message("user", words[0], image=True),
        "chosen": message("assistant", words[1]),
        "rejected": message("assistant", words[2]),
        "images": [llava.picture(index)],
    }


config = DPOConfig(
    output_dir=llava.folder(), per_device_train_batch_size=args.pairs, beta=0.1,
    loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0], max_length=None,
    gradient_checkpointing=False, bf16=False, use_cpu=True, max_steps=1000, save_strategy="no",
    report_to="none", logging_steps=1000, disable_tqdm=True, learning_rate=1e-6,
)
trainer = DPOTrainer(
    model, ref_model=llava.model(args.model, processor.tokenizer), args=config, train_dataset=Dataset.from_list([row(i) for i in range(args.pairs)]),
    processing_class=processor, callbacks=[llava.Rounds(lambda: [])],
)
trainer.train()
