"""Makes bfcl.json: what BFCL's own decoder and checker say of generated calls.

    python bfcl.py CHECKOUT > bfcl.json

CHECKOUT is a checkout of ShishirPatil/gorilla (made with 6ea5797). It needs tree_sitter 0.21.3, tree-sitter-java 0.21.0,
tree-sitter-javascript 0.21.4, tenacity and filelock; its table of models, which imports them all, is left out.
"""

import json
import random
import sys
import types

sys.path.insert(0, sys.argv[1] + "/berkeley-function-call-leaderboard")
random.seed(0)

table = types.ModuleType("bfcl_eval.constants.model_config")
table.MODEL_CONFIG_MAPPING = {"model": types.SimpleNamespace(underscore_to_dot=False)}
sys.modules[table.__name__] = table

from bfcl_eval.constants.enums import Language, ReturnFormat
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker
from bfcl_eval.model_handler.utils import default_decode_ast_prompting
from bfcl_eval.utils import is_empty_output, is_function_calling_format_output

# For each type: values as they are written, and what is allowed.
JAVA = {
    "integer": (["5", "-3", "5L", "5.0", "limit", "\"5\"", "a + 1", "(5)"], [[5], [-3, ""], ["limit"]]),
    "byte": (["1", "0x1"], [[1]]),
    "short": (["7", "7s"], [[7]]),
    "long": (["5L", "5l", "5", "-9L", "id"], [[5], [-9], ["id"]]),
    "float": (["1.5f", "1.5", "2F", "1e3f"], [[1.5], [2.0], [1000.0]]),
    "double": (["1.5", "2", "1e-3", "1.5d", "rate"], [[1.5], [2.0], [0.001], ["rate"]]),
    "boolean": (["true", "false", "True", "!true", "flag"], [[True], [False, ""], ["flag"]]),
    "char": (["'c'", "\"c\"", "c"], [["c"], ["'c'"]]),
    "String": (
        ["\"a b\"", "\"A-B\"", "a", "\"a\" + \"b\"", "obj.name()", "null", "\"say \\\"x\\\"\"", "Mode.FAST", "\"it's\""],
        [["a b"], ["ab", ""], ["obj.name()"], ["null"], ["Mode.FAST"], ["it's"]],
    ),
    "any": (
        ["thing", "new Thing(1, \"x\")", "new Thing()", "(a, b) -> a + b", "Foo.class", "\"text\"", "map.get(\"k\")", "x -> x",
         "(String) y", "new Thing<>(a)", "items[0]", "this", "a ? b : c", "List.of(1, 2)", "5", "!done", "Thing::make"],
        [["thing"], ["new Thing(1, \"x\")"], ["text"], ["Foo.class"], ["map.get(\"k\")"], ["(a,b)->a+b"], ["5"],
         ["new Thing()"], ["items[0]"], ["List.of(1, 2)"]],
    ),
    ("Array", "integer"): (["new int[]{1, 2}", "new int[]{}", "new int[] {1,2}", "new int[2]", "ids", "{1, 2}"], [[[1, 2]], [[]], ["ids"]]),
    ("Array", "String"): (["new String[]{\"a\", \"b\"}", "new String[]{a, b}", "\"a\"", "names"], [[["\"a\"", "\"b\""]], [["a", "b"]], ["names"]]),
    ("Array", "any"): (["new Object[]{a, 1}", "new Object[]{new A()}"], [[["a", "1"]], [["new A()"]]]),
    ("ArrayList", "integer"): (
        ["new ArrayList<>(Arrays.asList(1, 2))", "new ArrayList<Integer>(Arrays.asList(1,2))", "new ArrayList<>()",
         "new ArrayList<Integer>() {{ add(1); add(2); }}", "Arrays.asList(1, 2)", "list"],
        [[[1, 2]], [[]], ["list"]],
    ),
    ("ArrayList", "String"): (
        ["new ArrayList<>(Arrays.asList(\"a\", \"b\"))", "new ArrayList<String>(Arrays.asList(\"A\",\"B\"))",
         "new ArrayList<>(Arrays.asList(a))", "new ArrayList<>(List.of(\"a\"))"],
        [[["a", "b"]], [["a"]], [[], ""]],
    ),
    ("ArrayList", "any"): (["new ArrayList<>(Arrays.asList(a, b))", "new ArrayList<>(Arrays.asList(1, 2))"], [[["a", "b"]], [["1", "2"]]]),
    ("ArrayList", "long"): (["new ArrayList<>(Arrays.asList(1L, 2L))", "new ArrayList<>(Arrays.asList(1, 2))"], [[[1, 2]]]),
    "HashMap": (
        ["new HashMap<>()", "new HashMap<String, String>() {{ put(\"a\", \"x\"); }}", "Map.of(\"a\", 1)", "map",
         "new HashMap<String, Object>(Map.of(\"a\", 1))"],
        [[{}], [{"a": ["x"]}], [{"a": ["x", ""]}], ["map"], [{"a": [1], "b": [""]}]],
    ),
}
JAVASCRIPT = {
    "integer": (["5", "-3", "5.0", "limit", "'5'", "5 + 1"], [[5], [-3, ""], ["limit"]]),
    "float": (["1.5", "2", "1e3", "-0.5", "rate", "NaN"], [[1.5], [2.0], [-0.5], ["rate"]]),
    "Bigint": (["5n", "5", "-7n"], [[5], [-7]]),
    "Boolean": (["true", "false", "True", "!0", "flag"], [[True], [False, ""], ["flag"]]),
    "String": (
        ["'a b'", "\"A-B\"", "`a`", "a", "'a' + 'b'", "obj.name()", "null", "'it\\'s'", "''", "'", "/re/g"],
        [["a b"], ["ab", ""], ["obj.name()"], ["null"], ["`a`"]],
    ),
    "any": (
        ["thing", "() => 1", "function(a) { return a; }", "new Thing(1)", "{a: 1}", "[1, 2]", "await f()", "a?.b", "x ? 1 : 2",
         "'text'", "class {}", "async (e) => { await g(e); }"],
        [["thing"], ["() => 1"], ["function(a) { return a; }"], ["{a: 1}"], ["text"], ["[1, 2]"]],
    ),
    ("array", "String"): (
        ["['a', 'b']", "[\"A\",\"B\"]", "[]", "names", "new Array('a', 'b')", "['a,b']", "[a, b]", "[\"a\",]", "['a', ...rest]"],
        [[["a", "b"]], [[], ""], ["names"], [["a"]]],
    ),
    ("array", "integer"): (["[1, 2]", "[1.0]", "['1']", "[ 1 , 2 ]", "ids"], [[[1, 2]], [[1]], ["ids"]]),
    ("array", "float"): (["[1.5, 2]", "[1, 2]", "[[1, 2], [3]]"], [[[1.5, 2.0]], [[1.0, 2.0]], [[[1, 2], [3]]]]),
    ("array", "dict"): (["[{'a': 1}]", "[{a: 1}, {a: 2}]", "[{}]"], [[[{"a": [1]}]], [[{"a": [1]}, {"a": [2]}]]]),
    ("array", "array"): (["[[1, 2], [3]]", "[ [1], [2] ]", "[[]]"], [[[[1, 2], [3]]], [[[1], [2]]]]),
    "dict": (
        ["{}", "{'a': 1, 'b': 'x'}", "{a: 1, b: \"X\"}", "{a: [1, 2], b: true}", "{a: {b: 1}}", "options", "{\n  a: 1,\n  b: 'x'\n}",
         "{'a': 1}", "{a, b}", "{a: (x) => x, b: 2}", "{a: 'p:q', b: 1.5}", "new Map()", "{a: 1 , b : 'x y'}"],
        [[{"a": [1], "b": ["x", ""]}], [{"a": [[1, 2]], "b": [True]}], [{}], ["options"], [{"a": [{"b": 1}]}],
         [{"a": ["p:q"], "b": [1.5, ""]}]],
    ),
}
PYTHON = {
    "integer": (["5", "-3", "5.0", "limit", "'5'", "2 + 3", "True", "None"], [[5], [-3, ""], ["limit"], [1]]),
    "float": (["1.5", "2", "-0.5", "1e3", "'1.5'"], [[1.5], [2.0], [-0.5], [1000], ["rate"]]),
    "boolean": (["True", "False", "true", "1", "'True'"], [[True], [False, ""]]),
    "string": (["'a b'", "\"A-B\"", "a", "'it\\'s'", "'x' 'y'", "5", "f(1)", "'''q'''"], [["a b"], ["ab", ""], ["it's"], ["xy"], ["a"]]),
    "any": (["'x'", "5", "[1]", "name"], [["x"], [5], [[1]], ["name"]]),
    ("array", "string"): (["['a', 'B']", "[]", "('a', 'b')", "['a b']", "[1]", "names"], [[["a", "b"]], [[], ""], [["ab"]], ["names"]]),
    ("array", "integer"): (["[1, 2]", "[1.0, 2.0]", "[True]", "[-1]"], [[[1, 2]], [[1]], [[-1]]]),
    ("array", "float"): (["[1.5, 2.5]", "[1, 2]"], [[[1.5, 2.5]], [[1.0, 2.0]], [[1, 2]]]),
    ("array", "dict"): (["[{'a': 1}]", "[{'a': 'X'}, {'b': 2}]", "[{}]", "[1]"], [[[{"a": [1]}]], [[{"a": ["x"]}, {"b": [2, ""]}]]]),
    ("tuple", "integer"): (["(1, 2)", "[1, 2]", "(1,)"], [[[1, 2]], [[1]]]),
    "dict": (["{'a': 1}", "{'a': 'X', 'b': [1]}", "{}", "{'c': 2}", "{\"a\": {\"b\": 1}}"], [[{"a": [1]}], [{"a": ["x"], "b": [[1], ""]}], [{"a": [{"b": 1}]}], [{"a": [1, ""]}]]),
}
SHAPES = [
    "[{call}]", "[{call}]", "[{call}]", "[{call}]", "{call}", "`{call}`", "[{call}, {call}]", "[{call};]", "Sure: {call}", "```\n[{call}]\n```",
    "[{call}", "[{call} ]", "{call}]", "[ {call}]", "['{call}']", "[lib.{call}]", "[]", "none", "[{call}]\n\n",
]
PARAMETER = {True: "first", False: "second"}


