"""Take personal paths out of a text: what a folder is called may name a patient, a study or a person."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

FOLDER = "<folder>"  # stands for the folders before the last name of a path

_START = r"(?:~(?=[/\\])|[A-Za-z]:(?=[/\\])|(?=[/\\]))"  # of the home folder, of a drive, of all folders
_URL = r"\b(?!file:)[A-Za-z][\w+.-]+://[^\s'\"]*"
_QUOTED = rf"(?P<quote>['\"])(?P<inside>{_START}[/\\][^'\"\n]*)(?P=quote)"
# A name that holds a space is followed by a separator: the last name ends at the first space. No name ends with a space.
_NAME = r"(?:(?!:[\s/\\]|\s~|\s--?\w)[^/\\\n\"<>|?*])*[^/\\\s\"<>|?*]"
_BARE = rf"(?<![\w.~<>/\\-]){_START}[/\\]+(?:{_NAME}[/\\]+)*[^/\\\s\"'<>|?*,;()]*"
_PATH = re.compile(rf"(?P<url>{_URL})|{_QUOTED}|(?P<bare>{_BARE})")
_KNOWN_AT_HOME = re.compile(r"~[/\\](\.|Library[/\\]|AppData[/\\])")  # where programs keep what is theirs


def without_personal_paths(text: str) -> str:
    """Return a text whose paths are short: ``<folder>/name`` for all but the folders of programs in the home folder."""
    home = str(Path.home())
    if len(home) > 1:
        text = re.sub(rf"(?<![\w.]){re.escape(home)}(?=\W|$)", "~", text)
    text = _PATH.sub(_shortened, text)
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for its user
        return text
    return re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|\b)", "USER", text) if user else text


def _shortened(match: re.Match[str]) -> str:
    if match["url"]:
        return match["url"]
    quote, path = match["quote"] or "", match["inside"] or match["bare"]
    names = [name for name in re.split(r"[/\\]+", path) if name]
    if _KNOWN_AT_HOME.match(path) or len(names) < 2 + path.startswith("~"):
        return f"{quote}{path}{quote}"
    last = names[-1] if path[-1] not in "/\\" else f"{names[-1]}/"
    return f"{quote}{FOLDER}/{last}{quote}"
