"""Writes reference.json beside it: pairs of gold answers and predictions with Math-Verify's verdict.

    python3 -m venv venv
    venv/bin/pip install math-verify==0.9.0 antlr4-python3-runtime==4.13.2
    venv/bin/python crates/reward/tests/golden/reference_pairs.py

Bare pairs are parsed with the LaTeX and the plain extractor on both sides; predictions with a thought
with the settings that open-r1 and TRL use for rewards.
"""

import itertools
import json
import random
from pathlib import Path

from latex2sympy2_extended import NormalizationConfig
from math_verify import parse, verify
from math_verify.parser import ExprExtractionConfig, LatexExtractionConfig

BARE = [LatexExtractionConfig(), ExprExtractionConfig()]
REWARD = [
    LatexExtractionConfig(
        boxed_match_priority=0,
        try_extract_without_anchor=False,
        normalization_config=NormalizationConfig(
            basic_latex=True, units=True, malformed_operators=False, nits=False, boxed="all"
        ),
    )
]

# Groups of spellings: within a group all are the same answer, between groups none are.
FAMILIES = {
    "fractions": [
        [r"$\frac{3}{4}$", r"$\dfrac{3}{4}$", r"$3/4$", r"$0.75$", r"$\frac34$", r"$\frac{6}{8}$"],
        [r"$-\frac{3}{4}$", r"$\frac{-3}{4}$", r"$\frac{3}{-4}$", r"$-0.75$", r"$-3/4$"],
        [r"$\frac{4}{3}$", r"$4/3$", r"$\frac{8}{6}$", r"$1\frac{1}{3}$"],
        [r"$\frac{22}{7}$", r"$3\frac{1}{7}$", r"$22/7$"],
    ],
    "radicals": [
        [r"$\sqrt{12}$", r"$2\sqrt{3}$", r"$\sqrt{4}\sqrt{3}$", r"$\frac{6}{\sqrt{3}}$", r"$12^{1/2}$"],
        [r"$\sqrt[3]{16}$", r"$2\sqrt[3]{2}$", r"$16^{\frac{1}{3}}$"],
        [r"$\frac{1}{\sqrt{2}}$", r"$\frac{\sqrt{2}}{2}$", r"$\sqrt{\frac{1}{2}}$", r"$2^{-\frac{1}{2}}$"],
        [r"$1+\sqrt{2}$", r"$\sqrt2+1$", r"$\frac{1}{\sqrt{2}-1}$"],
        [r"$\sqrt{3+2\sqrt{2}}+1$", r"$2+\sqrt{2}$"],
        [r"$4\sqrt{5}$", r"$\sqrt{80}$", r"$4 \sqrt 5$"],
    ],
    "powers": [
        [r"$2^{10}$", "1024", r"$1024$", r"$4^5$", r"$1{,}024$", r"$1,024$"],
        [r"$10^{-3}$", r"$0.001$", r"$\frac{1}{1000}$"],
        [r"$3 \times 10^8$", r"$300000000$", r"$3 \cdot 10^{8}$", r"$300,000,000$"],
        [r"$6.02 \times 10^{23}$", r"$60.2 \times 10^{22}$"],
        [r"$x^{2}x^{3}$", r"$x^5$", r"$x^{5}$"],
    ],
    "pi": [
        [r"$\frac{\pi}{3}$", r"$\pi/3$", r"$\frac{1}{3}\pi$", r"$\dfrac{2\pi}{6}$"],
        [r"$2\pi$", r"$2 \pi$", r"$\pi\cdot 2$", r"$6\pi/3$"],
        [r"$3.14$", "3.14"],
        [r"$9\pi + 2$", r"$2+9\pi$"],
    ],
    "percent": [
        [r"$25\%$", r"$25$ percent", r"$\boxed{25\%}$", "25%", "25 percent", r"$0.25$"],
        [r"$12.5\%$", "12.5%", r"$0.125$", r"$\frac{1}{8}$"],
        [r"$150\%$", r"$1.5$"],
    ],
    "units": [
        [r"$15$ cm", r"$15\text{ cm}$", r"$15 \mathrm{cm}$", r"$15$", "15", r"\boxed{15 \text{ cm}}", r"$15 \text{cm}^2$"],
        [r"$40^\circ$", r"$40^{\circ}$", r"$40$", r"$40 \text{ degrees}$"],
        [r"$\$32.50$", r"$32.5$", "32.50", "$32.50"],
        [r"$3.5 \text{ hours}$", r"$3.5$", r"$\frac{7}{2}$"],
        [r"$8 \text{ m/s}$", r"$8$"],
    ],
    "thousands": [
        ["12,345", r"$12,345$", r"$12{,}345$", "12345", r"$12345$", r"$12\!,345$"],
        ["1,234,567", r"$1,234,567$", "1234567"],
        ["1,234.5", "1234.5", r"$1234.50$"],
        ["54321"],
    ],
    "mixed numbers": [
        [r"$2\frac{1}{2}$", r"$\frac{5}{2}$", r"$2.5$", "2.5", r"$2 \frac12$"],
        [r"$-1\frac{3}{4}$", r"$-\frac{7}{4}$", r"$-1.75$"],
        [r"$5\frac{1}{3}$", r"$\frac{16}{3}$"],
    ],
    "plus-minus": [
        [r"$\pm 3$", r"$\{3, -3\}$", r"$-3, 3$", r"$x = \pm 3$", r"$3,-3$"],
        [r"$2 \pm \sqrt{5}$", r"$2+\sqrt{5}, 2-\sqrt{5}$", r"$\{2-\sqrt{5}, 2+\sqrt{5}\}$"],
        [r"$1 \pm \sqrt{5}$", r"$1+\sqrt{5}, 1-\sqrt{5}$"],
    ],
    "sets": [
        [r"$\{1,2,3\}$", r"$\{3,2,1\}$", r"$1,2,3$", r"$3, 1, 2$", r"$1, 2, \text{ and } 3$", r"$\left\{1, 2, 3\right\}$"],
        [r"$\{1,2\}$", r"$1,2$", r"$1$ and $2$", r"$x=1,2$"],
        [r"$\{\frac{1}{2}, 3\}$", r"$3, 0.5$", r"$\frac12$ or $3$"],
        [r"$\emptyset$", r"$\{\}$"],
    ],
    "tuples": [
        [r"$(1,2,3)$", r"$\left(1, 2, 3\right)$", r"$(x,y,z)=(1,2,3)$"],
        [r"$(3,2,1)$"],
        [r"$(-1, \frac{1}{2}, 0)$", r"$(-1, 0.5, 0)$"],
        [r"$(5,3)$", r"$(x,y)=(5,3)$", r"$(5, \frac{6}{2})$"],
        [r"$(3,5)$", r"$(x,y) = (3, 5)$"],
        [r"$(1,2), (3,4)$", r"$\{(3,4),(1,2)\}$", r"$(3,4), (1,2)$"],
        [r"$(2,1), (4,3)$"],
    ],
    "intervals": [
        [r"$[0,1]$", r"$\left[0,1\right]$", r"$[0, \frac{2}{2}]$"],
        [r"$[0,1)$", r"$x \in [0,1)$"],
        [r"$(0,1]$"],
        [r"$(-\infty, 3)$", r"$x \in (-\infty, 3)$"],
        [r"$(-\infty, 3]$"],
        [r"$(-\infty,-1)\cup(1,\infty)$", r"$(1,\infty)\cup(-\infty,-1)$", r"$x \in (-\infty,-1)\cup(1,\infty)$"],
        [r"$[0,1]\cup[2,3]$", r"$[2,3] \cup [0,1]$"],
        [r"$[0,2]\cup[1,3]$", r"$[0,3]$"],
        [r"$(-\infty, \infty)$", r"$\mathbb{R}$"],
    ],
    "inequalities": [
        [r"$x > 3$", r"$3 < x$", r"$x \gt 3$", r"$-x < -3$", r"$2x > 6$"],
        [r"$x \geq 3$", r"$x \ge 3$", r"$x >= 3$", r"$3 \le x$"],
        [r"$1 < x < 4$", r"$1<x<4$"],
        [r"$1 \le x \le 4$", r"$1 \leq x \leq 4$"],
        [r"$x \ne 2$", r"$x \neq 2$"],
        [r"$y > 3$"],
    ],
    "matrices": [
        [r"$\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}$", r"$\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}$", r"$\begin{pmatrix} 1 & 2 \\ 3 & \frac{8}{2} \end{pmatrix}$"],
        [r"$\begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}$"],
        [r"$\begin{pmatrix} 2 \\ -7 \end{pmatrix}$", r"$\begin{bmatrix} 2 \\ -7 \end{bmatrix}$"],
        [r"$\begin{pmatrix} 2 & -7 \end{pmatrix}$"],
        [r"$\begin{pmatrix} \frac{1}{2} & 0 \\ 0 & \sqrt{4} \end{pmatrix}$", r"$\begin{pmatrix} 0.5 & 0 \\ 0 & 2 \end{pmatrix}$"],
    ],
    "equations": [
        [r"$y = 2x + 1$", r"$2x + 1 = y$", r"$y - 2x - 1 = 0$", r"$2y = 4x + 2$"],
        [r"$x + y = 5$", r"$y + x = 5$", r"$5 = x + y$", r"$x + y - 5 = 0$"],
        [r"$x = 5$", r"$5 = x$"],
        [r"$y = 5$"],
        [r"$x^2 + y^2 = 4$", r"$y^2 + x^2 = 4$"],
        [r"$f(x) = x^2$", r"$f(x)=x \cdot x$"],
    ],
    "identities": [
        [r"$x^2 + 2x + 1$", r"$(x+1)^2$", r"$1 + 2x + x^2$", r"$(x+1)(x+1)$", r"$x(x+2)+1$"],
        [r"$x^2 - 1$", r"$(x-1)(x+1)$", r"$-(1-x^2)$", r"$-(1-x)(1+x)$"],
        [r"$\frac{x+y}{xy}$", r"$\frac{1}{x} + \frac{1}{y}$"],
        [r"$\frac{x^2-4}{x-2}$", r"$x+2$"],
        [r"$a^3 - b^3$", r"$(a-b)(a^2+ab+b^2)$"],
        [r"$2x^2 - 3x + \frac{1}{2}$", r"$0.5 - 3x + 2x^2$"],
        [r"$3n(n+1)$", r"$3n^2 + 3n$"],
        [r"$3n(n-1)$"],
    ],
    "text": [
        [r"$\text{Yes}$", r"$\text{yes}$", r"$Yes$", r"\boxed{\text{Yes}}"],
        [r"$\text{No}$", r"\boxed{\text{No}}"],
        [r"$\text{Monday}$", r"$Monday$"],
        [r"$\text{(B)}$", r"$\text{B}$", r"$B$", r"$\textbf{(B)}$"],
        [r"$\text{(C)}$", r"$C$"],
    ],
    "trigonometry": [
        [r"$\sin^2 x$", r"$(\sin x)^2$", r"$1 - \cos^2 x$", r"$\sin x \cdot \sin x$"],
        [r"$\sin 2x$", r"$2 \sin x \cos x$", r"$\sin(2x)$"],
        [r"$\tan x$", r"$\frac{\sin x}{\cos x}$", r"$\tan(x)$"],
        [r"$\sin \frac{\pi}{6}$", r"$\frac{1}{2}$", r"$\cos \frac{\pi}{3}$"],
        [r"$\arctan 1$", r"$\frac{\pi}{4}$"],
        [r"$\cos x$"],
    ],
    "logarithms": [
        [r"$\log_2 8$", r"$3$", r"$\log_{2}{8}$", r"$\ln e^3$"],
        [r"$\ln 2$", r"$\ln(2)$", r"$\frac{1}{2} \ln 4$"],
        [r"$\log_{10} 5$", r"$\log 5$", r"$\frac{\ln 5}{\ln 10}$"],
        [r"$e^{\ln 5}$", r"$5$"],
        [r"$e^2$", r"$e \cdot e$", r"$e^{2}$"],
    ],
    "factorials": [
        [r"$5!$", r"$120$", r"$5 \cdot 4!$"],
        [r"$\binom{6}{2}$", r"$15$", r"$\frac{6!}{2!4!}$", r"$\binom{6}{4}$"],
        [r"$\frac{10!}{8!}$", r"$90$"],
        [r"$\frac{100!}{98!}$", r"$9900$"],
    ],
    "absolute values": [
        [r"$|-5|$", r"$5$", r"$\left|5\right|$", r"$\lvert -5 \rvert$"],
        [r"$|x|$", r"$|-x|$", r"$\sqrt{x^2}$"],
        [r"$|x-1|$", r"$|1-x|$"],
    ],
    "complex numbers": [
        [r"$3+4i$", r"$4i + 3$", r"$3 + 4 i$"],
        [r"$3-4i$"],
        [r"$-i$", r"$- i$"],
        [r"$\frac{1+i}{2}$", r"$\frac{1}{2}+\frac{i}{2}$", r"$\frac{1}{2}+\frac{1}{2}i$"],
    ],
    "infinity": [
        [r"$\infty$", r"$+\infty$", r"$\infty$"],
        [r"$-\infty$"],
    ],
    "variables": [
        [r"$x_1 + x_2$", r"$x_{2} + x_{1}$"],
        [r"$\alpha + \beta$", r"$\beta + \alpha$"],
        [r"$abc$", r"$a b c$", r"$cab$"],
        [r"$\frac{a}{b}$", r"$a/b$", r"$\frac{2a}{2b}$"],
        [r"$\frac{b}{a}$"],
        [r"$k^2$", r"$k \cdot k$"],
    ],
    "decimals": [
        ["0.333333", r"$\frac{1}{3}$", r"$0.3333333$"],
        ["0.3333", "0.33330"],
        ["1.414214", r"$\sqrt{2}$"],
        ["1.4142"],
        ["2.0", "2", r"$2.00$"],
        [".5", "0.5", r"$\frac12$"],
    ],
}

