"""The kernels: a round, forwards or over the reversed graph, and its weight gradient.

Images lie in memory as ``[B, C, P]`` or, with ``CHANNELS_LAST``, as ``[B, P, C]``; P counts
pixels. The numbers of the read side end in ``_x``, those of the written side in ``_y``.

Neighbouring threads shall read neighbouring numbers, but the compiler does not see that pixels
and the channels of a node are neighbours: ``tl.max_contiguous`` tells it in which order to take
them. ``NEXT`` addresses of a row follow one another, from one on that is a multiple of ``ALIGN``
bytes, and are read as one vector. Where nothing is known, these are 2 and 1: with an alignment
of a byte nothing becomes a vector, and the two need not be neighbours.
"""

# Triton types its arguments itself, and reads annotations as its own.
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import triton
import triton.language as tl

_VARIES = ("nodes", "parts", "channels_x", "channels_y", "in_dim", "tap_stride")
_IMAGE = ("height_x", "width_x", "width_y")


@triton.jit(do_not_specialize=[*_VARIES, *_IMAGE])
def multiply(
    x,
    w,
    y,
    ptr,
    channel,
    place,
    start,
    size,
    nodes,
    parts,
    total,
    pixels_x,
    channels_x,
    pixels_y,
    channels_y,
    in_dim,
    tap_stride,
    height_x,
    width_x,
    width_y,
    REVERSED: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    TAPS: tl.constexpr,
    KERNEL_WIDTH: tl.constexpr,
    POINTWISE: tl.constexpr,
    STRIDE_Y: tl.constexpr,
    STRIDE_X: tl.constexpr,
    PADDING_Y: tl.constexpr,
    PADDING_X: tl.constexpr,
    DILATION_Y: tl.constexpr,
    DILATION_X: tl.constexpr,
    NEXT_X: tl.constexpr,
    ALIGN_X: tl.constexpr,
    NEXT_Y: tl.constexpr,
    ALIGN_Y: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    POSITIONS: tl.constexpr,
    TOLD: tl.constexpr,
    HEARD: tl.constexpr,
):
    """``y[i] = sum over taps and channels heard by i of w x``, for one node and one tile.

    A program adds up what a node hears, ``HEARD`` channels at a time and one tap after the
    other, in float32 registers, and writes ``POSITIONS x TOLD`` numbers once.
    """
    program = tl.program_id(0)
    node = program % nodes
    part = program // nodes % parts
    tile = program // nodes // parts
    told = part * TOLD + tl.arange(0, TOLD)
    is_told = told < tl.load(size + node)
    first = tl.load(start + node)
    begin = tl.load(ptr + node)
    end = tl.load(ptr + node + 1)

    position = tile * POSITIONS + tl.arange(0, POSITIONS)
    is_there = position < total
    image = position // pixels_y
    pixel = position - image * pixels_y  # a remainder would cost a second division
    image = image.to(tl.int64)
    x_image = x + image * channels_x * pixels_x
    row = pixel // width_y
    column = pixel - row * width_y

    out = tl.zeros((POSITIONS, TOLD), dtype=tl.float32)
    for step in range(0, tl.cdiv(end - begin, HEARD) * TAPS):
        tap = step % TAPS
        k = begin + step // TAPS * HEARD + tl.arange(0, HEARD)
        is_heard = k < end
        heard = tl.load(channel + k, mask=is_heard, other=0)
        weight = tl.load(place + k, mask=is_heard, other=0) + tap * tap_stride

        if POINTWISE:
            seen = pixel
            is_seen = is_there
        else:
            if REVERSED:
                down = row + PADDING_Y - tap // KERNEL_WIDTH * DILATION_Y
                right = column + PADDING_X - tap % KERNEL_WIDTH * DILATION_X
                is_seen = is_there & (down >= 0) & (right >= 0)
                if STRIDE_Y > 1:
                    is_seen &= down % STRIDE_Y == 0
                    down = down // STRIDE_Y
                if STRIDE_X > 1:
                    is_seen &= right % STRIDE_X == 0
                    right = right // STRIDE_X
            else:
                down = row * STRIDE_Y - PADDING_Y + tap // KERNEL_WIDTH * DILATION_Y
                right = column * STRIDE_X - PADDING_X + tap % KERNEL_WIDTH * DILATION_X
                is_seen = is_there & (down >= 0) & (right >= 0)
            is_seen &= (down < height_x) & (right < width_x)
            seen = down * width_x + right

        if CHANNELS_LAST:
            at = x_image + seen * channels_x
            states = tl.load(
                tl.max_contiguous(tl.multiple_of(at[:, None] + heard[None, :], [1, 1]), [1, 2]),
                mask=is_seen[:, None] & is_heard[None, :],
                other=0.0,
            )
        else:
            at = x_image + seen
            states = tl.load(
                tl.max_contiguous(
                    tl.multiple_of(at[None, :] + (heard * pixels_x)[:, None], [1, ALIGN_X]),
                    [1, NEXT_X],
                ),
                mask=is_heard[:, None] & is_seen[None, :],
                other=0.0,
            )
            states = tl.trans(states)
        if REVERSED:  # the channels told are neighbours in the weights of an edge
            weights = tl.load(
                w + weight[:, None] + told[None, :],
                mask=is_heard[:, None] & is_told[None, :],
                other=0.0,
            )
        else:
            weights = tl.load(
                tl.max_contiguous(
                    tl.multiple_of(w + (told * in_dim)[:, None] + weight[None, :], [1, 1]), [1, 2]
                ),
                mask=is_told[:, None] & is_heard[None, :],
                other=0.0,
            )
            weights = tl.trans(weights)
        if UPCAST:
            states = states.to(tl.float32)
            weights = weights.to(tl.float32)
        out = tl.dot(states, weights, out, input_precision=PRECISION)

    number = out.to(y.dtype.element_ty)
    y_image = y + image * channels_y * pixels_y
    if CHANNELS_LAST:
        at = y_image + pixel * channels_y + first
        tl.store(at[:, None] + told[None, :], number, mask=is_there[:, None] & is_told[None, :])
    else:
        at = y_image + first * pixels_y + pixel
        tl.store(
            tl.max_contiguous(
                tl.multiple_of(at[None, :] + (told * pixels_y)[:, None], [1, ALIGN_Y]), [1, NEXT_Y]
            ),
            tl.trans(number),
            mask=is_told[:, None] & is_there[None, :],
        )


