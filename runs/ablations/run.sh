#!/bin/sh
# The questions that R1V2's tables ask, on the demo's real parts: one seed a call.
#
#   runs/ablations/run.sh SEED            # everything, in the order below
#   runs/ablations/run.sh SEED buffer     # one question; what it builds on is made first if it is missing
#
# Writes ablations/seed-SEED/. Each stage goes on where it was interrupted and is passed over once it is done.
# SIGHTLINE names the binary; by default it is built and run by cargo.
set -eu
seed=$1
shift
sightline=${SIGHTLINE:-cargo run --release --quiet --}
here=$(dirname "$0")
out=ablations/seed-$seed
steps=40

# Pictures with questions whether a digit is there, a model that reads them, and one that reasons: the demo's stages.
prepare() {
    [ -f "$out/digits/probe.jsonl" ] || $sightline data digits --output "$out/digits" --presence 0.25 --seed "$seed"
    # Every eighth question: sampling eight answers to each costs about as much as a run of GRPO.
    prompts=$out/digits/prompts.jsonl
    [ -f "$prompts" ] || awk 'NR % 8 == 0' "$out/digits/train.jsonl" > "$prompts"
    [ -f "$out/reading/train.jsonl" ] || $sightline data digits --output "$out/reading" --num-digits 1 \
        --train 2000 --held-out 100 --seed "$seed"
    [ -f "$out/vlm/config.json" ] || $sightline assemble --vision dinov2-small --llm smollm2-135m-instruct \
        --output "$out/vlm" --tile 56 --max-tiles 3 --no-thumbnail --adapter-scale 1 --fit "$out/reading/train.jsonl" \
        --chat-template crates/cli/src/commands/demo/chat_template.jinja --seed "$seed"
    supervised align "$out/reading/train.jsonl" 40 --lr_scheduler_type constant_with_warmup
    supervised sft "$out/digits/train.jsonl" 100 --adapter_name_or_path "$out/align/checkpoint-40"
    policy=$out/sft/checkpoint-100
}

# supervised NAME DATASET STEPS [KEYS]
supervised() {
    name=$1 dataset=$2 num_steps=$3
    shift 3
    [ -d "$out/$name/checkpoint-$num_steps" ] || $sightline sft --model_name_or_path "$out/vlm" --dataset "$dataset" \
        --output_dir "$out/$name" --feature_cache "$out/features" --seed "$seed" --max_steps "$num_steps" \
        --learning_rate 2e-3 --warmup_ratio 0.03 --weight_decay 0.01 --per_device_train_batch_size 16 \
        --loss_reduction token --save_steps 50 --save_total_limit 2 "$@"
}

# Pairs of right and wrong responses: what MPO and the reward model learn from.
pairs() {
    prepare
    [ -f "$out/pairs/pairs.jsonl" ] || $sightline preferences build --model_name_or_path "$out/vlm" \
        --adapter_name_or_path "$policy" --dataset "$prompts" --output_dir "$out/pairs" \
        --feature_cache "$out/features" --seed "$seed" --num_generations 8 --max_completion_length 32 \
        --max_pairs_per_prompt 1
}

# grpo NAME [KEYS]: a run from the fine-tuned policy, then its accuracy and its hallucination rate.
grpo() {
    name=$1
    shift
    [ -d "$out/$name/checkpoint-$steps" ] || $sightline grpo --config "$here/grpo.toml" \
        --model_name_or_path "$out/vlm" --adapter_name_or_path "$policy" --dataset "$prompts" \
        --eval_dataset "$out/digits/held_out.jsonl" --probe_dataset "$out/digits/probe.jsonl" \
        --output_dir "$out/$name" --seed "$seed" "$@"
    $sightline report "$out/$name"
    measure "$name" "$out/$name/checkpoint-$steps"
}

# measure NAME CHECKPOINT: pass@1 at temperature 1, and `hallucination` in eval-NAME-probe/summary.json.
measure() {
    for file in held_out probe; do
        [ -f "$out/eval-$1-$file/summary.json" ] || $sightline eval --model_name_or_path "$out/vlm" \
            --adapter_name_or_path "$2" --dataset "$out/digits/$file.jsonl" --output_dir "$out/eval-$1-$file" \
            --max_new_tokens 32 --temperature 1.0 --num_samples 2 --seed "$seed"
    done
}

# With and without the buffer at equal rollouts.
buffer() {
    prepare
    grpo with-buffer
    grpo without-buffer --replay_staleness 0
    grpo group-buffer --replay_unit group
    grpo dynamic-sampling --replay_staleness 0 --dynamic_sampling true --max_num_gen_batches 4
}

# With and without the filtered prompt pool.
warm_start() {
    prepare
    grpo with-buffer
    grpo warm-start --warm_start true
}

# The three ways of combining the rule with a learned reward.
rewards() {
    pairs
    [ -d "$out/reward/checkpoint-60" ] || $sightline reward train --model_name_or_path "$out/vlm" \
        --adapter_name_or_path "$policy" --dataset "$out/pairs/pairs.jsonl" --output_dir "$out/reward" \
        --seed "$seed" --learning_rate 5e-4 --max_steps 60 --per_device_train_batch_size 16 --save_steps 60 \
        --split_dataset_ratio 0.1 --eval_steps 20
    [ -f "$out/reward-model/config.json" ] || $sightline assemble --model "$out/vlm" \
        --adapter "$out/reward/checkpoint-60" --output "$out/reward-model"
    for way in normalize_then_sum bounded_sum sum_then_normalize; do
        grpo "$way" --reward_model "$out/reward-model" --multi_objective_aggregation "$way"
    done
}

# What trains: R1V2's table 4.
trainable() {
    prepare
    grpo with-buffer
    grpo with-lora --trainable adapter+lora --lora_r 8
    grpo with-vision --trainable adapter+vision --learning_rate 1e-4
}

# MPO before GRPO against GRPO alone, and what each stage does to hallucination.
mpo() {
    pairs
    grpo with-buffer
    [ -d "$out/mpo/checkpoint-30" ] || $sightline mpo --model_name_or_path "$out/vlm" --adapter_name_or_path "$policy" \
        --dataset "$out/pairs/pairs.jsonl" --output_dir "$out/mpo" --feature_cache "$out/features" --seed "$seed" \
        --learning_rate 1e-4 --max_steps 30 --per_device_train_batch_size 16 --save_steps 30
    measure sft "$policy"
    measure mpo "$out/mpo/checkpoint-30"
    policy=$out/mpo/checkpoint-30
    grpo mpo-grpo
}

mkdir -p "$out"
for question in "${@:-all}"; do
    case $question in
        all) buffer; warm_start; rewards; trainable; mpo ;;
        *) "$question" ;;
    esac
done
