# The report is what a run writes last. It alone is the output: Snakemake deletes the outputs of a job that was killed, and the checkpoints must stay, from
# which the next try goes on.
rule train:
    input:
        "results/{dataset}/dataset",
    output:
        "results/{dataset}/{run}/seed-{seed}/run/report.html",
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        options=lambda wildcards: config["runs"][wildcards.run],
    log:
        "results/logs/{dataset}/{run}/seed-{seed}/train.log",
    threads: config["threads"]
    shell:
        "genomix train {input:q} {params.options} --seed {wildcards.seed} --resume --output {params.folder:q} 2> {log:q}"


# Training has evaluated the test split, once. These are the figures to choose by.
rule evaluate:
    input:
        run="results/{dataset}/{run}/seed-{seed}/run/report.html",
        dataset="results/{dataset}/dataset",
    output:
        "results/{dataset}/{run}/seed-{seed}/validation/metrics.json",
    params:
        run=lambda wildcards, input: os.path.dirname(input.run),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
        options=config["evaluate"],
    log:
        "results/logs/{dataset}/{run}/seed-{seed}/evaluate.log",
    threads: config["threads"]
    shell:
        "genomix evaluate {params.run:q} {input.dataset:q} --split validation {params.options} --force --output {params.folder:q} 2> {log:q}"
