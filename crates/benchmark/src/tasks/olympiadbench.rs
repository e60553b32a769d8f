//! OlympiadBench (arXiv:2402.14008), open-ended: `Hothan/OlympiadBench`, or VLMEvalKit's `OlympiadBench.tsv`.
//!
//! Several answers count in any order, numbers within the tolerance that the item gives.
//!
//! Prompt and score: OpenBMB/OlympiadBench, `inference/code/evaluators/evaluator.py` and
//! `inference/code/math_judger.py`, as open-compass/VLMEvalKit has them (`vlmeval/dataset/image_vqa.py`,
//! `OlympiadBench`; `dataset/utils/olympiadbench.py`). An empty unit is no unit here; the kit takes it for one, since
//! pandas reads it as a number.

use super::Draft;
use crate::item::{Comparing, Item, Scoring, picture, text};
use crate::prompt::{Style, interleave, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};
use crate::vlmevalkit::Kit;

pub(super) const TASK: Task = Task {
    name: "olympiadbench",
    title: "OlympiadBench",
    hubs: &[Hub { repo: "Hothan/OlympiadBench", files: &["OE_"] }],
    keep: &["oe_"],
    skip: &["tp_"],
    item,
    figures: Figures::Accuracy,
};

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    let source = row.optional("source").unwrap_or_default();
    let is_proof = |kind: String| kind.contains("proof");
    if row.optional("question_type").is_some_and(is_proof) || source.starts_with("TP") {
        return Ok(None);
    }
    let mut draft = Draft::new(row, &["question"], &["id", "index"], &["subfield", "category"])?;
    let columns = ["image_1", "image_2", "image_3", "image_4", "image_5"];
    for column in columns {
        draft.images.extend(reading.images.of(row, &[column])?);
    }
    if draft.images.is_empty() {
        draft.images = reading.images.of(row, &["image", "image_path"])?;
    }
    let problem = Problem::of(row, &source);
    let context = row.optional("context").filter(|_| !problem.is_mathematics);
    let context = context.map(|context| format!("{context}\n")).unwrap_or_default();
    let asked = format!("{context}{}", draft.question);
    let parts = match reading.style {
        Style::Paper => {
            let asked = asked.replace("<image_", "<image ");
            interleave(&draft.images, &open(Style::Paper, &asked, ""))?
        }
        Style::Vlmevalkit => {
            let words = text(format!("{}\n{asked}", problem.instruction()));
            [words].into_iter().chain(draft.images.iter().map(picture)).collect()
        }
    };
    let golds =
        row.list("final_answer").or_else(|_| row.text("final_answer").map(|one| vec![one]))?;
    let tolerances = tolerances(row, &problem)?;
    let is_chinese = problem.is_chinese;
    draft.kit =
        Some(Kit::Olympiad { gold: golds.join(","), tolerances: tolerances.clone(), is_chinese });
    let how = Comparing::Several { tolerances, is_chinese };
    draft.item(parts, golds.join("; "), Scoring::Open { golds, how })
}

/// The tolerance of all answers, or of each; none for tuples and where the item gives none.
fn tolerances(row: &Row, problem: &Problem) -> Result<Vec<f64>, String> {
    const TOLERANCE: f64 = 1e-8;
    let error = row.optional("error").filter(|_| !problem.answer_type.contains("Tuple"));
    let Some(error) = error else { return Ok(Vec::new()) };
    let one = |part: &str| match part.trim() {
        "" => Ok(TOLERANCE),
        part => part.parse().map_err(|_| format!("column `error`: {part:?} is no number")),
    };
    error.split(',').map(one).collect()
}

/// What the instruction depends on.
struct Problem {
    is_chinese: bool,
    is_mathematics: bool,
    has_several: bool,
    has_unit: bool,
    answer_type: String,
}

