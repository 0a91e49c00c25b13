"""Finds who is who: clusters of embeddings, by average linkage.

The mean of the cosines between two sets of unit vectors is the product of their means. So a cluster is its mean and
its weight, and no matrix of distances is held: 11,000 voices, ten hours of talk, need some megabytes. Embeddings are
taken in the order of the recording; equal choices go to the lowest number; sums are float64. The same input gives the
same clusters.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.float64]

DISTANCE: Final = 0.5
"""Two clusters are two people if their distance, 1 less the mean cosine, is larger. Of 0.5, 0.55 and 0.6, this
value splits a voice now and then; the others join two like voices, which people cannot undo."""
LEAST_S: Final = 2.0
"""Seconds of speech of a person. A smaller cluster is a phantom: a cough, or two voices at once."""
LEAST_SHARE: Final = 0.01
"""Of all speech. A smaller cluster is a phantom too, unless one voice of it speaks `LEAST_S` without a break."""
RELAXED: Final = (1.0, 0.5, 0.25, 0.0)
"""Where a number of people is asked for that is not found, these parts of the two limits are tried, one by one."""
_EQUAL: Final = 1e-12
"""Cosines that differ by less are equal: sums of 192 products are rounded by some 1e-15."""


class HowMany(NamedTuple):
    """How many people there are. Equal numbers: exactly so many. `most` None: no limit."""

    least: int = 1
    most: int | None = None


UNKNOWN: Final = HowMany()


class Clusters(NamedTuple):
    """The cluster of each vector, and the direction of each cluster, (clusters, width).

    Clusters are numbered in order of their first vector, phantoms aside.
    """

    numbers: npt.NDArray[np.intp]
    centroids: Vectors


def cluster(vectors: Vectors, seconds: Numbers, how_many: HowMany = UNKNOWN) -> Clusters:
    """Cluster unit vectors (n, width), each of so many seconds of speech.

    Phantoms are put into the nearest cluster and do not move its centroid. There are at least `least` clusters, if
    there are as many vectors, and at most `most`.
    """
    if not len(vectors):
        return Clusters(np.zeros(0, dtype=np.intp), vectors)
    tree = _Tree(vectors, seconds)
    people, phantoms = _cut(tree, how_many)
    members = sorted((tree.members(node) for node in people), key=lambda found: int(found[0]))
    centroids = np.stack([_direction(vectors[found], seconds[found]) for found in members])
    numbers = np.zeros(len(vectors), dtype=np.intp)
    for number, found in enumerate(members):
        numbers[found] = number
    for node in phantoms:
        found = tree.members(node)
        numbers[found] = int(np.argmax(centroids @ _direction(vectors[found], seconds[found])))
    return Clusters(numbers, centroids)


def _direction(vectors: Vectors, seconds: Numbers) -> Vectors:
    """Return the mean of the vectors, made a unit vector."""
    mean = seconds @ vectors
    length = float(np.linalg.norm(mean))
    return mean / length if length else vectors[0]


class _Tree:
    """Every merge of n vectors. Node i < n is a vector, node n + m is the result of merge m."""

    def __init__(self, vectors: Vectors, seconds: Numbers) -> None:
        self.count = len(vectors)
        self.pairs: list[tuple[int, int]] = []
        self.distances: list[float] = []  # of each merge; never less than those of the merges below
        self.seconds: list[float] = seconds.tolist()  # of each node
        self.longest: list[float] = seconds.tolist()  # the seconds of the longest vector of each node
        self._merge_all(vectors, seconds)

    def members(self, node: int) -> npt.NDArray[np.intp]:
        """Return the vectors of a node, in order."""
        found: list[int] = []
        todo = [node]
        while todo:
            node = todo.pop()
            if node < self.count:
                found.append(node)
            else:
                todo.extend(self.pairs[node - self.count])
        return np.array(sorted(found), dtype=np.intp)

    def _merge_all(self, vectors: Vectors, seconds: Numbers) -> None:
        """Merge by chains of nearest neighbours: two that are nearest to each other are merged at once.

        Average linkage allows this order. A step is one product of the matrix of means with one of them. Rows of
        clusters that are gone are dropped when they are half of all.
        """
        means, weights, nodes = vectors.copy(), seconds.copy(), np.arange(self.count)
        alive = np.ones(self.count, dtype=np.bool_)
        chain: list[int] = []
        for merge in range(self.count - 1):
            left = self.count - merge
            if left <= len(means) // 2:
                chain = [int(np.count_nonzero(alive[:row])) for row in chain]
                means, weights, nodes = means[alive], weights[alive], nodes[alive]
                alive = np.ones(left, dtype=np.bool_)
            if not chain:
                chain = [int(np.argmax(alive))]
            while True:
                cosines = means @ means[chain[-1]]
                cosines[~alive] = -np.inf
                cosines[chain[-1]] = -np.inf
                nearest = int(np.argmax(cosines))
                if len(chain) > 1 and cosines[chain[-2]] >= cosines[nearest] - _EQUAL:
                    break
                chain.append(nearest)
            a, b = sorted((chain.pop(), chain.pop()))
            self._add(int(nodes[a]), int(nodes[b]), 1.0 - float(means[a] @ means[b]))
            means[a] = (means[a] * weights[a] + means[b] * weights[b]) / (weights[a] + weights[b])
            weights[a] += weights[b]
            alive[b] = False
            nodes[a] = self.count + merge

    def _add(self, a: int, b: int, distance: float) -> None:
        below = [self.distances[node - self.count] for node in (a, b) if node >= self.count]
        self.pairs.append((a, b))
        self.distances.append(max(distance, *below) if below else distance)
        self.seconds.append(self.seconds[a] + self.seconds[b])
        self.longest.append(max(self.longest[a], self.longest[b]))


def _cut(tree: _Tree, how_many: HowMany) -> tuple[list[int], list[int]]:
    """Return the nodes that are people, and those that are phantoms: together, every vector once.

    The tree is cut at `DISTANCE`. Where that gives too many people, it is cut higher; where too few, lower.
    """
    merges = range(len(tree.pairs))
    order = sorted(merges, key=lambda merge: (tree.distances[merge], merge), reverse=True)
    splits = sum(distance > DISTANCE for distance in tree.distances)
    most = tree.count if how_many.most is None else max(1, how_many.most)
    limits = _Limits(tree, 1.0)
    counts = _people_after(tree, order, limits)
    if counts[splits] > most:
        splits = max(split for split in range(splits) if counts[split] <= most)
    elif counts[splits] < how_many.least and how_many.least > 1:
        for share in RELAXED:
            limits = _Limits(tree, share)
            counts = _people_after(tree, order, limits)
            enough = [split for split in range(splits, len(counts)) if counts[split] >= how_many.least]
            if enough:
                splits = enough[0]
                break
        else:
            splits = len(order)  # fewer vectors than people
    nodes = _nodes_after(tree, order[:splits])
    heaviest = sorted(nodes, key=lambda node: (-tree.seconds[node], node))
    people = [node for node in heaviest if limits.person(tree, node)][:most] or heaviest[:1]
    return people, [node for node in nodes if node not in people]


class _Limits:
    """What a cluster must have to be a person: so much of the two limits."""

    def __init__(self, tree: _Tree, share: float) -> None:
        self._seconds = share * LEAST_S
        self._total = share * LEAST_SHARE * sum(tree.seconds[: tree.count])

    def person(self, tree: _Tree, node: int) -> bool:
        seconds, longest = tree.seconds[node], tree.longest[node]
        return seconds >= self._seconds and (seconds >= self._total or longest >= self._seconds)


def _people_after(tree: _Tree, order: list[int], limits: _Limits) -> list[int]:
    """Return how many nodes are people after 0, 1, 2 ... splits of the root, in order."""
    counts = [int(limits.person(tree, tree.count + len(order) - 1))]
    for merge in order:
        below = sum(limits.person(tree, node) for node in tree.pairs[merge])
        counts.append(counts[-1] + below - limits.person(tree, tree.count + merge))
    return counts


def _nodes_after(tree: _Tree, splits: list[int]) -> list[int]:
    """Return the nodes that are left of the root after these splits, in order of their numbers."""
    nodes = {tree.count + len(tree.pairs) - 1}
    for merge in splits:
        nodes.remove(tree.count + merge)
        nodes.update(tree.pairs[merge])
    return sorted(nodes)
