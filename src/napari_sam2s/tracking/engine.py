"""Where the model runs: never in the process that draws (design decision 4).

Threads beside Qt starve torch, torch's threads starve Qt, and a fault of the GPU would take the viewer down. So what runs
beside the network lives as a dask.distributed actor: in a process of its own on this machine by default, or on any cluster
by the address of its scheduler. The client sends frames and receives run-length masks: no shared file system is needed.
"""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from napari_sam2s.errors import TrackingError
from napari_sam2s.tracking.engine_keys import security_of
from napari_sam2s.tracking.engine_process import START_TIMEOUT_S, EngineProcess

if TYPE_CHECKING:
    from distributed import Security

    from napari_sam2s.model.network import SAM2S
    from napari_sam2s.model.speed import Mode

_POLL_S = 0.2


class EngineLost(TrackingError):
    """The process that ran the model is gone; what it had finished is in the project."""


PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class ModelChoice:
    """Which network is loaded, and how it computes; names and paths are those of the machine that it is loaded on."""

    name: str  # or a path
    device: str = "auto"
    image_size: int | None = None  # None: the model's own
    precision: str = "float32"
    mode: Mode = "exact"
    strict: bool = True  # False: go on without the tensors that do not fit

    def load(self) -> SAM2S:
        """Load it in this process."""
        import torch

        from napari_sam2s.model.checkpoints import load_model

        dtype = getattr(torch, self.precision)
        return load_model(
            self.name, device=self.device, image_size=self.image_size, dtype=dtype, mode=self.mode, strict=self.strict
        )

    def load_shared(self) -> SAM2S:
        """Load it in this process, or return it where it is loaded already."""
        model = _loaded.get(self)
        if model is None:
            model = _loaded[self] = self.load()
        return model


_loaded: WeakValueDictionary[ModelChoice, SAM2S] = WeakValueDictionary()


