"""Makes vlmevalkit.json: what VLMEvalKit's own functions say of generated responses.

    python vlmevalkit.py CHECKOUT FORK > vlmevalkit.json

CHECKOUT is a checkout of open-compass/VLMEvalKit (made with e8e78f05) and FORK the folder eval/vlmevalkit of one of
SkyworkAI/Skywork-R1V (made with b806cef). The functions are loaded from their files with stand-ins for the packages
around them that they do not need here: no model is asked, none is loaded. It needs sympy, antlr4-python3-runtime 4.11,
latex2sympy2_extended, numpy and pandas.
"""

import importlib.util
import itertools
import json
import logging
import random
import re
import sys
import types
import warnings

CHECKOUT, FORK = sys.argv[1:3]
warnings.filterwarnings("ignore")
logging.disable(logging.CRITICAL)
random.seed(0)


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__dict__.update(members)
    sys.modules[name] = module
    return module


def load(root, path):
    name = re.sub(r"\W", "_", root + path)
    spec = importlib.util.spec_from_file_location(name, f"{root}/{path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Logger:
    def __getattr__(self, _):
        return lambda *_, **__: None


def option_text(options):
    return "There are several options: \n" + "".join(f"{c}. {o}\n" for c, o in options.items())


def istype(text, kind):
    try:
        return isinstance(eval(text), kind)
    except Exception:
        return False


def punctuation(checkout):
    source = open(f"{checkout}/vlmeval/smp/misc.py").read()
    source = source[source.index("def process_punctuation") : source.index("def h2r")]
    scope = {}
    exec(source, scope)
    return scope["process_punctuation"]


nothing = dict(d2df=None, dump=None, get_pred_file_format=None, load=None, timestr=None)
for name in ["vlmeval", "vlmeval.smp", "vlmeval.smp.log", "vlmeval.smp.file", "vlmeval.smp.vlm", "vlmeval.utils"]:
    stand_in(name, **nothing)
smp = sys.modules["vlmeval.smp"]
smp.get_logger = sys.modules["vlmeval.smp.log"].get_logger = lambda *_: Logger()
smp.cn_string = lambda text: bool(re.search("[\u4e00-\u9fff]", text))
smp.istype, smp.process_punctuation = istype, punctuation(CHECKOUT)
smp.listinstr = lambda texts, text: any(one in text for one in texts)
sys.modules["vlmeval.smp.vlm"].build_option_str = option_text
stand_in("timeout_decorator", timeout=lambda *_, **__: lambda function: function)
matching = load(CHECKOUT, "vlmeval/utils/matching_util.py")
utils = sys.modules["vlmeval.utils"]
utils.can_infer, utils.can_infer_lego, utils.track_progress_rich = matching.can_infer, None, None
datasets = "vlmeval/dataset/utils/"
choice = load(CHECKOUT, datasets + "multiple_choice.py")
stand_in("vlmeval.dataset")
stand_in("vlmeval.dataset.utils")
sys.modules["vlmeval.dataset.utils.multiple_choice"] = choice
yorn = load(CHECKOUT, datasets + "yorn.py")
vqa = load(CHECKOUT, datasets + "vqa_eval.py")
vista = load(CHECKOUT, datasets + "mathvista.py")
vision = load(CHECKOUT, datasets + "mathv.py")
verse = load(CHECKOUT, datasets + "mathverse.py")
olympiad = load(CHECKOUT, datasets + "olympiadbench.py")
videomme = load(CHECKOUT, datasets + "videomme.py")


def functions_of(path, *names):
    """Functions out of a file whose imports are not here."""
    source, scope = open(f"{CHECKOUT}/{path}").read(), {"extract_answer_from_item": choice.extract_answer_from_item}
    for name in names:
        start = source.index(f"def {name}(")
        end = re.search(r"\n\n\n(?=\S)", source[start:])
        exec(source[start : start + end.start() if end else len(source)], scope)
    return [scope[name] for name in names]


check_ans_with_model, = functions_of(datasets + "mvbench.py", "check_ans_with_model")
source = open(f"{FORK}/vlmeval/utils/matching_util.py").read()
fork = {}
exec("import string, os, re\nimport copy as cp\n" + source[source.index("def can_infer_option") : source.index("def can_infer_sequence")]
     + source[source.index("def can_infer_text") : source.index("def can_infer_lego")], fork)


class Model:
    """Says what it is told to, one text after the other."""

    def __init__(self, says):
        self.says, self.asked, self.temperatures = list(says), [], []

    def generate(self, prompt, temperature=0, **_):
        self.asked.append(prompt)
        self.temperatures.append(temperature)
        return self.says.pop(0)


LETTERS = "ABCDEFGHIJ"
OPTIONS = [
    ["teddy bear", "rabbit", "cat", "dog"],
    ["3", "4", "12", "45"],
    ["24/7", "Other Answers"],
    ["$\\frac{1}{2}$", "$x^2$", "none", "all of them"],
    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
    ["A red car that turns left at the lights", "A blue car that turns right at the lights", "No car"],
]
FORMS = [
    "{l}", "({l})", "{l}.", "{l}. {o}", "**{l}**", "Answer: {l}", "Answer: $\\boxed{{{l}}}$", "\\boxed{{{l}}}",
    "\\boxed{{\\text{{{l}}}}}", "The answer is {l}.", "The correct answer is **{l}**, because of the ears.",
    "the answer is {s}", "So the answer is {o}.", "It is {o}", "{o}", "Option {l} is right, as everyone can see here.",
    "I think that {l} is what the picture shows, and nothing else at all.", "{l} or {m}", "Not {m} but {l}",
    "A cat and a {o}", "Between {o} and {p}", "Final answer\n\n{l}\n", "{l}:{o}", "[{l}]", "#{l}", "\"{l}\"", "<{l}>",
    "The best option is {l}", "The best answer is: ({l}) {o}", "Best option:{l}", "Answer:{l}", "Option:{l})",
    "I'm not sure, it may be {s}", "答案是{l}", "Because of the Big Dog: {l}", "{l} {o} {m} {p}", "Z", "None, Z",
    "Cannot determine the answer, {l}", "I can't process this file. {l}", "", "no idea whatsoever", "42",
    "It is hard to tell from the picture since many things are shown there, but all in all {o} seems to be nearest.",
]


def forms():
    for options in OPTIONS:
        for form in FORMS:
            right, wrong = random.sample(range(len(options)), 2)
            yield options, right, form.format(
                l=LETTERS[right], s=LETTERS[right].lower(), m=LETTERS[wrong], o=options[right], p=options[wrong])


def item(options, prediction, question="What is it"):
    return {"question": question, "prediction": prediction, **dict(zip(LETTERS, options))}


def choices():
    for options, right, prediction in forms():
        named = lambda: dict(zip(LETTERS, options))
        yield dict(kind="choice", options=options, prediction=prediction,
                   expected=matching.can_infer(prediction, named()) or None,
                   fork=fork["can_infer"](prediction, named()) or None)
        letter = videomme.extract_characters_regex(prediction)
        yield dict(kind="first_letter", prediction=prediction, expected=letter or None)
        if prediction:
            gold = f"({LETTERS[right]}) {options[right]}"
            line = {**item(options, prediction), "answer": LETTERS[right]}
            yield dict(kind="first_word", options=options, answer=right, prediction=prediction,
                       expected=check_ans_with_model(prediction, gold, None, line))


def matched():
    replies = [["B"], ["hm", "(A)"], ["Z"], ["I say teddy bear"], ["hm", "hm", "B or not"], ["hm", "hm", "hm"]]
    for says, question in itertools.product(replies, ["What is it", "图中是什么"]):
        model = Model(says)
        found = choice.extract_answer_from_item(model, item(OPTIONS[0], "a plush thing, or so", question), None)
        # What is drawn at random is not compared.
        expected = None if says[-1] == "hm" else found["opt"]
        yield dict(kind="matched", options=OPTIONS[0], question=question, prediction="a plush thing, or so", says=says,
                   prompts=[model.asked[0]], num_asked=len(model.asked), temperatures=model.temperatures, expected=expected)


YES_NO = ["Yes", "No.", "yes, it is", "Yes,it is", "No, yes", "**Yes**", "\\boxed{Yes}", "Answer: \\boxed{No}", "yes/no",
          "It is. Yes.", "Nope", "I know", "The answer is no; there is none.", "YES!", "\"no\"", "no-one", "Yes\nNo",
          "is it 3.5? yes", "1,000 yes", "1,000 (yes)", "unknown", "", "(no)", "no>", "yes...", "a. b. c. yes."]


def yes_and_no():
    for prediction in YES_NO:
        yield dict(kind="yes_no", prediction=prediction, expected=yorn.YOrN_Extraction(prediction))
    for says in (["Yes"], ["hm", "No"], ["hm"] * 5):
        model = Model(says)
        line = {"question": "Is it red", "prediction": "It looks so"}
        yield dict(kind="yes_no_matched", says=says, prediction="It looks so", question="Is it red",
                   expected=yorn.YOrN_auxeval(model, line), prompts=model.asked[:1], num_asked=len(model.asked),
                   temperatures=model.temperatures)


SAID = ["14", "14.0", " 14 ", "14%", "0.14", "14.7", "14.71", "-14", "1,400", "1400", "Fourteen", "two dogs", "The two dogs!",
        "dont know", "a red/blue car.", "none", "None", "3.5 m.", "nan", "inf", "1e2", "yes", "Yes.", "dakota", "Dakota, it says",
        "x^2", "it's 5 o'clock", "1.", ".5", "50%%", ""]
GOLDS = ["14", "0.14", "14%", "Dakota", "two dogs", "0", "yes", "100", "red blue car", "don't know", "3.5 m", "5", "x"]


def short():
    for gold, prediction in itertools.product(GOLDS, SAID):
        people = [gold] * random.choice([1, 2, 3, 4, 10])
        people += [f"other {i}" for i in range(10 - len(people))]
        line = {"answer": repr(people), "prediction": prediction}
        agreement = sum(vqa.process_line(line)["match"]) / 10
        relaxed = vqa.relaxed_correctness(gold, prediction.strip())
        if relaxed or agreement or random.random() < 0.3:
            yield dict(kind="short", golds=[gold], people=people, prediction=prediction, relaxed=relaxed, agreement=agreement)


def mathvista():
    lines = [dict(question_type="free_form", answer_type=kind, answer=gold, question="Q", choices="[]")
             for kind, gold in [("integer", "14"), ("integer", "0"), ("float", "0.6"), ("float", "14"), ("list", "[1, 2]"), ("text", "red")]]
    lines.append(dict(question_type="multi_choice", answer_type="text", answer="rabbit", answer_option="B", question="Q",
                      choices=repr(OPTIONS[0])))
    said = ["14", "14.0", " 14\n", "+14", "1_4", "0", "0.6", "0.60", "6e-1", ".6", "0.62", "[1, 2]", "red", "B", "(B) rabbit",
            "It is 14", "C", "a rabbit", "none", "Z", "14 %"]
    for line, prediction in itertools.product(lines, said):
        reply = random.choice(said)
        model = Model([reply])
        found = vista.MathVista_auxeval(model, {**line, "prediction": prediction})
        hit = vista.post_check({**line, "prediction": prediction, "res": found["res"]}, prefetch=False)
        yield dict(kind="mathvista", line=line, prediction=prediction, says=[reply], expected=bool(hit), num_asked=len(model.asked),
                   prompts=model.asked[:1] if random.random() < 0.02 else None)


def mathvision():
    golds = ["7", "0.5", "\\frac{1}{2}", "12", "$3\\sqrt{2}$", "3\\sqrt{2}", "left", "1000", "2:3", "x+1", "60"]
    said = ["7", "7.0", "7.", "07", "1/2", "0.5", ".5", "\\frac{1}{2}", "\\frac12", "\\dfrac{1}{2}", "50%", "12", "3*4", "3\\sqrt{2}",
            "4.242640687", "left", "LEFT", "1,000", "1000", "2:3", "x+1", "1+x", "60^\\circ", "60°", "60 degrees", "The answer is 7",
            "\\boxed{7}", "7 cm", "$7$", "2^3", "-7", "no", ""]
    for gold, prediction in itertools.product(golds, said):
        expected = bool(vision.is_equal(prediction, gold))
        if expected or random.random() < 0.25:
            yield dict(kind="mathvision", gold=gold, prediction=prediction, expected=expected)
    line = {"choices": "[]", "answer": "7", "question": "Q", "prediction": "It is seven"}
    model = Model(["7"])
    found = vision.MATH_V_auxeval(model, line)
    yield dict(kind="mathvision_matched", gold="7", question="Q", prediction="It is seven", says=["7"], prompts=model.asked,
               expected=vision.post_check({**line, **found}))


def mathverse():
    for extracted, grades in [("C", []), ("3", ["1"]), ("3", ["0"]), ("3", ["perhaps", "1"]), ("3", ["?"] * 5)]:
        line = {"prediction": "Thus it is 3", "question_for_eval": "Which {x}?", "answer": "C", "question": "Q"}
        model = Model([extracted, *grades])
        line["extract"] = verse.MathVerse_auxeval_extract(model, line)["extract"]
        score = verse.MathVerse_auxeval_score(model, line)["score"]
        yield dict(kind="mathverse", question=line["question_for_eval"], gold="C", prediction=line["prediction"],
                   says=[extracted, *grades], prompts=model.asked[:2], num_asked=len(model.asked), temperatures=model.temperatures, expected=bool(score))


def olympiads():
    golds = [("7", []), ("1,2", []), ("0.5", [0.01]), ("0.5,12", [0.1, 1.0]), ("$\\pm 3$", []), ("(1,2)", []), ("[0,1]", []), ("x+1", []),
             ("$2\\sqrt{3}$", []), ("\\frac{1}{2}", []), ("y=2x", []), ("能", []), ("100", [1.0])]
    said = ["7", "7.0", "x=7", "8", "1,2", "2, 1", "1", "1,2,3", "0.5", "0.505", "0.55", "50%", "12,0.5", "\\pm 3", "3,-3", "+3,-3",
            "(1,2)", "(1, 2)", "\\left(1,2\\right)", "[0,1]", "[0,1)", "x+1", "1+x", "2\\sqrt{3}", "\\sqrt{12}", "\\frac{1}{2}",
            "\\frac{2}{4}", "y=2x", "2x=y", "能", "不能", "100.5", "100 \\mathrm{~m}", "1 \\times 10^{2}"]
    frames = ["So the final answer is $\\boxed{{{}}}$.", "\\boxed{{{}}}", "It is ${}$"]
    for (gold, tolerances), text in itertools.product(golds, said):
        prediction = random.choice(frames).format(text)
        precision = tolerances if len(tolerances) > 1 else (tolerances or [1e-8])[0]
        answer = olympiad.extract_answer(False, prediction)
        expected = olympiad.MathJudger().judge(answer, gold, precision)
        if expected or random.random() < 0.15:
            yield dict(kind="olympiad", gold=gold, tolerances=tolerances, prediction=prediction, expected=bool(expected))


cases = [case for make in (choices, matched, yes_and_no, short, mathvista, mathvision, mathverse, olympiads) for case in make()]
for case in cases:
    if "options" in case:
        case["options"] = OPTIONS.index(case["options"])
    if case.get("prompts", 0) is None:
        del case["prompts"]
lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
print(f'{{"options": {json.dumps(OPTIONS)},\n"cases": [\n{lines}\n]}}')
