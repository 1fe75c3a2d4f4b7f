"""Posterior draws of the model of error rates: Metropolis steps within Gibbs, compiled.

The model is told in :mod:`nucprof.learn.composition.error_rates`. Effects (`plate`, `well`, `own`)
are log-odds, with standard deviations `scale / sqrt(2)`. A scale is moved in two ways (Yu and Meng
2011), with its effects held still and with the effects scaled along: either way alone stalls, the
first where wells hardly differ, the second where they differ much. Averages and effects can stand
for each other, so shifts are also handed from one to the other, which leaves the likelihood as is.
"""

# numba infers the types of arguments, and compiles loops faster than operations on whole arrays.
# Its own generator, seeded here, compiles in a tenth of the time that numpy's takes.
# ruff: noqa: ANN001, ANN202, NPY002
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from nucprof.core.features._compile import compiled

PSEUDOCOUNT = 0.5
"""Of every entry of an average row: Jeffreys' prior."""
BURN_IN = 600
THIN = 4
_MEAN, _PLATE, _WELL, _OWN, _ALONG, _STILL, _HANDED = 0, 1, 2, 3, 4, 7, 10
_BLOCKS = 15
_ADAPT_EVERY = 50
_ACCEPTED = 0.4


@compiled
def sample(counts, on, n_plates, priors, n, seed):  # noqa: ANN201
    """Draw from the posterior.

    Parameters
    ----------
    counts
        `(W, K, K)` float64, rows true.
    on
        `(W,)` int64, the plate of each well.
    n_plates
        Number of plates P, with or without wells.
    priors
        `(3,)` float64, scales of the half-normal priors of omega, tau, sigma.
    n
        Number of draws.
    seed
        Of the draws, 0 to 2**32 - 1.

    Returns
    -------
    tuple
        Average log-odds m `(n, K, K)`, plate effects `(n, P, K)`, scales `(n, 3)`.
    """
    np.random.seed(seed)
    n_wells, n_classes, _ = counts.shape
    mean, plate = np.zeros((n_classes, n_classes)), np.zeros((n_plates, n_classes))
    well, own = np.zeros((n_wells, n_classes)), np.zeros(counts.shape)
    totals, scales = np.zeros((n_wells, n_classes)), np.zeros(3)
    fit, rows = np.zeros((n_wells, n_classes)), np.zeros((n_wells, n_classes))
    data = (counts, totals, on)
    state = (mean, plate, well, own, scales, fit, rows)
    _start(data, state, priors)
    steps, tried, taken = np.zeros(_BLOCKS), np.zeros(_BLOCKS), np.zeros(_BLOCKS)
    steps += 0.5
    walk = (steps, tried, taken)
    means = np.empty((n, n_classes, n_classes))
    plates = np.empty((n, n_plates, n_classes))
    spreads = np.empty((n, 3))
    for sweep in range(BURN_IN + n * THIN):
        _move_mean(data, state, walk)
        _move_plates(data, state, walk)
        _move_wells(data, state, walk)
        for kind in range(3):
            _scale_along(data, state, walk, kind, priors[kind])
            _scale_still(data, state, walk, kind, priors[kind])
        _hand_over(data, state, walk)
        if sweep < BURN_IN:
            if sweep % _ADAPT_EVERY == _ADAPT_EVERY - 1:
                for block in range(_BLOCKS):
                    steps[block] *= np.exp(taken[block] / max(tried[block], 1.0) - _ACCEPTED)
                    tried[block], taken[block] = 0.0, 0.0
        elif (sweep - BURN_IN) % THIN == THIN - 1:
            draw = (sweep - BURN_IN) // THIN
            means[draw], plates[draw], spreads[draw] = mean, plate, scales
    return means, plates, spreads


@compiled
def _start(data, state, priors):
    """Pooled log-odds against the diagonal, which stays 0; no effects."""
    counts, totals, _ = data
    mean, scales, fit = state[0], state[4], state[5]
    n_wells, n_classes, _ = counts.shape
    for i in range(n_classes):
        for j in range(n_classes):
            pooled = PSEUDOCOUNT
            for w in range(n_wells):
                totals[w, i] += counts[w, i, j]
                pooled += counts[w, i, j]
            mean[i, j] = np.log(pooled)
        diagonal = mean[i, i]
        for j in range(n_classes):
            mean[i, j] -= diagonal
    for kind in range(3):
        scales[kind] = 0.5 * priors[kind]
    for w in range(n_wells):
        for i in range(n_classes):
            fit[w, i] = _row_fit(data, state, w, i)


@compiled
def _row_fit(data, state, w, i):
    """Log-likelihood of the cells of class i in well w."""
    counts, totals, on = data
    mean, plate, well, own = state[0], state[1], state[2], state[3]
    if totals[w, i] == 0:
        return 0.0
    linear, top = 0.0, -np.inf
    for j in range(counts.shape[1]):
        x = mean[i, j] + plate[on[w], j] + well[w, j] + own[w, i, j]
        linear += counts[w, i, j] * x
        top = max(top, x)
    total = 0.0
    for j in range(counts.shape[1]):
        total += np.exp(mean[i, j] + plate[on[w], j] + well[w, j] + own[w, i, j] - top)
    return linear - totals[w, i] * (top + np.log(total))


