"""A cache computes what is absent or damaged, once."""

from concurrent.futures import ThreadPoolExecutor

from slimai.artifacts.atomic import write_text
from slimai.artifacts.cache import Cache, content_key, hash_files


def _load(path):
    text = path.read_text()
    if not text.startswith("ok "):
        raise ValueError("damaged")
    return text


def test_second_use_is_found(tmp_path):
    cache, calls = Cache(tmp_path), []
    compute = lambda: calls.append(1) or "ok 1"
    save = lambda value, path: write_text(path, value)
    assert cache.get("k", ".txt", compute, save, _load) == ("ok 1", False)
    assert cache.get("k", ".txt", compute, save, _load) == ("ok 1", True)
    assert len(calls) == 1


def test_a_damaged_file_is_computed_again(tmp_path):
    (tmp_path / "k.txt").write_text("torn")
    value, found = Cache(tmp_path).get("k", ".txt", lambda: "ok 2", lambda v, p: write_text(p, v), _load)
    assert (value, found) == ("ok 2", False)
    assert (tmp_path / "k.txt").read_text() == "ok 2"


def test_users_at_the_same_time_share_one_computation(tmp_path):
    calls = []

    def use(_):
        return Cache(tmp_path).get(
            "k", ".txt", lambda: calls.append(1) or "ok 3", lambda v, p: write_text(p, v), _load
        )[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(16))) == {"ok 3"}
    assert len(calls) == 1


def test_keys_depend_on_every_part_and_on_the_cuts_between_them():
    keys = [content_key(*parts) for parts in (("ab", "c"), ("a", "bc"), ("abc",), (b"abc",), ({"a": 1, "b": 2},))]
    assert len(set(keys)) == len(keys)
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})


def test_file_hash_depends_on_contents_and_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    assert hash_files([a, b]) != hash_files([b, a])
    b.write_bytes(b"3")
    before = hash_files([a, b])
    b.write_bytes(b"4")
    assert hash_files([a, b]) != before
