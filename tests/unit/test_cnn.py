"""The training loop keeps the best epoch, goes on after a kill, and repeats when seeded."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from nucprof.config.models import CnnSettings
from nucprof.errors import DataError, NucprofError
from nucprof.learn.cnn import device
from nucprof.learn.cnn.augment import crop_limits
from nucprof.learn.cnn.crop_data import CropsInMemory
from nucprof.learn.cnn.device import predict_logits, uses_bfloat16
from nucprof.learn.cnn.inputs import InputPath
from nucprof.learn.cnn.train import Samples, class_weights, train_network

SIZE = 16


def make_crops(n, seed=0):
    """Class 1 has its bright spot in the second channel, class 0 in the first."""
    rng = np.random.default_rng(seed)
    crops = rng.integers(90, 110, size=(n, 2, SIZE, SIZE)).astype(np.uint16)
    targets = np.arange(n) % 2
    crops[np.arange(n), targets, 5:11, 5:11] += 400
    return crops, targets


CROPS, TARGETS = make_crops(60)
TRAIN = Samples(np.arange(40), TARGETS[:40])
VALIDATION = Samples(np.arange(40, 60), TARGETS[40:])
QUICK = CnnSettings(epochs=4, batch_size=16, learning_rate=3e-3)


@pytest.fixture(scope="module")
def inputs():
    crops = CropsInMemory(CROPS)
    return InputPath(crops, crop_limits(crops), SIZE, "cpu")


@pytest.fixture(scope="module")
def reduced():
    crops = CropsInMemory(CROPS)
    return InputPath(crops, crop_limits(crops), SIZE, "cpu", bfloat16=True)


def tiny(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(4, 2),
    )  # fmt: skip


def run(inputs, settings=QUICK, *, network=None, seed=0, train=TRAIN, **more):
    return train_network(
        network or tiny(), inputs, train, VALIDATION, settings, seed=seed, n_classes=2, **more
    )


def cross_entropy(logits, targets, weights=(1.0, 1.0)):
    """Weighted mean of -log softmax, by hand."""
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    w = np.asarray(weights)[targets]
    return float((-np.log(p[np.arange(len(p)), targets]) * w).sum() / w.sum())


def validation_loss(network, inputs):
    return cross_entropy(predict_logits(network, inputs, VALIDATION.numbers), VALIDATION.targets)


def test_it_learns(inputs):
    trained = run(inputs, CnnSettings(epochs=8, batch_size=8, learning_rate=2e-2))
    assert trained.history[trained.best_epoch].validation_f1 > 0.9


def test_the_best_epoch_is_kept_and_not_the_last(inputs):
    # Some validation labels are wrong: growing ever surer, the network gets ever worse at them.
    wrong = VALIDATION.targets.copy()
    wrong[:6] = 1 - wrong[:6]
    settings = CnnSettings(epochs=8, batch_size=16, learning_rate=0.05)
    trained = train_network(
        tiny(), inputs, TRAIN, Samples(VALIDATION.numbers, wrong), settings, seed=0, n_classes=2
    )
    losses = [epoch.validation_loss for epoch in trained.history]
    assert len(losses) == 8
    assert trained.best_epoch == int(np.argmin(losses))
    assert losses[-1] > min(losses) + 0.1
    logits = predict_logits(trained.network, inputs, VALIDATION.numbers)
    assert cross_entropy(logits, wrong) == pytest.approx(min(losses), abs=1e-5)


def test_the_loss_takes_logits(inputs):
    # After a softmax of its own, the loss of two classes would lie between 0.31 and 1.31.
    network = tiny()
    network[1].momentum = 0.0
    with torch.no_grad():
        network[-1].weight.mul_(300)
    settings = CnnSettings(epochs=1, learning_rate=1e-30)
    trained = run(inputs, settings, network=network)
    loss = trained.history[0].validation_loss
    assert loss == pytest.approx(validation_loss(trained.network, inputs), rel=1e-4)
    assert not 0.31 < loss < 1.32


def test_classes_weigh_the_same():
    np.testing.assert_allclose(class_weights(np.array([0, 0, 0, 1]), 2), [4 / 6, 4 / 2])
    with pytest.raises(DataError, match="no crop"):
        class_weights(np.array([0, 0]), 2)


def test_same_seed_same_numbers_another_seed_others(inputs):
    one, two, other = (run(inputs, seed=s) for s in (0, 0, 1))
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, two.network.state_dict()[name])
    assert [e.train_loss for e in one.history] == [e.train_loss for e in two.history]
    assert [e.train_loss for e in one.history] != [e.train_loss for e in other.history]


def test_weights_and_logits_do_not_depend_on_the_threads_that_torch_had(request):
    crops = CropsInMemory(CROPS)
    limits, before = crop_limits(crops), torch.get_num_threads()
    request.addfinalizer(lambda: torch.set_num_threads(before))
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)  # as OMP_NUM_THREADS does when the process starts
        own = InputPath(crops, limits, SIZE, "cpu")
        network = run(own, network=tiny()).network
        weights = [value.numpy().tobytes() for value in network.state_dict().values()]
        found.append([*weights, predict_logits(network, own, np.arange(60)).tobytes()])
    assert found[0] == found[1] == found[2]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("schedule", ["plateau", "one-cycle"])
def test_a_killed_run_goes_on_as_if_nothing_had_happened(inputs, tmp_path, schedule):
    settings = CnnSettings(epochs=5, batch_size=16, learning_rate=3e-3, schedule=schedule)
    whole = run(inputs, settings)
    path, lines = tmp_path / "state.safetensors", []

    def kill(line):
        if line.startswith("epoch 4"):
            raise Killed

    with pytest.raises(Killed):
        run(inputs, settings, checkpoint=path, definition="a", report=kill)
    resumed = run(inputs, settings, checkpoint=path, definition="a", report=lines.append)
    assert lines[0] == "going on after epoch 3, where the last run stopped"
    assert [(e.train_loss, e.validation_loss, e.learning_rate) for e in resumed.history] == [
        (e.train_loss, e.validation_loss, e.learning_rate) for e in whole.history
    ]
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name])
    assert resumed.best_epoch == whole.best_epoch


def test_a_checkpoint_of_another_run_or_a_broken_one_is_not_gone_on_from(inputs, tmp_path):
    path, lines = tmp_path / "state.safetensors", []
    run(inputs, checkpoint=path, definition="a")
    run(inputs, checkpoint=path, definition="b", report=lines.append)
    assert lines[0].startswith("epoch 1 of 4")
    path.write_bytes(b"broken")
    lines.clear()
    run(inputs, checkpoint=path, definition="b", report=lines.append)
    assert "cannot be read" in lines[0]
    assert lines[1].startswith("epoch 1 of 4")


def test_time_left_counts_every_epoch_and_training_to_come(inputs, monkeypatch):
    seconds = itertools.count(step=60)  # a clock by which every epoch takes a minute
    monkeypatch.setattr("nucprof.learn.cnn.train.time.perf_counter", lambda: next(seconds))
    lines = []
    run(inputs, report=lines.append)
    assert [line.rpartition("; ")[2] for line in lines[:3]] == [
        f"at most {n} min left" for n in (3, 2, 1)
    ]
    assert "left" not in lines[3]
    lines.clear()
    run(inputs, report=lines.append, afterwards=2)
    # four epochs of each of the two trainings that follow
    assert [line.rpartition("; ")[2] for line in lines] == [
        f"at most {n} min left" for n in (11, 10, 9, 8)
    ]


def test_it_stops_early_and_only_when_nothing_gets_better(inputs):
    settings = CnnSettings(epochs=50, batch_size=16, learning_rate=1e-30, patience=3)
    frozen = tiny()
    frozen[1].momentum = 0.0  # nothing at all changes from epoch to epoch
    trained = run(inputs, settings, network=frozen)
    assert len(trained.history) == 1 + 3
    assert trained.best_epoch == 0


def test_the_plateau_lowers_the_learning_rate(inputs):
    settings = CnnSettings(epochs=9, batch_size=16, learning_rate=1e-30, patience=50)
    frozen = tiny()
    frozen[1].momentum = 0.0
    rates = [e.learning_rate for e in run(inputs, settings, network=frozen).history]
    np.testing.assert_allclose(np.array(rates) / 1e-30, [1] * 7 + [0.3] * 2)


def test_one_cycle_goes_up_and_down(inputs):
    settings = CnnSettings(epochs=10, batch_size=40, learning_rate=1e-3, schedule="one-cycle")
    rates = [e.learning_rate for e in run(inputs, settings).history]
    top = int(np.argmax(rates))
    assert 1 <= top <= 4
    assert all(np.diff(rates[: top + 1]) > 0)
    assert all(np.diff(rates[top:]) < 0)
    assert max(rates) <= 1e-3


class Hungry(nn.Module):
    """Runs out of memory for more than `most` crops at once."""

    def __init__(self, most):
        super().__init__()
        self.inner, self.most, self.seen = tiny(), most, []

    def forward(self, crops):
        if self.training:
            if len(crops) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            self.seen.append(len(crops))
        return self.inner(crops)


def test_out_of_memory_halves_the_batch_says_so_and_goes_on(inputs):
    network, lines = Hungry(5), []
    trained = run(inputs, network=network, report=lines.append)
    assert trained.batch_size == 4
    assert [line for line in lines if "out of memory" in line] == trained.warnings
    assert trained.warnings[-1] == "out of memory: going on with batches of 4 crops"
    # every crop of every epoch was learned from, and none alone
    assert sum(network.seen) == 4 * 40
    assert min(network.seen) >= 2


def test_too_little_memory_for_two_crops_is_an_error(inputs):
    with pytest.raises(NucprofError, match="too little memory"):
        run(inputs, network=Hungry(1))


def test_a_loss_that_is_not_finite_is_an_error(inputs):
    network = tiny()
    with torch.no_grad():
        network[-1].weight.fill_(float("nan"))
    with pytest.raises(NucprofError, match=r"not finite in epoch 1.*learning_rate"):
        run(inputs, network=network)


def test_an_odd_last_crop_does_not_break_batch_normalisation(inputs):
    odd = Samples(np.arange(33), TARGETS[:33])
    network = Hungry(99)
    run(inputs, network=network, train=odd)
    assert network.seen == [16, 16] * 4


def test_parts_without_crops_are_refused(inputs):
    nothing = Samples(np.array([], int), np.array([], int))
    with pytest.raises(DataError, match="validation part"):
        run(inputs, train=nothing)


class TestBfloat16:
    """Works on every CPU: those without bfloat16 units compute it slowly."""

    def test_multiplications_are_in_bfloat16_and_weights_are_not(self, reduced):
        network = tiny()
        seen = []
        network[0].register_forward_hook(lambda *call: seen.append(call[-1].dtype))
        trained = run(reduced, network=network)
        assert set(seen) == {torch.bfloat16}
        assert {p.dtype for p in trained.network.parameters()} == {torch.float32}

    def test_logits_agree_with_float32_to_its_three_digits(self, inputs, reduced):
        network = tiny()
        full = predict_logits(network, inputs, VALIDATION.numbers)
        half = predict_logits(network, reduced, VALIDATION.numbers)
        assert half.dtype == np.float32
        assert 0 < np.abs(half - full).max() < 0.02 * np.abs(full).max()

    def test_it_learns(self, reduced):
        trained = run(reduced, CnnSettings(epochs=8, batch_size=8, learning_rate=2e-2))
        assert trained.history[trained.best_epoch].validation_f1 > 0.9

    @pytest.mark.parametrize("has_units", [True, False])
    def test_it_is_used_where_it_is_faster(self, monkeypatch, has_units):
        monkeypatch.setattr(device, "multiplies_bfloat16", lambda: has_units)
        assert uses_bfloat16("cpu", "auto") is has_units
        assert not uses_bfloat16("cpu", "full")
        assert not uses_bfloat16("mps", "auto")
