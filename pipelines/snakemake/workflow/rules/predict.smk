# A job a file, so that many files are classified at once.
rule predict:
    input:
        run="results/{dataset}/{run}/seed-{seed}/run/report.html",
        file=lambda wildcards: of_dataset(wildcards)["predict"][wildcards.file],
    output:
        "results/{dataset}/{run}/seed-{seed}/predictions/{file}.tsv",
    params:
        run=lambda wildcards, input: os.path.dirname(input.run),
        options=config["predict"],
    log:
        "results/logs/{dataset}/{run}/seed-{seed}/predict-{file}.log",
    threads: config["threads"]
    shell:
        "genomix predict {params.run:q} {input.file:q} {params.options} --force --output {output:q} 2> {log:q}"
