#!/usr/bin/env bash
# Measure the networks on a machine with a GPU that can fetch nothing; see benchmarks/README.md.
#
#   bash benchmarks/gpu.sh prepare [--python 3.12]                  where packages can be fetched: gathers benchmarks/gpu-kit
#   bash benchmarks/gpu.sh run [--out FOLDER] [--seconds 540]       on that machine, with this folder beside the repository's files
#   bash benchmarks/gpu.sh run --rehearse                           small, on a CPU
#
# PYTHON is the interpreter: of `prepare`, the project's; of `run`, the machine's own, which has torch.
set -euo pipefail
cd "$(dirname "$0")/.."

KIT=benchmarks/gpu-kit
MOST_MB=64
# What the library imports for these parts and the machine may lack. pyarrow is too large to be brought.
WHEELS=(openslide-python openslide-bin shapely geopandas cellpose segment-anything fastremap fill-voids psutil nvidia-ml-py
  pyyaml tqdm)
# What must be there already.
NEEDED=(torch torchvision timm numpy scipy pandas pyarrow sklearn skimage cv2 tifffile PIL)

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }

die() {
  echo "gpu.sh: $*" >&2
  exit 1
}

prepare() {
  local python=${PYTHON:-.venv/bin/python} version=3.12
  while (($#)); do
    case $1 in
      --python) version=${2:?--python wants a version} && shift 2 ;;
      *) die "prepare knows no $1" ;;
    esac
  done
  [[ -x $(command -v "$python") ]] || die "$python is not there: run \`make demo\` first, or set PYTHON"
  rm -rf "$KIT" && mkdir -p "$KIT/wheels"
  local platforms=() name
  for name in 2_39 2_35 2_34 2_31 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${name}_x86_64"); done
  "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version "$version" \
    --implementation cp "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
    --dest "$KIT/wheels" "${WHEELS[@]}"
  echo "$version" >"$KIT/python"
  PYTHONPATH=workflow/scripts "$python" - "$KIT" <<'PY'
import shutil, sys
from pathlib import Path

from clusterfirst.weights import SLIDES, WEIGHTS, fetch

for asset, folder in ((WEIGHTS["instanseg"], "resources/models"), (SLIDES["CMU-1-Small-Region.svs"], "resources/slides")):
    shutil.copy(fetch(asset, Path(folder)), sys.argv[1])
PY
  # The working tree travels, too.
  local kit tree
  kit=$(du -sb "$KIT" | cut -f1)
  tree=$({ git ls-files -z --cached --others --exclude-standard | du -cb --files0-from=- 2>/dev/null || true; } | tail -1 | cut -f1)
  ((kit + tree < MOST_MB << 20)) || die "$KIT and the working tree have $(((kit + tree) >> 20)) MB, more than $MOST_MB"
  echo "$KIT: $((kit >> 20)) MB, beside $((tree >> 20)) MB of the working tree (at most $MOST_MB together), for Python $version."
  echo "Take both to the machine with the GPU ($KIT is ignored by git: name it) and run there, in the repository's root,"
  echo "    bash benchmarks/gpu.sh run --out FOLDER --seconds 540"
  echo "It takes ten minutes at most, and leaves gpu.md, gpu.json and gpu.log in FOLDER."
}

run() {
  local python=${PYTHON:-python3} out=benchmarks/gpu-out seconds=540 more=()
  while (($#)); do
    case $1 in
      --out) out=${2:?--out wants a folder} && shift 2 ;;
      --seconds) seconds=${2:?--seconds wants a number} && shift 2 ;;
      --rehearse) more+=(--rehearse) && shift ;;
      *) die "run knows no $1" ;;
    esac
  done
  [[ -f $KIT/python ]] || die "$KIT is not here: make it with \`bash benchmarks/gpu.sh prepare\` where packages can be fetched"
  mkdir -p "$out"
  local have
  have=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [[ $have == "$(<"$KIT/python")" ]] || die "this is Python $have, and $KIT was made for $(<"$KIT/python"): make it with --python $have"
  "$python" - "${NEEDED[@]}" <<'PY' || die "bring what is missing, or take another machine"
import sys
from importlib.util import find_spec

missing = [name for name in sys.argv[1:] if find_spec(name) is None]
if missing:
    sys.exit(f"not installed here: {', '.join(missing)}")
PY
  SITE=$(mktemp -d)
  trap 'rm -rf "$SITE"' EXIT
  "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile --no-cache-dir --target "$SITE" \
    "$KIT"/wheels/*.whl
  echo "packages laid out after $SECONDS s"
  export PYTHONPATH=$PWD/workflow/scripts:$SITE PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
  "$python" benchmarks/gpu.py --kit "$KIT" --out "$out" --seconds $((seconds - SECONDS)) "${more[@]}" 2>&1 | tee "$out/gpu.log"
}

case ${1:-} in
  prepare | run) "$@" ;;
  *) usage && exit 2 ;;
esac
