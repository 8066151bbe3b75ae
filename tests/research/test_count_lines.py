"""The table of lines."""

from __future__ import annotations

from research.count_lines import SOURCE, count, longest_function, main


def test_lines_are_counted_by_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "x.py").write_text("1\n2\n")
    (tmp_path / "a" / "y.py").write_text('def f():\n    """Say.\n\n    More.\n    """\n    return 1\n\n\ndef g(): ...\n')
    counted = {folder: {path.name: n for path, n in files.items()} for folder, files in count(tmp_path).items()}
    assert counted == {"(top)": {"x.py": 2}, "a": {"y.py": 9}}
    assert longest_function(tmp_path / "a" / "y.py") == (2, "y.f")  # without its docstring
    assert longest_function(tmp_path / "x.py") == (0, "")


def test_the_table_adds_up(capsys):
    main(SOURCE / "cli")
    *_, last = capsys.readouterr().out.splitlines()
    assert int(last.split()[2]) == sum(len(path.read_text("utf-8").splitlines()) for path in SOURCE.glob("cli/*.py"))
    assert set(count()) > {"cli", "datasets/sources"}
