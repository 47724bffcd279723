"""Near-duplicate clusters against a count by sets, and the hashes against their definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genomix.data import clusters as clustering
from genomix.data import kmer_hashes, pairs, sketches
from genomix.data.clusters import find_clusters, number_by_appearance
from genomix.data.kmer_hashes import K, KmerHasher, reference_hashes
from genomix.data.nearest import nearest
from genomix.data.sketches import Sketches, hash_limit, short_records, sketch_records, with_thin_records
from genomix.data.store import BasesWriter
from genomix.tokenizers.kmers import valid_kmers

COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.uint8)


def random_bases(rng, length, *, unknown=0.0):
    codes = rng.integers(0, 4, length).astype(np.uint8)
    codes[rng.random(length) < unknown] = 4
    return codes


def mutated(rng, codes, rate):
    changed = codes.copy()
    places = np.flatnonzero((rng.random(len(codes)) < rate) & (codes < 4))
    changed[places] = (changed[places] + rng.integers(1, 4, len(places))) % 4
    return changed


def family(rng, length, copies, rate):
    """An ancestor's mutated copies; every second one is the other strand."""
    ancestor = random_bases(rng, length, unknown=0.001)
    copied = [mutated(rng, ancestor, rate) for _ in range(copies)]
    return [COMPLEMENT[codes[::-1]] if number % 2 else codes for number, codes in enumerate(copied)]


def sketched(folder, records, gaps=()) -> Sketches:
    """Sketches of records written one after the other; before some of them stand bases that are no record's."""
    offsets = []
    with (folder / "bases.npy").open("w+b") as file:
        writer = BasesWriter(file)
        for number, codes in enumerate(records):
            if number in gaps:
                writer.add(records[0].tobytes())
            offsets.append(writer.add(codes.tobytes()))
        writer.finish()
    return sketch_records(folder / "bases.npy", np.array(offsets), np.array([len(codes) for codes in records]))


def hash_sets(records, limit):
    return [
        {int(value) for value, known in zip(reference_hashes(codes), valid_kmers(codes, K), strict=True) if known and value <= limit}
        for codes in records
    ]


def clusters_of_pairs(alike):
    """Cluster numbers by appearance, from a bool matrix [record, record]."""
    clusters = list(range(len(alike)))
    for first, second in zip(*np.nonzero(alike), strict=True):
        clusters = [clusters[first] if number == clusters[second] else number for number in clusters]
    return number_by_appearance(np.array(clusters))


def similarities_by_hand(records, chosen=None, fine=None):
    """float64 [record, record], with a finer limit where one of the two is a chosen record (None: a short one)."""
    lengths = np.array([len(codes) for codes in records])
    limit = hash_limit(lengths)
    if chosen is None:
        chosen, fine = short_records(lengths, limit)
    coarse_sets, fine_sets = hash_sets(records, limit), hash_sets(records, fine)
    found = np.zeros((len(records), len(records)))
    for first, second in itertools.product(range(len(records)), repeat=2):
        sets = fine_sets if chosen[first] or chosen[second] else coarse_sets
        sizes = [len(sets[one]) for one in (first, second) if chosen[one] or not (chosen[first] or chosen[second])]
        if min(sizes):
            found[first, second] = (len(sets[first] & sets[second]) / min(sizes)) ** (1 / K)
    return found


@pytest.fixture(params=["sparse", "dense", "mixed"])
def product(request, monkeypatch):
    """The ways of counting shared hashes, in blocks so small that there are many."""
    monkeypatch.setattr(pairs, "_SPARSE_BLOCK", 50)
    monkeypatch.setattr(pairs, "_DENSE_BLOCK", 30)
    if request.param == "sparse":
        monkeypatch.setattr(pairs, "_FULL", np.inf)
    else:
        monkeypatch.setattr(pairs, "_FULL", 0)
        monkeypatch.setattr(pairs, "_FREQUENT", 0.0 if request.param == "dense" else 0.15)


@pytest.fixture(params=["no flood", "flood", "one flood"])
def flooding(request, monkeypatch):
    monkeypatch.setattr(clustering, "_FLOOD_WEIGHT", np.inf if request.param == "no flood" else 0)
    monkeypatch.setattr(clustering, "_PATIENCE", 1 if request.param == "one flood" else 1000)
    monkeypatch.setattr(clustering, "_LARGE", 2.0 if request.param == "one flood" else 0.1)


@pytest.fixture
def records():
    rng = np.random.default_rng(7)
    found = [codes for rate in (0.0, 0.01, 0.03, 0.06) for codes in family(rng, 1500, 5, rate)]
    whole = random_bases(rng, 4000)
    found += [whole, whole[1000:2500], random_bases(rng, 12), random_bases(rng, 300, unknown=1.0)]
    return [found[number] for number in rng.permutation(len(found))]


