//! VLMEvalKit's tables.

use benchmark::{Item, Next, Style};

use crate::fixture::{Folder, assert_file, base64, scores, tsv};

/// The score that VLMEvalKit's rules alone give; nothing where a model is asked.
fn by_rule(item: &Item, response: &str) -> Option<f64> {
    match item.kit.as_ref().expect("a kit").next(item, response, &[], 0) {
        Next::Score { score, .. } => Some(score),
        Next::Ask { .. } => None,
    }
}

#[test]
fn mmmu_with_references_hints_and_open_questions() {
    let folder = Folder::new();
    let (one, two) = (base64(1), format!("['{}', '{}']", base64(1), base64(2)));
    let columns = ["index", "image", "question", "hint", "A", "B", "answer", "category", "split"];
    folder.write(
        "MMMU_DEV_VAL.tsv",
        tsv(
            &columns,
            &[
                &["1", &one, "What is <image 1>?", "look", "red", "blue", "B", "Art", "validation"],
                &["2", "1", "And this <image 1>?", "", "red", "blue", "A", "Art", "validation"],
                &["3", &two, "<image 1> or <image 2>?", "", "", "", "24/7", "Math", "validation"],
                &["4", "5", "Later: <image 1>", "", "red", "blue", "A", "Art", "validation"],
                &["5", &base64(5), "<image 1>", "", "red", "blue", "A", "Art", "validation"],
                &["6", &one, "dev", "", "red", "blue", "A", "Art", "dev"],
            ],
        ),
    );
    let items = folder.items("mmmu", Style::Vlmevalkit);
    assert_eq!(
        items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(),
        ["1", "2", "3", "4", "5"]
    );
    assert_eq!(
        items[0].prompt_text(),
        "Hint: look\nQuestion: What is <image>\n?\nOptions:\nA. red\nB. blue\n\
         Please select the correct answer from the options above. \n"
    );
    // A row may refer to an image before or behind it; equal images are one source.
    assert_eq!(
        (items[1].images[0].clone(), &items[1].cluster),
        (items[0].images[0].clone(), &items[0].cluster)
    );
    assert_eq!(items[3].images, items[4].images);
    assert_eq!(
        (items[2].images.len(), items[2].gold.as_str(), items[2].subject.as_str()),
        (2, "24/7", "Math")
    );
    assert_file(&folder.made.path().join("images").join(&items[0].images[0].name));
    assert_eq!(
        scores(&items[0], "<think>A or B</think>\nAnswer: \\boxed{B}"),
        (1.0, 1.0, Some(1.0))
    );
    assert_eq!(scores(&items[2], "It is \\boxed{24/7}"), (1.0, 1.0, Some(1.0)));
    assert_eq!(scores(&items[2], "It is \\boxed{7}"), (0.0, 0.0, Some(0.0)));
    let paper = folder.items("mmmu", Style::Paper)[0].prompt_text();
    assert!(
        paper.contains("Answer the multiple choice preceding question.")
            && !paper.contains("Please select")
    );
}

#[test]
fn choices_with_lettered_columns() {
    let folder = Folder::new();
    let columns = ["index", "image", "question", "A", "B", "C", "answer", "category"];
    let rows: &[&[&str]] = &[&["7", &base64(1), "Which?", "red", "blue", "green", "C", "colour"]];
    for (task, file) in [("ai2d", "AI2D_TEST.tsv"), ("realworldqa", "RealWorldQA.tsv")] {
        folder.write(file, tsv(&columns, rows));
        let items = folder.items(task, Style::Paper);
        assert_eq!(items[0].gold, "C. green");
        assert_eq!(scores(&items[0], "\\boxed{C}"), (1.0, 1.0, Some(1.0)), "{task}");
        assert_eq!(scores(&items[0], "It looks green to me"), (0.0, 1.0, Some(1.0)), "{task}");
    }
}

#[test]
fn mathvista_numbers_texts_and_choices() {
    let folder = Folder::new();
    let columns = [
        "index",
        "image",
        "question",
        "answer",
        "answer_option",
        "choices",
        "question_type",
        "answer_type",
        "task",
    ];
    let image = base64(1);
    folder.write(
        "MathVista_MINI.tsv",
        tsv(
            &columns,
            &[
                &[
                    "1",
                    &image,
                    "Hint: … Question: How much?",
                    "0.6",
                    "",
                    "",
                    "free_form",
                    "float",
                    "geometry",
                ],
                &[
                    "2",
                    &image,
                    "Choices: (A) 3 (B) 4",
                    "4",
                    "B",
                    "['3', '4']",
                    "multi_choice",
                    "text",
                    "algebra",
                ],
                &["3", &image, "How many?", "14", "", "", "free_form", "integer", "geometry"],
                &[
                    "4",
                    &image,
                    "Between?",
                    "[2007, 2008]",
                    "",
                    "",
                    "free_form",
                    "list",
                    "statistics",
                ],
            ],
        ),
    );
    let items = folder.items("mathvista", Style::Paper);
    // MathVista rounds; the kit compares floats exactly, and has no score without a model.
    assert_eq!(scores(&items[0], "\\boxed{0.62}"), (1.0, 1.0, None));
    assert_eq!(by_rule(&items[0], "0.62"), None);
    assert_eq!((by_rule(&items[0], "0.60"), by_rule(&items[0], "\\boxed{0.6}")), (Some(1.0), None));
    assert_eq!(scores(&items[1], "\\boxed{B}"), (1.0, 1.0, None));
    assert_eq!((by_rule(&items[1], "(B)"), by_rule(&items[1], "(A)")), (Some(1.0), Some(0.0)));
    assert_eq!((by_rule(&items[2], "14"), by_rule(&items[2], "It is 14")), (Some(1.0), None));
    assert_eq!(by_rule(&items[3], "[2007, 2008]"), None);
    assert_eq!(scores(&items[3], "\\boxed{[2007, 2008]}").0, 1.0);
    assert!(items[0].prompt_text().contains("Answer the preceding question."));
}

