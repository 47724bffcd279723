rule preprocess:
    input:
        files_read,
    output:
        directory("results/{dataset}/dataset"),
    params:
        sources=sources,
        options=lambda wildcards: of_dataset(wildcards).get("options", ""),
    log:
        "results/logs/{dataset}/preprocess.log",
    shell:
        "genomix preprocess {params.sources} {params.options} --output {output:q} 2> {log:q}"
