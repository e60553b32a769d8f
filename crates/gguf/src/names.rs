//! The names of one tensor in GGUF and in Hugging Face's Llama, Qwen2 and Qwen3.

/// Parts of a layer: GGUF's name after `blk.N.`, Hugging Face's after `model.layers.N.`.
const LAYER_PARTS: [(&str, &str); 11] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_q_norm", "self_attn.q_norm"),
    ("attn_k_norm", "self_attn.k_norm"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
];

/// The Hugging Face name of a GGUF tensor, the same for architectures `llama`, `qwen2` and `qwen3`.
///
/// `None` for a tensor that Hugging Face has no parameter for, such as `rope_freqs.weight`, a table it computes.
pub fn hf_name(name: &str) -> Option<String> {
    match name {
        "token_embd.weight" => return Some("model.embed_tokens.weight".to_owned()),
        "output_norm.weight" => return Some("model.norm.weight".to_owned()),
        "output.weight" => return Some("lm_head.weight".to_owned()),
        _ => {}
    }
    let (layer, part, kind) = split_layer(name)?;
    let (_, hf) = LAYER_PARTS.iter().find(|(gguf, _)| *gguf == part)?;
    Some(format!("model.layers.{layer}.{hf}.{kind}"))
}

/// The metadata key that counts the heads of a projection whose rows `architecture` keeps in interleaved rotary order.
pub(crate) fn rotary_heads_key(architecture: &str, name: &str) -> Option<&'static str> {
    match (architecture, split_layer(name)?.1) {
        ("llama", "attn_q") => Some("llama.attention.head_count"),
        ("llama", "attn_k") => Some("llama.attention.head_count_kv"),
        _ => None,
    }
}

/// `blk.3.attn_q.weight` as `(3, "attn_q", "weight")`.
fn split_layer(name: &str) -> Option<(u32, &str, &str)> {
    let (layer, rest) = name.strip_prefix("blk.")?.split_once('.')?;
    let (part, kind) =
        rest.split_once('.').filter(|(_, kind)| matches!(*kind, "weight" | "bias"))?;
    Some((layer.parse().ok()?, part, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds() {
        let cases = [
            ("token_embd.weight", Some("model.embed_tokens.weight")),
            ("output.weight", Some("lm_head.weight")),
            ("output_norm.weight", Some("model.norm.weight")),
            ("blk.11.attn_norm.weight", Some("model.layers.11.input_layernorm.weight")),
            ("blk.0.attn_q.bias", Some("model.layers.0.self_attn.q_proj.bias")),
            ("blk.0.attn_k_norm.weight", Some("model.layers.0.self_attn.k_norm.weight")),
            ("blk.2.ffn_down.weight", Some("model.layers.2.mlp.down_proj.weight")),
            ("blk.x.ffn_down.weight", None),
            ("blk.1.ffn_down.scale", None),
            ("blk.1.ffn_gate_exps.weight", None),
            ("blk.1", None),
            ("", None),
        ];
        for (gguf, hf) in cases {
            assert_eq!(hf_name(gguf).as_deref(), hf, "{gguf}");
        }
    }

    #[test]
    fn only_llama_interleaves() {
        assert_eq!(
            rotary_heads_key("llama", "blk.0.attn_k.weight"),
            Some("llama.attention.head_count_kv")
        );
        assert_eq!(rotary_heads_key("llama", "blk.0.attn_v.weight"), None);
        assert_eq!(rotary_heads_key("qwen2", "blk.0.attn_q.weight"), None);
    }
}
