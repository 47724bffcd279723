rule summary:
    input:
        reports=all_runs("results/{dataset}/{run}/seed-{seed}/run/report.html"),
        validation=all_runs("results/{dataset}/{run}/seed-{seed}/validation/metrics.json"),
    output:
        "results/summary.tsv",
    log:
        "results/logs/summary.log",
    localrule: True
    script:
        "../scripts/summary.py"
