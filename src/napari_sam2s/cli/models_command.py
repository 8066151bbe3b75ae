"""``napari-sam2s models``: which models there are; fetch, check, add and compare them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam2s.cli import compare_models
from napari_sam2s.cli.common_options import add_shared
from napari_sam2s.cli.terminal import progress_bar, say
from napari_sam2s.errors import ModelError

if TYPE_CHECKING:
    from napari_sam2s.model.model_registry import ModelEntry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's actions; without one it lists."""
    parser.set_defaults(all=False, json=False)
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listed = actions.add_parser("list", help="list the models, and say which are on this machine")
    listed.add_argument("--all", action="store_true", help="include models that this version cannot load")
    add_shared(listed, "--json")
    get = actions.add_parser("get", help="download a model")
    get.add_argument("name", help="name of the model, such as sam2.1-tiny")
    get.add_argument("--yes", action="store_true", help="accept the licence of the model, if it has restrictions")
    get.set_defaults(run=run_get)
    verify = actions.add_parser("verify", help="check the downloaded files against their SHA-256")
    verify.add_argument("name", nargs="?", help="name of a model (default: all)")
    verify.set_defaults(run=run_verify)
    where = actions.add_parser("where", help="print the folder of the models, or the file of one")
    where.add_argument("name", nargs="?", help="name of a model (default: print the folder)")
    where.set_defaults(run=run_where)
    add = actions.add_parser("add", help="add your own checkpoint to the list; the file stays where it is")
    add.add_argument("file", type=Path, help="a .pt, .pth or .safetensors file")
    add.add_argument("--name", default="", help="name for the list (default: the name of the file)")
    add.add_argument("--input-size", type=int, help="input size in pixels that the model was trained at, such as 512 or 1024")
    add.set_defaults(run=run_add)
    compare_models.add_parser(actions)


def run(args: argparse.Namespace) -> int:
    """List the models, the user's own ones first after the built-in one."""
    from napari_sam2s.model.model_registry import loadable, registry
    from napari_sam2s.model.own_models import own_models

    entries = registry() if args.all else loadable()
    own = own_models()
    if args.json:
        print(json.dumps([_facts(e) for e in entries.values()] + [vars(m) for m in own.values()], indent=1))
        return 0
    wide = max(map(len, (*entries, *own)))
    for model in own.values():
        size = f"{model.input_size} px" if model.input_size else "input size not known"
        print(f"{model.name:{wide}}  yours, {size}: {model.path}")
    for entry in entries.values():
        if entry.name not in own:
            print(f"{entry.name:{wide}}  {_state(entry)}")
    return 0


def _state(entry: ModelEntry) -> str:
    from napari_sam2s.model.downloads import find_local

    if entry.built_in:
        return f"built in, {entry.input_size} px: {entry.purpose}"
    size = f"{entry.megabytes} MB" if entry.bytes else f"about {entry.megabytes} MB"
    if not entry.family.loads:
        state = "this version cannot load it"
    elif find_local(entry) is not None:
        state = "installed"
    else:
        state = f"napari-sam2s models get {entry.name}" if entry.url else f"by hand, from {entry.page}"
    pinned = "" if entry.pinned else ", not pinned"
    return f"{entry.input_size} px, {size}, {entry.licence.short}{pinned}: {entry.purpose} [{state}]"


def _facts(entry: ModelEntry) -> dict[str, Any]:
    from napari_sam2s.model.downloads import find_local

    here = None if entry.built_in else find_local(entry)
    family, licence = vars(entry.family), vars(entry.licence)
    return {**vars(entry), "family": family, "licence": licence, "path": None if here is None else str(here)}


def _known(name: str, action: str) -> ModelEntry:
    from napari_sam2s.model.downloads import DOWNLOADS
    from napari_sam2s.model.model_registry import loadable

    entry = loadable().get(name)
    if entry is None or entry.built_in:
        raise ModelError(f"There is no model {name!r} to {action}: choose one of {', '.join(DOWNLOADS)}.")
    return entry


def run_get(args: argparse.Namespace) -> int:
    """Download a model, after its terms are told; those with limits are agreed to first."""
    from napari_sam2s.model.downloads import download, find_local, how_to_get, terms

    entry = _known(args.name, "get")
    if find_local(entry) is None:
        if not entry.url:
            raise ModelError(how_to_get(entry))
        say("models", terms(entry))
        if entry.licence.forbids and not (args.yes or _agreed()):
            raise ModelError(f"Nothing was downloaded: agree to the licence with `napari-sam2s models get {entry.name} --yes`.")
    with progress_bar(entry.name, "B", unit_scale=True) as show:
        file = download(entry, show)
    print(file)  # below the bar
    return 0


def _agreed() -> bool:
    if not sys.stdin.isatty():
        return False
    print("Do you agree? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def run_verify(args: argparse.Namespace) -> int:
    """Read files anew and compare their SHA-256."""
    from napari_sam2s.model.downloads import find_local, verify
    from napari_sam2s.model.model_registry import loadable
    from napari_sam2s.model.own_models import OwnModel, own_models, own_weights

    own = own_models()
    if args.name:
        models = [own[args.name]] if args.name in own else []
        entries = [] if models else [_known(args.name, "verify")]
    else:
        models = list(own.values())
        entries = [e for e in loadable().values() if not e.built_in and find_local(e) is not None]
    wanted: list[ModelEntry | OwnModel] = [*entries, *models]
    wrong = 0
    for each in wanted:
        try:
            if isinstance(each, OwnModel):
                own_weights(each)
                print(f"{each.name}: SHA-256 {each.sha256} (as when it was added)")
            else:
                print(f"{each.name}: SHA-256 {verify(each)}{'' if each.pinned else ' (as at the first download; not pinned)'}")
        except (ModelError, OSError) as error:  # the others are checked all the same
            say("models", error)
            wrong += 1
    if not wanted:
        say("models", "There is nothing to check: no model is downloaded or added.")
    return 2 if wrong else 0


def run_where(args: argparse.Namespace) -> int:
    """Print a place."""
    from napari_sam2s.model.checkpoints import find_weights
    from napari_sam2s.model.downloads import weights_folder

    print(find_weights(args.name) if args.name else weights_folder())
    return 0


def run_add(args: argparse.Namespace) -> int:
    """Take up a checkpoint of the user's own."""
    from napari_sam2s.masklets.validation import user_path
    from napari_sam2s.model.checkpoints import examine
    from napari_sam2s.model.own_models import add_model, default_name

    path = user_path(args.file)
    if not path.is_file():
        raise ModelError(f"There is no file {path} to add.")
    found = examine(path, args.name or default_name(path))
    size = found.input_size if args.input_size is None else args.input_size
    if size is None and sys.stdin.isatty():
        size = _asked_size(path)
    if size is None:
        raise ModelError(
            f"{path} does not say at which input size it was trained: add --input-size N (SAM 2 itself: 1024, MedSAM2 and "
            "SurgSAM-2: 512)."
        )
    model = add_model(path, args.name, size)
    print(f"{model.name}: {found.network}, {found.parameters / 1e6:.1f} M parameters, input {size} px, {model.path}")
    if found.differences:
        say("models", f"In {path.name} {found.differences}. A command that loads it needs --ignore-differences.")
    return 0


def _asked_size(path: Path) -> int | None:
    question = f"At which input size was {path.name} trained (SAM 2 itself: 1024, MedSAM2 and SurgSAM-2: 512)? "
    print(question, end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    return int(answer) if answer.isdecimal() else None
