"""Operations of compiled code in the form that a CPU is quickest at: the same numbers, other ways.

Four ways of torch are slow where critics and their second derivatives need them:

- float32 matrices are multiplied by BLAS, and Intel's runs at less than half of its speed on
  other makers' processors; oneDNN, which torch brings as well, does not;
- BLAS takes up to ten times as long for products of a few columns as for those of a few rows, and
  the weights' gradients of a layer that reads points of a plane are such;
- the second derivative of a convolution asks for the gradient of its weights as a convolution with
  a kernel as large as a picture, instead of as a gradient of weights;
- transposed convolutions to few channels, and so slopes in a picture's pixels, leave most of a
  processor's lanes empty; as one matrix product whose parts are added up they do not.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, final

import torch
from torch import Tensor, fx
from torch.nn import functional

QUICKER = 1.3
"""How much quicker oneDNN has to be at one large product to be given all that are large."""

LARGE = 2**21
"""Multiplications from which oneDNN's longer way to a product (10 microseconds) pays."""

SIDE = 384
"""Rows and columns of the product that is timed."""

THIN, THINNEST = 8, 3
"""Columns of a product that are few, and very few."""

TALL = 2**13
"""Numbers of the other factor from which turning a thin product (3 microseconds) pays."""

EXACT = (torch.float32, torch.float64)
"""Types in which two roundings are as good as one."""

FEW = 4
"""Channels that are few: those of pictures."""

aten = torch.ops.aten
library: Any = torch.library.Library("wgankit", "FRAGMENT")  # type: ignore[no-untyped-call]
register_fake: Any = torch.library.register_fake
library.define("product(Tensor a, Tensor b, Tensor? added=None) -> Tensor")


@torch.library.impl(library, "product", "CPU")
def product(a: Tensor, b: Tensor, added: Tensor | None = None) -> Tensor:
    """Return a @ b + added by oneDNN; a `(m, k)`, b `(k, n)`, added `(n,)`."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise.default(a, b.t(), added, "none", [], "")
    return found


@register_fake("wgankit::product", lib=library)  # type: ignore[untyped-decorator]
def product_shape(a: Tensor, b: Tensor, added: Tensor | None = None) -> Tensor:
    """Return a tensor of the product's shape."""
    return a.new_empty(a.shape[0], b.shape[1])


@functools.cache
def call_products_directly() -> None:
    """Have compiled code call oneDNN where it says `product`, not this module's Python.

    That is two microseconds for a product of twenty.  A compiler without these names of torch 2.11
    to 2.13 leaves it as it is.
    """
    try:
        from torch._inductor import lowering

        turned = lowering.lowerings[aten.permute.default]
        register: Any = lowering.register_lowering
        as_it_is: Any = lowering.fallback_handler
    except (ImportError, AttributeError, KeyError):
        return
    # The rule that the compiler has for this operation copies a second factor that lies in columns.
    onednn = as_it_is(torch.ops.mkldnn._linear_pointwise.default, add_to_fallback_set=False)

    def called(a: Any, b: Any, added: Any = None) -> Any:
        return onednn(a, turned(b, [1, 0]), added, "none", [], "")

    register(torch.ops.wgankit.product, type_promotion_kind=None)(called)


library.define("settled(Tensor values) -> Tensor")


@torch.library.impl(library, "settled", "CPU")
def settled(values: Tensor) -> Tensor:
    """Return a copy, which no compiler makes a part of what is done with it."""
    return values.clone()


@register_fake("wgankit::settled", lib=library)  # type: ignore[untyped-decorator]
def settled_shape(values: Tensor) -> Tensor:
    """Return a tensor of its shape."""
    return torch.empty_like(values)


