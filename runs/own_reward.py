#!/usr/bin/env python3
"""A reward of one's own, as an example: the thought must name the digits that the picture shows.

    sightline grpo --config grpo.toml --custom_reward '{command = ["python3", "runs/own_reward.py"]}'

A line on standard input is a group: the data set's line with all its columns (`messages`, `answer`, and here `digits`),
`images` as absolute paths, and the group's `completions`. The line on standard output gives one number for each; a
program that has lost its way may say {"error": "..."} instead, which ends the run with these words.
"""

import json
import re
import sys

for line in sys.stdin:
    group = json.loads(line)
    shown = [str(digit) for digit in group["digits"]]
    rewards = []
    for completion in group["completions"]:
        thought = completion.split("</think>")[0]
        named = re.findall(r"\d", thought)[: len(shown)]
        rewards.append(sum(a == b for a, b in zip(named, shown)) / len(shown))
    print(json.dumps({"rewards": rewards}), flush=True)
