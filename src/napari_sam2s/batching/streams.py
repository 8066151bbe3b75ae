"""Videos that no worker sees: read and written by the client, which sends small frames to a worker's network."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from napari_sam2s.batching.batch_task import BatchOutcome, BatchTask, do_task
from napari_sam2s.tracking.engine import Engine, EngineModel, ModelChoice

STREAMED = "streamed from here"


class Streams:
    """The videos of a batch that are streamed, at most one to each worker.

    Parameters
    ----------
    client, address, security
        Of the scheduler; actors are talked to over a further connection, as those of an :class:`Engine`.
    tell
        Called with the facts of a row as they change.
    most
        How many at once.
    gpus
        Whether only workers that offer a GPU will do.
    """

    def __init__(
        self, client: Any, address: str, security: Any, *, tell: Callable[[dict[str, Any]], None], most: int, gpus: bool
    ) -> None:
        self._client, self._address, self._security = client, address, security
        self._tell, self._most, self._gpus = tell, most, gpus
        self._engine: Engine | None = None
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="sam2s-stream")
        self._busy: dict[Future[BatchOutcome], str] = {}  # addresses of workers

    def __len__(self) -> int:
        return len(self._busy)

    def start(self, task: BatchTask) -> Future[BatchOutcome] | None:
        """Begin with a video; ``None`` while every worker has something to do.

        Raises
        ------
        OSError, TimeoutError
            If the scheduler is gone.
        """
        if len(self._busy) >= self._most:
            return None
        if self._client.status != "running":  # a question would wait a minute for the scheduler to come back
            raise OSError("the scheduler is gone")
        idle = [a for a in self._client.run_on_scheduler(idle_workers, gpus=self._gpus) if a not in self._busy.values()]
        if not idle:
            return None
        if self._engine is None:
            self._engine = Engine(self._address, security=self._security)
        future = self._threads.submit(self._work, task, self._engine, idle[0])
        self._busy[future] = idle[0]
        return future

    def done(self, future: Future[BatchOutcome]) -> None:
        """Free the worker of a video that is over."""
        del self._busy[future]

    def _work(self, task: BatchTask, engine: Engine, worker: str) -> BatchOutcome:
        said = f"{worker}, {STREAMED}"

        def load(choice: ModelChoice) -> EngineModel:
            return EngineModel(engine, choice, worker)

        def tell(facts: dict[str, Any]) -> None:
            self._tell({"project": str(task.video.project), "worker": said, "message": STREAMED, **facts})

        outcome = do_task(task, tell, load, said)
        return replace(outcome, message=f"{outcome.message} ({STREAMED})".strip())

    def close(self) -> None:
        """End the connection, whereupon whatever is still at work ends too, as if its worker had died."""
        with suppress(Exception):  # its scheduler may be gone
            if self._engine is not None:
                self._engine.close()
        self._threads.shutdown(cancel_futures=True)


def idle_workers(dask_scheduler: Any, gpus: bool) -> list[str]:
    """Return the addresses of the workers that have nothing to do; runs in the scheduler."""
    return [
        worker.address
        for worker in dask_scheduler.workers.values()
        if not worker.processing and (not gpus or worker.resources.get("GPU"))
    ]
