#!/bin/sh
# Low, middle and high thresholds over rounds of MPO from the fine-tuned policy, scored by the demo's reward model.
#
#   runs/mpo/thresholds.sh SEED
set -eu
seed=$1
. "$(dirname "$0")/common.sh"

mkdir -p "$out"
prepare
policy=$(newest "$demo/sft")
heading "$out/thresholds.txt"
measure sft "$policy"
row sft 0 0 sft
for threshold in low:0.2 middle:0.5 high:0.8; do
    rounds_of "${threshold%:*}" "$policy" "{num_generations = 8, max_completion_length = 32, max_pairs_per_prompt = 2, max_format_pairs = 1, reward_model = \"$demo/reward-model\", threshold_quantile = ${threshold#*:}}"
done
cat "$table"
