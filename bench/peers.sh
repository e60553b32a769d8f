#!/usr/bin/env bash
# Builds the Python environment that the peers run in: PyTorch for the CPU, transformers, TRL, onnxruntime.
# usage: bench/peers.sh DIR
set -euo pipefail
dir=${1:?usage: bench/peers.sh DIR}
python3 -m venv "$dir"
"$dir/bin/pip" install -q torch==2.15.0 transformers==5.23.0 trl==1.16.0 accelerate==1.15.0 datasets==5.2.0 \
    safetensors pillow onnx onnxruntime
"$dir/bin/python" -c 'import torch, transformers, trl; print(torch.__version__, transformers.__version__, trl.__version__)'
