#!/usr/bin/env bash
# All that needs a GPU, in one command: tests, speeds beside bare loops, trials, a search, fused seeds, sharing with MPS.
#     bash benchmarks/gpu.sh [--cifar CIFAR] [--old PATH/bin/nas]      # as of benchmarks/gpu.py
set -uo pipefail
cd "$(dirname "$0")/.."

nvidia-smi --query-gpu=name,driver_version --format=csv,noheader || { echo "no GPU here"; exit 2; }
pytest -m gpu -n 0
for batch in 64 256 1024; do
  python benchmarks/proxy.py --device cuda --batch "$batch" --train 40000 --val 10000 --share 2 4
done
python benchmarks/gpu.py "$@"
python benchmarks/fused.py --device cuda
export CUDA_MPS_PIPE_DIRECTORY=${CUDA_MPS_PIPE_DIRECTORY:-/tmp/nvidia-mps}
if nvidia-cuda-mps-control -d; then
  python benchmarks/proxy.py --device cuda --batch 512 --train 40000 --val 10000 --share 2 4
  echo quit | nvidia-cuda-mps-control
else
  echo "MPS is refused here: trials that share the GPU were measured without it alone"
fi