def described(kind):
    name, inner = kind if isinstance(kind, tuple) else (kind, None)
    return {"type": name} | ({"items": {"type": inner}} if inner else {})


def case(language, pools):
    kinds = random.choices(list(pools), k=2)
    values = [random.choice(pools[kind][0]) for kind in kinds]
    allowed = [random.choice(pools[kind][1]) for kind in kinds]
    # Mostly what is right, so that it is not all wrong.
    for place, kind in enumerate(kinds):
        tried = [v for v in pools[kind][0] if check(language, [described(kind)], [allowed[place]], [v], "[{call}]")]
        if tried and random.random() < 0.8:
            values[place] = random.choice(tried)
    if random.random() < 0.15:
        values = values[:1]
    if random.random() < 0.3:
        allowed[1] = allowed[1] + [""]
    shape = random.choice(SHAPES) if random.random() < 0.4 else "[{call}]"
    return [described(kind) for kind in kinds], allowed, values, shape


def check(language, kinds, allowed, values, shape):
    return judged(language, *written(kinds, allowed, values, shape))


def written(kinds, allowed, values, shape):
    names = ["first", "second"][: len(kinds)]
    function = {"name": "lib.go", "parameters": {
        "type": "dict", "required": ["first"], "properties": dict(zip(names, kinds))}}
    given = ", ".join(f"{name}={value}" for name, value in zip(names, values))
    if shape.startswith("[lib.{"):
        given = "7, " + given
    answer = shape.replace("{call}", f"lib.go({given})").replace("[lib.lib.", "[lib.")
    return function, [{"lib.go": dict(zip(names, allowed))}], answer


