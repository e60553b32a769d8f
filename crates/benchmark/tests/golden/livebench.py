"""Makes livebench.json: what LiveBench's own functions say of generated answers.

    python livebench.py CHECKOUT > livebench.json

CHECKOUT is a checkout of LiveBench/LiveBench (made with b0fb577). It needs sympy, lark and antlr4-python3-runtime 4.11;
no model is asked, so that an AMPS answer that SymPy does not find equal counts as wrong.
"""

import contextlib
import io
import itertools
import json
import os
import random
import sys
import warnings

sys.path.insert(0, sys.argv[1])
warnings.filterwarnings("ignore")
random.seed(0)
os.environ.pop("OPENAI_API_KEY", None)

from livebench.process_results.data_analysis.consecutive_events.utils import consecutive_events_process_results as events
from livebench.process_results.data_analysis.cta.utils import cta_process_results as columns
from livebench.process_results.data_analysis.tablejoin.utils import joinmap_process_results
from livebench.process_results.math.AMPS_Hard.utils import amps_hard_process_results as amps
from livebench.process_results.math.integrals_with_game.utils import integrals_with_game_process_results as integrals
from livebench.process_results.math.math_competitions.utils import aime_process_results as aime
from livebench.process_results.math.math_competitions.utils import mathcontest_process_results
from livebench.process_results.math.olympiad.utils import proof_rearrangement_process_results
from livebench.process_results.reasoning.house_traversal.utils import house_traversal_process_results as houses
from livebench.process_results.reasoning.logic_with_navigation.utils import logic_with_navigation_process_results as navigation
from livebench.process_results.reasoning.spatial.utils import spatial_process_results as spatial
from livebench.process_results.reasoning.sudoku.utils import sudoku_process_results as sudoku
from livebench.process_results.reasoning.theory_of_mind.utils import theory_of_mind_process_results as mind
from livebench.process_results.reasoning.web_of_lies_v2.utils import web_of_lies_process_results as lies
from livebench.process_results.reasoning.web_of_lies_v3.utils import web_of_lies_v3_process_results as lies_in_place
from livebench.process_results.reasoning.zebra_puzzle.utils import zebra_puzzle_process_results as zebra
from livebench.process_results.reasoning.zebra_puzzle.utils import zebra_puzzle_process_results_old as zebra_word
from livebench.process_results.writing.connections.utils import connections_process_results as connections
from livebench.process_results.writing.connections.utils import connections_process_results_old as connections_bold
from livebench.process_results.writing.plot_unscrambling.utils import plot_unscrambling_process_results as plot
from livebench.process_results.writing.typos.utils import typos_process_results as typos

ASKED = "What is it? $\\textbf{(A) }7 \\qquad \\textbf{(B) }12 \\qquad \\textbf{(C) }3\\sqrt{2} \\qquad \\textbf{(D) }9 \\qquad \\textbf{(E) }0$"
GROUPS = "ant,bee,cat,dog,red,blue,pink,grey,oak,ash,elm,fir,one,two,six,ten"
PLOT = "Ann leaves home. She meets Bob in the old town by the river. They quarrel about the map. Bob is lost in the woods. Ann finds the map."
SHUFFLED = "She meets Bob in the old town, by the river. Ann leaves home. They quarrel about a map. Ann finds the map. Bob is lost in woods."
LONG = ". ".join(f"In chapter {i} the {w} walks slowly through the {v} for a very long time without meeting anyone at all, and at the end of the day it sleeps under the {w} tree by the {v}, where it dreams of chapter {i + 1} and of what will come to pass there in the morning"
                 for i, (w, v) in enumerate(zip(["fox", "owl", "hare", "crow"], ["valley", "forest", "village", "desert"]))) + "."
GRID = "1234\n3412\n2143\n4321"
EVENTS = json.dumps([{"user_id": 1, "max_consecutive_growth_months": 3}, {"user_id": "b", "max_consecutive_growth_months": 2}])

FRAMES = ["{}", "The answer is {}.", "**{}**", "So it is **{}**", "<solution>{}</solution>", "<solution>\n{}\n</solution>",
          "</solution>{}</solution>", "\\boxed{{{}}}", "\\boxed{{\\text{{{}}}}}", "\\fbox{{{}}}", "***{}***", "Answer: {}", "I think\n{}",
          "**no** <solution>x</solution> then <solution>{}</solution>"]