# Extraction: gold and whole texts.
TEXTS = [
    ("$7$", "The answer is 7."),
    ("$7$", "The answer is $7$."),
    ("$7$", "Answer: 7"),
    ("$7$", "Therefore, the final answer is: $\\boxed{7}$. I hope it is correct."),
    ("$7$", "First $5$, then $6$, and last $7$."),
    ("$7$", "First $7$, then $6$, and last $5$."),
    ("$7$", "The final answer is 7. But I also like 8."),
    ("$7$", "\\boxed{6} no wait, \\boxed{7}"),
    ("$7$", "\\boxed{7} no wait, it is surely not that but another: \\boxed{6}"),
    ("$7$", "x = 3 + 4 = 7"),
    ("$7$", "3 + 4 is what we want"),
    ("$\\frac{1}{2}$", "So we get \\boxed{\\frac{1}{2}}, as wanted."),
    ("$\\frac{1}{2}$", "So we get \\(\\frac{1}{2}\\), as wanted."),
    ("$\\frac{1}{2}$", "So we get \\[\\frac{1}{2}\\] as wanted."),
    ("$\\frac{1}{2}$", "So we get $$\\frac{1}{2}$$ as wanted."),
    ("$\\frac{1}{2}$", "So we get [ \\frac{1}{2} ] as wanted."),
    ("$\\frac{1}{2}$", "So we get 1/2 as wanted."),
    ("$\\frac{1}{2}$", "So we get \\frac{1}{2} as wanted."),
    ("$1,2$", "The solutions are $1$ and $2$."),
    ("$1,2,3$", "The solutions are $1$, $2$, and $3$."),
    ("$(1,2)$", "The point is $(1, 2)$."),
    ("$x=2$", "We find $x = 2$."),
    ("$2$", "We find $x = 1 + 1 = 2$."),
    ("$2$", "We find $x = \\frac{4}{2} = 2$ and are done."),
    ("$12$", "The area is $12$ square units."),
    ("$12$", "The area is 12 cm^2."),
    ("$0.5$", "The probability is 50%."),
    ("$50\\%$", "The probability is $\\boxed{50\\%}$."),
    ("$1234$", "There are 1,234 of them."),
    ("$1234$", "The total is $1,234."),
    ("$-5$", "The temperature is -5 degrees."),
    ("42", "It is **42**."),
    ("42", "**Answer:** 42"),
    ("42", "**Answer**: $42$"),
    ("\\boxed{42}", "42"),
    ("So $x = 42$ is the final answer: $42$", "42"),
    ("$a = 1, b = 2$", "$a=1$ and $b=2$"),
    ("$3$", "Step 1: 2. Step 2: 3"),
    ("$3$", "\\boxed{3} is it. \\boxed{3}"),
    ("$1$ or $2$", "\\boxed{1} or \\boxed{2}"),
    ("$\\frac{3}{5}$", "answer is $\\frac{3}{5}$"),
    ("$\\frac{3}{5}$", "The probability that it rains is then $\\frac{3}{5}$, which equals 60%."),
]

