//! OlympiadBench (arXiv:2402.14008), open-ended: `Hothan/OlympiadBench`, or VLMEvalKit's `OlympiadBench.tsv`.
//!
//! Several answers count in any order, numbers within the tolerance that the item gives.

use super::Draft;
use crate::item::{Comparing, Item, Scoring};
use crate::prompt::{Style, interleave, open};
use crate::table::Row;
use crate::task::{Figures, Hub, Reading, Task};

pub(super) const TASK: Task = Task {
    name: "olympiadbench",
    title: "OlympiadBench",
    hubs: &[Hub { repo: "Hothan/OlympiadBench", files: &["OE_"] }],
    keep: &["oe_"],
    skip: &["tp_"],
    item,
    figures: Figures::Accuracy,
};

/// Answers are compared to eight decimals where the item says nothing.
const DECIMALS: i8 = 8;

fn item(row: &Row, reading: &mut Reading) -> Result<Option<Item>, String> {
    if row.optional("question_type").is_some_and(|kind| kind.contains("proof")) {
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
    let context = row.optional("context").map(|context| format!("{context}\n")).unwrap_or_default();
    let asked = format!("{context}{}", draft.question).replace("<image_", "<image ");
    let words = match reading.style {
        Style::Paper => open(Style::Paper, &asked, ""),
        Style::Vlmevalkit => format!("{}\n{asked}", instruction(row)),
    };
    let parts = interleave(&draft.images, &words)?;
    let golds =
        row.list("final_answer").or_else(|_| row.text("final_answer").map(|one| vec![one]))?;
    let how = Comparing::Several(decimals(row));
    draft.item(parts, golds.join("; "), Scoring::Open { golds, how })
}

/// The decimals of a tolerance such as `1e-2`.
fn decimals(row: &Row) -> i8 {
    let error = row.optional("error").and_then(|error| error.parse::<f64>().ok());
    let error = error.filter(|error| *error > 0.0 && *error <= 1.0);
    error.map_or(DECIMALS, |error| -error.log10().round() as i8)
}

/// The benchmark's own words.
fn instruction(row: &Row) -> String {
    let text = |column: &str| row.optional(column).unwrap_or_default();
    let is_chinese = text("language").starts_with("Chinese");
    let is_physics = text("subject").contains("Physics");
    let several = ["True", "true", "1"].contains(&text("is_multiple_answer").as_str());
    let boxed = match (several, is_chinese) {
        (true, true) => "\\boxed{用英文逗号连接的多个答案}",
        (true, false) => "\\boxed{multiple answers connected with commas}",
        (false, true) => "\\boxed{答案}",
        (false, false) => "\\boxed{answer}",
    };
    if is_chinese {
        let subject = if is_physics { "物理" } else { "数学" };
        let unit = if text("unit").is_empty() { "" } else { "(单位)" };
        return format!(
            "以下是中国{subject}竞赛中的解答题{}。请根据题目的要求和所提供的信息计算得出答案。解答过程和结果中使用的变量和公式请使用LaTeX格式表示。请在最后以“所以最终答案是{boxed}{unit}。”显式给出结果。",
            kind(&text("answer_type"), several, true)
        );
    }
    let subject = if is_physics { "Physics" } else { "Math" };
    let unit = if text("unit").is_empty() { "" } else { "(unit)" };
    format!(
        "The following is an open-ended problem from an International {subject} competition. {}Please calculate the answer according to the given requirements and the information provided. Please use LaTeX format to represent the variables and formulas used in the solution process and results. Please end your solution with \"So the final answer is {boxed}{unit}.\" and give the result explicitly.",
        kind(&text("answer_type"), several, false)
    )
}

/// What kind of answer is asked for.
fn kind(answer_type: &str, several: bool, is_chinese: bool) -> String {
    let known = [
        ("Numerical", "a numerical value", "数值"),
        ("Expression", "an expression", "表达式"),
        ("Equation", "an equation", "方程"),
        ("Interval", "an interval", "区间"),
    ];
    let names =
        answer_type.split(',').map(|one| known.iter().find(|(name, ..)| one.contains(name)));
    let Some(kinds) = names.collect::<Option<Vec<_>>>() else { return String::new() };
    let word = |(_, english, chinese): &&(_, &'static str, &'static str)| {
        if is_chinese { *chinese } else { *english }
    };
    let mut words: Vec<&str> = kinds.iter().map(word).collect();
    words.dedup();
    let joined = words.join(if is_chinese { "、" } else { ", " });
    match (is_chinese, several, words.len() > 1) {
        (true, false, _) => format!("，答案类型为{joined}"),
        (true, true, false) => format!("，题目有多个答案，答案类型均为{joined}"),
        (true, true, true) => format!("，题目有多个答案，答案类型分别为{joined}"),
        (false, false, _) => format!("The answer of The problem should be {joined}. "),
        (false, true, false) => {
            format!("The problem has multiple answers, each of them should be {joined}. ")
        }
        (false, true, true) => {
            format!("The problem has multiple answers, with the answers in order being {joined}. ")
        }
    }
}
