"""A similarity between two images: a shift, a rotation and a magnification; and how to fit one.

Convention: with ``c`` the centre of the Cell Painting image, ``((H - 1) / 2, (W - 1) / 2)``, a
nucleus at ``p = (y, x)`` in the Cell Painting image lies in the round at ::

    q = c + (shift_y, shift_x) + scale * R (p - c),    R = [[cos a, -sin a], [sin a, cos a]]

so that the shift is the displacement at the image's centre, a positive angle turns the round's
picture counterclockwise on the screen (rows count downwards), and a scale above 1 enlarges it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

#: Two points must lie this far apart to propose a similarity, as a share of the farthest two.
LEAST_BASE = 0.3
#: Largest ratio of magnifications between two rounds of one plate.
MOST_SCALE = 1.1
#: A trimmed fit that still changes after so many rounds swings between two choices.
MOST_ROUNDS = 10


@dataclass(frozen=True)
class Similarity:
    """Where the points of the Cell Painting image lie in a round (see the module's convention).

    Attributes
    ----------
    centre : (float, float)
        Centre (y, x) of the Cell Painting image, pixels.
    shift : (float, float)
        (shift_y, shift_x) at the centre, pixels.
    angle : float
        Degrees.
    scale : float
        Round over Cell Painting.
    """

    centre: tuple[float, float]
    shift: tuple[float, float]
    angle: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        shift: tuple[float, float],
        angle: float = 0.0,
        scale: float = 1.0,
    ) -> Similarity:
        """Similarity for a Cell Painting image of shape (H, W)."""
        return cls(centre_of(shape), shift, angle, scale)

    @property
    def is_translation(self) -> bool:
        """Whether nothing is turned or scaled."""
        return self.angle == 0 and self.scale == 1

    @property
    def matrix(self) -> Float64:
        """``scale * R``, (2, 2)."""
        turn = np.deg2rad(self.angle)
        return self.scale * np.array(
            [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], dtype=np.float64
        )

    @property
    def offset(self) -> Float64:
        """The round's point where the Cell Painting point (0, 0) lies, (2,)."""
        centre = np.array(self.centre)
        return np.asarray(centre + self.shift - self.matrix @ centre)

    def __call__(self, points: NDArray) -> Float64:
        """Map (N, 2) points (y, x) of the Cell Painting image into the round."""
        if self.is_translation:
            return np.asarray(points + np.array(self.shift), dtype=np.float64)
        centre = np.array(self.centre)
        return np.asarray((points - centre) @ self.matrix.T + centre + self.shift)

    def departure(self, other: Similarity) -> float:
        """Largest distance between where two similarities put a corner of the image, pixels."""
        height, width = 2 * np.array(self.centre)
        corners = np.array([(0, 0), (0, width), (height, 0), (height, width)])
        return float(np.hypot(*(self(corners) - other(corners)).T).max())


def centre_of(shape: tuple[int, ...]) -> tuple[float, float]:
    """Centre (y, x) of an image of shape (H, W), pixels."""
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


def fit_similarity(points: Float64, images: Float64, centre: tuple[float, float]) -> Similarity:
    """Least-squares similarity that maps `points` onto `images`.

    Umeyama 1991, doi 10.1109/34.88573, eqs. 40-42. Two points that coincide have no similarity.
    In the plane, with ``y + ix`` for a point, rotation and scale are one complex factor, and the
    solution without reflection is that of a complex regression.

    Parameters
    ----------
    points, images : (N, 2) float64
        Points (y, x) of the Cell Painting image and of the round; two or more.
    centre : (float, float)
        Centre of the Cell Painting image, pixels.
    """
    here, there = _complex(points), _complex(images)
    away, moved = here - here.mean(), there - there.mean()
    factor = np.vdot(away, moved) / np.vdot(away, away)
    middle = complex(*centre)
    shift = there.mean() - middle - factor * (here.mean() - middle)
    angle, scale = float(np.rad2deg(np.angle(factor))), float(abs(factor))
    return Similarity(centre, (float(shift.real), float(shift.imag)), angle, scale)


def consensus(
    points: Float64, images: Float64, centre: tuple[float, float], tolerance_px: float
) -> Similarity | None:
    """Similarity that most points agree on.

    Every two points that lie far enough apart propose a similarity; the one that the most others
    obey within the tolerance is fitted again to those until the choice stays.

    Parameters
    ----------
    points, images : (N, 2) float64
    centre : (float, float)
    tolerance_px : float
        Distance from a proposal up to which a point agrees.

    Returns
    -------
    Similarity or None
        None where no three points agree.
    """
    if len(points) < 3:
        return None
    here, there = _complex(points), _complex(images)
    first, second = np.triu_indices(len(here), 1)
    apart = np.abs(here[first] - here[second])
    far = apart >= LEAST_BASE * apart.max()
    first, second = first[far], second[far]
    factor = (there[first] - there[second]) / (here[first] - here[second])
    likely = np.abs(np.log(np.maximum(np.abs(factor), 1e-9))) <= np.log(MOST_SCALE)
    first, factor = first[likely], factor[likely]
    expected = there[first, None] + factor[:, None] * (here - here[first, None])
    agree = np.abs(expected - there) <= tolerance_px
    votes = agree.sum(axis=1)
    if not votes.size or votes.max() < 3:
        return None
    return trimmed_fit(points, images, centre, tolerance_px, agree[votes.argmax()])


def trimmed_fit(
    points: Float64,
    images: Float64,
    centre: tuple[float, float],
    tolerance_px: float,
    use: NDArray[np.bool_],
) -> Similarity:
    """Fit to the points in `use`, then to all that agree with the fit, until these stay."""
    fitted = fit_similarity(points[use], images[use], centre)
    for _ in range(MOST_ROUNDS):
        agree = distances(fitted, points, images) <= tolerance_px
        if agree.sum() < 3 or np.array_equal(agree, use):
            break
        use = agree
        fitted = fit_similarity(points[use], images[use], centre)
    return fitted


def distances(similarity: Similarity, points: Float64, images: Float64) -> Float64:
    """Distance of every image point from where the similarity expects it, (N,) pixels."""
    return np.asarray(np.hypot(*(similarity(points) - images).T))


def _complex(points: Float64) -> NDArray[np.complex128]:
    """Write points (y, x) as ``y + ix``, (N,)."""
    return np.asarray(points[:, 0] + 1j * points[:, 1])