@pytest.mark.parametrize("similarity", [0.9, 0.95, 0.98, 1.0])
def test_clusters_are_those_counted_by_hand(tmp_path, records, product, flooding, similarity):
    made = sketched(tmp_path, records)
    expected = clusters_of_pairs(similarities_by_hand(records) >= similarity)
    assert 4 < expected.max() + 1 < len(records)
    assert find_clusters(made, similarity).tolist() == expected.tolist()


def test_the_nearest_record_is_the_one_counted_by_hand(tmp_path, records, product):
    made = sketched(tmp_path, records)
    by_hand = similarities_by_hand(records)
    rng = np.random.default_rng(0)
    for _ in range(10):
        sides = rng.integers(0, 3, len(records))
        rows, among = np.flatnonzero(sides), np.flatnonzero(sides == 0)
        found, similarity = nearest(made, rows, among)
        known = np.isfinite(similarity)
        assert rows[~known].tolist() == [row for row in rows if len(records[row]) < K or (records[row] == 4).all()]
        expected = by_hand[rows][:, among]
        assert similarity[known] == pytest.approx(expected.max(axis=1)[known], abs=1e-6)
        first = among[np.argmax(expected > expected.max(axis=1)[:, None] - 1e-6, axis=1)]
        assert found.tolist() == np.where(expected.max(axis=1) > 0, first, -1).tolist()


def test_no_similarity_across_a_split_of_clusters_reaches_the_threshold(tmp_path, records):
    made = sketched(tmp_path, records)
    clusters = find_clusters(made, 0.95)
    for cluster in range(clusters.max() + 1):
        _, similarity = nearest(made, np.flatnonzero(clusters == cluster), np.flatnonzero(clusters != cluster))
        assert not (similarity >= 0.95).any()


def test_records_that_share_nothing(tmp_path):
    made = sketched(tmp_path, [random_bases(np.random.default_rng(seed), 400) for seed in range(3)])
    assert find_clusters(made, 0.95).tolist() == [0, 1, 2]
    found, similarity = nearest(made, np.array([1, 2]), np.array([0]))
    assert (found.tolist(), similarity.tolist()) == ([-1, -1], [0, 0])


def test_records_too_short_for_a_k_mer_are_clusters_of_their_own(tmp_path):
    made = sketched(tmp_path, [random_bases(np.random.default_rng(0), length) for length in (K - 1, 1, K - 1)])
    assert find_clusters(made, 0.95).tolist() == [0, 1, 2]
    assert made.empty.all()
    assert np.isnan(nearest(made, np.array([1, 2]), np.array([0]))[1]).all()


@pytest.fixture
def short_and_long(monkeypatch):
    """Genomes of 10,000 bases, of which few hashes may be kept, and records of 200 that are copies or mutated copies of their pieces, of each other, or of nothing."""
    monkeypatch.setattr(sketches, "MOST_HASHES", 6_000)
    rng = np.random.default_rng(11)
    found = [random_bases(rng, 10_000) for _ in range(24)]
    found += [mutated(rng, found[0], 0.01), COMPLEMENT[mutated(rng, found[1], 0.02)[::-1]]]
    found[0] = found[0].copy()
    found[0][5_000:6_000] = 4
    pieces = [found[number][1_000:1_200] for number in (2, 3)]
    pieces += [COMPLEMENT[mutated(rng, pieces[0], 0.02)[::-1]], random_bases(rng, 200), np.full(200, 4, np.uint8)]
    return [*found, *pieces]


def test_short_records_among_long_ones_are_compared_as_by_hand(tmp_path, short_and_long, product, flooding):
    made = sketched(tmp_path, short_and_long)
    assert made.fine is not None
    by_hand = similarities_by_hand(short_and_long)
    rows, among = np.arange(24, 31), np.arange(24)
    found, similarity = nearest(made, rows, among)
    assert found.tolist() == [0, 1, 2, 3, 2, *found[5:]]
    assert similarity[:6] == pytest.approx(by_hand[rows][:6, among].max(axis=1), abs=1e-6)
    assert np.isnan(similarity[6])
    assert similarity[4] == pytest.approx(0.98, abs=0.02)
    assert similarity[5] < 0.8
    expected = clusters_of_pairs(by_hand >= 0.95)
    assert find_clusters(made, 0.95).tolist() == expected.tolist()
    assert expected[[0, 1, 2, 3, 2, 2]].tolist() == expected[[24, 25, 26, 27, 28, 26]].tolist()