RESPONSES = [
    ("$7$", "\\boxed{7}"),
    ("$7$", "It is \\boxed{7}."),
    ("$7$", "It is $\\boxed{7}$."),
    ("$7$", "It is \\boxed{8}."),
    ("$7$", "First \\boxed{8}, then \\boxed{7}."),
    ("$7$", "The final answer is $7$."),
    ("$7$", "The answer is $7$."),
    ("$7$", "The answer is 7."),
    ("$7$", "It is $7$."),
    ("$7$", "7"),
    ("$\\frac{1}{2}$", "\\[ \\boxed{\\frac{1}{2}} \\]"),
    ("$\\frac{1}{2}$", "\\boxed{0.5}"),
    ("$\\frac{1}{2}$", "\\boxed{1/2}"),
    ("$\\{1,2\\}$", "\\boxed{1} and \\boxed{2}"),
    ("$\\{1,2\\}$", "\\boxed{1, 2}"),
    ("$\\{1,2\\}$", "\\boxed{\\{2, 1\\}}"),
    ("$x=3$", "\\boxed{x=3}"),
    ("$3$", "\\boxed{x=3}"),
    ("$15$", "\\boxed{15 \\text{ cm}}"),
    ("$x^2-1$", "\\boxed{(x-1)(x+1)}"),
    ("$[0,1)$", "\\boxed{[0, 1)}"),
    ("$[0,1)$", "\\boxed{(0, 1)}"),
    ("$25\\%$", "\\boxed{25\\%}"),
    ("$25\\%$", "\\boxed{25}"),
    ("$10^{3}$", "\\boxed{1000}"),
    ("$1000$", "\\boxed{1,000}"),
    ("$\\sqrt{2}$", "The value is \\boxed{\\sqrt{2}} (about 1.414)."),
    ("$\\text{Yes}$", "\\boxed{\\text{Yes}}"),
    ("$5$", "Answer: $\\frac{10}{2}$"),
    ("$90$", "\\boxed{90^\\circ}"),
]


