"""Makes livebench_tables.json: what LiveBench's own function says of generated tables.

    python livebench_tables.py CHECKOUT [NUMBER [SEED]] > livebench_tables.json

CHECKOUT is a checkout of LiveBench/LiveBench (made with b0fb577, pandas 2.2.3, lxml, html5lib and beautifulsoup4).
"""

import contextlib
import io
import json
import random
import signal
import sys
import warnings

# In place of this folder, where livebench.py lies.
sys.path[0] = sys.argv[1]
warnings.filterwarnings("ignore")
NUM = int(sys.argv[2]) if len(sys.argv) > 2 else 360
random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 0)

import pandas as pd
from livebench.process_results.data_analysis.tablereformat.utils import table_process_results

WORDS = ["Ann", "Bob & Co", "New York, NY", 'the "old" map', "élan", "a|b", "NA", "x < y", "007", "1,234", "12%", "2021-03-04", "True",
         "$5.00", "North  Side", " padded ", "null", "A", "it's", "1e3", "-", "N/A?", "3 years", "Ω", "None", "2021-03-04 05:06:07", "inf", "1_000"]
NAMES = ["Name", "City", "Amount", "id", "date", "Is Open", "2020", "2021", "rate %", "created_at", "x", "y", "Total Sales", "index", "Ü", "a.b"]


def column(num):
    kind = random.choice(["int", "float", "bool", "word", "mixed", "holes", "ids", "big", "dates", "digits", "whole"])
    make = {
        "int": lambda: random.randint(-50, 5000),
        "float": lambda: round(random.uniform(-100, 100), random.randint(0, 6)),
        "bool": lambda: random.random() < 0.5,
        "word": lambda: random.choice(WORDS),
        "mixed": lambda: random.choice([random.choice(WORDS), random.randint(0, 9), 2.5]),
        "holes": lambda: random.choice([None, float(random.randint(0, 9)), 0.25]),
        "ids": lambda: f"{random.randint(0, 99999):05}",
        "big": lambda: random.choice([10**18 + random.randint(0, 9), 123456789012, 10**15 + 1]),
        "dates": lambda: f"20{random.randint(10, 24)}-0{random.randint(1, 9)}-1{random.randint(0, 9)}",
        "digits": lambda: str(random.randint(0, 300)),
        "whole": lambda: float(random.randint(0, 300)),
    }[kind]
    return [make() for _ in range(num)]


def table():
    num = random.choice([1, 2, 3, 3, 4, 5])
    names = random.sample(NAMES, random.randint(1, 5))
    return names, [list(row) for row in zip(*[column(num) for _ in names])]


def cell(value):
    return "" if value is None else str(value)


def csv(names, rows, sep=",", quote=False, space=""):
    def field(value):
        text = cell(value)
        if quote or sep in text or '"' in text or "\n" in text:
            return '"' + text.replace('"', '""') + '"'
        return text
    return "\n".join((sep + space).join(field(value) for value in row) for row in [names, *rows])


def markdown(names, rows, rule=":---", pad=True, index=False):
    if index:
        names, rows = ["", *names], [[i, *row] for i, row in enumerate(rows)]
    space = " " if pad else ""
    line = lambda cells: "|" + "|".join(space + cell(value) + space for value in cells) + "|"
    return "\n".join([line(names), "|" + "|".join(rule for _ in names) + "|", *map(line, rows)])


def escaped(value):
    return cell(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def html(names, rows, how="plain"):
    row = lambda cells, tag: "<tr>" + "".join(f"<{tag}>{escaped(value)}</{tag}>" for value in cells) + "</tr>"
    if how == "pandas":
        return pd.DataFrame(rows, columns=names).to_html()
    if how == "pandas_no_index":
        return pd.DataFrame(rows, columns=names).to_html(index=False)
    if how == "bare":
        return "<table>\n" + "\n".join([row(names, "td"), *[row(cells, "td") for cells in rows]]) + "\n</table>"
    if how == "th":
        return "<table>" + row(names, "th") + "".join(row(cells, "td") for cells in rows) + "</table>"
    if how == "open":
        return "<table><tr><th>" + "<th>".join(map(escaped, names)) + "".join("<tr><td>" + "<td>".join(map(escaped, cells)) for cells in rows) + "</table>"
    if how == "page":
        return "<html><head><title>t</title></head><body><h1>A table</h1>" + html(names, rows) + "</body></html>"
    return "<table border=\"1\" class='d'>\n<thead>\n" + row(names, "th") + "\n</thead>\n<tbody>\n" + "\n".join(row(cells, "td") for cells in rows) + "\n</tbody>\n</table>"


def objects(names, rows):
    return [dict(zip(names, row)) for row in rows]


def as_json(names, rows, how="records"):
    dump = lambda value: json.dumps(value, ensure_ascii=random.random() < 0.5, indent=random.choice([None, 2]))
    frame = lambda: pd.DataFrame(rows, columns=names)
    if how == "index":
        return dump({str(i): row for i, row in enumerate(objects(names, rows))})
    if how == "named":
        return dump({"data": objects(names, rows)})
    if how in ("columns", "split", "table", "values"):
        return frame().to_json(orient=how)
    return dump(objects(names, rows))


def lines(names, rows):
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in objects(names, rows))


