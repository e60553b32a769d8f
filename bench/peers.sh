#!/usr/bin/env bash
# Builds the environment that the peers run in: PyTorch for the CPU, transformers, TRL, onnxruntime; and llama.cpp, through
# Node.js, where there is one.
# usage: bench/peers.sh DIR
set -euo pipefail
dir=${1:?usage: bench/peers.sh DIR}
python3 -m venv "$dir"
"$dir/bin/pip" install -q torch==2.15.0 transformers==5.23.0 trl==1.16.0 accelerate==1.15.0 datasets==5.2.0 \
    safetensors pillow onnx onnxruntime gguf==0.19.0
"$dir/bin/python" -c 'import torch, transformers, trl; print(torch.__version__, transformers.__version__, trl.__version__)'
if command -v npm > /dev/null; then
    case $(uname -sm) in
        "Linux x86_64") build=linux-x64 ;;
        "Linux aarch64") build=linux-arm64 ;;
        "Darwin arm64") build=mac-arm64-metal ;;
        *) build=mac-x64 ;;
    esac
    # The build for this processor alone, without those for GPUs; no scripts of packages run.
    npm install --prefix "$dir" --no-fund --no-audit --omit=optional --ignore-scripts \
        node-llama-cpp@3.22.1 "@node-llama-cpp/$build@3.22.1"
else
    echo "no npm: the rows beside llama.cpp need Node.js 20 or newer (Debian: apt-get install nodejs npm)" >&2
fi
