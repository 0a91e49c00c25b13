"""Clusters of made up embeddings: who is found, how many, and what happens to phantoms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from testkit.voices import people, spoken, unit_vectors
from whisper_service.actors.speakers.clustering import DISTANCE, LEAST_S, HowMany, cluster

Vectors = npt.NDArray[np.float64]


def talk(who: list[int], seed: int = 0, spread: float = 0.5) -> Vectors:
    """One embedding for each number of a person."""
    dice, everybody = np.random.default_rng(seed), people(max(who) + 1, seed)
    return np.array([spoken(everybody[person], dice, spread) for person in who], dtype=np.float64)


def seconds_of(who: list[int]) -> Vectors:
    return np.full(len(who), 3.0)


def partition(numbers: npt.NDArray[np.intp]) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(numbers == number).tolist()) for number in set(numbers.tolist())}


def plain_average_linkage(vectors: Vectors, clusters: int) -> set[frozenset[int]]:
    """The definition, with every cosine: join the two sets with the largest mean cosine, again and again."""
    groups = [[n] for n in range(len(vectors))]
    cosines = vectors @ vectors.T
    while len(groups) > clusters:
        pairs = [(a, b) for a in range(len(groups)) for b in range(a)]
        a, b = max(pairs, key=lambda pair: float(cosines[np.ix_(groups[pair[0]], groups[pair[1]])].mean()))
        groups[b] += groups.pop(a)
    return {frozenset(group) for group in groups}


def test_each_person_is_one_cluster_numbered_by_first_voice() -> None:
    who = [2, 0, 2, 1, 1, 0, 2, 0]
    found = cluster(talk(who), seconds_of(who))
    assert found.numbers.tolist() == [0, 1, 0, 2, 2, 1, 0, 1]
    assert np.allclose(np.linalg.norm(found.centroids, axis=1), 1)
    assert np.argmax(people(3) @ found.centroids.T, axis=1).tolist() == [1, 2, 0]


@given(seed=st.integers(0, 10_000), count=st.integers(2, 14))
def test_the_clusters_are_those_of_average_linkage_by_its_definition(seed: int, count: int) -> None:
    vectors = unit_vectors(np.random.default_rng(seed).normal(size=(count, 6)))
    for k in range(1, count + 1):
        found = cluster(vectors, np.full(count, 3.0), HowMany(k, k))
        assert partition(found.numbers) == plain_average_linkage(vectors, k)


@given(seed=st.integers(0, 10_000), data=st.data())
def test_as_many_people_are_found_as_are_asked_for(seed: int, data: st.DataObject) -> None:
    dice = np.random.default_rng(seed)
    count = data.draw(st.integers(1, 40))
    k = data.draw(st.integers(1, count))
    vectors = unit_vectors(dice.normal(size=(count, 8)))
    found = cluster(vectors, dice.uniform(0.05, 5.0, size=count), HowMany(k, k))
    assert len(found.centroids) == k
    assert set(found.numbers.tolist()) == set(range(k))


def test_more_people_than_voices_are_as_many_as_voices() -> None:
    who = [0, 1, 1]
    assert len(cluster(talk(who), seconds_of(who), HowMany(7, 7)).centroids) == 3


def test_a_least_and_a_most_number_hold_and_change_nothing_else() -> None:
    who = [0, 1, 2, 3] * 4
    vectors, seconds = talk(who), seconds_of(who)
    numbers = {limits: len(cluster(vectors, seconds, HowMany(*limits)).centroids) for limits in LIMITS}
    assert numbers == {(1, None): 4, (1, 2): 2, (6, None): 6, (2, 8): 4, (3, 3): 3, (1, 1): 1}


LIMITS = [(1, None), (1, 2), (6, None), (2, 8), (3, 3), (1, 1)]


def test_told_fewer_people_the_two_that_are_most_alike_become_one() -> None:
    everybody, dice = people(3), np.random.default_rng(1)
    everybody[2] = unit_vectors(everybody[1] + 0.9 * everybody[2])
    who = [0, 1, 2] * 5
    vectors = np.array([spoken(everybody[person], dice, 0.3) for person in who], dtype=np.float64)
    found = cluster(vectors, seconds_of(who), HowMany(2, 2))
    assert partition(found.numbers) == {frozenset(range(0, 15, 3)), frozenset(n for n in range(15) if n % 3)}


def test_a_phantom_goes_to_the_nearest_person_and_does_not_move_the_voice_of_that_person() -> None:
    who = [0, 1, 0, 1, 0, 1]
    vectors, seconds = talk(who), seconds_of(who)
    cough = unit_vectors(vectors[1] + 2.2 * people(5)[4])
    assert 1 - cough @ vectors[1::2].mean(axis=0) > DISTANCE
    without = cluster(vectors, seconds)
    found = cluster(np.vstack([vectors, cough]), np.append(seconds, LEAST_S - 0.1))
    assert found.numbers.tolist() == [*without.numbers.tolist(), 1]
    assert np.allclose(found.centroids, without.centroids)
    longer = cluster(np.vstack([vectors, cough]), np.append(seconds, LEAST_S + 0.1))
    assert longer.numbers.tolist() == [*without.numbers.tolist(), 2]


def test_a_hundredth_of_the_speech_is_a_person_only_with_a_sentence_without_a_break() -> None:
    many = [0, 1] * 200
    crumbs, sentence = [0.9, 0.9, 0.9], [2.5, 0.9, 0.9]
    vectors = talk([*many, 2, 2, 2])
    for last, expected in ((crumbs, 2), (sentence, 3)):
        seconds = np.append(seconds_of(many), last)
        assert len(cluster(vectors, seconds).centroids) == expected


def test_with_phantoms_only_the_largest_is_the_one_person() -> None:
    who = [0, 1, 1]
    found = cluster(talk(who), np.array([0.5, 0.4, 0.4]))
    assert found.numbers.tolist() == [0, 0, 0]
    assert np.argmax(people(2) @ found.centroids[0]) == 1


@pytest.mark.parametrize("count", [1, 2, 3, 30])
def test_equal_voices_are_one_person(count: int) -> None:
    vectors = np.repeat(talk([0]), count, axis=0)
    assert cluster(vectors, np.full(count, 3.0)).numbers.tolist() == [0] * count
    assert len(cluster(vectors, np.full(count, 3.0), HowMany(count, count)).centroids) == count


def test_no_voices_are_nobody() -> None:
    found = cluster(np.zeros((0, 192)), np.zeros(0))
    assert len(found.numbers) == len(found.centroids) == 0


@given(seed=st.integers(0, 1_000), order=st.permutations(range(12)))
def test_the_order_of_the_voices_changes_numbers_but_not_people(seed: int, order: list[int]) -> None:
    vectors, seconds = talk([0, 1, 2, 0, 1, 2, 0, 1, 2, 2, 2, 1], seed), np.random.default_rng(seed).uniform(1, 4, 12)
    straight, mixed = cluster(vectors, seconds), cluster(vectors[order], seconds[order])
    assert partition(straight.numbers) == {frozenset(order[n] for n in group) for group in partition(mixed.numbers)}


def test_the_same_voices_give_the_same_bytes() -> None:
    who = np.random.default_rng(3).integers(9, size=400).tolist()
    first, second = (cluster(talk(who, spread=0.7), seconds_of(who)) for _ in range(2))
    assert first.centroids.tobytes() == second.centroids.tobytes()
    assert first.numbers.tobytes() == second.numbers.tobytes()
    assert len(first.centroids) == 9
