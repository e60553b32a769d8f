"""Makes blocks.gguf and blocks.f32 (weights as gguf-py decodes them) and llama.gguf. Run here; needs numpy and gguf 0.19."""
import numpy as np
from gguf import GGMLQuantizationType as Q, GGUFReader, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

rng = np.random.default_rng(7)
# Bytes of a block that are half-precision scales: random bits there, but finite.
HALVES = {Q.F16: [0], Q.Q4_0: [0], Q.Q4_1: [0, 2], Q.Q5_0: [0], Q.Q5_1: [0, 2], Q.Q8_0: [0],
          Q.Q4_K: [0, 2], Q.Q5_K: [0, 2], Q.Q6_K: [208]}
BLOCKS = 6

writer = GGUFWriter("blocks.gguf", "llama")
expected = []
for kind in [Q.F32, Q.F16, Q.BF16, *[k for k in HALVES if k != Q.F16]]:
    length, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    if kind in (Q.F32, Q.BF16):
        values = rng.standard_normal(BLOCKS).astype(np.float32).view(np.uint32)
        blocks = values.view(np.uint8).reshape(BLOCKS, 4)[:, 4 - size:].copy()
    for at in HALVES.get(kind, []):
        half = blocks[:, at:at + 2].copy().view(np.uint16)
        half[(half & 0x7C00) == 0x7C00] ^= 0x4000
        blocks[:, at:at + 2] = half.view(np.uint8)
    # Two rows, so that the shape is tested as well.
    blocks = blocks.reshape(2, -1)
    plain = {Q.F32: np.float32, Q.F16: np.float16}.get(kind)
    data = blocks.view(plain) if plain else blocks
    writer.add_tensor(kind.name, data, raw_dtype=None if plain else kind)
    expected.append(dequantize(data, kind).astype(np.float32).ravel())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
np.concatenate(expected).astype("<f4").tofile("blocks.f32")

# A file with a value of every type, a small tokenizer, and query and key projections as llama.cpp permutes them.
writer = GGUFWriter("llama.gguf", "llama")
for name in ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]:
    getattr(writer, f"add_{name}")(f"test.{name}", 100 if name.startswith("u") else -100)
writer.add_float32("test.float32", 0.5)
writer.add_float64("test.float64", 0.25)
writer.add_bool("test.bool", True)
writer.add_array("test.floats", [0.5, -1.5])
writer.add_array("test.bools", [True, False])
writer.add_head_count(4)
writer.add_head_count_kv(2)
writer.add_tokenizer_model("gpt2")
writer.add_tokenizer_pre("smollm")
writer.add_token_list(["<|im_start|>", "a", "b", "ab", "ä"])
writer.add_token_types([3, 1, 1, 1, 4])
writer.add_token_merges(["a b"])
writer.add_bos_token_id(0)
writer.add_chat_template("{{ messages }}")


def permute(weights, num_heads):
    return weights.reshape(num_heads, 2, len(weights) // num_heads // 2, -1).swapaxes(1, 2).reshape(weights.shape)


def rows(count, columns):
    return np.arange(count * columns, dtype=np.float32).reshape(count, columns)


writer.add_tensor("blk.0.attn_q.weight", permute(rows(24, 2), 4))
writer.add_tensor("blk.0.attn_k.weight", permute(rows(12, 2), 2))
writer.add_tensor("blk.0.attn_q.bias", permute(rows(24, 1)[:, 0], 4))
writer.add_tensor("blk.0.attn_v.weight", rows(12, 2))
writer.add_tensor("rope_freqs.weight", np.ones(3, dtype=np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
print(GGUFReader("llama.gguf").tensors[0].data[:4], len(GGUFReader("blocks.gguf").tensors))
