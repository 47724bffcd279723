"""Records that share a group or a near-duplicate cluster, or are linked by a chain of those, belong together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genomix.data.related import divisible, related

names = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.sampled_from(["", "1", "2", "3"])), min_size=1, max_size=30)


def test_a_chain_of_names_links():
    assert related(["a", "a", "b", ""], ["1", "2", "2", ""]).tolist() == [0, 0, 0, 1]


def test_an_empty_name_links_nobody():
    assert len(set(related(["", "", ""]).tolist())) == 3


def test_a_class_that_is_one_family_is_divided_and_the_others_keep_theirs_together():
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3, 3])
    groups = np.array([0, 0, 1, 1, 2, 2, 2, 2, 3, 3])
    clusters = np.array([0, 1, 2, 3, 4, 4, 4, 5, 6, 7])
    found = divisible(labels, groups, clusters)
    assert found.tolist() == [0, 0, 1, 1, 24, 25, 26, 2, 16, 17]  # by group; one by one; alone anyway; by cluster


@given(names)
def test_it_is_the_transitive_closure(pairs):
    size = len(pairs)
    linked = np.array([[any(p and p == q for p, q in zip(one, other, strict=True)) for other in pairs] for one in pairs]) | np.eye(
        size, dtype=bool
    )
    for _ in range(size):
        linked = linked @ linked
    found = related([group for group, _ in pairs], [cluster for _, cluster in pairs])
    assert np.array_equal(found[:, None] == found, linked)
