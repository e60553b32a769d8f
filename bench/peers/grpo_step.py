"""One step of TRL's `GRPOTrainer`, lengths forced."""

import argparse

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

import llava

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--prompts", type=int, default=4)
parser.add_argument("--tokens", type=int, default=100)
parser.add_argument("--generations", type=int, default=8)
parser.add_argument("--length", type=int, default=96)
args = parser.parse_args()

processor = llava.processor(args.model)
model = llava.model(args.model, processor.tokenizer)
seen = []


def reward(completion_ids=None, **_columns):
    seen[:] = [sum(map(len, completion_ids))]
    return [float(i % args.generations < args.generations // 2) for i in range(len(completion_ids))]


def row(index):
    words = llava.text(processor.tokenizer, index, args.tokens - llava.ROWS)
    content = [{"type": "image"}, {"type": "text", "text": words}]
    return {"prompt": [{"role": "user", "content": content}], "image": llava.picture(index)}


size = args.prompts * args.generations
config = GRPOConfig(
    output_dir=llava.folder(), per_device_train_batch_size=size, num_generations=args.generations,
    max_completion_length=args.length, generation_kwargs={"min_new_tokens": args.length, "eos_token_id": None},
    beta=0.0, gradient_checkpointing=False, bf16=False, use_cpu=True, max_steps=1000, save_strategy="no",
    report_to="none", logging_steps=1000, disable_tqdm=True, learning_rate=1e-6, loss_type="grpo",
)
trainer = GRPOTrainer(
    model, reward, args=config, train_dataset=Dataset.from_list([row(i) for i in range(args.prompts)]),
    processing_class=processor, callbacks=[llava.Rounds(lambda: [float(seen[0])])],
)
trainer.train()
