"""Executes the calls of a conversation on the benchmark's classes, and compares what becomes of them.

Runs in the sandbox alone. Reads from its input: the sources of the classes, what each begins with, what the model said
in each turn, and for the comparison the calls that are expected. Answers behind the mark that it is given.
"""

import ast
import copy
import importlib.abc
import importlib.util
import inspect
import json
import sys

# What sums of numbers and texts are made of: nothing that a model writes is evaluated beside that.
SUMS = (ast.BinOp, ast.UnaryOp, ast.Constant, ast.operator, ast.unaryop)
REFUSED = {"kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run"}


class Sources(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules from their texts, whatever package they are asked from."""

    def __init__(self, texts):
        self.texts = texts
        self.packages = ("bfcl", "bfcl_eval", "func_source_code")

    def find_spec(self, name, path=None, target=None):
        first, last = name.split(".")[0], name.split(".")[-1]
        if last in self.texts and (first == last or first in self.packages):
            return importlib.util.spec_from_loader(name, self)
        if first in self.packages:
            return importlib.util.spec_from_loader(name, self, is_package=True)
        return None

    def exec_module(self, module):
        text = self.texts.get(module.__name__.split(".")[-1], "")
        exec(compile(text, module.__name__, "exec"), module.__dict__)


def value_of(node):
    """The value of an argument; names and calls stand for themselves."""
    match node:
        case ast.Constant():
            return "..." if node.value is Ellipsis else node.value
        case ast.UnaryOp():
            return -node.operand.value
        case ast.List():
            return [value_of(item) for item in node.elts]
        case ast.Tuple():
            return tuple(value_of(item) for item in node.elts)
        case ast.Dict():
            return {value_of(k): value_of(v) for k, v in zip(node.keys, node.values)}
        case ast.BinOp() if all(isinstance(part, SUMS) for part in ast.walk(node)):
            return eval(ast.unparse(node))
        case ast.Name():
            return node.id
        case ast.Call():
            return call_of(node) if node.keywords else ast.unparse(node)
        case ast.Subscript():
            return ast.unparse(node)
    raise ValueError(f"{type(node).__name__} is no value")


def call_of(node):
    """A call as name and arguments; arguments without a name are passed over."""
    names, function = [], node.func
    while isinstance(function, ast.Attribute):
        names.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name):
        names.append(function.id)
    return {".".join(reversed(names)): {given.arg: value_of(given.value) for given in node.keywords}}


def spelled(value):
    """A value as Python; a dictionary of dictionaries is a call."""
    if not isinstance(value, dict):
        return repr(value)
    if all(isinstance(inner, dict) for inner in value.values()):
        name = list(value)[0]
        return f"{name}({arguments(value[name])})"
    return "{" + ", ".join(f"'{key}': {spelled(inner)}" for key, inner in value.items()) + "}"


def arguments(given):
    return ", ".join(f"{name}={spelled(value)}" for name, value in given.items())


def calls_of(answer):
    """The calls of an answer; none where it is something else."""
    text = answer.strip("`\n ")
    text = text if text.startswith("[") else "[" + text
    text = text if text.endswith("]") else text + "]"
    try:
        body = ast.parse(text.strip().strip("'"), mode="eval").body
        nodes = [body] if isinstance(body, ast.Call) else body.elts
        if not all(isinstance(node, ast.Call) for node in nodes):
            return []
        return [f"{n}({arguments(g)})" for node in nodes for n, g in call_of(node).items()]
    except Exception:
        return []


class World:
    """Instances of the classes of one conversation."""

    def __init__(self, classes, config, long_context):
        self.instances, self.names = {}, {"__builtins__": {}}
        for name, module in classes:
            instance = getattr(importlib.import_module(module), name)()
            # A class without a state has nothing to load.
            if hasattr(instance, "_load_scenario"):
                scenario = copy.deepcopy(config.get(name, {}))
                instance._load_scenario(scenario, long_context=long_context)
            self.instances[name] = instance
            for method, bound in inspect.getmembers(instance, predicate=inspect.ismethod):
                if not method.startswith("_"):
                    self.names[method] = bound

    def run(self, calls):
        return [self.result(call) for call in calls]

    def result(self, call):
        try:
            name = call.split("(")[0]
            name = name.split(".")[1] if "." in name else name
            if name in REFUSED:
                raise Exception(f"Function call {name} is not allowed.")
            found = eval(call, dict(self.names))
        except Exception as error:
            return f"Error during execution: {error}"
        if isinstance(found, str):
            return found
        if type(found) is dict:
            try:
                return json.dumps(found)
            except Exception:
                return str(found)
        return str(found)

    def difference(self, other):
        """The first attribute that two worlds do not have alike."""
        for name, instance in other.instances.items():
            for key, value in vars(instance).items():
                if not key.startswith("_") and getattr(self.instances[name], key) != value:
                    return f"{name}.{key} is not as expected"
        return None


def step(task, world):
    """The calls of the last answer, and their results as the model is told them."""
    calls, results = [], []
    for answers in task["said"]:
        for answer in answers:
            calls = calls_of(answer)
            results = world.run(calls)
    told = [{"role": "tool", "name": c, "content": r} for c, r in zip(calls, results)]
    return {"num_calls": len(calls), "told": repr(told)}


def verdict(task, world):
    """Nothing where every turn with expected calls leaves the state and gives the results that they do."""
    known, results = world_of(task), []
    for number, (answers, expected) in enumerate(zip(task["said"], task["expected"]), 1):
        steps = [calls for calls in map(calls_of, answers) if calls]
        for calls in steps:
            results.extend(world.run(calls))
        wanted = known.run(expected)
        if not expected:
            continue
        if not steps:
            return f"turn {number}: no call"
        found = world.difference(known)
        if found:
            return f"turn {number}: {found}"
        left = list(results)
        for one in wanted:
            if one not in left:
                return f"turn {number}: a result is missing: {one[:200]}"
            left.remove(one)
    return None


def world_of(task):
    return World(task["classes"], task["config"], task["long_context"])


def main():
    out, sys.stdout = sys.stdout, sys.stderr
    task = json.load(sys.stdin)
    sys.meta_path.insert(0, Sources(task["modules"]))
    try:
        world = world_of(task)
    except Exception as error:
        found = {"broken": f"{type(error).__name__}: {error}"}
    else:
        found = step(task, world) if task["expected"] is None else {"why": verdict(task, world)}
    out.write(task["mark"] + json.dumps(found))


main()
