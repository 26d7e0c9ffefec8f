"""The parts of gpu.py; workers of the pipelines, which import gpu.py, are spared them."""