HOWS = {
    "csv": [("plain", csv), ("quoted", lambda n, r: csv(n, r, quote=True)), ("spaced", lambda n, r: csv(n, r, space=" ")),
            ("indexed", lambda n, r: csv(["", *n], [[i, *row] for i, row in enumerate(r)]))],
    "tsv": [("plain", lambda n, r: csv(n, r, sep="\t")), ("quoted", lambda n, r: csv(n, r, sep="\t", quote=True)),
            ("commas", csv)],
    "markdown": [("plain", markdown), ("dashes", lambda n, r: markdown(n, r, rule="---")), ("tight", lambda n, r: markdown(n, r, pad=False)),
                 ("indexed", lambda n, r: markdown(n, r, index=True)), ("spaced", lambda n, r: markdown(n, r, rule=" --- "))],
    "html": [(how, lambda n, r, how=how: html(n, r, how)) for how in ["plain", "pandas", "pandas_no_index", "bare", "th", "open", "page"]],
    "json": [(how, lambda n, r, how=how: as_json(n, r, how)) for how in ["records", "index", "records", "index", "columns", "table", "split", "values", "named"]]
            + [("lines", lines)],
    "jsonl": [("lines", lines), ("records", lambda n, r: as_json(n, r))],
}


def respelt(value):
    """The same or nearly, otherwise written."""
    choices = [value]
    if isinstance(value, bool):
        choices = [str(value), str(value).lower(), int(value), not value]
    elif isinstance(value, float):
        choices = [f"{value:.8f}", value + 1e-7, value + 1e-3, str(value), f"{value:e}"] + ([int(value)] if value == int(value) else [])
    elif isinstance(value, int):
        choices = [float(value), str(value), value + 1, f"{value:,}", f"+{value}", f" {value} "]
    elif value is None:
        choices = ["", "NaN", "null", "None", "-", float("nan")]
    else:
        choices = [value.strip(), value.upper(), f" {value} ", None, value + ".", value.replace("&", "&amp;"), value.replace("-", "/"), value + " 00:00:00"]
    return random.choice(choices)


def changed(names, rows):
    names, rows = list(names), [list(row) for row in rows]
    kind = random.choice(["same"] * 6 + ["cell"] * 5 + ["column", "column", "row_less", "row_more", "order", "swap", "name", "padded", "wide", "short"])
    i, j = random.randrange(len(rows)), random.randrange(len(names))
    if kind == "cell":
        rows[i][j] = respelt(rows[i][j])
    elif kind == "column":
        for row in rows:
            row[j] = respelt(row[j])
    elif kind == "row_less" and len(rows) > 1:
        rows.pop(i)
    elif kind == "row_more":
        rows.append(list(rows[i]))
    elif kind == "order":
        random.shuffle(rows)
    elif kind == "swap":
        order = random.sample(range(len(names)), len(names))
        names, rows = [names[k] for k in order], [[row[k] for k in order] for row in rows]
    elif kind == "name":
        names[j] = names[j].lower()
    elif kind == "padded":
        names[j] = f" {names[j]} "
    elif kind == "wide":
        rows[i].append("more")
    elif kind == "short":
        rows[i].pop()
    return names, rows


def framed(text, form):
    frames = ["{}"] * 6 + ["```{form}\n{}\n```", "```\n{}\n```", "<solution>{}</solution>", "<solution>\n```{form}\n{}\n```\n</solution>",
              "Here is the table in {form} format:\n\n{}", "Here's the converted table:\n{}", "{}\n\nI hope that helps.", "Sure!\n\n{}", "Input table: {}",
              "Sure, here it is:\n```{form}\n{}\n```\nAll rows are kept.", "{}\n", "\n\n{}"]
    return random.choice(frames).replace("{form}", form).replace("{}", text)


def asked(form, version):
    if version == "v2":
        return f"Convert.\nSource Format: HTML\nTarget Format: {form.upper()}\nTable:"
    return f"Please convert the Input Table from HTML format to {form.upper()} format. Please respond only with the table."


class Late(Exception):
    pass


def late(*_):
    raise Late


signal.signal(signal.SIGALRM, late)


def cases():
    done = 0
    while done < NUM:
        form = random.choice(list(HOWS))
        version = random.choice(["v1", "v2"])
        names, rows = table()
        usual = HOWS[form][:2] if form in ("json", "markdown") else HOWS[form][:1]
        if form == "markdown" and version == "v1":
            usual = [HOWS[form][3]]
        if form == "html" and random.random() < 0.5:
            usual = HOWS[form][1:3]
        gold_way, write = random.choice(usual)
        gold = write(names, rows)
        way, rewrite = random.choice(HOWS[form]) if random.random() < 0.3 else (gold_way, write)
        try:
            answer = framed(rewrite(*changed(names, rows)), form)
        except Exception:
            continue
        question = asked(form, version)
        try:
            signal.setitimer(signal.ITIMER_REAL, 5)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                expected = float(table_process_results(question, gold, answer, version))
        except Exception:
            # LiveBench records an error and scores nothing.
            expected = 0.0
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        done += 1
        yield dict(task="Table" if version == "v1" else "TableNewer", form=f"{form}/{gold_way}/{way}", asked=question, gold=gold, answer=answer, expected=expected)


found = list(cases())
text = ",\n".join(json.dumps(case, ensure_ascii=False) for case in found)
print(f'{{"cases": [\n{text}\n]}}')
