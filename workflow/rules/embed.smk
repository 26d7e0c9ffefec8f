# From outlined cells to numbers.


rule embed:
    input:
        slide=by_content("embed", slide_file),
        tiles=made("filter_tiles", "tiles"),
        cells=made("segment", "cells"),
        weights=weights_of("embedding"),
    output:
        embeddings=f"{RESULTS}/{{slide}}/embeddings.npy",
        columns=f"{RESULTS}/{{slide}}/embeddings.json",
    log:
        f"{RESULTS}/{{slide}}/logs/embed.log",
    benchmark:
        f"{RESULTS}/{{slide}}/benchmarks/embed.tsv"
    wildcard_constraints:
        slide=alone_in("embed", A_SLIDE),
    conda:
        "../envs/clusterfirst.yaml"
    threads: 8
    resources:
        **asks("embed"),
    params:
        settings=section("embedding"),
        # The models that the weights belong to, in the same order.
        weights=lambda wildcards: list(plan.weights_files("embedding", wildcards.slide)),
        gpu=plan.config["gpu"],
        contents=contents_of("embed"),
    script:
        "../scripts/embed.py"