#[test]
fn short_answers_of_charts_and_texts() {
    let folder = Folder::new();
    let columns = ["index", "image", "question", "answer"];
    folder.write(
        "ChartQA_TEST.tsv",
        tsv(&columns, &[&["1", &base64(1), "How much?", "['14', '15']"]]),
    );
    let people = "['dakota', 'dakota', 'clos culombu', 'dakota', 'x', 'y', 'z', 'u', 'v', 'w']";
    folder.write("TextVQA_VAL.tsv", tsv(&columns, &[&["1", &base64(1), "What brand?", people]]));
    let chart = &folder.items("chartqa", Style::Vlmevalkit)[0];
    assert!(chart.prompt_text().ends_with("\nAnswer the question using a single word or phrase."));
    assert_eq!(scores(chart, "14.5"), (1.0, 1.0, Some(1.0)));
    assert_eq!(scores(chart, "20"), (0.0, 0.0, Some(0.0)));
    let text = &folder.items("textvqa", Style::Vlmevalkit)[0];
    assert!((scores(text, "Dakota").0 - 0.9).abs() < 1e-12);
}

#[test]
fn yes_and_no_with_their_groups() {
    let folder = Folder::new();
    let columns = ["index", "image", "question", "answer", "category", "l2-category"];
    folder.write(
        "HallusionBench.tsv",
        tsv(&columns, &[&["VD_figure_3_0_1_2", &base64(1), "Is it?", "Yes", "VD", "figure"]]),
    );
    folder.write(
        "POPE.tsv",
        tsv(&columns[..5], &[&["1", &base64(1), "Is there a car?", "No", "random"]]),
    );
    let item = &folder.items("hallusionbench", Style::Vlmevalkit)[0];
    assert_eq!(
        (item.labels["figure"].as_str(), item.labels["question"].as_str()),
        ("figure_0_1", "figure_0_2")
    );
    assert!(item.prompt_text().ends_with("\nIs it?"));
    assert_eq!(scores(item, "Yes, it is."), (1.0, 1.0, Some(1.0)));
    let item = &folder.items("pope", Style::Paper)[0];
    assert_eq!(scores(item, "Answer: \\boxed{No}"), (1.0, 1.0, Some(1.0)));
    assert_eq!(scores(item, "yes"), (0.0, 0.0, Some(0.0)));
}

#[test]
fn problems_in_versions_are_one_cluster() {
    let folder = Folder::new();
    let columns = [
        "index",
        "image",
        "question",
        "answer",
        "question_type",
        "problem_index",
        "problem_version",
    ];
    let asked = "What is x?\nChoices:\nA:1\nB:2";
    folder.write(
        "MathVerse_MINI.tsv",
        tsv(
            &columns,
            &[
                &["1", &base64(1), asked, "B", "multi-choice", "17", "Text Dominant"],
                &["2", &base64(2), "What is x?", "2\u{b0}", "free-form", "17", "Vision Only"],
            ],
        ),
    );
    let items = folder.items("mathverse", Style::Paper);
    assert_eq!((&items[0].cluster, &items[1].cluster), (&"17".to_owned(), &"17".to_owned()));
    assert_eq!(scores(&items[0], "\\boxed{B}").0, 1.0);
    assert_eq!(scores(&items[1], "\\boxed{2^\\circ}").0, 1.0);
}

