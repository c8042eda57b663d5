"""The settings of one run: each is declared once, here, with its documentation.

Keywords of :func:`relmp.train` and :func:`relmp.run_sweep`, the command line, configurations and
the axes of a grid are derived from these classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

from relmp.checks import check_number, check_whole, did_you_mean

Optimizer: TypeAlias = Literal["sgd", "adamw"]
Schedule: TypeAlias = Literal["cosine", "step", "constant"]
Precision: TypeAlias = Literal["float32", "bfloat16", "float16"]

WARMUP_START = 0.1
"""The first epoch of a warm-up has this share of the learning rate."""


@dataclass(frozen=True)
class LoopOptions:
    """The finer points of training, all off by default.

    Args:
        warmup_epochs: In so many first epochs the learning rate rises in equal steps from a
            tenth.
        steps: Where the step schedule lowers the learning rate, as shares of the epochs.
        step_factor: What it multiplies it by.
        label_smoothing: Share of the target that is spread over all classes.
        decay_all: Whether biases and the parameters of normalisation layers decay as well.
        nesterov: Whether the momentum of SGD is Nesterov's.
        clip_norm: Largest norm of the gradient.
        ema_decay: Decay of an exponential moving average of the weights; where it is set, the
            averaged model is the one that is evaluated and loaded.
        precise_bn: Measure the statistics of batch norm anew over so many training batches
            before every evaluation.
        evaluate_every: Evaluate after so many epochs, and after the last; records between hold the
            training error alone.
        patience: Stop after so many evaluations without a lower error on the validation images; the
            last weights are kept.
        recompute: Keep only what goes into a round for the backward pass, and compute the rest
            again there: less memory, at the price of a second forward pass.
        channels_last: Keep images and convolutions with the channels last.
        compile: Compile the model (``torch.compile``); not with ``recompute``.

    Raises:
        ValueError: If a number is out of its range.
    """

    warmup_epochs: int = 0
    steps: tuple[float, ...] = (0.5, 0.75)
    step_factor: float = 0.1
    label_smoothing: float = 0.0
    decay_all: bool = True
    nesterov: bool = True
    clip_norm: float | None = None
    ema_decay: float | None = None
    precise_bn: int = 0
    evaluate_every: int = 1
    patience: int | None = None
    recompute: bool = False
    channels_last: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "steps", tuple(self.steps))  # JSON has lists
        except TypeError:
            raise ValueError(f"steps are shares of the epochs, but are {self.steps!r}.") from None
        for name in ("warmup_epochs", "precise_bn"):
            check_whole(name, getattr(self, name), 0)
        check_whole("evaluate_every", self.evaluate_every, 1)
        if self.patience is not None:
            check_whole("patience", self.patience, 1)
        check_number("step_factor", self.step_factor, 0, 1)
        check_number("label_smoothing", self.label_smoothing, 0, 1)
        for share in self.steps:
            check_number("steps", share, 0, 1)
        if self.clip_norm is not None:
            check_number("clip_norm", self.clip_norm, 0)
        if self.ema_decay is not None:
            check_number("ema_decay", self.ema_decay, 0, 1)
        if self.recompute and self.compile:
            raise ValueError(
                "recompute is of no use to a compiled model, which decides itself what it keeps; "
                "set recompute or compile, not both."
            )


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What is taken of a data set.

    Args:
        image_size: Height and width that the images of a folder are brought to; 224 by default.
        crop: Smallest share of its area that a training image of a folder is cropped to at random;
            1 takes the centre alone, as for evaluation.
        held_out: Share of every class that becomes the test set of a folder, or of data of your
            own, that has none.
        train_size: Keep only so many training images, or this share of them if it is a
            fraction (0.1); all of them by default.
        validation: Share of the kept training images that are held out and evaluated as well.
        subset_seed: Decides which images ``train_size`` keeps and ``validation`` holds out.

    Raises:
        ValueError: If a number is out of its range.
    """

    image_size: int | None = None
    crop: float = 0.08
    held_out: float = 0.2
    train_size: int | float | None = None
    validation: float = 0.0
    subset_seed: int = 0

    def __post_init__(self) -> None:
        check_whole("subset_seed", self.subset_seed, 0, 2**32 - 1)
        check_number("validation", self.validation, 0, 1)
        check_number("crop", self.crop, 0, 1 + 1e-9)
        check_number("held_out", self.held_out, 0, 1)
        if self.image_size is not None:
            check_whole("image_size", self.image_size, 1)
        if self.train_size is not None:
            check_number("train_size", self.train_size, 0)


@dataclass(frozen=True, kw_only=True)
class DataConfig(DataOptions):
    """Which images a model is trained on.

    Args:
        name: Name of a data set (:func:`relmp.list_data`), or ``"package.module:Name"`` of a class
            or function that gives one.
    """

    name: str = "digits"


