# What the scripts of this folder share. SIGHTLINE names the binary; by default it is built and run by cargo.
sightline=${SIGHTLINE:-cargo run --release --quiet --}
rounds=${ROUNDS:-3}
prompts=${PROMPTS:-256}
items=${ITEMS:-600}
out=mpo/seed-$seed
demo=$out/demo
vlm=$demo/vlm
samples=$out/prompts.jsonl

# The demo's stages: pictures, the model, a policy that reasons, a reward model.
prepare() {
    [ -f "$demo/report.html" ] || $sightline demo --seed "$seed" --output "$demo"
    # Training pictures that the demo has made no pairs of: its image paths are relative to the file.
    [ -f "$samples" ] || tail -n +1001 "$demo/digits/train.jsonl" | head -n "$prompts" |
        sed 's#"images/#"demo/digits/images/#g' > "$samples"
}

# rounds_of NAME CHECKPOINT PREFERENCES [KEYS]: rounds of sampling, scoring and training from a checkpoint.
rounds_of() {
    name=$1 begin=$2 preferences=$3
    shift 3
    $sightline mpo --model_name_or_path "$vlm" --adapter_name_or_path "$begin" --dataset "$samples" \
        --output_dir "$out/$name" --feature_cache "$demo/features" --seed "$seed" --num_rounds "$rounds" \
        --preferences "$preferences" --learning_rate 2e-4 --warmup_ratio 0.05 --weight_decay 0.05 \
        --per_device_train_batch_size 16 --gradient_accumulation_steps 2 --save_steps 100 --dtype int8 "$@"
    for round in $(seq "$rounds"); do
        measure "$name-$round" "$(newest "$out/$name/round-$round/mpo")"
        row "$name" "$round" "$(wc -l < "$out/$name/round-$round/preferences/pairs.jsonl")" "$name-$round"
    done
}

# The checkpoint that a run ended with.
newest() {
    find "$1" -maxdepth 1 -name 'checkpoint-*' | sort -t - -k "$(echo "$1-" | tr -cd - | wc -c)" -n | tail -n 1
}

# measure NAME CHECKPOINT: pass@1 at temperature 1 on held-out pictures.
measure() {
    [ -f "$out/eval-$1/summary.json" ] || $sightline eval --model_name_or_path "$vlm" --adapter_name_or_path "$2" \
        --dataset "$demo/digits/held_out.jsonl" --limit "$items" --output_dir "$out/eval-$1" --blind=false \
        --feature_cache "$demo/features" --max_new_tokens 32 --temperature 1.0 --seed "$seed" --dtype int8
}

# figure FILE KEY: the first value under a key.
figure() {
    sed -n "s/.*\"$2\": \([0-9.e-]*\).*/\1/p" "$1" | head -n 1
}

# row NAME ROUND PAIRS EVALUATION
row() {
    summary=$out/eval-$4/summary.json
    for key in value mean_length repetition; do figure "$summary" "$key"; done | xargs |
        awk -v name="$1" -v round="$2" -v pairs="$3" \
            '{ printf "%-10s %5s %6s %9.1f %% %7.1f %9.2f %%\n", name, round, pairs, 100 * $1, $2, 100 * $3 }' \
            >> "$table"
}

# heading FILE: begins a table.
heading() {
    table=$1
    printf '%-10s %5s %6s %11s %7s %11s\n' run round pairs accuracy tokens repeated > "$table"
}
