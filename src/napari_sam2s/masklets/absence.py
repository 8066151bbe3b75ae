"""Absence: that an object is not there is an empty mask on the frame; a frame on which nobody looked has none."""

from __future__ import annotations

from napari_sam2s.masklets import rle
from napari_sam2s.masklets.mask_writer import MaskWriter
from napari_sam2s.masklets.prompt_records import Prompts
from napari_sam2s.masklets.store import Store


def mark_absent(store: Store, prompts: Prompts, writer: MaskWriter, object_id: int, start: int, stop: int) -> None:
    """Say that an object is not there on the frames ``start`` to ``stop - 1``; prompts that said otherwise go. One step."""
    with store.step(f"absent {object_id}"):
        prompts.give({object_id: None}, start, stop)
        absent = [(t, object_id, rle.EMPTY, None) for t in range(start, stop)]
        writer.write(absent, origin="painted", confirmed=True)


def forget_absence(store: Store, object_id: int, known_too: int) -> None:
    """Forget where an object is absent, on the frames on which another is known; within a step."""
    where = f"object_id = ?1 AND area = 0 AND frame IN (SELECT frame FROM {store.known} WHERE object_id = ?2)"
    rows = store.rows(f"SELECT frame FROM {store.known} WHERE {where}", (object_id, known_too))
    store.touch("masks", [(row["frame"], object_id) for row in rows])
    store.db.execute(f"DELETE FROM masks WHERE {where}", (object_id, known_too))
