"""A trained model as a folder: what comes back is what went in, and anything else is refused in one line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from genomix.bundle import Bundle, describe_folder, find_models, load_bundle, new_model, save_bundle
from genomix.card import model_card
from genomix.devices import require_device
from genomix.errors import DataError, GenomixError, InputMissing, OutputError, UsageError
from genomix.nn.classifier import ModelSettings
from genomix.tokenizers import TokenizerSettings

CLASSES = ("E. coli; K-12", "<script>", "a`b ``` <img>\nc")


@pytest.fixture
def bundle():
    tokenizer = TokenizerSettings(kind="kmer", k=3)
    settings = ModelSettings(max_tokens=64, patch=3, embedding=8, channels=8, pooled=8)
    torch.manual_seed(0)
    model = new_model(settings, tokenizer, len(CLASSES)).eval()
    return Bundle(model, tokenizer, CLASSES, "both", circular=True, provenance={"evaluation": {"accuracy": 0.5}})


@pytest.fixture
def folder(bundle, tmp_path):
    save_bundle(bundle, tmp_path / "model")
    return tmp_path / "model"


def scores(model):
    return model(torch.arange(20, dtype=torch.int32)[None], torch.tensor([20]), torch.tensor([True]))


def rewrite(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_model_that_is_read_back_is_the_same(bundle, folder):
    found = load_bundle(folder)
    assert torch.equal(scores(found.model), scores(bundle.model))
    assert (found.classes, found.strand, found.circular) == (CLASSES, "both", True)
    assert found.tokenizer_settings == bundle.tokenizer_settings
    assert found.provenance["evaluation"] == {"accuracy": 0.5}


def test_the_folder_holds_weights_description_and_card_and_no_pickle(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    card = (folder / "README.md").read_text()
    assert "3 classes apart" in card
    assert "genomix predict" in card


def test_no_name_and_no_value_breaks_out_of_the_card(folder):
    assert "`<script>`, ```` a`b ``` <img> c ````." in (folder / "README.md").read_text()
    card = model_card(describe_folder(folder) | {"training": {"init": "<b>|`x`\n[y](z) & _"}})
    assert "| init | &#60;b&#62;&#124;&#96;x&#96; &#91;y&#93;(z) &#38; _ |" in card


def test_a_run_folder_will_do(folder):
    assert load_bundle(folder.parent).classes == CLASSES
    assert describe_folder(folder.parent)["classes"] == list(CLASSES)


def test_an_existing_folder_is_kept(bundle, folder):
    with pytest.raises(OutputError, match="exists"):
        save_bundle(bundle, folder)


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda f: (f / "model.json").unlink(), InputMissing, "no model here"),
        (lambda f: (f / "model.json").write_text("{"), DataError, "not JSON"),
        (lambda f: (f / "model.json").write_text('{"architectures": ["BertModel"]}'), DataError, "a model of another program"),
        (lambda f: (f / "model.json").write_text("[1]"), DataError, "a model of another program"),
        (lambda f: rewrite(f, schema_version=3), DataError, "schema version 3, and this genomix reads up to 2"),
        (lambda f: rewrite(f, classes=["a", "b", "c"]), DataError, "changed after the model was written"),
        (lambda f: (f / "model.safetensors").unlink(), InputMissing, "weights are missing"),
        (
            lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").mkdir()),
            InputMissing,
            "weights cannot be read: Is a directory",
        ),
        (lambda f: (f / "model.safetensors").write_bytes(b"x"), DataError, "not those that model.json was written with"),
    ],
)
def test_what_is_not_a_whole_unchanged_model_is_refused(folder, spoil, error, message):
    spoil(folder)
    with pytest.raises(error, match=message) as caught:
        load_bundle(folder)
    assert str(folder) in caught.value.where


def remove(bundle, folder, name):
    """As though that tensor had never been there."""
    import genomix.bundle as module

    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors")
    description = module._signed(module._describe(bundle), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(description))


def test_a_model_from_before_words_had_a_length_of_their_own_is_read(bundle, folder):
    remove(bundle, folder, "composition.divisor")
    found = load_bundle(folder)
    assert torch.equal(scores(found.model), scores(bundle.model))
    assert found.model.composition.divisor == 1


def test_a_missing_tensor_is_named(bundle, folder):
    remove(bundle, folder, "head.2.bias")
    with pytest.raises(DataError, match=r"tensor 'head.2.bias' has shape none: it is missing, and the architecture asks for \(3,\)"):
        load_bundle(folder)


def test_a_device_that_is_not_there(folder):
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    with pytest.raises(UsageError, match="no cuda device"):
        load_bundle(folder, device="cuda")


def test_one_of_several_devices_is_named_by_its_number(folder, monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert [str(require_device(name)) for name in ("auto", "cpu", "cuda", "cuda:1")] == ["cuda", "cpu", "cuda", "cuda:1"]
    for name, said in (("cuda:2", "no cuda:2 device"), ("mps", "no mps device"), ("gpu", "no kind of device: 'gpu'")):
        with pytest.raises(UsageError, match=said):
            load_bundle(folder, device=name)


def test_models_below_a_folder_are_listed_broken_ones_with_the_reason(folder, tmp_path):
    broken = tmp_path / "run" / "model"
    broken.mkdir(parents=True)
    (broken / "model.json").write_text("{}")
    assert [(path, line.split(",")[0]) for path, line in find_models(tmp_path)] == [
        (folder, "3 classes"),
        (broken, 'a model of another program: expected "format": "genomix-model"'),
    ]


def test_every_refusal_has_a_hint(folder):
    (folder / "model.json").write_text("{}")
    with pytest.raises(GenomixError) as caught:
        load_bundle(folder)
    assert caught.value.hint