@triton.jit(do_not_specialize=[*_VARIES[:-1], *_IMAGE, "groups", "steps", "numbers"])
def correlate(
    y,
    x,
    w,
    ptr,
    channel,
    place,
    start,
    size,
    nodes,
    parts,
    groups,
    steps,
    numbers,
    total,
    pixels_x,
    channels_x,
    pixels_y,
    channels_y,
    in_dim,
    height_x,
    width_x,
    width_y,
    CHANNELS_LAST: tl.constexpr,
    TAPS: tl.constexpr,
    KERNEL_WIDTH: tl.constexpr,
    POINTWISE: tl.constexpr,
    STRIDE_Y: tl.constexpr,
    STRIDE_X: tl.constexpr,
    PADDING_Y: tl.constexpr,
    PADDING_X: tl.constexpr,
    DILATION_Y: tl.constexpr,
    DILATION_X: tl.constexpr,
    NEXT_X: tl.constexpr,
    ALIGN_X: tl.constexpr,
    NEXT_Y: tl.constexpr,
    ALIGN_Y: tl.constexpr,
    PRECISION: tl.constexpr,
    UPCAST: tl.constexpr,
    POSITIONS: tl.constexpr,
    TOLD: tl.constexpr,
    HEARD: tl.constexpr,
):
    """``w[i, k] = sum over images and pixels of y[i] x[k]``, for one node, tap and group of k.

    The sum takes ``steps`` times ``POSITIONS``; the parts of a longer one are written side by side,
    ``numbers`` apart, and added up afterwards in their order.
    """
    program = tl.program_id(0)
    tap = program % TAPS
    node = program // TAPS % nodes
    rest = program // TAPS // nodes
    part = rest % parts
    group = rest // parts % groups
    split = rest // parts // groups

    told = part * TOLD + tl.arange(0, TOLD)
    is_told = told < tl.load(size + node)
    first = tl.load(start + node)
    begin = tl.load(ptr + node) + group * HEARD
    k = begin + tl.arange(0, HEARD)
    end = tl.load(ptr + node + 1)
    is_heard = k < end
    heard = tl.load(channel + k, mask=is_heard, other=0)

    since = split * steps * POSITIONS
    until = tl.minimum(since + steps * POSITIONS, total)
    until = tl.where(begin < end, until, since)  # the lists of other nodes are longer
    out = tl.zeros((HEARD, TOLD), dtype=tl.float32)
    for here in range(since, until, POSITIONS):
        position = here + tl.arange(0, POSITIONS)
        is_there = position < total
        image = position // pixels_y
        pixel = position - image * pixels_y
        image = image.to(tl.int64)
        if POINTWISE:
            seen = pixel
            is_seen = is_there
        else:
            row = pixel // width_y
            column = pixel - row * width_y
            down = row * STRIDE_Y - PADDING_Y + tap // KERNEL_WIDTH * DILATION_Y
            right = column * STRIDE_X - PADDING_X + tap % KERNEL_WIDTH * DILATION_X
            is_seen = is_there & (down >= 0) & (right >= 0) & (down < height_x) & (right < width_x)
            seen = down * width_x + right
        x_image = x + image * channels_x * pixels_x
        y_image = y + image * channels_y * pixels_y
        if CHANNELS_LAST:
            at = x_image + seen * channels_x
            states = tl.load(
                tl.max_contiguous(tl.multiple_of(at[:, None] + heard[None, :], [1, 1]), [1, 2]),
                mask=is_seen[:, None] & is_heard[None, :],
                other=0.0,
            )
            states = tl.trans(states)
            at = y_image + pixel * channels_y + first
            wanted = tl.load(
                at[:, None] + told[None, :],
                mask=is_there[:, None] & is_told[None, :],
                other=0.0,
            )
        else:
            at = x_image + seen
            states = tl.load(
                tl.max_contiguous(
                    tl.multiple_of(at[None, :] + (heard * pixels_x)[:, None], [1, ALIGN_X]),
                    [1, NEXT_X],
                ),
                mask=is_heard[:, None] & is_seen[None, :],
                other=0.0,
            )
            at = y_image + first * pixels_y + pixel
            wanted = tl.load(
                tl.max_contiguous(
                    tl.multiple_of(at[None, :] + (told * pixels_y)[:, None], [1, ALIGN_Y]),
                    [1, NEXT_Y],
                ),
                mask=is_told[:, None] & is_there[None, :],
                other=0.0,
            )
            wanted = tl.trans(wanted)
        if UPCAST:
            states = states.to(tl.float32)
            wanted = wanted.to(tl.float32)
        out = tl.dot(states, wanted, out, input_precision=PRECISION)

    weight = tl.load(place + k, mask=is_heard, other=0)
    at = w + split.to(tl.int64) * numbers + (weight[:, None] + told[None, :] * in_dim) * TAPS + tap
    tl.store(at, out.to(w.dtype.element_ty), mask=is_heard[:, None] & is_told[None, :])


INTERPRETED = not isinstance(multiply, triton.JITFunction)
"""Whether kernels run in Triton's interpreter, on any device and slowly: TRITON_INTERPRET=1."""
