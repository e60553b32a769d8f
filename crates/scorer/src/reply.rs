//! Replies of the routes, of which nothing is taken on trust.

use serde_json::Value;

/// The scores of a `/score` reply, in the order of the documents.
pub(crate) fn scores(reply: &Value, num_expected: usize) -> Result<Vec<f64>, String> {
    let items = items(reply, num_expected)?;
    let mut scores = vec![None; num_expected];
    for (position, item) in items.iter().enumerate() {
        let index = item["index"].as_u64().map_or(position, |index| index as usize);
        let score = number(&item["score"], "score")?;
        let slot = scores.get_mut(index).ok_or_else(|| format!("there is no document {index}"))?;
        if slot.replace(score).is_some() {
            return Err(format!("document {index} has two scores"));
        }
    }
    Ok(scores.into_iter().map(|score| score.expect("as many distinct indices as slots")).collect())
}

/// The score of a `/classify` reply to one conversation.
pub(crate) fn class(reply: &Value) -> Result<f64, String> {
    match items(reply, 1)?[0]["probs"].as_array().map(Vec::as_slice) {
        Some([score]) => number(score, "probs[0]"),
        Some(probs) => Err(format!("{} classes, where a reward model has one number", probs.len())),
        None => Err("`data[0].probs` is no list".to_owned()),
    }
}

/// The score of a `/pooling` reply to one conversation: of a number for each token, the last.
pub(crate) fn pooled(reply: &Value) -> Result<f64, String> {
    let mut value = &items(reply, 1)?[0]["data"];
    let mut is_token = false;
    while let Value::Array(values) = value {
        if is_token && values.len() != 1 {
            return Err(format!(
                "{} numbers for a token, where a reward model has one",
                values.len()
            ));
        }
        value = values.last().ok_or("`data[0].data` is an empty list")?;
        is_token = value.is_array();
    }
    number(value, "data[0].data")
}

fn items(reply: &Value, num_expected: usize) -> Result<&[Value], String> {
    let items = reply["data"].as_array().ok_or("`data` is no list")?;
    match items.len() == num_expected {
        true => Ok(items),
        false => Err(format!("`data` has {} entries, expected {num_expected}", items.len())),
    }
}

fn number(value: &Value, what: &str) -> Result<f64, String> {
    let number = value.as_f64().ok_or_else(|| format!("`{what}` is {value}, no number"))?;
    match number.is_finite() {
        true => Ok(number),
        false => Err(format!("`{what}` is {number}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pooled_reply_is_a_number_a_list_or_a_number_a_token() {
        for (data, want) in [
            (json!(-1.5), Some(-1.5)),
            (json!([-1.5]), Some(-1.5)),
            (json!([7.0, -1.5]), Some(-1.5)),
            (json!([[7.0], [-1.5]]), Some(-1.5)),
            (json!([[7.0, 1.0], [-1.5, 1.0]]), None),
            (json!([]), None),
            (json!([[]]), None),
            (json!(null), None),
            (json!(["high"]), None),
        ] {
            assert_eq!(pooled(&json!({ "data": [{ "data": data }] })).ok(), want, "{data}");
        }
    }

    #[test]
    fn scores_stand_in_the_order_of_their_indices() {
        let of = |data: Value| scores(&json!({ "data": data }), 2);
        let [a, b] = [json!({"index": 1, "score": 2.0}), json!({"index": 0, "score": 1.0})];
        assert_eq!(of(json!([a, b])), Ok(vec![1.0, 2.0]));
        assert_eq!(of(json!([{"score": 1.0}, {"score": 2.0}])), Ok(vec![1.0, 2.0]));
        for bad in
            [json!([a]), json!([a, a]), json!([a, {"index": 2, "score": 0.0}]), json!([a, {}])]
        {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_reward_model_has_one_class() {
        let of = |probs: Value| class(&json!({ "data": [{ "probs": probs }] }));
        assert_eq!(of(json!([-15.5])), Ok(-15.5));
        assert!(of(json!([0.3, 0.7])).unwrap_err().starts_with("2 classes"));
        assert!(of(json!([null])).is_err() && of(json!({})).is_err());
        assert!(class(&json!({ "error": "no" })).is_err());
    }
}
