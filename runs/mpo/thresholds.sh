#!/bin/sh
# Low, middle and high thresholds over rounds of MPO from the fine-tuned policy. The reward model alone decides what is
# chosen, so that what it gets wrong can show.
#
#   runs/mpo/thresholds.sh SEED
#   ROUNDS=2 PROMPTS=128 ITEMS=300 runs/mpo/thresholds.sh SEED    # shorter
#
# Each stage goes on where it was interrupted and is passed over once it is done. SIGHTLINE names the binary; by default
# it is built and run by cargo.
set -eu
seed=$1
sightline=${SIGHTLINE:-cargo run --release --quiet --}
rounds=${ROUNDS:-3}
prompts=${PROMPTS:-256}
items=${ITEMS:-600}
base=${BASE:-runs/out/demo-preferences-$seed}
out=runs/out/thresholds-$seed
table=$out/thresholds.txt

# The checkpoint that a run ended with: checkpoints are numbered, and a run keeps few.
newest() {
    ls -d "$1"/checkpoint-* | sort -V | tail -n 1
}

# measure NAME CHECKPOINT: pass@1 at temperature 1 on held-out pictures.
measure() {
    [ -f "$out/eval-$1/summary.json" ] || $sightline eval --model_name_or_path "$base/vlm" \
        --adapter_name_or_path "$2" --dataset "$base/digits/held_out.jsonl" --limit "$items" \
        --output_dir "$out/eval-$1" --blind=false --feature_cache "$base/features" --max_new_tokens 32 \
        --temperature 1.0 --seed "$seed" --dtype int8
}

# figure NAME KEY: the first value under a key of an evaluation.
figure() {
    sed -n "s/.*\"$2\": \([0-9.e-]*\).*/\1/p" "$out/eval-$1/summary.json" | head -n 1
}

# row RUN ROUND PAIRS NAME CHECKPOINT: measures, and adds a line to the table.
row() {
    measure "$4" "$5"
    printf '%s %s %s %s %s %s\n' "$1" "$2" "$3" "$(figure "$4" value)" "$(figure "$4" mean_length)" \
        "$(figure "$4" repetition)" |
        awk '{ printf "%-10s %5s %6s %9.1f %% %7.1f %9.2f %%\n", $1, $2, $3, 100 * $4, $5, 100 * $6 }' >> "$table"
}

mkdir -p "$out"
$sightline run runs/demo-preferences.toml --output_dir "$base" --seed "$seed" --until reward-model
# Training pictures that no pairs have been made of; image paths are relative to the file.
tail -n +2501 "$base/digits/train.jsonl" | head -n "$prompts" > "$base/digits/thresholds.jsonl"
printf '%-10s %5s %6s %11s %7s %11s\n' run round pairs accuracy tokens repeated > "$table"
policy=$(newest "$base/sft")
row sft 0 0 sft "$policy"
for threshold in low:0.2 middle:0.5 high:0.8; do
    name=${threshold%:*}
    $sightline mpo --model_name_or_path "$base/vlm" --adapter_name_or_path "$policy" \
        --dataset "$base/digits/thresholds.jsonl" --output_dir "$out/$name" --feature_cache "$base/features" \
        --seed "$seed" --num_rounds "$rounds" --learning_rate 2e-4 --warmup_ratio 0.05 --weight_decay 0.05 \
        --per_device_train_batch_size 16 --gradient_accumulation_steps 2 --save_steps 100 --dtype int8 --preferences \
        "{num_generations = 8, max_completion_length = 32, max_pairs_per_prompt = 2, max_format_pairs = 1, require_correct = false, reward_model = \"$base/reward-model\", threshold_quantile = ${threshold#*:}}"
    for round in $(seq "$rounds"); do
        pairs=$(wc -l < "$out/$name/round-$round/preferences/pairs.jsonl")
        row "$name" "$round" "$pairs" "$name-$round" "$(newest "$out/$name/round-$round/mpo")"
    done
done
cat "$table"
