"""What lies in pipelines/. A test skips where it lacks its program: `pip install '.[pipelines]'`, and a `snakemake` on the path."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_data import two_classes

CHECKOUT = Path(__file__).parent.parent
KUBERNETES = CHECKOUT / "pipelines" / "kubernetes"
WORKFLOW = CHECKOUT / "pipelines" / "snakemake"
SHORT_TRAINING = "--preset tiny --device cpu --set train.steps=2 --set train.validations=1"


def read_yaml(path: Path) -> dict:
    return pytest.importorskip("yaml", reason="PyYAML isn't installed").safe_load(path.read_text(encoding="utf-8"))


def containers(manifest: dict) -> tuple[dict, dict]:
    """The pod and the container of a manifest, wherever its kind has them."""
    spec = manifest["spec"]
    if manifest["kind"] == "TrainJob":
        [patch] = spec["runtimePatches"]
        [job] = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
        spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    [container] = pod["containers"]
    return pod, container


@pytest.mark.parametrize(
    ("first", "last", "count", "task", "share"),
    [(1, 16, 16, 3, "3/16"), (0, 3, 4, 3, "4/4"), (5, 5, 1, 5, "1/1"), (3, 7, 2, 7, None), (1, 9, 5, 3, None)],
)
def test_tasks_of_a_slurm_array_take_their_share_of_a_range_without_gaps(first, last, count, task, share, tmp_path):
    fake = tmp_path / "genomix"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    array = {"MIN": first, "MAX": last, "COUNT": count, "ID": task}
    surroundings = {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in array.items()}
    surroundings["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    command = ["bash", str(CHECKOUT / "pipelines" / "slurm" / "predict_array.sbatch"), "model", "out.tsv", "a.fa", "b.fa"]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    if share is None:
        assert (done.returncode, done.stdout) == (2, "")
        assert "submit the whole array again" in done.stderr
    else:
        assert done.stdout == f"predict model a.fa b.fa --output out.tsv --shard {share}\n", done.stderr


@pytest.mark.parametrize("name", ["claim", "job"])
def test_kubernetes_takes_the_manifest(name):
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate isn't installed")
    validator.validate(read_yaml(KUBERNETES / f"{name}.yaml"), validator.latest_version(), strict=True)


def test_kubeflow_trainer_takes_the_train_job():
    """Its models drop fields that they don't know, so all must come back."""
    models = pytest.importorskip("kubeflow_trainer_api.models", reason="kubeflow-trainer-api isn't installed")
    manifest = read_yaml(KUBERNETES / "trainjob.yaml")
    assert manifest["apiVersion"] == "trainer.kubeflow.org/v1alpha1"
    assert models.TrainerV1alpha1TrainJob.from_dict(manifest).to_dict() == manifest


@pytest.mark.parametrize("name", ["job", "trainjob"])
def test_pods_run_without_rights_and_write_to_their_volumes_only(name):
    pod, container = containers(read_yaml(KUBERNETES / f"{name}.yaml"))
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounted["/data"]["persistentVolumeClaim"]["claimName"] == read_yaml(KUBERNETES / "claim.yaml")["metadata"]["name"]
    assert mounted["/dev/shm"]["emptyDir"]["medium"] == "Memory"
    assert "emptyDir" in mounted["/tmp"], "caches"


@pytest.fixture
def snakemake(tmp_path):
    """Runs the workflow in an empty folder with a config, and gives what it said; fails where it fails, unless told otherwise."""
    program = shutil.which("snakemake")
    if program is None:
        pytest.skip("snakemake isn't installed")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])}

    def run(config: str, *options: str, fails: bool = False) -> str:
        (tmp_path / "config").mkdir(exist_ok=True)
        (tmp_path / "config" / "config.yaml").write_text(config, encoding="utf-8")
        command = [program, "--snakefile", str(WORKFLOW / "workflow" / "Snakefile"), "--cores", "1", *options]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        logs = "".join(log.read_text(encoding="utf-8") for log in tmp_path.glob("results/logs/**/*.log"))
        assert (done.returncode != 0) == fails, done.stdout + done.stderr + logs
        return done.stdout + done.stderr

    return run


def small_config(sources: list[str], to_classify: str) -> str:
    return f"""
datasets: {{two: {{sources: {sources}, options: --split stratified, predict: {{new: {to_classify}}}}}}}
runs: {{short: {SHORT_TRAINING}}}
seeds: [3]
evaluate: --no-checks
threads: 1
"""


def test_the_workflow_runs_whole_and_then_has_nothing_to_do(snakemake, tmp_path):
    sources = two_classes(tmp_path)
    config = small_config(sources, "poor.fa")
    snakemake(config)
    with (tmp_path / "results" / "summary.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, dialect="excel-tab"))
    assert [(row["dataset"], row["run"], row["seed"], row["split"]) for row in rows] == [
        ("two", "short", "3", split) for split in ("validation", "test")
    ]
    assert all(0 <= float(row["macro_f1"]) <= 1 and row["best_baseline"] for row in rows)
    predictions = tmp_path / "results" / "two" / "short" / "seed-3" / "predictions" / "new.tsv"
    assert len(predictions.read_text(encoding="utf-8").splitlines()) == 1 + 40
    assert "Nothing to be done" in snakemake(config)


def test_the_workflow_is_tidy_and_its_config_is_checked(snakemake):
    config = small_config([], "poor.fa")
    assert "good condition" in snakemake(config, "--lint")
    assert "'seed' was unexpected" in snakemake(config + "seed: 1\n", "--dry-run", fails=True)
