"""Writes the golden files beside this script: run it with Python 3.11, Pillow 13, transformers 5.23, tokenizers 0.23.

What Pillow, transformers and a plain byte-pair encoder say to inputs that both sides can make by themselves.
"""

import base64
import datetime
import hashlib
import io
import json
import pathlib
import unicodedata

import numpy as np
import regex
import transformers.utils.chat_template_utils as chat
from PIL import Image
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).parent
NOW = 1_763_700_000
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    (HERE / name).write_text(text + "\n")


def digest(image):
    return hashlib.sha256(np.array(image).tobytes()).hexdigest()


def pattern(width, height, kind):
    """`smooth` drifts, `harsh` jumps between black and white: the second makes the filter overshoot."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = (x * 7 + y * 13 + c * 29 + x * y) % 256
    if kind == "harsh":
        values = np.where(values % 5 < 2, 255, 0)
    return Image.fromarray(values.astype(np.uint8))


def resizes():
    sizes = [
        ((37, 23), (56, 56)), ((56, 56), (37, 23)), ((118, 56), (112, 56)), ((1, 1), (14, 14)), ((3, 2), (56, 28)),
        ((1, 50), (28, 28)), ((200, 3), (28, 56)), ((101, 67), (448, 448)), ((301, 211), (56, 112)),
        ((64, 48), (64, 31)), ((64, 48), (31, 48)), ((64, 48), (64, 48)), ((7, 5), (1, 1)), ((517, 389), (224, 224)),
        # Pillow 13 resizes rows first: wider and lower, much lower; and just not.
        ((133, 97), (140, 84)), ((45, 106), (6, 19)), ((100, 100), (90, 80)),
    ]
    return [
        {"from": a, "to": b, "kind": kind, "sha256": digest(pattern(*a, kind).resize(b))}
        for a, b in sizes
        for kind in ("smooth", "harsh")
    ]


def images():
    rgb = pattern(19, 11, "smooth")
    alpha = Image.merge("RGBA", [*rgb.split(), rgb.getchannel(0)])
    grey = rgb.convert("L")
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    cases = [
        ("rgb.png", rgb, {}), ("alpha.png", alpha, {}), ("grey.png", grey, {}), ("bits.png", grey.convert("1"), {}),
        ("grey-alpha.png", alpha.convert("LA"), {}), ("palette.png", palette, {}),
        ("transparent.png", palette, {"transparency": 3}), ("rgb.bmp", rgb, {}), ("palette.bmp", palette, {}),
        ("palette.gif", palette, {}), ("lossless.webp", rgb, {"lossless": True}), ("lossy.webp", rgb, {}),
    ]
    golden = []
    for name, image, options in cases:
        file = io.BytesIO()
        image.save(file, name.split(".")[1], **options)
        decoded = Image.open(file).convert("RGB")
        encoded = base64.b64encode(file.getvalue()).decode()
        golden.append({"name": name, "size": decoded.size, "base64": encoded, "sha256": digest(decoded)})
    return golden


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc)


def templates():
    chat.datetime = Clock
    thought = "<think>\nTwo and two.\n</think>\n\nIt is \\boxed{4}."
    turn = lambda role, text: {"role": role, "content": text}
    conversations = [
        [turn("user", "Hi a")],
        [turn("system", "Be brief."), turn("user", '<image>\nWhat is it? "q" <b> & é 漢')],
        [turn("user", "a"), turn("assistant", thought), turn("user", " b \n")],
        [turn("user", "a"), turn("assistant", thought)],
        [turn("system", "S"), turn("user", "a"), turn("assistant", "plain  "), turn("user", "c!"),
         turn("assistant", thought)],
        [turn("assistant", "x"), turn("user", "xa")],
    ]
    cases = []
    for path in [*sorted((HERE / "templates").glob("*.jinja")), HERE / "internvl-six-b" / "chat_template.jinja"]:
        for messages in conversations:
            for prompt in (False, True):
                try:
                    (text,), _ = chat.render_jinja_template(
                        [messages], chat_template=path.read_text(), add_generation_prompt=prompt, **SPECIAL_TOKENS)
                except Exception:
                    text = None
                name = str(path.relative_to(HERE))
                cases.append({"template": name, "messages": messages, "prompt": prompt, "text": text})
    return {"now": NOW, "special_tokens": SPECIAL_TOKENS, "cases": cases}


CONTRACTIONS = "'s|'t|'re|'ve|'m|'ll|'d"
GPT2 = rf"{CONTRACTIONS}| ?\p{{L}}+| ?\p{{N}}+| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)"
NEWER = (rf"(?i:{CONTRACTIONS})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}DIGITS"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPLITS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "qwen2": [NEWER.replace("DIGITS", "")],
    "llama-bpe": [NEWER.replace("DIGITS", "{1,3}")],
    "default": [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"],
}


def isolate(pieces, expression):
    """Each match and each gap between matches becomes a piece."""
    for piece in pieces:
        end = 0
        for match in regex.finditer(expression, piece):
            if match.start() > end:
                yield piece[end:match.start()]
            if match.group():
                yield match.group()
            end = match.end()
        if end < len(piece):
            yield piece[end:]


def byte_letters():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain}
    return letters | {byte: chr(256 + index) for index, byte in enumerate(others)}


def merge(word, vocab, ranks, whole_words):
    pieces = [byte_letters()[byte] for byte in word.encode()]
    if whole_words and "".join(pieces) in vocab:
        return [vocab["".join(pieces)]]
    while len(pieces) > 1:
        rank, at = min((ranks.get(pair, 1 << 30), at) for at, pair in enumerate(zip(pieces, pieces[1:])))
        if rank == 1 << 30:
            break
        pieces[at:at + 2] = [pieces[at] + pieces[at + 1]]
    return [vocab[piece] for piece in pieces]


def encode(text, pre, vocab, ranks, added):
    ids = []
    for part in regex.split("(" + "|".join(map(regex.escape, added)) + ")", text):
        if part in added:
            ids.append(vocab[part])
            continue
        pieces = [unicodedata.normalize("NFC", part) if pre == "qwen2" else part]
        for expression in SPLITS[pre]:
            pieces = list(isolate(pieces, expression))
        for piece in pieces:
            ids += merge(piece, vocab, ranks, pre == "llama-bpe")
    return ids


def tokenizers():
    corpus = [
        "The sum of 17 and 25 is 42. The answer is 42!", "what's the sum? I'll count: 100 + 2000 = 2100",
        "let x = (a + b) * c;\n\n\treturn x;\n", "don't we'll they're ''' --- ... ??? >>>", "naïve café, Größe, 漢字 仮名",
    ]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLITS["llama-bpe"][0]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    trained.train_from_iterator(corpus * 2, trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    control, user_defined = ["<|im_start|>", "<|im_end|>"], ["<think>", "</think>"]
    types = [1] * len(tokens) + [3] * 2 + [4] * 2
    tokens += control + user_defined
    vocab = {token: index for index, token in enumerate(tokens)}
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    texts = [
        "", "Hello world", " the sum of 17 and 2500 ", "a\n\n b\t\tc  \n", "I'LL say WE'RE it's 'tis",
        "<|im_start|>user\nWhat?<|im_end|>\n<think>\nsum\n</think>\n\n\\boxed{42}", "12345678 3.14e-10 ½ ٣٤",
        "日本語 한국어 🙂👩‍👩‍👧 e\u0301 é", "\r\n\r\n  x  \n y\u00a0z", "$a<=b^2~|c| ... ((x)) !!\n", "<|im_end|><|im_start|>  <|im_end",
    ]
    ids = {pre: [encode(text, pre, vocab, ranks, control + user_defined) for text in texts] for pre in SPLITS}
    merges = [" ".join(pair) for pair in model["merges"]]
    return {"tokens": tokens, "types": types, "merges": merges, "texts": texts, "ids": ids}


write("pillow.json", {"resize": resizes(), "images": images()})
write("templates.json", templates())
write("tokenizers.json", tokenizers())