class Engine:
    """A running engine and the connection to it.

    Parameters
    ----------
    address
        The address of a dask scheduler, such as ``"tls://gpu-box:8786"``; ``None`` starts a process on this machine that
        listens to the loopback interface only, lets in only who has its keys, and ends with this one.
    threads
        How many cores torch may use in a process of our own; ``None`` for all of them.
    security
        For an address: a ``distributed.Security``, or the folder of :attr:`keys` of an engine that runs; by default what
        dask's configuration says (``distributed.comm.tls``).

    Raises
    ------
    TrackingError
        If the engine does not start, or nothing answers at the address.
    """

    def __init__(
        self, address: str | None = None, *, threads: int | None = None, security: Security | str | Path | None = None
    ) -> None:
        self._process: EngineProcess | None = None
        self._lock = threading.Lock()
        if address is None:
            if security is not None:
                raise TrackingError(
                    "An engine on this machine makes its own keys: give `security` only together with an address."
                )
            self._process = EngineProcess(threads)
            address, security = self._process.address, self._process.keys
        self.address = address
        try:
            self._client = connect(address, security)
        except TrackingError:
            self._stop_process()
            raise

    @property
    def keys(self) -> Path | None:
        """The folder with the keys of a local engine, for ``Engine(address, security=keys)`` elsewhere; else ``None``."""
        return self._process.keys if self._process is not None else None

    @property
    def pid(self) -> int | None:
        """The process id of a local engine, else ``None``."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """Whether the engine can still be talked to."""
        if self._process is not None and self._process.over:
            return False
        return bool(self._client.status == "running")

    def model(
        self,
        name: str,
        *,
        device: str = "auto",
        image_size: int | None = None,
        precision: str = "float32",
        mode: Mode = "exact",
        strict: bool = True,
    ) -> EngineModel:
        """Return a model that runs here, for a :class:`Tracker`; arguments are those of :func:`load_model`."""
        return EngineModel(self, ModelChoice(name, device, image_size, precision, mode, strict))

    def create(self, cls: type, *arguments: Any, worker: str | None = None) -> RemoteObject:
        """Make an object of the class ``cls`` in the engine; its methods are called through what is returned.

        Of several workers it is made on the one at the address ``worker``, if that still lives.
        """
        where = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
        with self._lock, self._attached():
            future = self._client.submit(cls, *arguments, actor=True, pure=False, **where)
            return RemoteObject(self, self._wait(future))

    def close(self) -> None:
        """End the engine, if it is ours, and the connection."""
        self._client.close(timeout=1)
        self._stop_process()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _attached(self) -> Iterator[None]:
        """Let what arrives from the engine find its client.

        ``Client.as_current`` does this too, but also makes the cluster the scheduler of every dask array in this process
        meanwhile; napari slices such arrays in other threads, which then fails.
        """
        from distributed.client import _current_client

        token = _current_client.set(self._client)
        try:
            yield
        finally:
            _current_client.reset(token)

    def _stop_process(self) -> None:
        if self._process is not None:
            self._process.end()

    def _wait(self, future: Any) -> Any:
        """Wait for a result while watching that the engine lives."""
        while True:
            try:
                return future.result(timeout=_POLL_S)
            # On a very busy machine dask's own waiting can end without a result, and stumbles over that.
            except (TimeoutError, UnboundLocalError):
                if not self.alive:
                    raise EngineLost(_LOST) from None
            except OSError as error:
                raise EngineLost(_LOST) from error


def count_gpus() -> int:
    """Return how many CUDA devices this machine shows."""
    import torch

    return torch.cuda.device_count()


_unanswered: list[str] = []  # addresses that gave no answer since the last clients were collected


def connect(address: str, security: Security | str | Path | None = None, *, direct: bool = True) -> Any:
    """Return a ``distributed.Client`` of the scheduler at an address, with :class:`Engine`'s ``security``.

    Parameters
    ----------
    direct
        Whether workers are talked to directly, as actors want it; else all goes through the scheduler.

    Raises
    ------
    TrackingError
        If nothing answers there, or not to these keys.
    """
    from distributed import Client

    if isinstance(security, str | Path):
        security = security_of(Path(security).expanduser())
    for part in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(part).setLevel(logging.CRITICAL)  # its tracebacks of a lost peer; we say it better
    if _unanswered:
        # Dask of 2024 ends a client that got no answer when it is collected. While another one starts, it waits for itself.
        gc.collect()
        _unanswered.clear()
    try:
        return Client(address, timeout=START_TIMEOUT_S, set_as_default=False, direct_to_workers=direct, security=security)
    except (TypeError, RuntimeError) as error:  # dask's, of an address that wants keys, or that cannot have them
        _unanswered.append(address)
        raise TrackingError(
            f"{address!r} cannot be reached this way ({error}); an address with tls:// needs `security=`, or the keys in "
            "dask's configuration."
        ) from error
    except (OSError, ValueError, TimeoutError) as error:
        _unanswered.append(address)
        if "certificate" in str(error).lower():  # dask reports an OSError, whatever ssl said
            raise TrackingError(
                f"No engine answers at {address!r} to these keys ({error}); pass the keys of its owner as `security=`, or name "
                "them in dask's configuration."
            ) from error
        raise TrackingError(
            f"No engine answers at {address!r} ({error}); start one with `dask scheduler` and `dask worker`, "
            "or leave the address empty to use this machine."
        ) from error


_LOST = (
    "The process that runs the model ended unexpectedly (killed, out of memory, or the connection broke); "
    "every finished frame is saved. Resume to continue from there."
)


@dataclass(frozen=True)
class EngineModel:
    """A model and the engine that it runs in."""

    engine: Engine
    choice: ModelChoice
    worker: str | None = None  # the address of the worker to use, of several

    def create(self, cls: type, *arguments: Any) -> Any:
        """Make an object of a class in the engine, with the model that it is to load as the first argument."""
        return self.engine.create(cls, self.choice, *arguments, worker=self.worker)


class RemoteObject:
    """An object that lives in the engine. Its methods are called as if it were here.

    Raises
    ------
    EngineLost
        If the engine dies before it answers. Whatever the method itself raises is raised here.
    """

    def __init__(self, engine: Engine, actor: Any) -> None:
        self._engine = engine
        self._actor = actor

    def __getattr__(self, method: str) -> Any:
        if method.startswith("_"):
            raise AttributeError(method)
        return partial(self._call, method)

    def _call(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        if not self._engine.alive:
            raise EngineLost(_LOST)
        with self._engine._lock, self._engine._attached():
            try:
                future = getattr(self._actor, method)(*arguments, **keywords)
            except RuntimeError as error:  # dask's "Worker holding Actor was lost"
                raise EngineLost(_LOST) from error
        return self._engine._wait(future)
