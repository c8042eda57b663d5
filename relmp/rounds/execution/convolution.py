"""A round as a convolution of images of one size, in numbers that an operator takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from relmp.rounds.geometry import Geometry, Vectors


@dataclass(frozen=True)
class Convolution:
    """A convolution of images of one size; ``padding`` is what lies above and to the left."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(cls, numbers: Sequence[int]) -> Convolution:
        """The inverse of :meth:`numbers`."""
        return cls(*((numbers[i], numbers[i + 1]) for i in range(0, 12, 2)))

    def numbers(self) -> list[int]:
        """Twelve numbers, for an operator."""
        pairs = (self.kernel, self.stride, self.padding, self.dilation, self.image, self.output)
        return [number for pair in pairs for number in pair]


def convolution_of(geometry: Geometry, image: tuple[int, int]) -> Convolution:
    """What a geometry does to images of this size; over vectors, of one pixel."""
    if isinstance(geometry, Vectors):
        return Convolution((1, 1), (1, 1), (0, 0), (1, 1), image, image)
    output = geometry.output_size(*image)
    return Convolution(
        geometry.kernel, geometry.stride, geometry.before(), geometry.dilation, image, output
    )
