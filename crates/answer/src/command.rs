//! What a command of LaTeX means to an answer.

use crate::expr::Relation;

/// The kinds of commands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// Space and size.
    Nothing,
    /// An operator or a delimiter; see [`Token::Sign`](crate::token::Token::Sign).
    Sign(char),
    /// A relation.
    Relation(Relation),
    /// Roughly the same.
    Approximately,
    /// A letter: Greek, or a symbol that acts as one.
    Letter,
    /// Something that the parser knows.
    Command,
    /// Text or an accent over its argument.
    Text,
    /// `\begin` or `\end`.
    Environment,
}

const NOTHING: &str = "quad qquad thinspace medspace thickspace negthinspace negmedspace \
    negthickspace displaystyle textstyle scriptstyle limits nolimits left right big Big bigg Bigg \
    bigl bigr Bigl Bigr biggl biggr Biggl Biggr mleft mright vrule vcenter vbox vskip vspace hfil \
    circ degree strut";

const LETTERS: &str = "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa \
    lambda mu nu xi omicron pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega \
    Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar nabla imath jmath wp angle \
    triangle square prime star bigstar heartsuit spadesuit clubsuit diamondsuit Re Im";

const COMMANDS: &str = "frac dfrac tfrac cfrac binom dbinom tbinom choose sqrt infty sin cos tan csc \
    sec cot arcsin arccos arctan arccsc arcsec arccot sinh cosh tanh arsinh arcosh artanh arcsinh \
    arccosh arctanh log ln lg exp exponentialE max min gcd lcm det mod bmod emptyset varnothing sum \
    prod operatorname boxed fbox phantom";

const TEXTS: &str = "text textnormal textbf textit textrm textsf texttt mathrm mathbf mathit mathsf \
    mathtt mathcal mathfrak mathscr mathbb mbox bar overline hat widehat tilde widetilde vec \
    overrightarrow dot ddot bm boldsymbol acute breve check grave";

const RELATIONS: &[(&str, Relation)] = &[
    ("lt", Relation::Less),
    ("gt", Relation::Greater),
    ("le", Relation::LessEqual),
    ("leq", Relation::LessEqual),
    ("leqslant", Relation::LessEqual),
    ("ge", Relation::GreaterEqual),
    ("geq", Relation::GreaterEqual),
    ("geqslant", Relation::GreaterEqual),
    ("ne", Relation::NotEqual),
    ("neq", Relation::NotEqual),
    ("equiv", Relation::Equal),
];

const SIGNS: &[(&str, char)] = &[
    ("times", '*'),
    ("cdot", '*'),
    ("ast", '*'),
    ("div", '/'),
    ("over", '/'),
    ("pm", '±'),
    ("mp", '∓'),
    ("cup", '∪'),
    ("cap", '∩'),
    ("in", '∈'),
    ("setminus", '∖'),
    ("backslash", '∖'),
    ("lbrace", '⟦'),
    ("rbrace", '⟧'),
    ("lbrack", '['),
    ("rbrack", ']'),
    ("lgroup", '('),
    ("rgroup", ')'),
    ("vert", '|'),
    ("lvert", '|'),
    ("rvert", '|'),
    ("mid", '|'),
    ("lfloor", '⌊'),
    ("rfloor", '⌋'),
    ("lceil", '⌈'),
    ("rceil", '⌉'),
    ("colon", ':'),
];

/// The meaning of the longest known command at the start of `name`, and its length: TeX would want a
/// space in `\quadx`, models do not.
pub(crate) fn meaning(name: &str) -> Option<(usize, Meaning)> {
    (1..=name.len().min(16)).rev().find_map(|length| Some((length, exact(&name[..length])?)))
}

fn exact(name: &str) -> Option<Meaning> {
    let among = |names: &str| names.split(' ').any(|known| known == name);
    if let Some((_, relation)) = RELATIONS.iter().find(|(known, _)| *known == name) {
        return Some(Meaning::Relation(*relation));
    }
    if let Some((_, sign)) = SIGNS.iter().find(|(known, _)| *known == name) {
        return Some(Meaning::Sign(*sign));
    }
    Some(match name {
        "approx" | "simeq" | "cong" => Meaning::Approximately,
        "begin" | "end" => Meaning::Environment,
        _ if among(COMMANDS) => Meaning::Command,
        _ if among(LETTERS) => Meaning::Letter,
        _ if among(TEXTS) => Meaning::Text,
        _ if among(NOTHING) => Meaning::Nothing,
        _ => return None,
    })
}
