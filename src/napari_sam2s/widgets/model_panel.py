"""The part of the widget that chooses a model: which, where it runs, and how it remembers."""

from __future__ import annotations

import threading
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QFormLayout, QLabel, QLineEdit, QProgressBar, QToolButton, QWidget

from napari_sam2s.errors import Sam2sError
from napari_sam2s.model.downloads import DOWNLOADS, download, find_local, how_to_get, terms
from napari_sam2s.model.model_registry import ModelEntry, loadable
from napari_sam2s.model.own_models import OwnModel, own_models, remember_size
from napari_sam2s.tracking.engine import PRECISIONS
from napari_sam2s.widgets.checkpoint_question import CheckpointQuestion
from napari_sam2s.widgets.form_parts import REMARK, button, menu, side_by_side, stacked, wrapped
from napari_sam2s.widgets.memory_panel import MemoryPanel
from napari_sam2s.widgets.model_advice import advice, recommended
from napari_sam2s.widgets.settings import remember, remembered
from napari_sam2s.widgets.tracker_source import Choice

BUILT_IN = "sam2s-nano"
BY_HAND = {name: entry for name, entry in loadable().items() if not (entry.url or entry.built_in)}
FILES = "Checkpoints (*.pt *.pth *.ckpt *.safetensors);;All files (*)"
MODES = ("exact", "fast")
OWN_SIZE = "the model's own"
SIZES = (256, 320, 384, 448, 512, 640, 768, 896, 1024)
SIZE_TIP = (
    "Each frame is scaled to this size for the network. Smaller is faster, larger keeps small things. Half the side takes a "
    "quarter of the time or less. Far from the model's own size, masks get worse."
)
MODE_TIP = (
    "exact is the reference. fast gives slightly different masks in less time. It uses fewer memories at half resolution, no "
    "padded windows, and 8 bits (CPU) or bfloat16 (GPU) in SAM 2's image encoders. The built-in model's outlines are rougher."
)
PRECISION_TIP = (
    "Number format of the arithmetic. bfloat16 is mixed precision, as in SAM 2 itself. It is faster on GPUs and on CPUs with "
    "AMX or AVX512-BF16, and much slower on other CPUs."
)


CROP_TIP = (
    "For small objects in large frames. Each object is tracked at full resolution in a window that moves and grows with it. "
    "Objects are tracked one by one, and every frame is tracked. An object that comes back far away needs a click."
)


