from __future__ import annotations

from slimai.app.cli import main

ROW = '- NodeOutputName: "{name}"\n  Min: {low}\n  Max: {high}\n  Dtype: s8\n'


def write(path, *rows):
    path.write_text("".join(ROW.format(name=name, low=low, high=high) for name, low, high in rows))
    return str(path)


def test_profiles_are_compared_by_tensor(tmp_path, capsys):
    one = write(tmp_path / "one.yaml", ("a", -1, 1), ("b", 0, 2))
    two = write(tmp_path / "two.yaml", ("a", -1, 1.5), ("c", 0, 2))
    assert main(["diff", one, two]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a: Max 1.0 -> 1.5",
        "b: only in the first profile",
        "c: only in the second profile",
    ]
    assert main(["diff", one, one]) == 0
    assert capsys.readouterr().out == "no difference\n"


def test_what_is_no_profile_ends_with_code_2_and_the_place(tmp_path, capsys):
    one = write(tmp_path / "one.yaml", ("a", 2, 1))
    assert main(["diff", one, one]) == 2
    assert capsys.readouterr().err == f"{one}:2:8: a: Min is above Max (2.0 > 1.0)\n"
    assert main(["diff", str(tmp_path / "none.yaml"), one]) == 2
    assert "none.yaml: cannot be read: No such file or directory" in capsys.readouterr().err
