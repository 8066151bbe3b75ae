"""Lists of class names to choose from: of surgical datasets, for other work, and the user's own from a text or JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from napari_sam2s.errors import FormatError
from napari_sam2s.masklets.validation import user_path


@dataclass(frozen=True)
class ClassList:
    """Names that objects may be given, in the order of the dataset's own ids, which start at 1."""

    name: str
    classes: tuple[str, ...]


_ENDOVIS17 = """
    bipolar forceps, prograsp forceps, large needle driver, vessel sealer, grasping retractor, monopolar curved scissors,
    ultrasound probe
"""
# Instrument types of the ISINet annotations, then what only the challenge's own labels have.
_ENDOVIS18 = """
    bipolar forceps, prograsp forceps, large needle driver, monopolar curved scissors, ultrasound probe, suction
    instrument, clip applier, kidney parenchyma, covered kidney, thread, clamps, suturing needle, small intestine
"""
_CHOLECSEG8K = """
    abdominal wall, liver, GI tract, fat, grasper, connective tissue, blood, cystic duct, L-hook electrocautery,
    gallbladder, hepatic vein, liver ligament
"""
_CHOLECINSTANCESEG = "grasper, hook, irrigator, clipper, bipolar, scissors, snare"
_SAR_RARP50 = """
    tool clasper, tool wrist, tool shaft, suturing needle, thread, suction tool, needle holder, clamps, catheter
"""
# The 37 categories of SA-SV (arXiv 2511.16618, figure 1), abbreviations written out; 21 instruments, then 16 tissues, each by
# size. "ligature" is as printed.
_SA_SV = """
    ligature, grasper, dissecting and grasping forceps, hook, needle driver, bipolar forceps, clip applier, monopolar
    scissors, prograsp forceps, scissors, bipolar, suction, needle holder, snare, catheter, ultrasound probe, vessel
    sealer, grasping retractor, suturing needle, thread, clamp, uterus, liver, fat, abdominal wall, polyp, GI tract,
    gallbladder, connective tissue, spleen, liver ligament, hepatic vein, colon, kidney parenchyma, covered kidney, small
    intestine, cystic duct
"""
_CELLS = "cell, nucleus, dividing cell, dead cell, bacterium, organelle, bead, debris"
_ANIMALS = "mouse, rat, fish, fly, worm, bird, dog, cat, horse, monkey, insect, head, tail, leg, wing"
_EVERYDAY = "person, hand, face, ball, cup, bottle, tool, car, bicycle, boat, animal, plant, chair, table, door, screen"
PRESETS: dict[str, ClassList] = {
    name: ClassList(name, tuple(" ".join(names.split()).split(", ")))
    for name, names in (
        ("SA-SV", _SA_SV),
        ("CholecSeg8k", _CHOLECSEG8K),
        ("CholecInstanceSeg", _CHOLECINSTANCESEG),
        ("EndoVis 2017", _ENDOVIS17),
        ("EndoVis 2018", _ENDOVIS18),
        ("SAR-RARP50", _SAR_RARP50),
        ("cells", _CELLS),
        ("animals", _ANIMALS),
        ("everyday", _EVERYDAY),
    )
}


def class_list(name_or_file: str | Path) -> ClassList:
    """Return a preset by its name (see :data:`PRESETS`), or a list from a file.

    Raises :class:`FormatError` if it is neither; see :func:`read_class_list`.
    """
    preset = PRESETS.get(str(name_or_file))
    return preset if preset is not None else read_class_list(name_or_file)


def read_class_list(path: Path | str) -> ClassList:
    """Read names from a text file (one a line, ``#`` begins a comment) or a JSON file (a list, or ``{"classes": [...]}``).

    Raises :class:`FormatError` if the file cannot be read, holds no names, or one of them twice.
    """
    path = user_path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(
            f"{path} cannot be read as a list of classes ({error}): give a text file with one name per line, or one of "
            f"{', '.join(PRESETS)}."
        ) from error
    if path.suffix.lower() == ".json":
        names = _names_of_json(text, path)
    else:
        names = [line.split("#", 1)[0].strip() for line in text.splitlines()]
    names = [name for name in names if name]
    if not names:
        raise FormatError(f"{path} names no classes: write one per line.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FormatError(f"{path} names {', '.join(twice)} more than once.")
    return ClassList(path.stem, tuple(names))


def _names_of_json(text: str, path: Path) -> list[str]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{path} is not valid JSON ({error}).") from error
    if isinstance(content, dict):
        content = content.get("classes")
    if not isinstance(content, list) or not all(isinstance(name, str) for name in content):
        raise FormatError(f'{path} should hold a list of names, or {{"classes": [names]}}.')
    return [name.strip() for name in content]