@compiled
def _prior_of_row(mean, i):
    """Log-density of the log-odds of a row whose probabilities are Dirichlet (1/2, ...)."""
    total, top, exponentials = 0.0, -np.inf, 0.0
    for j in range(len(mean)):
        total += mean[i, j]
        top = max(top, mean[i, j])
    for j in range(len(mean)):
        exponentials += np.exp(mean[i, j] - top)
    return PSEUDOCOUNT * (total - len(mean) * (top + np.log(exponentials)))


@compiled
def _step(walk, block):
    return walk[0][block] * np.random.normal()


@compiled
def _taken(gain, walk, block):
    """Whether a proposal is accepted; counts it, for the step's size."""
    walk[1][block] += 1
    if np.log(np.random.random()) < gain:
        walk[2][block] += 1
        return True
    return False


@compiled
def _refit(data, state, first, last, plate):
    """Fit rows `first` to `last` of the wells on a plate (-1: all) anew; the sum of changes."""
    on, fit, rows = data[2], state[5], state[6]
    changed = 0.0
    for w in range(len(on)):
        for i in range(first, last):
            rows[w, i] = fit[w, i]
            if plate == -1 or on[w] == plate:
                rows[w, i] = _row_fit(data, state, w, i)
            changed += rows[w, i] - fit[w, i]
    return changed


@compiled
def _keep(state, first, last):
    fit, rows = state[5], state[6]
    for w in range(len(fit)):
        for i in range(first, last):
            fit[w, i] = rows[w, i]


@compiled
def _move_mean(data, state, walk):
    mean = state[0]
    for i in range(len(mean)):
        for j in range(len(mean)):
            if i == j:
                continue
            old, before = mean[i, j], _prior_of_row(mean, i)
            mean[i, j] += _step(walk, _MEAN)
            gain = _refit(data, state, i, i + 1, -1) + _prior_of_row(mean, i) - before
            if _taken(gain, walk, _MEAN):
                _keep(state, i, i + 1)
            else:
                mean[i, j] = old


@compiled
def _move_plates(data, state, walk):
    plate, scales = state[1], state[4]
    n_plates, n_classes = plate.shape
    for p in range(n_plates):
        for j in range(n_classes):
            old = plate[p, j]
            plate[p, j] += _step(walk, _PLATE)
            gain = _refit(data, state, 0, n_classes, p)
            gain -= (plate[p, j] ** 2 - old**2) / scales[0] ** 2
            if _taken(gain, walk, _PLATE):
                _keep(state, 0, n_classes)
            else:
                plate[p, j] = old


@compiled
def _move_wells(data, state, walk):
    totals = data[1]
    well, own, scales, fit, rows = state[2], state[3], state[4], state[5], state[6]
    n_wells, n_classes = well.shape
    for w in range(n_wells):
        for j in range(n_classes):
            old = well[w, j]
            well[w, j] += _step(walk, _WELL)
            gain = -(well[w, j] ** 2 - old**2) / scales[1] ** 2
            for i in range(n_classes):
                rows[w, i] = _row_fit(data, state, w, i)
                gain += rows[w, i] - fit[w, i]
            if _taken(gain, walk, _WELL):
                for i in range(n_classes):
                    fit[w, i] = rows[w, i]
            else:
                well[w, j] = old
        for i in range(n_classes):
            for j in range(n_classes if totals[w, i] > 0 else 0):
                old = own[w, i, j]
                own[w, i, j] += _step(walk, _OWN)
                found = _row_fit(data, state, w, i)
                gain = found - fit[w, i] - (own[w, i, j] ** 2 - old**2) / scales[2] ** 2
                if _taken(gain, walk, _OWN):
                    fit[w, i] = found
                else:
                    own[w, i, j] = old


@compiled
def _multiply(state, kind, factor):
    """Multiply a scale and its effects: plates', wells', or those of a class in a well."""
    _, plate, well, own, scales, _, _ = state
    scales[kind] *= factor
    if kind == 0:
        for p in range(plate.shape[0]):
            for j in range(plate.shape[1]):
                plate[p, j] *= factor
    else:
        for w in range(well.shape[0]):
            for i in range(well.shape[1]):
                if kind == 1:
                    well[w, i] *= factor
                else:
                    for j in range(well.shape[1]):
                        own[w, i, j] *= factor


@compiled
def _scale_along(data, state, walk, kind, prior):
    """Move a scale and its effects with it."""
    scales, n_classes = state[4], state[0].shape[0]
    move = _step(walk, _ALONG + kind)
    old = scales[kind]
    _multiply(state, kind, np.exp(move))
    gain = _refit(data, state, 0, n_classes, -1)
    gain += move - 0.5 * (scales[kind] ** 2 - old**2) / prior**2
    if _taken(gain, walk, _ALONG + kind):
        _keep(state, 0, n_classes)
    else:
        _multiply(state, kind, np.exp(-move))
        scales[kind] = old