def decoded(language, answer):
    return default_decode_ast_prompting(answer, ReturnFormat[language.name])


def judged(language, function, expected, answer):
    try:
        found = decoded(language, answer)
    except Exception:
        return False
    if not is_function_calling_format_output(found):
        return False
    return ast_checker([function], found, expected, language, "simple", "model")["valid"]


def calls(answer):
    """Whether the irrelevance check finds a call."""
    try:
        return not is_empty_output(decoded(Language.PYTHON, answer))
    except Exception:
        return False


IRRELEVANT = [
    "None of the functions can be used.", "[]", "[f(1)]", "f()", "[f(a=b)]", "[a, b]", "['f(a=1)']", "f(a=g(b=1))", "[f(a=1), g(b=2)]",
    "I cannot do this (sorry).", "[f(*x)]", "f(a=1) and more", "[f]", "sum(a, b)", "[f(a=[1, g(2)])]", "f(a=x[0])", "f(a=not b)",
    "f(a=-1)", "f(a=-b)", "f(a=lambda: 1)", "x = f(a=1)", "f(a=1)\ng(b=2)", "[(f(a=1))]", "f(a=1 if b else 2)", "'f(a=1)'", "f(a=1,)",
    "[f(a=1),]", "f(a={'b': 1, **c})", "f(a=b'x')", "f(a=f'{x}')", "f(a=1)(b=2)", "[a.b.c(d=1)]", "f(a=...)", "f(a=1+2)", "f(a='x'+'y')",
    "# f(a=1)", "f(a=1) # done", "(f(a=1))", "[f(a=1)] is what I call", "f(a=0x10)", "f(a=1_000)", "f(a=1e5)", "f(a='\u00e9')", "f(class=1)",
]


def main():
    cases = []
    for language, pools, num in [(Language.JAVA, JAVA, 250), (Language.JAVASCRIPT, JAVASCRIPT, 250), (Language.PYTHON, PYTHON, 200)]:
        for _ in range(num):
            function, expected, answer = written(*case(language, pools))
            verdict = judged(language, function, expected, answer)
            cases.append({"language": language.value, "function": function, "expected": expected, "answer": answer, "right": verdict})
    relevant = [{"answer": answer, "calls": calls(answer)} for answer in IRRELEVANT]
    lines = [",\n".join(json.dumps(line, ensure_ascii=False) for line in part) for part in (cases, relevant)]
    print("{\"cases\": [\n%s\n], \"relevant\": [\n%s\n]}" % tuple(lines))


main()
