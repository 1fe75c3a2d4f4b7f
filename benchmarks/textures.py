"""What moves textures: ``python -m benchmarks.textures`` (a minute).

Simulated nuclei of 6 to 18 px radius with chromatin. Prints, for the published and the robust set,
the correlation of each texture with the nucleus's area where all have the same chromatin, and its
mean shift, in standard deviations between cells, when the same nuclei are seen otherwise.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from nucprof.core.features import TEXTURES, measure_objects

CELLS = 300
WAYS = {
    "a tenth of the exposure": {"exposure": 0.1},
    "one hot pixel": {"hot": 60_000},
    "one dead pixel": {"hot": 0},
    "2,000 grey levels of offset": {"offset": 2000},
}


def nuclei(
    *, exposure: float = 1.0, offset: float = 0.0, hot: int | None = None, alike: bool = False
) -> dict[str, np.ndarray]:
    """Features of the nuclei, each alone in its field; the same nuclei every time."""
    rows = []
    for number in range(CELLS):
        rng = np.random.default_rng(number)
        radius = rng.uniform(6, 18)
        y, x = np.mgrid[:46, :46] - 22.5
        distance = np.hypot(y / 1.1, x * 1.1) / radius
        grain = ndi.gaussian_filter(rng.normal(size=y.shape), 1.8)
        strength = 0.2 if alike else rng.uniform(0.1, 0.35)
        signal = (1 + strength * grain / grain.std()).clip(0.2) / (1 + np.exp((distance - 1) * 12))
        camera = np.random.default_rng([number, int(1000 * exposure)])
        seen = camera.poisson((signal + 0.08) * 4000 * exposure) + camera.normal(100, 3, y.shape)
        seen = np.rint(seen + offset).clip(0)
        mask = distance < 0.95
        if hot is not None:
            where = np.argwhere(mask)
            seen[tuple(where[rng.integers(len(where))])] = hot
        rows.append(measure_objects(seen[None], mask.astype(int), ["A"], "Nuclei"))
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def main() -> None:
    """Print the table."""
    plain, alike = nuclei(), nuclei(alike=True)
    others = {name: nuclei(**way) for name, way in WAYS.items()}  # type: ignore[arg-type]
    print(f"| | correlation with area | {' | '.join(WAYS)} |")
    print("| --- | ---: |" + " ---: |" * len(WAYS))
    area = alike["Nuclei_AreaShape_Area"]
    for name in TEXTURES["both"]:
        key = f"Nuclei_Texture_{name}_A"
        spread = plain[key].std()
        shifts = [f"{(other[key] - plain[key]).mean() / spread:+.2f}" for other in others.values()]
        with_area = np.corrcoef(area, alike[key])[0, 1]
        print(f"| {name} | {with_area:+.2f} | {' | '.join(shifts)} |")


if __name__ == "__main__":
    main()