#[test]
fn mathvision_and_olympiads() {
    let folder = Folder::new();
    folder.write(
        "MathVision.tsv",
        tsv(
            &["index", "image", "question", "answer", "choices", "category"],
            &[
                &["1", &base64(1), "<image1> Which?", "B", "['A', 'B', 'C']", "counting"],
                &["2", &base64(1), "How many?", "7", "[]", "counting"],
            ],
        ),
    );
    let items = folder.items("mathvision", Style::Paper);
    assert_eq!(scores(&items[0], "\\boxed{B}").0, 1.0);
    assert_eq!(scores(&items[1], "\\boxed{7}").0, 1.0);
    let columns = [
        "index",
        "image",
        "question",
        "final_answer",
        "is_multiple_answer",
        "answer_type",
        "error",
        "subject",
        "unit",
        "subfield",
        "language",
    ];
    folder.write(
        "OlympiadBench.tsv",
        tsv(
            &columns,
            &[&[
                "1",
                &base64(1),
                "Find all x. <image_1>",
                "['1,2']",
                "True",
                "Numerical",
                "1e-2",
                "Math",
                "",
                "Algebra",
                "English",
            ]],
        ),
    );
    let item = &folder.items("olympiadbench", Style::Vlmevalkit)[0];
    assert_eq!(
        item.prompt_text(),
        "The following is an open-ended problem from an International Math competition. The problem has multiple \
         answers, each of them should be a numerical value. Please calculate the answer according to the given \
         requirements and the information provided. Please use LaTeX format to represent the variables and formulas \
         used in the solution process and results. Please end your solution with \"So the final answer is \
         \\boxed{multiple answers connected with commas}.\" and give the result explicitly.\n\
         Find all x. <image_1><image>\n"
    );
    assert_eq!(scores(item, "So the final answer is \\boxed{2.005, 1}.").0, 1.0);
    assert_eq!(scores(item, "So the final answer is \\boxed{2}.").0, 0.0);
}

#[test]
fn a_model_that_judges() {
    let folder = Folder::new();
    folder.write(
        "VL-RewardBench.tsv",
        tsv(
            &["index", "image", "question", "response", "answer", "category"],
            &[&["1", &base64(1), "<image>What is it?", "['good', 'bad']", "[0, 1]", "reasoning"]],
        ),
    );
    let item = &folder.items("vl_rewardbench", Style::Paper)[0];
    let verdict = |answer: &str| scores(item, &format!("Overall Judgment: {answer} is better.")).0;
    assert_eq!(verdict("Answer 1") + verdict("Answer 2"), 1.0);
    assert_eq!(verdict(&item.gold), 1.0);
    let prompt = item.prompt_text();
    assert!(prompt.starts_with(" You are a highly capable multimodal AI assistant"));
    let place = prompt.find(&format!("{}: good", item.gold));
    assert!(place.is_some() && prompt.matches("<image>").count() == 1, "{prompt}");
    // The kit swaps responses whose lengths add up to an odd number.
    let item = &folder.items("vl_rewardbench", Style::Vlmevalkit)[0];
    let prompt = item.prompt_text();
    assert!(prompt.contains("Answer 1: bad\n\nAnswer 2: good\n\n"), "{prompt}");
    assert!(prompt.contains("(Answer 1 or Answer 2).For example:") && item.gold == "Answer 2");
}

#[test]
fn words_of_mmmu_pro() {
    let folder = Folder::new();
    let columns = ["index", "image", "question", "A", "B", "answer"];
    let row: &[&[&str]] = &[&["1", &base64(1), "What is <image 1>?", "red", "blue", "B"]];
    folder.write("mmmu_pro/MMMU_Pro_10c.tsv", tsv(&columns, row));
    let placeholder: &[&[&str]] = &[&["2", &base64(1), "placeholder", "red", "blue", "B"]];
    folder.write("mmmu_pro/MMMU_Pro_V.tsv", tsv(&columns, placeholder));
    let items = folder.items("mmmu_pro", Style::Vlmevalkit);
    assert_eq!(
        items[0].prompt_text(),
        "Question: What is <image>\n?\nOptions:\nA. red\nB. blue\n\
         Answer directly with the option letter from the given choices. "
    );
    assert_eq!(
        items[1].prompt_text(),
        "<image>\nAnswer the following multiple-choice question in the image. \
         Answer directly with the option letter from the given choices. "
    );
    assert_eq!((items[0].subject.as_str(), items[1].subject.as_str()), ("standard", "vision"));
}

#[test]
fn words_of_mathvision_in_both_forms() {
    let folder = Folder::new();
    let table = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the \
                 end.\nQuestion: Which?\nChoices:\n(A) 3\n(B) 4";
    folder.write(
        "MathVision.tsv",
        tsv(
            &["index", "image", "question", "answer", "choices", "category"],
            &[
                &["1", &base64(1), table, "B", "['3', '4']", "counting"],
                &["2", &base64(1), "Which?\n<image1>", "B", "['3', '4']", "counting"],
            ],
        ),
    );
    let items = folder.items("mathvision", Style::Vlmevalkit);
    assert_eq!(items[0].prompt_text(), format!("<image>\n{table}"));
    assert_eq!(items[1].prompt_text(), items[0].prompt_text(), "put together as in the table");
    let paper = folder.items("mathvision", Style::Paper);
    assert!(
        paper[0].prompt_text().starts_with("<image>\nWhich?\nChoices:\n(A) 3\n(B) 4\nAnswer the")
    );
    assert!(paper[1].prompt_text().starts_with("<image>\nWhich?\nA. 3\nB. 4\nAnswer the"));
}
