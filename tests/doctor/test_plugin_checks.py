"""Whether napari runs this plugin, and which others open videos."""

import subprocess

import pytest
from npe2 import DynamicPlugin, PluginManager

from napari_sam2s.doctor import plugin_checks
from napari_sam2s.doctor.plugin_checks import plugins


def one():
    (finding,) = plugins()
    return finding


@pytest.fixture
def enabled(monkeypatch):
    """No plugin is disabled; napari is not asked."""
    monkeypatch.setattr(plugin_checks, "_disabled", set)


@pytest.mark.parametrize("pattern", ["*.mp4", "*.MP4", "*"])
def test_another_plugin_that_opens_videos(monkeypatch, enabled, pattern):
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    with DynamicPlugin("napari-other-video", plugin_manager=manager) as other:

        @other.contribute.reader(filename_patterns=[pattern])
        def read(path):
            """Claim what it is given."""

        finding = one()
    assert finding.verdict == "warning"
    assert "napari-other-video" in finding.found
    assert one().verdict == "ok"


def test_a_plugin_that_napari_does_not_find(monkeypatch, enabled):
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    monkeypatch.setattr(manager, "discover", lambda: 0)  # as without an entry point
    finding = one()
    assert finding.verdict == "broken"
    assert finding.remedy.endswith("--force-reinstall --no-deps napari-sam2s")


@pytest.mark.slow
def test_a_plugin_that_is_disabled(monkeypatch, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("schema_version: 0.9.0\nplugins:\n  disabled_plugins:\n  - napari-sam2s\n")
    monkeypatch.setenv("NAPARI_CONFIG", str(settings))
    finding = one()
    assert (finding.verdict, finding.found) == ("broken", "This plugin is disabled in napari's plugin manager.")
    command = finding.remedy.partition("then: ")[2]
    subprocess.run(command, shell=True, check=True, timeout=120)
    assert one().verdict == "ok"


def test_a_disabled_plugin_opens_no_videos(monkeypatch):
    manager = PluginManager()
    monkeypatch.setattr(PluginManager, "instance", lambda: manager)
    monkeypatch.setattr(plugin_checks, "_disabled", lambda: {"napari-other-video"})
    with DynamicPlugin("napari-other-video", plugin_manager=manager) as other:

        @other.contribute.reader(filename_patterns=["*.mp4"])
        def read(path):
            """Claim what it is given."""

        assert one().verdict == "ok"


def test_a_napari_that_does_not_start_disables_nothing(monkeypatch):
    monkeypatch.setattr(plugin_checks, "_DISABLED", "raise SystemExit(1)")
    assert plugin_checks._disabled() == set()
