"""scripts/lint-circles finds circular imports in whatever form they are written."""

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "lint-circles"


def script() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("lint_circles", str(SCRIPT))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def circles(folder: Path, files: dict[str, str]) -> list[list[str]]:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    lint = script()
    found = lint.circles(lint.crate_edges(folder))
    return [sorted(str(file.relative_to(folder)) for file in circle) for circle in found]


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("mod b;\nuse b::f;\npub fn g() { f() }\n", "use super::g;\npub fn f() { g() }\n"),
        ("mod b;\npub fn g() { b::f() }\n", "use super::g;\npub fn f() { g() }\n"),
        ("mod b;\nuse b::f;\npub fn g() { f() }\n", "pub fn f() { super::g() }\n"),
        ("mod b;\nuse b::f;\npub fn g() { f() }\n", "pub fn f() { crate::a::g() }\n"),
        ("mod b;\npub use b::T;\npub fn g() -> T { T }\n", "pub struct T;\npub fn f() { super::g(); }\n"),
        ("mod b;\npub use b::f;\npub fn g() { f() }\n", "pub fn f() { super::g() }\n"),
        ("mod b;\npub use b::f;\npub fn g() { f::<u8>() }\n", "pub fn f<T>() { super::g() }\n"),
        ("mod b;\npub use b::f;\npub fn g() { [1].map(f); }\n", "pub fn f(_: i32) { super::g() }\n"),
        ("mod b;\nuse b::f;\npub fn g() { f() }\n", 'pub fn f() { let _ = \'"\'; super::g(); let _ = "x"; }\n'),
    ],
)
def test_a_circle_is_found_in_every_form(tmp_path: Path, parent: str, child: str) -> None:
    assert circles(tmp_path, {"lib.rs": "mod a;\n", "a/mod.rs": parent, "a/b.rs": child}) == [["a/b.rs", "a/mod.rs"]]


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("mod b;\nmod c;\npub use b::T;\n", "use super::c::g;\npub struct T;\npub fn f() { g() }\n"),
        ("mod b;\nmod c;\npub fn g() { b::f() }\n", '// super::g()\npub fn f() -> &\'static str { "super::g()" }\n'),
        ("mod b;\nmod c;\npub use b::f;\n", "pub(in crate::a) fn f() {}\n"),
    ],
)
def test_what_only_looks_like_one_is_not(tmp_path: Path, parent: str, child: str) -> None:
    files = {"lib.rs": "mod a;\n", "a/mod.rs": parent, "a/b.rs": child, "a/c.rs": "pub fn g() {}\n"}
    assert circles(tmp_path, files) == []
