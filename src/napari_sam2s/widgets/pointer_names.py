"""What is under the pointer, in napari's own status bar: the object's name and class, in whichever of our layers one works."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from napari_sam2s.masklets import Object

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Labels, Points


def label_features(objects: Iterable[Object]) -> pd.DataFrame:
    """Return the table that napari's status bar and its features table read: a row a label, nothing for what is no object."""
    known = tuple(objects)
    import pandas as pd

    return pd.DataFrame(
        {
            "index": [0, *(o.id for o in known)],
            "name": ["no object", *(o.name for o in known)],
            "class": [None, *(o.class_name for o in known)],
        }
    )


def name_what_is_below(prompts: Points, labels: Callable[[], Labels | None]) -> None:
    """Have a layer of prompts say which object its status is about: it lies over the masks, and knows nothing of them."""
    plain = prompts.get_status

    def status(position: Any = None, **how: Any) -> dict[str, str]:
        said: dict[str, str] = plain(position, **how)
        below = labels()
        if position is None or below is None or not below.visible:
            return said
        how.pop("value", None)
        value = below.get_value(position, **how)
        if value and value in below._label_index:
            words = [str(w) for w in below.features.iloc[below._label_index[value]][["name", "class"]] if isinstance(w, str)]
            said["coordinates"] += f" {', '.join(words)}"
            said["value"] += f" {', '.join(words)}"
        return said

    prompts.get_status = status
