"""A whole step on a GPU as one captured graph, replayed without the host.

Not yet run on a GPU: written by the documentation of CUDA graphs in torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from wgankit.compiled import first_line
from wgankit.crossings import Crossings
from wgankit.errors import CompileWarning, RunError
from wgankit.space import Points, on_leaves

WARM_UP = 3
"""Steps before capturing, as the documentation asks for; they are steps like any others."""

Body = Callable[[Points, Points | None], Any]


@final
class Captured:
    """A function of stored batches, captured once its memory is warm.

    Its results are copies, because the graph writes the next step's over its own.  Before the first
    capture one step is watched: where something passes between host and device, as it may in a
    network or a metric of one's own, steps stay as they are, and a `CompileWarning` says why.

    Arguments:
        body: does a step; reads and writes tensors on the device only.
        device: a GPU.
    """

    def __init__(self, body: Body, device: torch.device) -> None:
        self.body, self.device = body, device
        self.watched, self.refused = False, ""
        self.stream: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.graph: torch.cuda.CUDAGraph | None = None
        self.cold = WARM_UP

    def look_again(self) -> None:
        """Do the next step without the graph, and capture it anew after that."""
        self.cold, self.graph = max(self.cold, 1), None

    def __call__(self, stored: Points, beside: Points | None) -> Any:
        """Do a step.

        Raises:
            RunError: the step cannot be captured, though nothing was seen that forbids it.
        """
        if self.refused:
            return self.body(stored, beside)
        if self.cold:
            self.cold -= 1
            return self._on_side_stream(stored, beside)
        if not self.watched:
            return self._watch(stored, beside)
        if self.graph is None:
            self._capture(stored, beside)
        self._fill(stored, beside)
        self.graph.replay()  # type: ignore[union-attr]
        return pytree.tree_map(cloned, self.results)

    def _on_side_stream(self, stored: Points, beside: Points | None) -> Any:
        """Do a step where capturing will take place, so that gradients are accumulated there."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            results = self.body(stored, beside)
        torch.cuda.current_stream().wait_stream(self.stream)
        return results

    def _watch(self, stored: Points, beside: Points | None) -> Any:
        """Do a step as it is, and find out whether a graph may repeat it."""
        self.watched = True
        with Crossings(self.device) as crossings:
            results = self._on_side_stream(stored, beside)
        if crossings.seen:
            self.refused = crossings.seen[0]
            warnings.warn(
                "steps are not captured as a graph, and only time is lost, because in them "
                f"{self.refused}; keep what they need in buffers of a module, or say capture=False",
                CompileWarning,
                stacklevel=3,
            )
        return results

    def _capture(self, stored: Points, beside: Points | None) -> None:
        self.stored = on_leaves(torch.clone, stored)
        self.beside = None if beside is None else on_leaves(torch.clone, beside)
        self.graph = torch.cuda.CUDAGraph()
        # Batches that are fetched meanwhile pin memory in a thread of their own, which would end a
        # capture that looks at all threads.
        graph = torch.cuda.graph(self.graph, stream=self.stream, capture_error_mode="thread_local")
        try:
            with graph:
                self.results = self.body(self.stored, self.beside)
        except RuntimeError as error:
            # Random numbers are not to be trusted after it, so that going on would be wrong.
            raise RunError(
                f"the step cannot be captured as a graph: {first_line(error)}; say capture=False"
            ) from error

    def _fill(self, stored: Points, beside: Points | None) -> None:
        on_leaves(Tensor.copy_, self.stored, stored)
        if beside is not None and self.beside is not None:
            on_leaves(Tensor.copy_, self.beside, beside)


def cloned(value: Any) -> Any:
    """Return a copy of a tensor."""
    return value.clone() if isinstance(value, Tensor) else value


def can_be_captured(*optimizers: torch.optim.Optimizer) -> bool:
    """Return whether optimisers step without the host."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return all(group.get("capturable", False) for group in groups)
