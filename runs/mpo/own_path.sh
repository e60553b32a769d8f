#!/bin/sh
# R1V2's own path: an adapter that can read digits, then MPO in rounds and GRPO, without fine-tuning on thoughts.
#
#   runs/mpo/own_path.sh SEED
#
# The policy before MPO has never seen a chain of thought but the one in its chat template. Its first pairs are by rule: a
# reward model grown on another policy has not seen answers such as its.
set -eu
seed=$1
. "$(dirname "$0")/common.sh"
steps=${STEPS:-24}

mkdir -p "$out"
prepare
policy=$(newest "$demo/align")
heading "$out/own-path.txt"
measure aligned "$policy"
row aligned 0 0 aligned
rounds_of own-mpo "$policy" "{num_generations = 16, max_completion_length = 32, max_pairs_per_prompt = 4, max_format_pairs = 2}"
policy=$(newest "$out/own-mpo/round-$rounds/mpo")
$sightline grpo --model_name_or_path "$vlm" --adapter_name_or_path "$policy" --dataset "$demo/digits/train.jsonl" \
    --output_dir "$out/own-grpo" --feature_cache "$demo/features" --seed "$seed" --learning_rate 5e-4 \
    --max_steps "$steps" --save_steps "$steps" --per_device_train_batch_size 64 --gradient_accumulation_steps 2 \
    --num_generations 8 --max_completion_length 32 --dtype int8
measure own-grpo "$(newest "$out/own-grpo")"
row own-grpo "" "" own-grpo
cat "$table"
