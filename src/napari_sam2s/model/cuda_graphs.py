"""CUDA graphs: what runs again and again on the same shapes is recorded once and replayed.

A frame takes more than a thousand small kernels, and starting one from Python costs more than most of them take. A graph
starts them all at once. It has its inputs and outputs at fixed places, so inputs are copied there and outputs from there.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

REPEATS = 2  # calls of a kind that run as usual before the next one is recorded: recording costs as much as a few
MOST = 16  # graphs that are kept; each holds its inputs, its outputs and what lies between
WARM_UP = 2  # runs before recording, in which libraries choose their kernels and tables are made
_LOG = logging.getLogger(__name__)


class Recorder(Protocol):
    """What turns a call into something that can be replayed."""

    def __call__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], Any]:
        """Record ``function(*arguments)``; return what repeats it for other arguments of the same kind."""


class Graphs:
    """Calls that are replayed once they have been seen a few times.

    A call is of the same kind as an earlier one if it has the same name, and arguments with the same shapes, types and
    plain values. Where recording fails, that is logged once and calls of that name run as usual from then on.

    Parameters
    ----------
    recorder
        How to record; by default with CUDA.
    repeats
        Calls of a kind that run as usual first.
    most
        Recordings that are kept; the one that was not used for the longest time goes first.
    """

    def __init__(self, recorder: Recorder | None = None, *, repeats: int = REPEATS, most: int = MOST) -> None:
        self._recorder = recorder
        self._repeats, self._most = repeats, most
        self._seen: OrderedDict[Hashable, int] = OrderedDict()
        self._recorded: OrderedDict[Hashable, Callable[[tuple[Any, ...]], Any]] = OrderedDict()
        self._failed: set[str] = set()
        self._lock = threading.Lock()  # one set of inputs for all threads

    def __reduce__(self) -> tuple[type[Graphs], tuple[()]]:
        return Graphs, ()  # a copy of a network records its own

    @property
    def recorded(self) -> int:
        """How many recordings there are."""
        return len(self._recorded)

    @property
    def failed(self) -> frozenset[str]:
        """The names of calls that could not be recorded."""
        return frozenset(self._failed)

    def __call__(self, name: str, state: Hashable, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return ``function(*arguments)``.

        Parameters
        ----------
        name
            Of the function.
        state
            What else the result depends on, such as where the weights are.
        function
            Of tensors on one device, and dataclasses and tuples of them; plain values are part of the kind. It must give
            the same result for the same arguments, and wait for nothing from the device.

        Returns
        -------
        What belongs to the caller: later calls do not change it.
        """
        if torch.is_grad_enabled() or name in self._failed:
            return function(*arguments)
        kind = (name, state, signature(arguments))
        with self._lock:
            replay = self._recorded.get(kind)
            if replay is None:
                times = self._seen.pop(kind, 0)
                if times < self._repeats:
                    self._seen[kind] = times + 1
                    while len(self._seen) > 8 * self._most:
                        self._seen.popitem(last=False)
                    return function(*arguments)
                replay = self._record(name, function, arguments)
                if replay is None:
                    return function(*arguments)
                self._recorded[kind] = replay
                while len(self._recorded) > self._most:
                    self._recorded.popitem(last=False)
            self._recorded.move_to_end(kind)
            return replay(arguments)

    def _record(
        self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> Callable[[tuple[Any, ...]], Any] | None:
        try:
            if self._recorder is None:
                self._recorder = CudaRecorder()
            return self._recorder(function, arguments)
        except Exception as error:  # noqa: BLE001 - of many kinds, from torch, CUDA and its libraries
            self._failed.add(name)
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            _LOG.warning("A CUDA graph of %r could not be recorded, so it runs without one (%s).", name, reason)
            return None


class CudaRecorder:
    """Record with CUDA; all recordings share their working memory, as they are replayed one after the other."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], Any]:
        """Record a call."""
        device = next(tensors(arguments)).device
        with torch.cuda.device(device):
            if self._stream is None or self._stream.device != device:
                self._pool, self._stream = torch.cuda.graph_pool_handle(), torch.cuda.Stream()
            inputs = rebuild(arguments, torch.clone)
            usual = torch.cuda.current_stream()
            self._stream.wait_stream(usual)
            with torch.cuda.stream(self._stream):
                for _ in range(WARM_UP):
                    function(*inputs)
            usual.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            try:
                # Other threads may go on using the GPU meanwhile.
                with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                    outputs = function(*inputs)
            finally:
                torch.cuda.set_stream(usual)  # which torch does not go back to where recording fails
        places = list(tensors(inputs))

        def replay(new: tuple[Any, ...]) -> Any:
            with torch.cuda.device(device):
                torch._foreach_copy_(places, list(tensors(new)))
                graph.replay()
                return rebuild(outputs, torch.clone)

        return replay


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in tuples, lists and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors(part)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors(getattr(value, field.name))


def rebuild(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return the same with every tensor changed."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return type(value)(rebuild(part, change) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{field.name: rebuild(getattr(value, field.name), change) for field in fields(value)})
    return value


def signature(value: Any) -> Hashable:
    """Return the shapes, types and devices of the tensors, and all plain values."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype, value.device
    if isinstance(value, tuple | list):
        return tuple(signature(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), tuple(signature(getattr(value, field.name)) for field in fields(value))
    return value
