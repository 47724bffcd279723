# What the config says of a wildcard.

import re
from shlex import quote


def of_dataset(wildcards):
    """The config's entry for a dataset."""
    return config["datasets"][wildcards.dataset]


def sources(wildcards):
    """The dataset's sources as the command line has them: NAME=file, or files and folders."""
    return " ".join(quote(source) for source in of_dataset(wildcards).get("sources", []))


def files_read(wildcards):
    """What a dataset is made of, so that a change of it makes the dataset again."""
    entry = of_dataset(wildcards)
    return [source.rpartition("=")[2] for source in entry.get("sources", [])] + entry.get("files", [])


def all_runs(pattern):
    """The pattern for each dataset, run and seed."""
    return expand(pattern, dataset=config["datasets"], run=config["runs"], seed=config["seeds"])


def all_predictions():
    """One table for each run and file to classify."""
    return [
        f"results/{dataset}/{run}/seed-{seed}/predictions/{file}.tsv"
        for dataset, entry in config["datasets"].items()
        for run in config["runs"]
        for seed in config["seeds"]
        for file in entry.get("predict", {})
    ]
