"""Compares src/turns/world.py with BFCL's own checker of several turns, on published conversations that are changed.

    python bfcl_turns.py CHECKOUT [NUM] [SEED]

CHECKOUT is a checkout of ShishirPatil/gorilla (6ea5797). It needs mpmath, tenacity and filelock; the benchmark's table of
models and its parsers of other languages, which are not called, are left out. Prints what differs, and how many agree.
"""

import json
import random
import re
import subprocess
import sys
import types
from pathlib import Path

BFCL = Path(sys.argv[1]) / "berkeley-function-call-leaderboard"
WORLD = Path(__file__).parents[2] / "src/turns/world.py"
MARK = "\x1e"
sys.path.insert(0, str(BFCL))
for name, given in [
    ("constants.model_config", {"MODEL_CONFIG_MAPPING": {}}),
    ("model_handler.parser.java_parser", {"parse_java_function_call": None}),
    ("model_handler.parser.js_parser", {"parse_javascript_function_call": None}),
]:
    module = types.ModuleType("bfcl_eval." + name)
    module.__dict__.update(given)
    sys.modules[module.__name__] = module

from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import (
    execute_multi_turn_func_call,
    is_empty_execute_response,
)
from bfcl_eval.model_handler.utils import default_decode_execute_prompting, format_execution_results_prompting

# Calls that fail, are refused, hold others, or do nothing.
ODD = [
    "nothing(a=1)", "exit()", "kill()", "ls(b=3)", "GorillaFileSystem.ls()", "rm(file_name=ls(a=True))",
    "x(a={'b': {'c': 1}})", "logarithm(value=2**3, base=10, precision=5)",
]
KINDS = ["same", "same", "steps", "drop", "extra", "argument", "chat", "odd", "swap"]


def rows():
    data = BFCL / "bfcl_eval/data"
    for category in ["base", "miss_func", "miss_param", "long_context"]:
        name = f"BFCL_v4_multi_turn_{category}.json"
        read = lambda path: [json.loads(line) for line in path.read_text().splitlines()]
        known = {row["id"]: row["ground_truth"] for row in read(data / "possible_answer" / name)}
        yield from ((row, known[row["id"]]) for row in read(data / name))


def other_argument(call):
    """The call with its first digit or the first letter of a text changed."""
    return re.sub(r"(\d)|'(\w)", lambda m: str((int(m[1]) + 1) % 10) if m[1] else "'Z" + m[2], call, count=1)


def changed(calls, kind, expected):
    if kind == "drop":
        calls.pop(random.randrange(len(calls)))
    elif kind == "extra":
        calls.append(random.choice(random.choice([turn for turn in expected if turn])))
    elif kind == "swap":
        random.shuffle(calls)
    elif kind == "argument":
        place = random.randrange(len(calls))
        calls[place] = other_argument(calls[place])
    elif kind == "odd":
        calls.append(random.choice(ODD))
    return calls


def conversation(expected):
    """What a model may say where these calls are expected, by turn and step."""
    kind, where, said = random.choice(KINDS), random.randrange(len(expected)), []
    for number, calls in enumerate(expected):
        calls = changed(list(calls), kind, expected) if number == where and calls else list(calls)
        alone = kind == "steps" or random.random() < 0.3
        steps = [f"[{call}]" for call in calls] if alone else ["[" + ", ".join(calls) + "]"] * bool(calls)
        steps.append(random.choice(["Done.", "", "[]", "All (done)."]))
        said.append(["I cannot do this."] if kind == "chat" and number == where else steps)
    return said


def decoded(answer):
    try:
        calls = default_decode_execute_prompting(answer)
    except Exception:
        return []
    return [] if is_empty_execute_response(calls) else calls


def ours(row, said, expected):
    sources = (BFCL / "bfcl_eval/eval_checker/multi_turn_eval/func_source_code").glob("*.py")
    task = {
        "mark": MARK, "modules": {path.stem: path.read_text() for path in sources if path.stem != "__init__"},
        "classes": [[name, CLASS_FILE_PATH_MAPPING[name].split(".")[-1]] for name in row["involved_classes"]],
        "config": row.get("initial_config", {}), "long_context": "long_context" in row["id"],
        "said": said, "expected": expected,
    }
    command = [sys.executable, "-I", str(WORLD)]
    ran = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.rsplit(MARK, 1)[1])


def told(row, said, name):
    """What the benchmark tells a model after its last answer."""
    settings = (row.get("initial_config", {}), row["involved_classes"], name, row["id"])
    for answer in (answer for steps in said for answer in steps):
        calls = decoded(answer)
        results, _ = execute_multi_turn_func_call(calls, *settings, long_context="long_context" in row["id"])
    return format_execution_results_prompting({}, results, {"model_responses_decoded": calls})


def main():
    num = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    known, verdicts, texts = list(rows()), 0, 0
    for number in range(num):
        row, expected = random.choice(known)
        said = conversation(expected)
        calls = [[found for found in map(decoded, steps) if found] for steps in said]
        theirs = multi_turn_checker(calls, expected, row, "theirs", f"verdict{number}")["valid"]
        why = ours(row, said, expected)["why"]
        verdicts += theirs == (why is None)
        turn = random.randrange(len(said))
        begun = said[:turn] + [said[turn][:1]]
        same = told(row, begun, f"told{number}") == ours(row, begun, None)["told"]
        texts += same
        if theirs != (why is None) or not same:
            print(row["id"], theirs, why, "" if same else "told otherwise", said)
    print(f"{verdicts} verdicts and {texts} texts of {num} agree")


main()
