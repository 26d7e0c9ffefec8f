"""What a GPU makes of the networks: rate, share of what it could do, memory, and whether it says what a CPU says.

Started by gpu.sh, which brings what a bare machine lacks:

    bash benchmarks/gpu.sh prepare              # where packages can be fetched
    bash benchmarks/gpu.sh run --out FOLDER     # on the machine with the GPU; --rehearse: small, on a CPU

The slide is made in place, of the demo slide's pixels. InstanSeg has its real weights. Cellpose-SAM, ResNet-50 and the
ViT have seeded random ones, which cost what trained ones cost; what follows Cellpose's network is given flows of nuclei
that InstanSeg found, since random parameters find none. The table is written anew after each part, so that a machine
that is taken away has left what was measured. A part that would not fit into the time that is left is left out, and
said to be.
"""

import argparse
import sys
import time
from pathlib import Path


def main() -> int:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description="Measure the networks on a GPU.")
    parser.add_argument("--kit", type=Path, required=True, help="what `gpu.sh prepare` has gathered")
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.md and gpu.json")
    parser.add_argument("--seconds", type=float, default=540, help="when all must be over")
    parser.add_argument("--rehearse", action="store_true", help="small, on whatever there is")
    arguments = parser.parse_args()
    # Here, for the workers of pipelines import this file, and want no torch for reading tiles.
    from gpu_parts.all import measure

    arguments.out.mkdir(parents=True, exist_ok=True)
    ends = began + arguments.seconds
    return 0 if measure(arguments.kit, arguments.out, ends=ends, rehearsal=arguments.rehearse) else 1


if __name__ == "__main__":
    sys.exit(main())
