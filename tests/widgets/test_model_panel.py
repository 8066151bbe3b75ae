"""The menu of models: built in, installed, a file, downloaded when asked; and how they remember."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_sam2s.errors import CheckpointDiffers, InputSizeUnknown, ModelError
from napari_sam2s.model.checkpoints import find_weights
from napari_sam2s.model.downloads import sha256
from napari_sam2s.model.model_registry import ModelEntry, registry
from napari_sam2s.model.own_models import remembered_size
from napari_sam2s.tracking.policy import DIVEMEM, MemoryPolicy
from napari_sam2s.video import open_video
from napari_sam2s.widgets import model_panel
from napari_sam2s.widgets.model_panel import BUILT_IN, ModelPanel
from napari_sam2s.widgets.project_worker import ProjectWorker
from napari_sam2s.widgets.settings import remember, remembered
from napari_sam2s.widgets.tracker_source import Choice


def offered(url: str) -> ModelEntry:
    """What there is to download."""
    return replace(registry()["sam2.1-tiny"], url=url, sha256="", bytes=0, about_mb=8)


@pytest.fixture
def panel(qtbot, tmp_path, monkeypatch):
    """A menu that offers one download, from a folder of this machine."""
    source = shutil.copy(find_weights(BUILT_IN), tmp_path / "source.pt")
    item = offered(f"file://{source}")
    monkeypatch.setenv("SAM2S_MODEL_DIR", str(tmp_path / "here"))
    monkeypatch.setattr(model_panel, "DOWNLOADS", {item.name: item})
    remember("model", name=BUILT_IN, device="auto", address="", memory="divemem", mode="exact", precision="float32")
    remember("model", input_size=0)
    remember("memory", own=False)
    made = ModelPanel()
    qtbot.addWidget(made)
    made.show()
    return made


def pick(panel, name):
    index = panel.model.findData(name)
    panel.model.setCurrentIndex(index)
    panel.model.activated.emit(index)


def test_the_built_in_one_is_chosen(panel):
    assert panel.choice() == Choice(BUILT_IN, "divemem")
    panel.crop.setChecked(True)
    assert panel.choice() == Choice(BUILT_IN, "divemem", crop=True)
    panel.crop.setChecked(False)


def test_a_download_is_asked_for_and_its_licence_told(panel, qtbot):
    said = []
    panel.message.connect(said.append)
    pick(panel, "sam2.1-tiny")
    assert "8 MB" in panel.terms.text()
    assert "Apache-2.0" in panel.terms.text()
    assert panel.choice().model == BUILT_IN  # until it is here
    assert panel.get_button.isVisible()
    panel.get_button.click()
    qtbot.waitUntil(lambda: bool(said))
    assert said == ["sam2.1-tiny is downloaded."]
    assert panel.choice().model == "sam2.1-tiny"
    assert "installed" in panel.model.currentText()
    assert not panel.get_button.isVisible()


def test_a_model_that_was_downloaded_is_not_forced_on_whoever_chose_another_one_meanwhile(panel, qtbot, monkeypatch):
    said, (tiny,) = [], model_panel.DOWNLOADS.values()
    monkeypatch.setattr(model_panel, "DOWNLOADS", {tiny.name: tiny, "edgetam": replace(tiny, name="edgetam")})
    panel.message.connect(said.append)
    panel._fill(BUILT_IN)
    pick(panel, tiny.name)
    panel.get_button.click()
    pick(panel, "edgetam")
    qtbot.waitUntil(lambda: bool(said))
    assert said == ["sam2.1-tiny is downloaded. Choose it in the menu to use it."]
    assert panel.choice().model == BUILT_IN
    assert panel.get_button.isVisible(), "the other one is still offered"
    assert panel.get_button.isEnabled()
    assert panel._wanted.name == "edgetam"


def test_a_download_that_fails_is_told(panel, qtbot, monkeypatch):
    item = offered("file:///nowhere/at/all.pt")
    monkeypatch.setattr(model_panel, "DOWNLOADS", {item.name: item})
    said = []
    panel.trouble.connect(said.append)
    pick(panel, "sam2.1-tiny")
    panel.get_button.click()
    qtbot.waitUntil(lambda: bool(said))
    assert "cannot be fetched" in said[0]
    assert panel.choice().model == BUILT_IN
    said.clear()
    monkeypatch.setattr(model_panel, "download", lambda *_: [][0])  # a fault of ours
    panel.get_button.click()
    qtbot.waitUntil(lambda: bool(said))
    assert not panel.bar.isVisible()


def test_a_file(panel, tmp_path, monkeypatch):
    file = str(tmp_path / "source.pt")
    monkeypatch.setattr(model_panel.QFileDialog, "getOpenFileName", lambda *_: (file, ""))
    pick(panel, "")
    assert panel.choice().model == file
    assert panel.model.currentText() == "source.pt"


def test_what_is_chosen_is_remembered(panel, qtbot):
    panel.device.setCurrentText("cpu")
    panel.mode.setCurrentText("fast")
    panel.precision.setCurrentText("bfloat16")
    panel.input_size.setCurrentText("512 x 512")
    panel.address.setText("tcp://gpu-box:8786")
    panel.address.editingFinished.emit()
    panel.memory.own.setChecked(True)
    panel.memory.numbers["long_term"].setValue(7)
    again = ModelPanel()
    qtbot.addWidget(again)
    choice = again.choice()
    assert (choice.device, choice.address) == ("cpu", "tcp://gpu-box:8786")
    assert (choice.mode, choice.precision, choice.image_size) == ("fast", "bfloat16", 512)
    assert isinstance(choice.memory, MemoryPolicy)
    assert choice.memory.long_term == 7
    assert choice.memory.candidates == DIVEMEM.candidates


def test_the_input_is_the_models_own_until_another_is_chosen(panel, qtbot):
    assert panel.choice().image_size is None
    remember("model", input_size=333)  # by hand: no size that is offered
    again = ModelPanel()
    qtbot.addWidget(again)
    assert again.choice().image_size is None


def test_the_defaults_of_a_policy_come_with_its_name(panel):
    panel.memory.name.setCurrentText("vanilla")
    assert panel.choice().memory == "vanilla"
    assert panel.memory.numbers["long_term"].value() == 0
    assert not panel.memory.numbers["long_term"].isEnabled()


def test_an_unknown_input_size_is_asked_once(panel, tmp_path, monkeypatch):
    file = tmp_path / "source.pt"
    monkeypatch.setattr(model_panel.QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    pick(panel, "")
    panel.question.ask(InputSizeUnknown("which?", str(file)))
    assert "512" in panel.question.words.text()
    changes = []
    panel.changed.connect(lambda: changes.append(panel.choice()))
    panel.question.size_button.click()  # nothing is chosen yet
    assert not changes
    panel.question.sizes.setCurrentText("512 x 512")
    panel.question.size_button.click()
    assert changes[-1].image_size is None  # it is of the file, not of the menu
    assert remembered_size(sha256(file)) == 512
    assert not panel.question.isVisible()


def test_an_input_size_of_a_file_elsewhere_goes_into_the_menu(panel):
    panel.address.setText("tcp://gpu-box:8786")
    panel._chosen = "/data/lab.pt"
    panel.question.ask(InputSizeUnknown("which?", "/data/lab.pt"))
    panel.question.sizes.setCurrentText("512 x 512")
    panel.question.size_button.click()
    assert panel.choice().image_size == 512
    pick(panel, BUILT_IN)
    assert panel.choice().image_size is None  # it was said of that file, not of all


def test_tensors_that_do_not_fit_are_named_and_the_user_decides(panel):
    assert panel.choice().strict
    panel.question.ask(CheckpointDiffers("no", ("a",), tuple(f"slots.{n}" for n in range(9))))
    assert "1 missing: a. 9 unknown: slots.0, slots.1, slots.2, slots.3, slots.4 and 4 more." in panel.question.words.text()
    panel.question.accept_button.click()
    assert not panel.choice().strict
    panel._chosen = "sam2.1-tiny"
    assert panel.choice().strict  # of that file only


def test_a_file_that_was_trained_anew_is_asked_about_anew(panel, tmp_path):
    file = tmp_path / "source.pt"
    panel._fill(str(file))
    panel.question.accept_button.click()
    assert not panel.choice().strict
    file.write_bytes(b"other weights")
    assert panel.choice().strict


def test_what_must_be_fetched_by_hand_is_in_the_menu_and_says_how(panel, tmp_path, monkeypatch):
    pick(panel, "surgsam2-endovis18")
    assert "models add FILE --name surgsam2-endovis18" in panel.terms.text()
    assert "No licence is stated" in panel.terms.text()
    assert panel.terms.isVisible()
    assert not panel.get_button.isVisible()
    assert panel.choice().model == BUILT_IN
    monkeypatch.setenv("SAM2S_OFFLINE_DIR", str(tmp_path))
    (tmp_path / "sam2.1_hiera_s_endo18.pth").touch()
    panel._fill(BUILT_IN)
    assert "installed" in panel.model.itemText(panel.model.findData("surgsam2-endovis18"))


def test_a_damaged_list_and_a_wrong_mirror_leave_the_widget_whole(panel, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("SAM2S_MODEL_MIRROR", "mirror.example")
    (tmp_path / "here" / "models").mkdir(parents=True)
    (tmp_path / "here" / "models" / "own_models.json").write_text("{")
    again = ModelPanel()
    qtbot.addWidget(again)
    pick(again, "sam2.1-tiny")
    assert "SAM2S_MODEL_MIRROR is not the address" in again.terms.text()


def test_the_worker_hands_the_question_on(qtbot, tmp_path):
    video = open_video(np.zeros((2, 32, 32, 3), np.uint8))
    worker = ProjectWorker(video, tmp_path / "a.sam2s", Choice("lab.pt"))

    def refuse():
        raise CheckpointDiffers("no", (), ("slots.a",))

    worker.source.get = refuse
    asked, failed = [], []
    worker.asked.connect(asked.append)
    worker.failed.connect(failed.append)
    worker.change(Choice("lab.pt")).result(timeout=60)
    qtbot.waitUntil(lambda: bool(asked))
    assert failed == ["no"]
    assert asked[0].unknown == ("slots.a",)
    worker.close()


def test_a_choice_that_is_refused_goes_back_to_what_works_in_menu_settings_and_worker(panel, qtbot, tmp_path):
    worker = ProjectWorker(open_video(np.zeros((2, 32, 32, 3), np.uint8)), tmp_path / "a.sam2s", panel.choice())

    def get():
        if worker.source.choice.device == "cuda" or worker.source.choice.address:
            raise ModelError("There is none.")
        worker.source.worked = worker.source.choice

    worker.source.get = get
    worker.refused.connect(panel.take_back)
    panel.changed.connect(lambda: worker.change(panel.choice()))
    said = []
    worker.failed.connect(said.append)
    panel.mode.setCurrentText("fast")
    panel.device.setCurrentText("cuda")
    qtbot.waitUntil(lambda: bool(said))
    worker.settle()
    assert (panel.device.currentText(), panel.mode.currentText()) == ("auto", "fast")
    assert worker.source.choice == worker.source.worked == panel.choice()
    assert said == ["There is none. What worked before is used again."]
    assert remembered("model", "device", "") == "auto"
    panel.memory.name.setCurrentText("vanilla")
    panel.address.setText("tcp://nobody:1")
    panel.address.editingFinished.emit()
    qtbot.waitUntil(lambda: len(said) > 1)
    worker.settle()
    assert (panel.address.text(), panel.memory.policy()) == ("", "vanilla")
    assert worker.source.choice == panel.choice()
    panel.device.setCurrentText("cuda")
    panel.device.setCurrentText("cpu")  # before the answer is there
    worker.settle()
    qtbot.waitUntil(lambda: len(said) > 2)
    assert (panel.device.currentText(), worker.source.choice.device) == ("cpu", "cpu")
    worker.close()
