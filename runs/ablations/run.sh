#!/bin/sh
# The questions that R1V2's tables ask, on the demo's real parts: one seed a call.
#
#   runs/ablations/run.sh SEED            # everything, in the order below
#   runs/ablations/run.sh SEED buffer     # one question; what it builds on is made first if it is missing
#
# Writes into runs/out/demo-preferences-SEED, beside what it builds on. Each stage goes on where it was interrupted and is passed over once it is done.
# SIGHTLINE names the binary; by default it is built and run by cargo.
set -eu
seed=$1
shift
sightline=${SIGHTLINE:-cargo run --release --quiet --}
here=$(dirname "$0")
out=${BASE:-runs/out/demo-preferences-$seed}
steps=24

# What all runs begin with: a policy that reasons, a reward model, pairs, a policy after MPO.
prepare() {
    $sightline run runs/demo-preferences.toml --output_dir "$out" --seed "$seed" --until mpo
    # Every sixteenth question: a pass over all of them would cost more than what it is compared with.
    prompts=$out/digits/prompts.jsonl
    [ -f "$prompts" ] || awk 'NR % 16 == 0' "$out/digits/train.jsonl" > "$prompts"
    policy=$out/sft/checkpoint-100
    after_mpo=$(ls -d "$out"/mpo/checkpoint-* | sort -V | tail -n 1)
}

# grpo NAME [KEYS]: a run from the fine-tuned policy, then its accuracy.
grpo() {
    name=$1
    shift
    [ -d "$out/$name/checkpoint-$steps" ] || $sightline grpo --config "$here/grpo.toml" \
        --model_name_or_path "$out/vlm" --adapter_name_or_path "$policy" --dataset "$prompts" \
        --output_dir "$out/$name" --seed "$seed" "$@"
    measure "$name" "$out/$name/checkpoint-$steps" held_out
}

# measure NAME CHECKPOINT FILES: pass@1 at temperature 1; of the probe `hallucination` in its summary.json.
measure() {
    name=$1
    checkpoint=$2
    shift 2
    for file in "$@"; do
        [ -f "$out/eval-$name-$file/summary.json" ] || $sightline eval --model_name_or_path "$out/vlm" \
            --adapter_name_or_path "$checkpoint" --dataset "$out/digits/$file.jsonl" --output_dir "$out/eval-$name-$file" \
            --feature_cache "$out/features" --dtype int8 --max_new_tokens 32 --temperature 1.0 --blind=false \
            --seed "$seed"
    done
}

# With and without the buffer at equal rollouts.
buffer() {
    grpo with-buffer
    grpo without-buffer --replay_staleness 0
    grpo group-buffer --replay_unit group
    grpo dynamic-sampling --replay_staleness 0 --dynamic_sampling true --max_num_gen_batches 4
}

# The same where groups seldom disagree: of two completions to a question, two in three pairs are both right or both wrong.
small_groups() {
    grpo small-groups --num_generations 2
    grpo small-groups-without-buffer --num_generations 2 --replay_staleness 0
}

# With and without the filtered prompt pool.
warm_start() {
    grpo with-buffer
    grpo warm-start --warm_start true
}

# The three ways of combining the rule with a learned reward.
rewards() {
    for way in normalize_then_sum bounded_sum sum_then_normalize; do
        grpo "$way" --reward_model "$out/reward-model" --multi_objective_aggregation "$way"
    done
}

# What trains: R1V2's table 4.
trainable() {
    grpo with-buffer
    grpo with-lora --trainable adapter+lora --lora_r 8
    grpo with-vision --trainable adapter+vision --learning_rate 1e-4
}

# MPO before GRPO against GRPO alone, and what each stage does to hallucination.
mpo() {
    grpo with-buffer
    (policy=$after_mpo && grpo mpo-grpo)
    measure sft "$policy" held_out probe
    measure mpo "$after_mpo" held_out probe
    measure with-buffer "$out/with-buffer/checkpoint-$steps" probe
    measure mpo-grpo "$out/mpo-grpo/checkpoint-$steps" probe
}

prepare
for question in "${@:-all}"; do
    case $question in
        all) buffer; small_groups; warm_start; rewards; trainable; mpo ;;
        *) "$question" ;;
    esac
done
