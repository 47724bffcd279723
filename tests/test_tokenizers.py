"""Laws of the tokenizers, against an oracle that works with strings and dictionaries."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from genomix.records import decode_bases, encode_bases, reverse_complement
from genomix.tokenizers import TOKENIZERS, TokenizerSettings, build_tokenizer
from genomix.tokenizers.kmers import kmer_codes, valid_kmers

KINDS = {
    "k1": {"k": 1},
    "k3": {"k": 3},
    "k6": {"k": 6},
    "k6_stride_4": {"k": 6, "stride": 4},
    "k3_stride_7": {"k": 3, "stride": 7},
    "k1_canonical": {"k": 1, "canonical": True},
    "k4_canonical": {"k": 4, "canonical": True},
    "k5_canonical_stride_2": {"k": 5, "canonical": True, "stride": 2},
    "nucleotide": {"kind": "nucleotide"},
}

sequences = st.text(alphabet="ACGT", max_size=60) | st.text(alphabet="ACGTN", max_size=60)


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def settings(request):
    return TokenizerSettings(**request.param)


def as_codes(sequence):
    return np.frombuffer(encode_bases(sequence.encode()), np.uint8)


def other_strand(sequence):
    return decode_bases(reverse_complement(encode_bases(sequence.encode())))


def words(sequence, k, stride):
    return [sequence[start : start + k] for start in range(0, len(sequence) - k + 1, stride)]


def naive_ids(sequence, settings):
    """Number the words in alphabetic order by looking them up in a list of all."""
    vocabulary = ["".join(letters) for letters in itertools.product("ACGT", repeat=settings.k)]
    if settings.canonical:
        vocabulary = [word for word in vocabulary if word <= other_strand(word)]
        return [
            len(vocabulary) if "N" in word else vocabulary.index(min(word, other_strand(word)))
            for word in words(sequence, settings.k, settings.stride)
        ]
    return [len(vocabulary) if "N" in word else vocabulary.index(word) for word in words(sequence, settings.k, settings.stride)]


def test_every_kind_is_tested():
    assert {TokenizerSettings(**kind).kind for kind in KINDS.values()} == set(TOKENIZERS)


def test_ids_agree_with_the_oracle(settings):
    tokenizer = build_tokenizer(settings)

    @given(sequences)
    def check(sequence):
        ids = tokenizer.encode(as_codes(sequence))
        assert ids.dtype == np.int32
        assert ids.tolist() == naive_ids(sequence, settings)
        assert len(ids) == max(0, (len(sequence) - settings.k) // settings.stride + 1)

    check()


def test_decoding_names_the_word(settings):
    tokenizer = build_tokenizer(settings)

    @given(sequences)
    def check(sequence):
        decoded = [tokenizer.decode(int(token)) for token in tokenizer.encode(as_codes(sequence))]
        unknown = "N" * settings.k
        expected = [unknown if "N" in word else word for word in words(sequence, settings.k, settings.stride)]
        if settings.canonical:
            expected = [min(word, other_strand(word)) for word in expected]
        assert decoded == expected

    check()


def test_ids_are_dense_and_the_last_is_unknown(settings):
    tokenizer = build_tokenizer(settings)
    assert tokenizer.unknown == tokenizer.vocabulary - 1
    names = [tokenizer.decode(token) for token in range(tokenizer.vocabulary)]
    assert len(set(names)) == tokenizer.vocabulary
    assert names[-1] == "N" * settings.k
    assert names[:-1] == sorted(names[:-1])
    for token in (-1, tokenizer.vocabulary):
        with pytest.raises(ValueError, match="token ids are 0 to"):
            tokenizer.decode(token)


@given(sequences, st.integers(1, 8))
def test_canonical_ids_are_the_same_on_both_strands(sequence, k):
    tokenizer = build_tokenizer(TokenizerSettings(k=k, canonical=True))
    forward, reverse = (tokenizer.encode(as_codes(strand)) for strand in (sequence, other_strand(sequence)))
    assert forward.tolist() == reverse[::-1].tolist()


@pytest.mark.parametrize(("k", "vocabulary"), [(1, 2), (2, 10), (3, 32), (4, 136), (6, 2080), (12, 8_390_656)])
def test_the_number_of_canonical_kmers(k, vocabulary):
    assert build_tokenizer(TokenizerSettings(k=k, canonical=True)).vocabulary == vocabulary + 1  # and the unknown one


def test_the_longest_kmers_fit():
    tokenizer = build_tokenizer(TokenizerSettings(k=12))
    assert tokenizer.encode(as_codes("T" * 12 + "N")).tolist() == [4**12 - 1, 4**12]
    assert tokenizer.decode(4**12 - 1) == "T" * 12


@given(st.text(alphabet="ACGT", max_size=80), st.integers(1, 31))
def test_kmer_codes_agree_with_the_oracle(sequence, k):
    codes = kmer_codes(as_codes(sequence), k)
    digits = str.maketrans("ACGT", "0123")
    assert codes.tolist() == [int(word.translate(digits), 4) for word in words(sequence, k, 1)]


@given(st.text(alphabet="ACGTN", max_size=80), st.integers(1, 31))
def test_valid_kmers_agree_with_the_oracle(sequence, k):
    valid = valid_kmers(as_codes(sequence), k)
    assert valid.dtype == bool
    assert valid.tolist() == ["N" not in word for word in words(sequence, k, 1)]


@given(st.text(alphabet="ACGTN", min_size=31, max_size=80), st.integers(1, 31))
def test_codes_of_kmers_without_ambiguity_do_not_depend_on_the_rest(sequence, k):
    valid = valid_kmers(as_codes(sequence), k)
    as_if_known = kmer_codes(as_codes(sequence.replace("N", "G")), k)
    assert kmer_codes(as_codes(sequence), k)[valid].tolist() == as_if_known[valid].tolist()


@pytest.mark.parametrize(
    ("k", "kind"), [(1, "uint8"), (4, "uint8"), (5, "uint16"), (8, "uint16"), (9, "uint32"), (16, "uint32"), (17, "uint64"), (31, "uint64")]
)
def test_the_smallest_type_that_fits(k, kind):
    for length in (0, k - 1, k, 40):
        assert kmer_codes(as_codes("T" * length), k).dtype == kind


@pytest.mark.parametrize("function", [kmer_codes, valid_kmers])
@pytest.mark.parametrize("k", [0, -1, 32])
def test_widths_that_do_not_fit(function, k):
    with pytest.raises(ValueError, match="k must be 1 to 31"):
        function(as_codes("ACGT"), k)


def test_encoding_leaves_the_bases_alone():
    codes = as_codes("ACGTNACGT").copy()
    codes.flags.writeable = False  # as from the memory-mapped store
    for kind in KINDS.values():
        build_tokenizer(TokenizerSettings(**kind)).encode(codes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"k": 13},
        {"stride": 0},
        {"kind": "bpe"},
        {"kmer": 6},
        {"kind": "nucleotide", "k": 2},
        {"kind": "nucleotide", "stride": 2},
        {"kind": "nucleotide", "canonical": True},
    ],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        TokenizerSettings(**wrong)


def test_settings_survive_being_written(settings):
    assert TokenizerSettings.model_validate_json(settings.model_dump_json()) == settings