# Spellings near each other, alike or not: all ordered pairs of a group.
NEIGHBOURS = [
    ["$x=1$","$1$","$x=2$","$y=1$","$1=x$","1","$x=1,y=2$","$x+1=2$"],
    ["$(1,2)$","$[1,2]$","$(1,2]$","$\\{1,2\\}$","$1,2$","$2,1$","$(2,1)$","$x=1,2$","$(x,y)=(1,2)$","$x=1, y=2$","$x \\in (1,2)$","$1<x<2$","$1 \\le x \\le 2$","$2>x>1$"],
    ["$10\\%$","$10$","$0.1$","$\\frac{1}{10}$","10%","0.10","$10.0\\%$","$0.1\\%$"],
    ["$5 \\text{ cm}$","$5 \\text{ m}$","$5$ cm","5 cm","5","$5cm$","$5~\\text{cm}$","$5\\,\\mathrm{cm}$","$5 \\mathrm{~cm}$","$5\\ \\text{cm}$"],
    ["$\\text{A}$","$A$","$a$","$\\text{(A)}$","$\\textbf{(A)}$","$\\textbf{A}$","$\\mathrm{A}$","$\\text{A, B}$","$A,B$","$B$"],
    ["$\\frac{\\sqrt{3}}{2}$","$\\sin 60^\\circ$","$\\sin \\frac{\\pi}{3}$","$\\frac{1}{2}\\sqrt{3}$","$0.866025$","$0.8660254$","$0.87$","$\\cos 30^\\circ$"],
    ["$3.14$","$\\pi$","$3.14159$","$3.141593$","$3.1415927$","$\\frac{22}{7}$"],
    ["$2^n$","$2^{n}$","$2 \\cdot 2^{n-1}$","$n^2$","$4^{n/2}$","$2^{n+1}-2^n$"],
    ["$\\frac{n(n+1)}{2}$","$\\frac{n^2+n}{2}$","$\\binom{n+1}{2}$","$\\frac{1}{2}n(n+1)$","$\\sum_{k=1}^{n} k$"],
    ["$e^{i\\pi}$","$-1$","$i^2$","$\\cos \\pi$"],
    ["$\\sqrt{x^2}$","$|x|$","$x$","$\\sqrt{x}^2$"],
    ["$\\ln(ab)$","$\\ln a + \\ln b$","$\\ln(a)+\\ln(b)$","$\\log(ab)$"],
    ["$x \\ge 2$","$[2,\\infty)$","$x \\in [2, \\infty)$","$(2,\\infty)$","$x>2$","$2 \\le x$","$x \\geqslant 2$","$\\{x \\mid x \\geq 2\\}$"],
    ["$y=2x+3$","$2x+3$","$f(x)=2x+3$","$y-2x=3$","$y = 3+2x$","$2x - y + 3 = 0$","$x=\\frac{y-3}{2}$"],
    ["$\\{x | x > 1\\}$","$x>1$","$(1,\\infty)$"],
    ["$1:2$","$\\frac{1}{2}$","$1/2$","$0.5$","$2:4$","$2:1$"],
    ["$12{:}30$","$12:30$"],
    ["$1,000,000$","$10^6$","1000000","1,000,000","$1{,}000{,}000$","$1 000 000$","1 million","$1\\,000\\,000$"],
    ["$-\\frac{1}{2}$","$\\frac{-1}{2}$","$-0.5$","-1/2","$-\\frac12$","-0.5","$- \\frac{1}{2}$","$\\frac{1}{-2}$"],
    ["$\\frac{1}{2}, \\frac{1}{3}$","$\\frac{1}{3}, \\frac{1}{2}$","$x=\\frac{1}{2}, x=\\frac{1}{3}$","$x=\\frac{1}{2}$ or $x=\\frac{1}{3}$","$\\{\\frac{1}{2},\\frac{1}{3}\\}$","$(\\frac12,\\frac13)$","$\\frac12$ and $\\frac13$"],
    ["$x = \\pm 2$","$\\pm 2$","$2, -2$","$x=2$ or $x=-2$","$x=2,-2$","$x = -2, x = 2$","$|x|=2$","$x^2=4$"],
    ["$\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}$","$(1,2)$","$\\begin{bmatrix} 1 \\\\ 2 \\end{bmatrix}$","$\\begin{pmatrix} 1 & 2 \\end{pmatrix}$","$\\left(\\begin{array}{c}1\\\\2\\end{array}\\right)$"],
    ["$\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}$","$-2$"],
    ["$2\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}$","$\\begin{pmatrix} 2 & 4 \\\\ 6 & 8 \\end{pmatrix}$"],
    ["$\\lfloor 3.7 \\rfloor$","$3$","$\\lceil 2.1 \\rceil$"],
    ["$\\gcd(12,18)$","$6$","$\\max(6,2)$","$\\min\\{6,7\\}$"],
    ["$x^2+y^2=1$","$y^2+x^2=1$","$x^2+y^2-1=0$","$1=x^2+y^2$","$2x^2+2y^2=2$","$x^2=1-y^2$"],
    ["$a_1 = 2$","$2$","$a_{1}=2$","$a_1=3$"],
    ["$f(x) = x+1$","$x+1$","$g(x)=x+1$","$1+x$","$f(x)=1+x$"],
    ["$\\text{yes}$","$yes$","$\\text{no}$","$\\text{Yes.}$","$\\text{Yes}$"],
    ["$\\frac{a+b}{2}$","$\\frac{a}{2}+\\frac{b}{2}$","$(a+b)/2$","$\\frac12(a+b)$","$0.5(a+b)$","$0.5a+0.5b$"],
    ["$6.022\\times10^{23}$","$6.022 \\cdot 10^{23}$","$6.022e23$","6.022e23"],
    ["$1.5\\times 10^{-3}$","$0.0015$","$1.5 \\cdot 10^{-3}$","$\\frac{3}{2000}$"],
    ["$\\sqrt{-4}$","$2i$"],
    ["$(a+b)^2$","$a^2+2ab+b^2$","$a^2+b^2$","$(b+a)^2$"],
    ["$\\cos 2x$","$1-2\\sin^2 x$","$\\cos^2 x - \\sin^2 x$","$2\\cos^2 x-1$","$\\cos(2x)$"],
    ["$\\sec x$","$\\frac{1}{\\cos x}$","$\\sec(x)$"],
    ["$\\log_3 9$","$2$","$\\log_{3}(9)$","$\\frac{\\ln 9}{\\ln 3}$"],
    ["$\\log_2 3$","$\\frac{\\log 3}{\\log 2}$","$\\frac{\\ln 3}{\\ln 2}$"],
    ["$0.\\overline{3}$","$\\frac{1}{3}$","$0.\\dot{3}$"],
    ["$\\infty$","$\\text{infinity}$","infinity","$+\\infty$","$-\\infty$"],
    ["$\\emptyset$","$\\varnothing$","$\\{\\}$","$\\text{no solution}$"],
    ["$\\mathbb{R}$","$(-\\infty,\\infty)$","$x \\in \\mathbb{R}$","$\\text{all real numbers}$"],
    ["$\\mathbb{R} \\setminus \\{1\\}$","$(-\\infty,1)\\cup(1,\\infty)$","$x \\neq 1$"],
    ["$20^\\circ$","$20$","$20^{\\circ}$","$20 \\degree$","$20°$","20°","20 degrees","$20\\text{°}$"],
    ["$\\$5$","$5$","5 dollars","$5 \\text{ dollars}$","\\$5","$5.00"],
    ["$\\triangle ABC$","$ABC$"],
    ["$\\angle A = 30^\\circ$","$30$","$\\angle A=30$"],
    ["$AB = 5$","$5$","$\\overline{AB}=5$"],
    ["$3 \\frac{1}{2}$","$3.5$","$\\frac{7}{2}$","3 1/2","$3\\frac12$","$3+\\frac{1}{2}$"],
    ["$2(3)$","$6$","$2 \\cdot 3$","$(2)(3)$","$2\\times3$"],
    ["$x<1 \\text{ or } x>3$","$(-\\infty,1)\\cup(3,\\infty)$","$x>3 \\text{ or } x<1$","$x < 1, x > 3$"],
    ["$(x-1)(x-2)=0$","$x^2-3x+2=0$","$x=1,2$"],
    ["$5!$","$120$","$5 \\times 4 \\times 3 \\times 2 \\times 1$"],
    ["$12\\pi \\text{ cm}^2$","$12\\pi$","$12 \\pi \\text{ square units}$"],
    ["$\\frac{5\\pi}{6}$ radians","$\\frac{5\\pi}{6}$","$150^\\circ$"],
    ["$k \\in \\mathbb{Z}$","$\\mathbb{Z}$"],
    ["$x = 2k\\pi$","$2k\\pi$","$2\\pi k$"],
    ["$\\sqrt[4]{16}$","$2$","$16^{1/4}$","$16^{0.25}$"],
    ["$\\left\\{(1,2),(3,4)\\right\\}$","$(1,2),(3,4)$","$(3,4),(1,2)$","$(1,2)$ and $(3,4)$"],
    ["$-x^2+1$","$1-x^2$","$(1-x)(1+x)$","$-(x^2-1)$"],
    ["$\\frac{1}{x-1}-\\frac{1}{x+1}$","$\\frac{2}{x^2-1}$"],
    ["$100\\pi$","$314.159265$","$314.16$"],
    ["$\\frac{2}{3}$","$0.666667$","$0.6667$","$0.67$","$0.666666$","$66.67\\%$"],
    ["$1{,}5$","$1.5$","$1,5$","1,5"],
    ["$7 \\pmod{11}$","$7$"],
    ["$1011_2$","$1011$","$1011_{2}$"],
    ["$\\overrightarrow{AB}$","$\\vec{AB}$","$AB$"],
    ["$\\text{C}_2\\text{H}_6$","$C_2H_6$"],
    ["$\\frac{x}{y}=2$","$x=2y$","$\\frac{x}{y}=\\frac{4}{2}$"],
    ["$x+y>2$","$2<x+y$","$y>2-x$","$x+y\\ge 2$"],
    ["$\\int_0^1 x dx$","$\\frac12$"],
    ["$\\lim_{x \\to 0} \\frac{\\sin x}{x}$","$1$"],
    ["$\\sum_{k=1}^{10} k$","$55$"],
    ["$\\prod_{k=1}^{5} k$","$120$"],
    ["$\\tan^{-1}(1)$","$\\frac{\\pi}{4}$","$\\arctan(1)$"],
    ["$n \\text{ is even}$","$\\text{even}$"],
    ["$-1 < x \\leq 3$","$(-1,3]$","$x \\in (-1, 3]$","$3 \\ge x > -1$"],
    ["$|x-2|<3$","$-1<x<5$","$(-1,5)$"],
    ["$x^2 > 4$","$(-\\infty,-2)\\cup(2,\\infty)$"],
]