@dataclass(frozen=True)
class TrainConfig:
    """How a model is trained.

    The defaults are the paper's for CIFAR-10, but for the number of epochs (200 there): SGD
    with Nesterov momentum, and a learning rate that falls along half a cosine.

    Args:
        epochs: Passes over the training images.
        batch_size: Images a step, over all processes.
        optimizer: ``"sgd"`` or ``"adamw"``.
        lr: Highest learning rate.
        momentum: Nesterov momentum; the first beta of AdamW.
        weight_decay: L2 penalty (SGD), or decoupled decay (AdamW).
        schedule: ``"cosine"`` to zero, ``"step"`` or ``"constant"``.
        precision: ``"bfloat16"`` and ``"float16"`` train under autocast, the latter with
            scaled gradients.
        seed: Decides the order of the images, augmentation and dropout.
        init_from: Folder of a finished run whose weights this one starts from.
        rewiring: By which rule edges change in training: "rigl(every=100, fraction=0.3)",
            "set(...)", "static(...)", or package.module:Name for a relmp.Rewiring of your own;
            not at all by default.
        loop: The finer points.

    Raises:
        ValueError: If a number is out of its range or a name unknown.

    Reference:
        You, Leskovec, He, Xie, *Graph Structure of Neural Networks*, ICML 2020, section 5.1.
    """

    epochs: int = 20
    batch_size: int = 128
    optimizer: Optimizer = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "cosine"
    precision: Precision = "float32"
    seed: int = 0
    init_from: str | None = None
    rewiring: str | None = None
    loop: LoopOptions = field(default_factory=LoopOptions)

    def __post_init__(self) -> None:
        if self.rewiring is not None:
            object.__setattr__(self, "rewiring", _checked_rewiring(self.rewiring))
        for name, low in (("epochs", 1), ("batch_size", 2), ("seed", 0)):
            check_whole(name, getattr(self, name), low, 2**62 - 1)
        for name in ("lr", "weight_decay"):
            check_number(name, getattr(self, name), 0)
        check_number("momentum", self.momentum, 0, 1)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Unknown {name} '{getattr(self, name)}'; choose one of {', '.join(choices)}."
                )
        if self.loop.warmup_epochs >= self.epochs and self.loop.warmup_epochs > 0:
            raise ValueError(
                f"warmup_epochs must be below epochs, {self.epochs}, but is "
                f"{self.loop.warmup_epochs}."
            )

    def is_finished(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a run with these records, one an epoch, is done: after its epochs, or stopped
        early."""
        return len(records) >= self.epochs or self.is_stopped(records)

    def is_stopped(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the validation error has not fallen for ``patience`` evaluations."""
        if self.loop.patience is None:
            return False
        errors = [record["val_error"] for record in records if "val_error" in record]
        return bool(errors) and len(errors) - 1 - errors.index(min(errors)) >= self.loop.patience

    def learning_rate(self, epoch: int) -> float:
        r"""The learning rate of an epoch, counted from 0.

        - cosine: :math:`\frac{1}{2} lr (1 + \cos(\pi\, epoch / epochs))`
        - step: ``lr`` times ``step_factor`` for every share of ``steps`` that has passed
        - constant: ``lr``

        all times :math:`0.1 + 0.9\, epoch / warmup` while ``epoch < warmup``.
        """
        done, lr = epoch / self.epochs, self.lr
        if self.schedule == "cosine":
            lr = 0.5 * lr * (1 + math.cos(math.pi * done))
        elif self.schedule == "step":
            # Shares such as 0.3 are not exact: the epoch they mean is the nearest one.
            passed = [epoch >= round(share * self.epochs) for share in self.loop.steps]
            lr *= self.loop.step_factor ** sum(passed)
        if epoch < self.loop.warmup_epochs:
            lr *= WARMUP_START + (1 - WARMUP_START) * epoch / self.loop.warmup_epochs
        return lr

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """From plain values, those of ``dataclasses.asdict``."""
        return cls(**{**values, "loop": LoopOptions(**values["loop"])})


def _checked_rewiring(given: Any) -> str:
    """The text of a rule; one of the user's own that is given as text is imported when it is used.

    Raises:
        ValueError: If there is no such rule, or it does not take its arguments.
    """
    from relmp.registry import parse_call
    from relmp.training.rewiring.rule import rewiring_text

    if isinstance(given, str) and ":" in parse_call(given)[0]:
        return given
    return rewiring_text(given)


@dataclass(frozen=True)
class Settings:
    """All settings of a run but those of its model: its data and its training."""

    data: DataConfig = field(default_factory=DataConfig)
    training: TrainConfig = field(default_factory=TrainConfig)

    @classmethod
    def of(cls, data: str, settings: Mapping[str, Any]) -> Settings:
        """From settings by name.

        Raises:
            ValueError: If a name is unknown or a value out of its range.
        """
        for name in settings:
            if name not in SETTINGS:
                raise ValueError(
                    f"Unknown setting '{name}'; choose one of {', '.join(SETTINGS)}."
                    f"{did_you_mean(name, SETTINGS)}"
                )

        def chosen(owner: type) -> dict[str, Any]:
            return {name: settings[name] for name in settings if SETTINGS[name] is owner}

        loop = LoopOptions(**chosen(LoopOptions))
        training = TrainConfig(**chosen(TrainConfig), loop=loop)
        return cls(DataConfig(name=data, **chosen(DataOptions)), training)


SETTINGS: dict[str, type] = {
    item.name: owner
    for owner in (DataOptions, TrainConfig, LoopOptions)
    for item in fields(owner)
    if item.name != "loop"
}
"""All settings by name, and the class that declares each."""

_CHOICES = {
    "optimizer": get_args(Optimizer),
    "schedule": get_args(Schedule),
    "precision": get_args(Precision),
}
