# The workflow and all it needs, but weights and slides. Runs on CPUs and, with the NVIDIA container toolkit, on GPUs:
# torch brings its own CUDA libraries.
#   docker build --tag clusterfirst .
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --volume "$PWD:/work" clusterfirst --configfile mine.yaml
# What follows the image's name goes to snakemake. Paths in sheet and config are as seen from /work.
FROM python:3.11-slim-bookworm

# Whoever runs it: homes and caches that can be written to.
ENV HOME=/tmp \
    MPLCONFIGDIR=/tmp/matplotlib \
    NUMBA_CACHE_DIR=/tmp/numba \
    PIP_NO_CACHE_DIR=1 \
    PYTHONDONTWRITEBYTECODE=1

COPY requirements/base.txt /tmp/base.txt
RUN python -m pip install --require-hashes --requirement /tmp/base.txt && rm /tmp/base.txt

COPY workflow /opt/clusterfirst/workflow
COPY profiles /opt/clusterfirst/profiles
COPY config /opt/clusterfirst/config
COPY resources/prompts /opt/clusterfirst/resources/prompts

WORKDIR /work
ENTRYPOINT ["snakemake", "--snakefile", "/opt/clusterfirst/workflow/Snakefile", \
    "--workflow-profile", "/opt/clusterfirst/profiles/default"]