def test_many_relatives_of_short_records_lower_their_limit_and_are_found_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(sketches, "MOST_HASHES", 6_000)
    rng = np.random.default_rng(3)
    genome = random_bases(rng, 10_000)
    records = [mutated(rng, genome, 0.01) for _ in range(30)] + [random_bases(rng, 10_000), genome[2_000:2_200], random_bases(rng, 200)]
    free = sketched(tmp_path, records)
    monkeypatch.setattr(sketches, "MOST_FINE_HASHES", 1_000)
    made = sketched(tmp_path, records)
    assert free.fine.shared.nnz > 2_000
    assert made.fine.shared.nnz <= 1_000
    assert made.fine.density < free.fine.density
    _, similarity = nearest(made, np.array([31, 32]), np.arange(31))
    assert similarity[0] > 0.95
    assert similarity[1] == 0


def test_records_so_short_that_all_their_hashes_are_kept_are_compared_beside_long_ones(tmp_path):
    rng = np.random.default_rng(4)
    ancestors = [random_bases(rng, 80) for _ in range(3)]
    copies = [each.copy() for each in ancestors]
    for each in copies:
        each[3] = 3 - each[3]
    genomes = [random_bases(rng, 20_000) for _ in range(200)]
    made = sketched(tmp_path, [*genomes, *ancestors, *copies])
    assert made.fine.density == 1
    assert made.fine.sizes[200:].tolist() == [65] * 6
    clusters = find_clusters(made, 0.95)
    assert clusters.tolist() == [*range(200), 200, 201, 202, 200, 201, 202]


@pytest.fixture
def few_different(request):
    """Long records, of which 24 are random; and, twice each and with changes, tandem arrays of 171 bases, microsatellites, and records strewn with unknown bases; then a random one
    that holds an array. All of a pair are the same length, and one is the other strand."""
    rng = np.random.default_rng(8)
    arrays = [np.tile(random_bases(rng, 171), 60)[:10_000] for _ in range(4)]
    motif = np.tile(random_bases(rng, 5), 2_000)
    strewn = [random_bases(rng, 10_000, unknown=0.12) for _ in range(2)]
    firsts = [*arrays, motif, *strewn]
    seconds = [COMPLEMENT[mutated(rng, each, 0.002)[::-1]] for each in firsts]
    holder = random_bases(rng, 10_000)
    holder[2_000:4_000] = arrays[0][:2_000]
    return [*(random_bases(rng, 10_000) for _ in range(24)), *firsts, *seconds, holder]


def test_long_records_of_few_different_k_mers_are_compared_on_the_finer_level(tmp_path, few_different, product, flooding):
    made = sketched(tmp_path, few_different)
    chosen = np.isfinite(made.fine.sizes)
    assert np.flatnonzero(chosen).tolist() == [24, 25, 26, 27, 28, 29, 30, *np.flatnonzero(chosen)[7:]]
    assert (made.sizes[chosen] == 0).all()
    assert not made.empty.any()
    by_hand = similarities_by_hand(few_different, chosen, round(made.fine.density * 2**32) - 1)
    clusters = find_clusters(made, 0.95)
    assert clusters.tolist() == clusters_of_pairs(by_hand >= 0.95).tolist()
    assert clusters[24:31].tolist() == clusters[31:38].tolist()
    assert len(np.unique(clusters[24:31])) == 7
    assert clusters[38] == clusters[24]
    assert np.bincount(clusters).max() == 3


@pytest.mark.parametrize("span", [640, 1 << 22])  # of records of 10,000 bases
def test_the_finer_sketches_are_the_same_however_few_bases_are_read_at_a_time(tmp_path, monkeypatch, few_different, span):
    whole = sketched(tmp_path, few_different).fine
    monkeypatch.setattr(sketches, "_SPAN_BASES", span)
    monkeypatch.setattr(sketches, "_SPAN_HASHES", 500)
    parts = sketched(tmp_path, few_different).fine
    assert parts.sizes.tolist() == whole.sizes.tolist()
    assert (parts.shared != whole.shared).nnz == 0


def test_many_records_of_few_different_k_mers_stay_within_memory(tmp_path, monkeypatch, few_different):
    free = sketched(tmp_path, few_different).fine
    monkeypatch.setattr(sketches, "MOST_HASHES", 6_000)
    made = sketched(tmp_path, few_different).fine
    assert made.density < free.density == 1
    assert made.sizes[np.isfinite(made.sizes)].sum() < 6_000 < free.sizes[np.isfinite(free.sizes)].sum()


def test_chance_makes_no_record_one_of_few_different_k_mers():
    rng = np.random.default_rng(0)
    lengths = rng.integers(10_100, 40_000, 100_000)
    limit = int((2**32 - 1) * 0.005)
    short = np.zeros(len(lengths), dtype=bool)
    ordinary = rng.poisson(lengths * 0.005)
    assert (ordinary < sketches.FEW_HASHES).sum() > 1_000
    chosen, fine = with_thin_records(lengths, limit, ordinary, short, limit)
    assert (chosen.sum(), fine) == (0, limit)
    ordinary[7] = 2
    chosen, fine = with_thin_records(lengths, limit, ordinary, short, limit)
    assert np.flatnonzero(chosen).tolist() == [7]
    assert fine / 2**32 == pytest.approx(100 / (2 / 0.005), rel=1e-4)