def verdict(gold, prediction):
    # a busy machine must not change a verdict
    patient = {"parsing_timeout": 120}
    if "</think>" in prediction:
        answer = prediction.rsplit("</think>", 1)[1]
        found = parse(answer, REWARD, extraction_mode="first_match", **patient)
    else:
        found = parse(prediction, BARE, **patient)
    return bool(verify(parse(gold, BARE, **patient), found, timeout_seconds=120))


def pairs():
    draw = random.Random(7)
    for name, groups in FAMILIES.items():
        for group in groups:
            first = group[0]
            yield from ((name, first, other) for other in group)
            yield from ((name, other, first) for other in group[1:])
            if len(group) > 2:
                yield from ((name, *draw.sample(group, 2)) for _ in range(2))
        for a, b in itertools.permutations(groups, 2):
            if draw.random() < 0.7:
                yield name, draw.choice(a), draw.choice(b)
    for group in NEIGHBOURS:
        yield from (("neighbours", a, b) for a, b in itertools.permutations(group, 2))
    yield from (("extraction", gold, text) for gold, text in TEXTS)
    thought = "<think>Is it $1$? \\boxed{1}? The answer is $2$.</think>"
    yield from (("responses", gold, thought + "\n\n" + text) for gold, text in RESPONSES)


def main():
    cases, seen = [], set()
    for name, gold, prediction in pairs():
        if (gold, prediction) in seen:
            continue
        seen.add((gold, prediction))
        equivalent = verdict(gold, prediction)
        cases.append(
            {"kind": name, "gold": gold, "prediction": prediction, "equivalent": equivalent}
        )
    out = {"source": "math-verify 0.9.0, by reference_pairs.py", "cases": cases}
    path = Path(__file__).with_name("reference.json")
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    path.write_text(f'{{"source": {json.dumps(out["source"])}, "cases": [\n{lines}\n]}}\n')
    print(len(cases), sum(case["equivalent"] for case in cases))


main()