def quickened(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Return a graph whose results are the same, with its operations in their quickest form.

    Arguments:
        graph: a traced graph of operations.
        inputs: tensors that it is run on.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    if any(one.device.type != "cpu" for one in inputs):
        return graph
    return make_fx(Quicker(graph).run, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)


@final
class Quicker(fx.Interpreter):
    """Runs a graph, some of its operations by other ways."""

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Run an operation."""
        way = WAYS.get(target)
        found = way(*args) if way and not kwargs else None
        return super().call_function(target, args, kwargs) if found is None else found


# ---- matrix products --------------------------------------------------------------------------


def multiplied(a: Tensor, b: Tensor) -> Tensor | None:
    """Return a product by another way where that is quicker, None elsewhere."""
    if a.shape[1] == 1:
        # A compiler makes it a part of what comes before and after.
        return a * b
    if is_thin(a, b):
        return thin(a, b)
    if not is_large(a, b) or not onednn_is_quicker():
        return None
    # oneDNN copies a first factor that lies in columns; the other way round it is the second one.
    if is_turned(a) and a.shape[0] > b.shape[1]:
        turned: Tensor = torch.ops.wgankit.product(b.t(), a.t())
        return turned.t()
    found: Tensor = torch.ops.wgankit.product(a, b)
    return found


def multiplied_and_added(added: Tensor, a: Tensor, b: Tensor) -> Tensor | None:
    """Return a product with something added to it, by another way where that is quicker."""
    if is_thin(a, b):
        return added + thin(a, b)
    if added.dim() != 1 or not is_large(a, b) or not onednn_is_quicker():
        return None
    found: Tensor = torch.ops.wgankit.product(a, b, added)
    return found


def is_thin(a: Tensor, b: Tensor) -> bool:
    """Return whether a product has few columns, and BLAS would take a slow way to them."""
    few = 2 <= b.shape[1] <= THIN and a.shape[0] * a.shape[1] >= TALL
    return few and a.dtype == b.dtype in EXACT and (is_turned(a) or not is_turned(b))


def thin(a: Tensor, b: Tensor) -> Tensor:
    """Return a product of few columns, from that of their rows or from a factor laid in columns."""
    if is_turned(a) or b.shape[1] > THINNEST:
        return (b.t() @ a.t()).t().contiguous()
    return a @ b.t().contiguous().t()


def is_large(a: Tensor, b: Tensor) -> bool:
    """Return whether two float32 matrices have a large product."""
    least = 2 * LARGE if is_turned(a) else LARGE
    return a.dtype == b.dtype == torch.float32 and a.shape[0] * a.shape[1] * b.shape[1] >= least


def is_turned(matrix: Tensor) -> bool:
    """Return whether a matrix lies in columns."""
    return matrix.stride(0) == 1 and matrix.stride(1) != 1


@functools.cache
def onednn_is_quicker() -> bool:
    """Return whether oneDNN is clearly quicker than BLAS on this machine; timed once, in turns."""
    from torch.utils._mode_utils import no_dispatch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    ways: tuple[Callable[..., Tensor], ...] = (torch.mm, torch.ops.wgankit.product.default)
    with no_dispatch(), torch.no_grad():
        a, b = torch.ones(2, SIDE, SIDE, dtype=torch.float32).unbind()
        rounds = [[seconds_of(way, a, b) for way in ways] for _ in range(10)]
    blas, onednn = (min(column) for column in zip(*rounds, strict=True))
    return bool(blas > QUICKER * onednn)


def seconds_of(way: Callable[..., Tensor], a: Tensor, b: Tensor) -> float:
    """Return the time of one product."""
    begun = time.perf_counter()
    way(a, b)
    return time.perf_counter() - begun


def apart(graph: fx.GraphModule, inputs: Sequence[Tensor]) -> fx.GraphModule:
    """Return a graph, changed in place, in which nothing is added inside a product.

    BLAS adds to a product what lies in its place, so that biases and other summands are copied
    there first, and a compiler makes such a product of every sum with one.  On its own the addition
    costs nothing, because it becomes a part of what is done with the product anyway.  It is written
    as a - (-b), the same number, which a compiler of torch 2.13 leaves as it is.

    Arguments:
        graph: traced.
        inputs: tensors that it is run on; with any that is not on a CPU the graph stays.
    """
    if any(one.device.type != "cpu" for one in inputs):
        return graph
    nodes = graph.graph
    for node in list(nodes.nodes):
        kind = type_of(node)
        if node.kwargs or kind not in EXACT:
            continue
        with nodes.inserting_before(node):
            if node.target is aten.addmm.default:
                added, a, b = node.args
                found = nodes.call_function(aten.mm.default, (a, b))
            elif node.target is aten.add.Tensor and any(map(is_product, node.args)):
                found, added = sorted(node.args, key=is_product, reverse=True)
                # Numbers, and truth values, which have no negative, are added as they are.
                if type_of(added) != kind:
                    continue
            else:
                continue
            minus = nodes.call_function(aten.neg.default, (added,))
            whole = nodes.call_function(aten.sub.Tensor, (found, minus))
        whole.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(whole)
        nodes.erase_node(node)
    graph.recompile()
    return graph


def type_of(argument: Any) -> torch.dtype | None:
    """Return the type of an operation's argument, None if that is no tensor."""
    value = argument.meta.get("val") if isinstance(argument, fx.Node) else None
    return value.dtype if isinstance(value, Tensor) else None


def is_product(argument: Any) -> bool:
    """Return whether an operation's argument is a product of matrices, or one turned round."""
    if not isinstance(argument, fx.Node):
        return False
    turned = argument.target is aten.t.default and is_product(argument.args[0])
    return turned or argument.target is aten.mm.default


# ---- convolutions -----------------------------------------------------------------------------


def convolved(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, more: list[int], groups: int,
) -> Tensor | None:  # fmt: skip
    """Return a convolution by another way, or None where there is no quicker one."""
    if x.dim() != 4 or groups != 1 or any(more):
        return None
    if not transposed:
        return None if bias is not None else weighed(x, weight, stride, padding, dilation)
    if not folds(weight, stride, dilation):
        return None
    sizes = zip(x.shape[2:], stride, padding, weight.shape[2:], strict=True)
    size = [(side - 1) * s - 2 * p + k for side, s, p, k in sizes]
    found = folded(x, weight, stride, padding, size)
    return found if bias is None else found + bias.view(1, -1, 1, 1)


def weighed(
    x: Tensor, kernel: Tensor, stride: list[int], padding: list[int], dilation: list[int]
) -> Tensor | None:
    """Return a convolution by a picture as the gradient of a kernel's weights, which it then is.

    Second derivatives ask for such with channels in the place of the batch, in both factors; what
    they call dilation was the stride.  A layer's own weights never lie so, however large.
    """
    sizes = zip(x.shape[2:], padding, dilation, kernel.shape[2:], strict=True)
    side = [n + 2 * p - d * (k - 1) for n, p, d, k in sizes]
    larger = kernel.shape[2] * kernel.shape[3] - side[0] * side[1]
    if max(stride) > 1 or larger < 0 or any(one.stride(0) > one.stride(1) for one in (x, kernel)):
        return None
    like = x.new_empty(x.shape[0], kernel.shape[0], *side).transpose(0, 1)
    gradient: Tensor = aten.convolution_backward(
        kernel.transpose(0, 1), x.transpose(0, 1), like, None, dilation, padding, stride, False,
        [0, 0], 1, [False, True, False],
    )[1]  # fmt: skip
    return gradient.transpose(0, 1)


def convolved_back(
    gradient: Tensor, x: Tensor, weight: Tensor, biases: list[int] | None, stride: list[int],
    padding: list[int], dilation: list[int], transposed: bool, more: list[int], groups: int,
    wanted: list[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None] | None:  # fmt: skip
    """Return a convolution's gradients, that by pixels of few channels as a transposed one."""
    plain = x.dim() == 4 and groups == 1 and not transposed and wanted[0]
    if not plain or not folds(weight, stride, dilation):
        return None
    # A slope is looked at several times: the sum must not be taken each time.
    by_x = torch.ops.wgankit.settled(folded(gradient, weight, stride, padding, list(x.shape[2:])))
    by_others: tuple[Tensor | None, ...] = (None, None, None)
    if any(wanted[1:]):
        by_others = aten.convolution_backward(
            gradient, x, weight, biases, stride, padding, dilation, False, more, 1,
            [False, *wanted[1:]],
        )  # fmt: skip
    return by_x, by_others[1], by_others[2]


def folds(weight: Tensor, stride: list[int], dilation: list[int]) -> bool:
    """Return whether `folded` is the quicker way for a weight `(n, few, height, width)`."""
    kernel = weight.shape[2:]
    return (
        weight.shape[1] <= FEW
        and weight.shape[0] > FEW
        and weight.dtype in (torch.float32, torch.float64)
        and max(dilation) == 1
        and max(stride) > 1
        and all(k % s == 0 for k, s in zip(kernel, stride, strict=True))
    )


def folded(
    x: Tensor, weight: Tensor, stride: list[int], padding: list[int], size: list[int]
) -> Tensor:
    """Return a transposed convolution as a product whose rows are added up where they overlap.

    Arguments:
        x: `(B, n, height, width)`.
        weight: `(n, m, a * stride, b * stride)`.
        stride: of both directions.
        padding: cut off on all sides.
        size: height and width of the result.
    """
    count, inner, *sides = x.shape
    channels = weight.shape[1]
    times = [k // s for k, s in zip(weight.shape[2:], stride, strict=True)]
    rows = x.permute(0, 2, 3, 1).reshape(-1, inner)
    columns = weight.permute(0, 2, 3, 1).reshape(inner, -1)
    found = multiplied(rows, columns)
    table = rows @ columns if found is None else found
    # Pixel (i, j) of x reaches blocks (i + a, j + b), each of stride pixels.
    blocks = table.view(count, *sides, times[0], stride[0], times[1], stride[1], channels)
    moved = []
    for a in range(times[0]):
        for b in range(times[1]):
            part = blocks[:, :, :, a, :, b].transpose(2, 3)
            part = part.reshape(count, sides[0] * stride[0], sides[1] * stride[1], channels)
            after = (times[1] - 1 - b) * stride[1], (times[0] - 1 - a) * stride[0]
            border = (0, 0, b * stride[1], after[0], a * stride[0], after[1])
            moved.append(functional.pad(part, border))
    whole = functools.reduce(torch.add, moved)
    inside = whole[:, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]
    missing = [n - m for n, m in zip(size, inside.shape[1:3], strict=True)]
    if any(missing):  # pixels that the stride never came to
        inside = functional.pad(inside, (0, 0, 0, missing[1], 0, missing[0]))
    return inside.permute(0, 3, 1, 2)


WAYS: dict[Any, Callable[..., Any]] = {
    aten.mm.default: multiplied,
    aten.addmm.default: multiplied_and_added,
    aten.convolution.default: convolved,
    aten.convolution_backward.default: convolved_back,
}
