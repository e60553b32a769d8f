"""DINOv2's features in PyTorch, or in onnxruntime from the same module exported."""

import argparse
import time

import torch

import inputs
import parts

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--batch", type=int, default=16)
parser.add_argument("--side", type=int, default=224)
parser.add_argument("--onnx", action="store_true")
args = parser.parse_args()

start = time.perf_counter()
model = parts.encoder(args.model)
pixels = inputs.pixels(args.batch, args.side)


class Features(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        return self.model(pixel_values=pixels).last_hidden_state


encode = Features()
if args.onnx:
    import io

    import onnxruntime

    exported = io.BytesIO()
    torch.onnx.export(encode, (pixels,), exported, input_names=["pixels"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(exported.getvalue(), options, providers=["CPUExecutionProvider"])

    def encode(pixels):
        return torch.from_numpy(session.run(None, {"pixels": pixels.numpy()})[0])


def round_():
    with torch.inference_mode():
        states = encode(pixels)[:, 1:]
    return [states.double().mean().item(), states.double().pow(2).sum().sqrt().item()]


inputs.serve(round_, time.perf_counter() - start)
