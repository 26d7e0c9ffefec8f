# Small images: a job does several stages of an image (whose rules say what they make), then the same of other images.
for one_chain in CHAINS if CHAINED else ():

    rule:
        name:
            one_chain
        input:
            **read_by(one_chain),
        output:
            **made_by(one_chain),
        log:
            [f"{RESULTS}/{{slide}}/logs/{job}.log" for job in small.jobs_of(one_chain)],
        wildcard_constraints:
            slide=small.patterns(plan, [one_chain], A_SLIDE)[0],
        # What is made is taken first: then all that follows is there to be done together.
        priority: int(one_chain == "small_image")
        conda:
            "../envs/clusterfirst.yaml"
        threads: threads_of_small_images()
        resources:
            **asks(one_chain),
        params:
            told=partial(small.told_to, plan, one_chain),
            contents=contents_of(one_chain),
            command=partial(small.command, plan, one_chain, PYTHON),
        shell:
            "{params.command} {threads}"
