"""BibTeX of what a result was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_sam2s.model.model_registry import ModelFamily, entry_of_hash, registry

SOFTWARE = """@software{{napari_sam2s,
  title = {{napari-sam2s: durable, named, per-instance masks for video of any length}},
  author = {{{{The napari-sam2s developers}}}},
  version = {{{version}}},
  year = {{2026}},
  url = {{https://github.com/napari-sam2s/napari-sam2s}}
}}"""
SAM2S = """@article{liu2025sam2s,
  title = {{SAM2S}: Segment Anything in Surgical Videos via Semantic Long-term Tracking},
  author = {Liu, Haofeng and Wang, Ziyue and Mishra, Sudhanshu and Gao, Mingqi and Qin, Guanyi and Low, Chang Han and
            Kong, Alex Y. W. and Jin, Yueming},
  journal = {arXiv preprint arXiv:2511.16618},
  year = {2025}
}"""
SAM2 = r"""@article{ravi2024sam2,
  title = {{SAM} 2: Segment Anything in Images and Videos},
  author = {Ravi, Nikhila and Gabeur, Valentin and Hu, Yuan-Ting and Hu, Ronghang and Ryali, Chaitanya and Ma, Tengyu and
            Khedr, Haitham and R{\"a}dle, Roman and Rolland, Chloe and Gustafson, Laura and Mintun, Eric and Pan, Junting and
            Alwala, Kalyan Vasudev and Carion, Nicolas and Wu, Chao-Yuan and Girshick, Ross and Doll{\'a}r, Piotr and
            Feichtenhofer, Christoph},
  journal = {arXiv preprint arXiv:2408.00714},
  year = {2024}
}"""
EDGETAM = """@article{zhou2025edgetam,
  title = {{EdgeTAM}: On-Device Track Anything Model},
  author = {Zhou, Chong and Zhu, Chenchen and Xiong, Yunyang and Suri, Saksham and Xiao, Fanyi and Wu, Lemeng and
            Krishnamoorthi, Raghuraman and Dai, Bo and Loy, Chen Change and Chandra, Vikas and Soran, Bilge},
  journal = {arXiv preprint arXiv:2501.07256},
  year = {2025}
}"""
PYTORCH = """@inproceedings{paszke2019pytorch,
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  author = {Paszke, Adam and Gross, Sam and Massa, Francisco and others},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2019}
}"""
NAPARI = """% where you worked in the viewer:
@software{napari,
  title = {napari: a multi-dimensional image viewer for {Python}},
  author = {{napari contributors}},
  doi = {10.5281/zenodo.3555620}
}"""


def bibtex(record: Mapping[str, Any]) -> str:
    """Return the entries of what :func:`methods_record` says was used."""
    used = [SOFTWARE.format(version=record["napari_sam2s"])]
    runs = [run["settings"] for run in record["runs"] if run["status"] != "undone"]
    if runs:
        used += [SAM2S, SAM2, PYTORCH]
        used += [_of_family(family) for family in dict.fromkeys(filter(None, map(_family, runs)))]
    return "\n\n".join((*used, NAPARI)) + "\n"


def _family(facts: Mapping[str, Any]) -> ModelFamily | None:
    """Return the family of a run's weights, by their name, their hash, or the network that they have the shape of."""
    known = registry()
    by_name = known.get(str(facts.get("model_source"))) or entry_of_hash(str(facts.get("model_hash")))
    entry = by_name or known.get(str(facts.get("model")))
    return entry.family if entry is not None and entry.family.name not in ("sam2", "sam2s-nano") else None


def _of_family(family: ModelFamily) -> str:
    if family.name == "edgetam":
        return EDGETAM
    return f"@misc{{{family.name.replace('.', '_')},\n  title = {{{{{family.title}}}}},\n  url = {{{family.citation}}}\n}}"