def test_short_rows_and_long_columns_may_change_places(tmp_path, short_and_long):
    made = sketched(tmp_path, short_and_long)
    short, long = np.arange(26, 31), np.arange(26)
    found, similarity = nearest(made, long, short)
    assert found[[2, 3]].tolist() == [26, 27]
    assert similarity[[2, 3]].tolist() == [1, 1]


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.05])
def test_similarity_estimates_identity(tmp_path, rate):
    found = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        ancestor = random_bases(rng, 20_000)
        made = sketched(tmp_path, [ancestor, COMPLEMENT[mutated(rng, ancestor, rate)[::-1]]])
        found.append(nearest(made, np.array([1]), np.array([0]))[1][0])
    assert np.mean(found) == pytest.approx(1 - rate, abs=0.005)
    assert np.std(found) < 0.01


def test_a_piece_is_in_the_cluster_of_its_whole(tmp_path):
    whole = random_bases(np.random.default_rng(2), 50_000)
    assert find_clusters(sketched(tmp_path, [whole, whole[20_000:21_000]]), 0.99).tolist() == [0, 0]


@pytest.mark.parametrize("span", [640, 1 << 22])  # of records of 10,000 bases
def test_sketches_are_the_sets_of_small_hashes(tmp_path, monkeypatch, records, span):
    monkeypatch.setattr(sketches, "_SPAN_BASES", span)
    made = sketched(tmp_path, records, gaps={3, 9})
    sets = hash_sets(records, hash_limit(np.array([len(codes) for codes in records])))
    assert made.sizes.tolist() == [len(hashes) for hashes in sets]
    common = (made.shared @ made.shared.T).toarray()
    for first, second in itertools.combinations(range(len(sets)), 2):
        assert common[first, second] == len(sets[first] & sets[second])


def test_the_density_suits_short_records_and_never_outgrows_its_budget():
    assert hash_limit(np.full(100, 50)) == 2**32 - 1
    density = hash_limit(np.array([1_000] * 10 + [1_000_000] * 90)) / 2**32
    assert density * 1_000 == pytest.approx(sketches.ENOUGH_HASHES, rel=1e-6)
    lengths = np.full(1_000_000, 1_000)
    assert hash_limit(lengths) / 2**32 * lengths.sum() == pytest.approx(sketches.MOST_HASHES, rel=1e-6)


@given(st.integers(0, 400), st.floats(0, 1), st.sampled_from([0.0, 0.02]), st.integers(0, 2**32 - 1))
def test_small_hashes_are_those_of_the_definition(length, share, unknown, seed):
    codes = random_bases(np.random.default_rng(seed), length, unknown=unknown)
    limit = int(share * (2**32 - 1))
    places, hashes = KmerHasher().small_hashes(codes, limit)
    expected = reference_hashes(codes) if length >= K else np.empty(0, np.uint32)
    chosen = np.flatnonzero((expected <= limit) & valid_kmers(codes, K))
    assert places.tolist() == chosen.tolist()
    assert hashes.tolist() == expected[chosen].tolist()


def test_chunks_leave_no_k_mer_out():
    codes = random_bases(np.random.default_rng(0), 2 * kmer_hashes._CHUNK + 100, unknown=0.001)
    places, hashes = KmerHasher().small_hashes(codes, 2**32 - 1)
    assert places.tolist() == np.flatnonzero(valid_kmers(codes, K)).tolist()
    assert np.array_equal(hashes, reference_hashes(codes)[places])


@given(st.integers(K, 300), st.integers(0, 1000))
def test_both_strands_have_the_same_hashes(length, seed):
    codes = random_bases(np.random.default_rng(seed), length)
    assert reference_hashes(codes).tolist() == reference_hashes(COMPLEMENT[codes[::-1]])[::-1].tolist()


def test_hashes_are_spread_evenly():
    for composition in ([0.25] * 4, [0.4, 0.1, 0.1, 0.4], [0.15, 0.35, 0.35, 0.15]):
        codes = np.random.default_rng(3).choice(4, 400_000, p=composition).astype(np.uint8)
        shares = [(reference_hashes(codes) <= 2**32 * density).mean() / density for density in (0.5, 0.1, 0.02)]
        assert shares == pytest.approx([1, 1, 1], rel=0.15)


@given(st.lists(st.integers(-3, 3), min_size=1))
def test_numbers_by_appearance(values):
    numbers = number_by_appearance(np.array(values)).tolist()
    firsts = list(dict.fromkeys(values))
    assert numbers == [firsts.index(value) for value in values]