@compiled
def _squares(state, kind):
    """Sum of the squared effects of a kind."""
    _, plate, well, own, _, _, _ = state
    total = 0.0
    if kind == 0:
        for p in range(plate.shape[0]):
            for j in range(plate.shape[1]):
                total += plate[p, j] ** 2
    else:
        for w in range(well.shape[0]):
            for i in range(well.shape[1]):
                if kind == 1:
                    total += well[w, i] ** 2
                else:
                    for j in range(well.shape[1]):
                        total += own[w, i, j] ** 2
    return total


@compiled
def _scale_still(data, state, walk, kind, prior):
    """Move a scale and leave its effects."""
    totals, plate, well, scales = data[1], state[1], state[2], state[4]
    n_classes = plate.shape[1]
    if kind == 0:
        number = plate.shape[0] * n_classes
    elif kind == 1:
        number = well.shape[0] * n_classes
    else:
        number = 0
        for w in range(well.shape[0]):
            for i in range(n_classes):
                number += n_classes if totals[w, i] > 0 else 0
    old = scales[kind]
    new = old * np.exp(_step(walk, _STILL + kind))
    gain = (1 - number) * np.log(new / old) - _squares(state, kind) * (1 / new**2 - 1 / old**2)
    gain -= 0.5 * (new**2 - old**2) / prior**2
    if _taken(gain, walk, _STILL + kind):
        scales[kind] = new


@compiled
def _hand_over(data, state, walk):
    """Move shifts between effects that can stand for each other."""
    for j in range(state[0].shape[0]):
        for p in range(state[1].shape[0]):
            _plate_to_wells(data, state, walk, p, j)
        _mean_to(state[1], state[4][0], _HANDED + 1, state[0], walk, j)
        _mean_to(state[2], state[4][1], _HANDED + 3, state[0], walk, j)
        for w in range(state[2].shape[0]):
            _well_to_own(data, state, walk, w, j)
        for i in range(state[0].shape[0]):
            if i != j:
                _mean_to_own(data, state, walk, i, j)


@compiled
def _plate_to_wells(data, state, walk, p, j):
    on, plate, well, scales = data[2], state[1], state[2], state[4]
    delta = _step(walk, _HANDED)
    gain = -((plate[p, j] + delta) ** 2 - plate[p, j] ** 2) / scales[0] ** 2
    for w in range(len(on)):
        if on[w] == p:
            gain -= ((well[w, j] - delta) ** 2 - well[w, j] ** 2) / scales[1] ** 2
    if _taken(gain, walk, _HANDED):
        plate[p, j] += delta
        for w in range(len(on)):
            if on[w] == p:
                well[w, j] -= delta


@compiled
def _shift_mean(mean, j, delta):
    """Add to class j in all rows; in its own row, whose diagonal stays 0, against the others."""
    for i in range(len(mean)):
        if i != j:
            mean[i, j] += delta
            mean[j, i] -= delta


@compiled
def _mean_to(levels, scale, slot, mean, walk, j):
    """Hand a part of class j from the mean to all plates, or to all wells."""
    delta = _step(walk, slot)
    gain = 0.0
    for i in range(len(mean)):
        gain -= _prior_of_row(mean, i)
    _shift_mean(mean, j, delta)
    for i in range(len(mean)):
        gain += _prior_of_row(mean, i)
    for p in range(len(levels)):
        gain -= ((levels[p, j] - delta) ** 2 - levels[p, j] ** 2) / scale**2
    if _taken(gain, walk, slot):
        for p in range(len(levels)):
            levels[p, j] -= delta
    else:
        _shift_mean(mean, j, -delta)


@compiled
def _well_to_own(data, state, walk, w, j):
    totals, well, own, scales = data[1], state[2], state[3], state[4]
    delta = _step(walk, _HANDED + 4)
    gain = -((well[w, j] + delta) ** 2 - well[w, j] ** 2) / scales[1] ** 2
    for i in range(own.shape[1]):
        if totals[w, i] > 0:
            gain -= ((own[w, i, j] - delta) ** 2 - own[w, i, j] ** 2) / scales[2] ** 2
    if _taken(gain, walk, _HANDED + 4):
        well[w, j] += delta
        for i in range(own.shape[1]):
            if totals[w, i] > 0:
                own[w, i, j] -= delta


@compiled
def _mean_to_own(data, state, walk, i, j):
    totals, mean, own, scales = data[1], state[0], state[3], state[4]
    delta, old = _step(walk, _HANDED + 2), mean[i, j]
    gain = -_prior_of_row(mean, i)
    mean[i, j] += delta
    gain += _prior_of_row(mean, i)
    for w in range(len(own)):
        if totals[w, i] > 0:
            gain -= ((own[w, i, j] - delta) ** 2 - own[w, i, j] ** 2) / scales[2] ** 2
    if _taken(gain, walk, _HANDED + 2):
        for w in range(len(own)):
            if totals[w, i] > 0:
                own[w, i, j] -= delta
    else:
        mean[i, j] = old
