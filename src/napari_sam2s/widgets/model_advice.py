"""Which model to take on this machine, and how fast each ran here or would."""

from __future__ import annotations

from napari_sam2s.model.model_registry import registry
from napari_sam2s.widgets.preflight import FEW, measured_rates, speed

ON_CPU, ON_GPU = "edgetam", "sam2.1-base-plus"
# CPU-seconds of a frame with one object at the model's own size, on the same core (docs/explanation/speed.md; EdgeTAM by its
# ratio to SAM 2.1 tiny in docs/models/edgetam.md): what one of them did here tells of the others.
CPU_SECONDS = {"sam2s-nano": 0.29, "edgetam": 1.2, "sam2.1-tiny": 8.7}


def recommended(device: str) -> str:
    """Return the model to take on a device such as ``"cpu"`` or ``"cuda:0"``; "" where none is known."""
    return "" if not device else ON_CPU if device == "cpu" else ON_GPU


def speed_here(name: str, device: str) -> str:
    """Return how fast a model ran on a device of this machine, or by what another one did; "" where nothing is known."""
    ran = _of_one_object(name, device)
    if ran is not None:
        return f"{speed(ran)} here"
    if device != "cpu" or name not in CPU_SECONDS:
        return ""
    for other, seconds in CPU_SECONDS.items():
        known = _of_one_object(other, device)
        if known is not None:
            return f"about {speed(known * seconds / CPU_SECONDS[name])} here"
    return ""


def advice(name: str, device: str) -> tuple[str, str]:
    """Return what to write behind a model in the menu, and its tooltip."""
    best, fast = name == recommended(device), speed_here(name, device)
    short = " · ".join(words for words in ("recommended for this machine" if best else "", fast) if words)
    entry = registry().get(name)
    tip = []
    if entry is not None:
        tip.append(f"{entry.purpose[0].upper()}{entry.purpose[1:]}.")
        tip.append(f"{entry.parameters} parameters, input {entry.input_size} px, licence {entry.licence.short}.")
    if best and device == "cpu":
        tip.append("Recommended without a GPU: trained on real video, with a seventh of the computation of SAM 2.1 tiny.")
    elif best:
        tip.append("Recommended with a GPU: trained on real video, the size that SAM2S was trained from.")
    if fast.startswith("about"):
        tip.append("The speed is an estimate for one object, from what another model did here.")
    return short, "\n".join(tip)


def _of_one_object(name: str, device: str) -> float | None:
    """Return the rate of the fewest objects, if they are few: one from sixty would say that the model is slow."""
    entry = registry().get(name)
    rates = {} if entry is None else measured_rates(name, device, entry.input_size)
    return rates[min(rates)] if rates and min(rates) <= FEW else None