KINDS = [
    ("Contest", lambda g, a: mathcontest_process_results(g, a, ASKED), [("B", ["B", "BBBBB", "b", "A", "12", "(B)", "BBBB", "AAAAA", "\\text{B}", "E. 0"]), ("C", ["3\\sqrt{2}", "C", "CCCCC"])]),
    ("Aime", aime, [("025", ["025", "25", "026", "the number 025, of course"]), ("7", ["7", "77777", "8"])]),
    ("Proof", lambda g, a: proof_rearrangement_process_results(g, a, edit_distance=True), [("1,2,3,4", ["1,2,3,4", "1, 3, 2, 4", "4,3,2,1", "1,2", "1,2,3,4,5", "1 2 3 4", "<1>, <2>, <3>, <4>", "none"])]),
    ("Lies", lies, [("yes, no, yes", ["yes, no, yes", "Yes, No, Yes", "yes, no, no", "yes,no,yes", "no, yes, no, yes"]), ("no, unknown, yes", ["no, unknown, yes", "unknown, no, yes"])]),
    ("LiesInPlace", lies_in_place, [("yes,no,yes", ["yes,no,yes", "yes, no, yes", "yes,no,no", "yes", "no,yes,no"])]),
    ("Houses", houses, [("ann bob cid", ["Ann Bob Cid", "ann, bob, cid", "cid bob ann", "ann** **bob** **cid", "Ann bob"])]),
    ("ZebraWord", zebra_word, [("four", ["4", "four", "Four.", "five"]), ("action movies", ["action", "Action movies"])]),
    ("Zebra", zebra, [("rock,4,mid-size", ["rock, 4, mid size", "Rock,position 4,mid-size", "rock, 5, mid-size", "4,rock", "jazz, 4, small", "rock, four, mid-size"])]),
    ("Spatial", spatial, [("7", ["7", "seven", "8", "17"]), ("tetrahedra", ["two tetrahedra", "tetrahedra", "a circle, a square and some tetrahedra"])]),
    ("Mind", mind, [("blue_container", ["blue_container", "the blue_container.", "red_box", "Blue_Container!"])]),
    ("Navigation", lambda g, a: navigation(json.loads(g), a), [("[3, -1]", ["(3, -1)", "3, -1", "( 3,-1 )", "(-1, 3)", "[3, -1]", "x = 3"])]),
    ("Sudoku", sudoku, [(GRID, [GRID, "1 2 3 4\n3 4 1 2\n2 1 4 3\n4 3 2 1", GRID.replace("4321", "4312"), "1234"])]),
    ("Typos", typos, [("the cafe is open", ["the cafe is open", "The cafe is open", "Here: the cafe is open!", "the cafe\nis open", "a --- the cafe is open --- b"])]),
    ("Connections", connections, [(GROUPS, [GROUPS, GROUPS.replace(",", ", "), "dog,cat,bee,ant,oak,ash,elm,fir", "ant,bee,cat,red,dog,blue,pink,grey,oak,ash,elm,fir,one,two,six,ten", "ant, bee"])]),
    ("ConnectionsBold", connections_bold, [(GROUPS, [GROUPS, GROUPS.replace(",", ", "), "dog,cat,bee,ant,oak,ash,elm,fir", "ant, bee"])]),
    ("Plot", plot, [(PLOT, [PLOT, SHUFFLED, "Ann finds the map. Bob is lost.", f"<PLOT_SUMMARY>{SHUFFLED}</PLOT_SUMMARY>", f"<PLOT_SUMMARY>{PLOT}"]),
                    (LONG, [". ".join(reversed(LONG.split(". "))), LONG.replace("slowly", "quickly")])]),
    ("Columns", columns, [("Total Sales", ["Total Sales", "total sales.", "TotalSales", "Sales total", "the type is total sales"])]),
    ("Join", lambda g, a: joinmap_process_results(None, g, a), [("{'a': 'b', 'c': 'd'}", ["{'a': 'b', 'c': 'd'}", '{"a": "b"}', "{'a': 'x', 'c': 'd'}", "{'z': 'b'}", "{'a': None, 'c': 'd'}", "```python\n{'a': 'b',\n 'c': 'd'}\n```", "```json\n{\"a\": \"b\", \"q\": null}\n```", "nothing"])]),
    ("Events", events, [(EVENTS, [EVENTS, EVENTS.replace("3", "4"), "[]", "[{\"user_id\": 1, \"max_consecutive_growth_months\": 3}]", "no json"])]),
    ("Amps", amps, [("\\frac{x}{2}", ["\\frac{x}{2}", "0.5x", "\\frac{2x}{4}", "x/2+C", "\\frac{x}{3}", "x"]), ("(x-1)^2", ["x^2-2x+1", "(x-1)^2", "(1-x)^2", "(x+1)^2"])]),
    ("Integrals", integrals, [("11326/3", ["11326/3", "\\frac{22652}{6}", "\\dfrac{11326}{3}", "11326", "3775.3333333333335"]), ("3375", ["3375", "3375.0", "3374", "15^3"])]),
]


def cases():
    for name, rule, golds in KINDS:
        for (gold, said), frame in itertools.product(golds, FRAMES):
            for text in random.sample(said, min(3, len(said))):
                answer = frame.format(text)
                try:
                    with contextlib.redirect_stdout(io.StringIO()):
                        expected = float(rule(gold, answer))
                except Exception:
                    # LiveBench records an error and scores nothing.
                    expected = 0.0
                yield dict(task=name, gold=gold, answer=answer, expected=round(expected, 6))


lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases())
print(f'{{"asked": {json.dumps(ASKED)},\n"cases": [\n{lines}\n]}}')
