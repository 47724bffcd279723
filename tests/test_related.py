"""Records that share a group or a near-duplicate cluster, or are linked by a chain of those, belong together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from genomix.data.related import related

names = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c", "d"]), st.sampled_from(["", "1", "2", "3"])), min_size=1, max_size=30)


def test_a_chain_of_names_links():
    assert related(["a", "a", "b", ""], ["1", "2", "2", ""]).tolist() == [0, 0, 0, 1]


def test_an_empty_name_links_nobody():
    assert len(set(related(["", "", ""]).tolist())) == 3


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