class ModelPanel(QWidget):
    """A menu of models, and behind "advanced" where the model runs and how it remembers; kept in napari's settings."""

    changed = Signal()
    message = Signal(str)
    trouble = Signal(str)
    _fetched = Signal(int, int)  # bytes done, in all
    _got = Signal(str, str)  # name, error or ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = menu((), "The built-in model is for trying things out; the others need a download or a file.")
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.more = QToolButton()
        self.more.setText("advanced")
        self.more.setCheckable(True)
        self.more.setToolTip("Device, input size, mode, precision, scheduler and memory policy.")
        self.terms = wrapped()
        self.get_button = button("Download", self._download, "Accept the licence and download the weights.")
        self.bar = QProgressBar()
        self.question = CheckpointQuestion()
        self.device = menu(("auto", "cpu", "cuda", "mps"), "Where the model runs; 'auto' takes a GPU if there is one.")
        self.input_size = menu((OWN_SIZE,), SIZE_TIP)
        for side in SIZES:
            self.input_size.addItem(f"{side} x {side}", side)
        self.mode = menu(MODES, MODE_TIP)
        self.precision = menu(PRECISIONS, PRECISION_TIP)
        self.crop = QCheckBox("a crop follows each object")
        self.crop.setToolTip(CROP_TIP)
        self.address = QLineEdit()
        self.address.setPlaceholderText("this machine")
        self.address.setToolTip(
            "Address of a dask scheduler, such as tcp://gpu-box:8786. Its worker gets the frames and runs the model. "
            "Leave it empty for this machine."
        )
        self.memory = MemoryPanel()
        self._chosen = BUILT_IN
        self._device = ""  # where the model runs, once that is known
        self._wanted: ModelEntry | None = None  # chosen, but not here yet
        self._sized = ""  # the model whose size the user said, where it could not be remembered by its file
        self._accepted: set[tuple[str | int, ...]] = set()  # files that the user wants without the tensors that do not fit
        self._lay_out()
        self._fill(str(remembered("model", "name", BUILT_IN)))
        self._restore()
        self.model.activated.connect(self._pick)
        for choice in (self.device, self.input_size, self.mode, self.precision):
            choice.currentTextChanged.connect(self._change)
        self.crop.toggled.connect(self._change)
        self.address.editingFinished.connect(self._change)
        self.memory.changed.connect(self._change)
        self.question.sized.connect(self._take_size)
        self.question.accepted.connect(self._accept)
        self._fetched.connect(self._show_fetched)
        self._got.connect(self._show_got)

    def _restore(self) -> None:
        """Show what was chosen last time."""
        for key, choice in (("device", self.device), ("precision", self.precision), ("mode", self.mode)):
            choice.setCurrentText(str(remembered("model", key, choice.currentText())))
        self.input_size.setCurrentIndex(max(0, self.input_size.findData(remembered("model", "input_size", 0))))
        self.address.setText(str(remembered("model", "address", "")))

    def _lay_out(self) -> None:
        advanced = QWidget()
        form = QFormLayout(advanced)
        form.setContentsMargins(12, 0, 0, 0)
        for title, choice in (("device", self.device), ("input", self.input_size), ("mode", self.mode)):
            form.addRow(title, choice)
        form.addRow("precision", self.precision)
        form.addRow("small objects", self.crop)
        form.addRow("scheduler", self.address)
        form.addRow(self.memory)
        self.more.toggled.connect(advanced.setVisible)
        advanced.setVisible(False)
        first = side_by_side(QLabel("model"), (self.model, 1), self.more)
        stacked(first, self.question, self.terms, self.get_button, self.bar, advanced, into=self)
        for part in (self.terms, self.get_button, self.bar):
            part.setVisible(False)

    def choice(self) -> Choice:
        """Return what is chosen."""
        return Choice(
            self._chosen,
            self.memory.policy(),
            self.device.currentText(),
            self.precision.currentText(),  # type: ignore[arg-type]
            self.mode.currentText(),  # type: ignore[arg-type]
            self.input_size.currentData() or None,
            self.address.text().strip() or None,
            self._state_of(self._chosen) not in self._accepted,
            self.crop.isChecked(),
        )

    def _fill(self, chosen: str) -> None:
        """Fill the menu: built in, installed, a file of one's own, then what can be downloaded."""
        entries = [(BUILT_IN, f"{BUILT_IN} (built in, demo)")]
        own = _own()
        entries += [(name, f"{name} (yours)") for name in own]
        if Path(chosen).is_file():
            entries.append((chosen, Path(chosen).name))
        for d in (*DOWNLOADS.values(), *BY_HAND.values()):
            if d.name not in own:
                get = f"download {d.megabytes} MB" if d.url else "download by hand"
                entries.append((d.name, f"{d.name} ({get if find_local(d) is None else 'installed'})"))
        entries.append(("", "a file ..."))
        entries.sort(key=lambda entry: (entry[0] != BUILT_IN, entry[0] != recommended(self._device) or not entry[0]))
        self.model.clear()
        for name, text in entries:
            short, tip = advice(name, self._device) if name else ("", "")
            if name in own and not tip:
                tip = f"{own[name].path}, input {own[name].input_size} px."
            self.model.addItem(f"{text}{REMARK}{short}" if short else text, name)
            self.model.setItemData(self.model.count() - 1, tip or None, Qt.ItemDataRole.ToolTipRole)
        self.model.view().setMinimumWidth(self.model.view().sizeHintForColumn(0))  # wider than the closed menu
        known = {name for name, _ in entries[:-1] if self._missing(name) is None}
        self._chosen = chosen if chosen in known else BUILT_IN
        self._show_chosen()

    def note_device(self, device: str) -> None:
        """Hear where the model runs: what is recommended there, and how fast it was, is written into the menu."""
        self._device = device
        self._fill(self._chosen)

    def _show_chosen(self) -> None:
        self.model.setCurrentIndex(self.model.findData(self._chosen))

    @staticmethod
    def _missing(name: str) -> ModelEntry | None:
        """Return what would have to be downloaded first."""
        item = DOWNLOADS.get(name) or BY_HAND.get(name)
        return item if item is not None and name not in _own() and find_local(item) is None else None

    @staticmethod
    def _state_of(name: str) -> tuple[str | int, ...]:
        """Return what tells a model's file from another of the same name, such as one that was trained anew."""
        own = _own().get(name)
        try:
            found = Path(own.path if own is not None else name).stat()
        except OSError:  # on another machine
            return (name,)
        return (name, found.st_size, found.st_mtime_ns)

    def _pick(self, index: int) -> None:
        name = str(self.model.itemData(index))
        if not name:
            name, _ = QFileDialog.getOpenFileName(self, "Choose a checkpoint", "", FILES)
            if not name:
                self._show_chosen()
                return
            self._fill(name)
        item = self._missing(name)
        self.get_button.setVisible(item is not None and bool(item.url))
        self.terms.setVisible(item is not None)
        self._wanted = item
        if item is not None:
            self.terms.setText(f"{_to_agree(item)} Until it is here, {Path(self._chosen).name} is used.")
            self._show_chosen()  # the menu shows what is used
            return
        if self._sized not in ("", name):  # what was said of one model is no choice for the next
            self._set_size(0)
            self._sized = ""
        self._chosen = name
        self._change()

    def _set_size(self, side: int) -> None:
        with QSignalBlocker(self.input_size):
            self.input_size.setCurrentIndex(max(0, self.input_size.findData(side)))

    def take_back(self, refused: Choice, used: Choice) -> None:
        """Show and keep what is used in place of a choice that was refused, unless another one was made meanwhile."""
        if self.choice() != refused:
            return
        self.blockSignals(True)  # there is nothing to change
        self.device.setCurrentText(used.device)
        self.precision.setCurrentText(used.precision)
        self.mode.setCurrentText(used.mode)
        self.input_size.setCurrentIndex(max(0, self.input_size.findData(used.image_size)))
        self.address.setText(used.address or "")
        self.crop.setChecked(used.crop)
        self._fill(used.model)
        self._change()
        self.blockSignals(False)

    def _take_size(self, side: int) -> None:
        """Load the chosen model at the size that the user said; remembered by the content of its file, if it is here."""
        own = _own().get(self._chosen)
        path = Path(own.path if own is not None else self._chosen)
        if path.is_file():
            try:
                remember_size(path, side)
            except (Sam2sError, OSError) as error:
                self.trouble.emit(f"The size is used now, but cannot be remembered ({error}).")
        if not path.is_file() or self.address.text().strip():  # the file is read on another machine
            self._sized = self._chosen
            self._set_size(side)
        self._change()

    def _accept(self) -> None:
        self._accepted.add(self._state_of(self._chosen))
        self._change()

    def _change(self, _: object = None) -> None:
        self.question.setVisible(False)
        choice = self.choice()
        remember("model", name=choice.model, device=choice.device, precision=choice.precision, mode=choice.mode)
        remember("model", address=choice.address or "", input_size=choice.image_size or 0)
        self.changed.emit()

    # Downloading

    def _download(self) -> None:
        if (item := self._wanted) is None:
            return
        self.get_button.setEnabled(False)
        self.bar.setVisible(True)

        def fetch() -> None:
            try:
                download(item, self._fetched.emit)
            except Exception as error:  # noqa: BLE001 - else the bar would stand there for ever
                self._got.emit(item.name, str(error))
            else:
                self._got.emit(item.name, "")

        threading.Thread(target=fetch, name="sam2s-download", daemon=True).start()

    def _show_fetched(self, done: int, total: int) -> None:
        self.bar.setMaximum(max(1, total >> 10))  # kilobytes: Qt's bars count with 32 bits
        self.bar.setValue(done >> 10)

    def _show_got(self, name: str, error: str) -> None:
        self.bar.setVisible(False)
        self.get_button.setEnabled(True)
        if error:
            self.trouble.emit(error)
            return
        if self._wanted is None or self._wanted.name != name:  # another one was chosen meanwhile
            self._fill(self._chosen)
            self.message.emit(f"{name} is downloaded. Choose it in the menu to use it.")
            return
        self.get_button.setVisible(False)
        self.terms.setVisible(False)
        self._wanted = None
        self._fill(name)
        self.message.emit(f"{name} is downloaded.")
        self._change()


def _own() -> dict[str, OwnModel]:
    """Return the user's own models; none if their list is damaged, which the engine tells when it loads any model."""
    try:
        return own_models()
    except Sam2sError:
        return {}


def _to_agree(item: ModelEntry) -> str:
    """Return what there is to agree to before a download, or how a file comes here that cannot be downloaded."""
    try:
        return terms(item) if item.url else f"{how_to_get(item)} {item.licence.forbids}"
    except Sam2sError as error:  # a mirror that is none
        return str(error)
