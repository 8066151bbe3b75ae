from pathlib import Path

import pytest

from napari_sam2s.doctor.personal_paths import without_personal_paths


@pytest.fixture(autouse=True)
def user(monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/mueller"))
    monkeypatch.setenv("LOGNAME", "mueller")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        (r"D:\Users\Meyer\study one\case.mp4 is damaged", "<folder>/case.mp4 is damaged"),
        ("/media/NAME/My Drive/a.mp4, /mnt/lab/patient", "<folder>/a.mp4, <folder>/patient"),
        ("/lab/Hans M/models (1.2 GB free), /tmp (2 GB free)", "<folder>/models (1.2 GB free), /tmp (2 GB free)"),
        ("No such file: '/mnt/lab/Meyer, Hans (1950)/a b.mp4' or", "No such file: '<folder>/a b.mp4' or"),
        ("/mnt/O'Brien/x.mp4: gone", "<folder>/x.mp4: gone"),
        (r"[WinError 2] 'D:\\Meyer\\lib\\x.dll'", "[WinError 2] '<folder>/x.dll'"),
        (r"\\server\share\patients\x.mp4 is gone", "<folder>/x.mp4 is gone"),
        ("C:/Users/Meyer/x.mp4", "<folder>/x.mp4"),
        ("file:///mnt/lab/Meyer/x.png", "file:<folder>/x.png"),
        ("--out=/mnt/lab/Meyer/x", "--out=<folder>/x"),
        ("(/mnt/lab/Meyer/x.png)", "(<folder>/x.png)"),
        ("/a/b/python -m pip --index-url https://a.org/c/d", "<folder>/python -m pip --index-url https://a.org/c/d"),
        ("~/studies/Meyer/x.sam2s", "<folder>/x.sam2s"),
        ("/home/mueller/Meyer/x.sam2s", "<folder>/x.sam2s"),
        ("/home/mueller/.cache/sam2s (4 GB free), /home/mueller", "~/.cache/sam2s (4 GB free), ~"),
        ("/home/mueller/case", "~/case"),
        ("/home/muellers/case", "<folder>/case"),
        ("/data/x/mueller, muellers", "<folder>/USER, muellers"),
    ],
)
def test_the_last_name_stays(text, short):

    assert without_personal_paths(text) == short


@pytest.mark.parametrize(
    "text",
    [
        "0.76 s a frame (1.3 frames/s)",
        "/tmp (43 GB free)",
        "Report it with this text: https://github.com/napari-sam2s/napari-sam2s/issues",
        "4.6 (Core Profile) Mesa 22.3.6, NVIDIA H100/PCIe/SSE2",
        "DISPLAY is set to :0, where no screen answers.",
        'python -m pip install "napari-sam2s[all]"',
        "On Debian and Ubuntu: sudo apt-get install libgl1-mesa-dri",
    ],
)
def test_what_is_no_path_stays(text):
    assert without_personal_paths(text) == text