impl Problem {
    /// From the columns of the parquet files, or from the source that VLMEvalKit's table names.
    fn of(row: &Row, source: &str) -> Self {
        let text = |column: &str| row.optional(column).unwrap_or_default();
        Self {
            is_chinese: text("language").starts_with("Chinese") || source.contains("zh"),
            is_mathematics: text("subject").starts_with("Math") || source.contains("maths"),
            has_several: ["True", "true", "1"].contains(&text("is_multiple_answer").as_str()),
            has_unit: !text("unit").is_empty(),
            answer_type: text("answer_type"),
        }
    }

    /// The benchmark's own words, with VLMEvalKit's quotation marks.
    fn instruction(&self) -> String {
        let boxed = match (self.has_several, self.is_chinese) {
            (true, true) => "\\boxed{用英文逗号连接的多个答案}",
            (true, false) => "\\boxed{multiple answers connected with commas}",
            (false, true) => "\\boxed{答案}",
            (false, false) => "\\boxed{answer}",
        };
        let kind = kind(&self.answer_type, self.has_several, self.is_chinese);
        let unit = |words: &'static str| if self.has_unit { words } else { "" };
        if self.is_chinese {
            let subject = if self.is_mathematics { "数学" } else { "物理" };
            return format!(
                "以下是中国{subject}竞赛中的解答题{kind}。请根据题目的要求和所提供的信息计算得出答案。解答过程和结果中使用的变量和公式请使用LaTeX格式表示。请在最后以\"所以最终答案是{boxed}{}。\"显式给出结果{}。",
                unit("(单位)"),
                unit("，注意答案的单位不要放在\\boxed{}中"),
            );
        }
        let subject = if self.is_mathematics { "Math" } else { "Physics" };
        format!(
            "The following is an open-ended problem from an International {subject} competition. {kind}Please calculate the answer according to the given requirements and the information provided. Please use LaTeX format to represent the variables and formulas used in the solution process and results. Please end your solution with \"So the final answer is {boxed}{}.\" and give the result explicitly{}.",
            unit("(unit)"),
            unit(", note that the unit of the answer should not be included in \\boxed{}"),
        )
    }
}

/// What kind of answer is asked for.
fn kind(answer_type: &str, has_several: bool, is_chinese: bool) -> String {
    if ["Need_human_evaluate", "Tuple"].iter().any(|kind| answer_type.contains(kind)) {
        return String::new();
    }
    let name = |one: &str| {
        let one = one.split('-').next().unwrap_or_default();
        KINDS
            .iter()
            .find(|(kind, ..)| one.contains(kind))
            .map(|(_, english, chinese)| if is_chinese { *chinese } else { *english })
    };
    let named = match has_several {
        true => answer_type.split(',').map(name).collect::<Option<Vec<_>>>(),
        false => name(answer_type).map(|name| vec![name]),
    };
    let Some(names) = named else { return String::new() };
    let are_alike = names.iter().all(|name| *name == names[0]);
    let joined = match are_alike {
        true => names[0].to_owned(),
        false => names.join(if is_chinese { "、" } else { ", " }),
    };
    match (is_chinese, has_several, are_alike) {
        (true, false, _) => format!("，答案类型为{joined}"),
        (true, true, true) => format!("，题目有多个答案，答案类型均为{joined}"),
        (true, true, false) => format!("，题目有多个答案，答案类型分别为{joined}"),
        (false, false, _) => format!("The answer of The problem should be {joined}. "),
        (false, true, true) => {
            format!("The problem has multiple answers, each of them should be {joined}. ")
        }
        (false, true, false) => {
            format!("The problem has multiple answers, with the answers in order being {joined}. ")
        }
    }
}

/// Kinds of answers, in English and in Chinese.
const KINDS: [(&str, &str, &str); 4] = [
    ("Numerical", "a numerical value", "数值"),
    ("Expression", "an expression", "表达式"),
    ("Equation", "an equation", "方程"),
    ("Interval", "an interval", "区间"),
];
