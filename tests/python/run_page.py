"""Runs the blocks of a page of the documentation, from top to bottom: python tests/python/run_page.py PAGE FOLDER

Blocks of one page share a folder and their Python names. The language of a block, and what follows it, say what to do:

    python, sh      run
    console         lines after `$` run, and print what follows them
    output          what the block before it printed; `…` stands for anything, alone on a line for any lines
    toml            settings that lobset accepts; file=NAME writes them to a file
    text            shown, not run

    needs=NAME,…    runs only where every NAME is there, one of PLACES
    status=N        ends with exit code N

Python that names one of MODULES runs only where that module is installed.

A block in a comment of the page (`<!--`) runs too, and readers do not see it.
"""

import contextlib
import importlib.util
import io
import os
import re
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^( *)```(\S+)?([^\n]*)\n(.*?)^\1```$", flags=re.DOTALL | re.MULTILINE)
KINDS = {"python", "sh", "console", "output", "toml", "text"}
REAL = Path(__file__).resolve().parents[3] / "shared" / "data"

MODULES = ["ray", "torch", "torchdata"]
PLACES = {
    "checkout": False,  # The repository and a Rust compiler: `make` and `pip install .` are run by CI itself.
    "account": False,  # An account at Databento, or a signing key.
    "cluster": "TEST_LOBSET_CLUSTER" in os.environ,  # A Ray cluster and an S3 server, started by test_docs.py.
    "crypto": (REAL / "crypto").is_dir(),  # Real market data, which may not be in the repository.
}


@dataclass
class Block:
    line: int
    kind: str
    needs: list[str]
    status: int
    file: str
    text: str

    def missing(self) -> list[str]:
        modules = [name for name in MODULES if self.kind == "python" and re.search(rf"\b{name}\b", self.text)]
        absent = [name for name in modules if importlib.util.find_spec(name) is None]
        return absent + [name for name in self.needs if not PLACES[name]]


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    blocks = []
    for found in BLOCK.finditer(text):
        indent, kind, rest, body = found.groups()
        line = text.count("\n", 0, found.start()) + 1
        if (kind or "").startswith("{"):
            continue  # A directive for the site.
        if kind not in KINDS:
            raise ValueError(
                f"{page}:{line}: a block of {kind or 'no language'}; name one of {', '.join(sorted(KINDS))}"
            )
        words = dict(word.split("=", 1) for word in rest.split())
        needs, status = words.pop("needs", ""), int(words.pop("status", 0))
        file = words.pop("file", "")
        needs = [name for name in needs.split(",") if name]
        if unknown := [*words, *(name for name in needs if name not in PLACES)]:
            raise ValueError(f"{page}:{line}: unknown: {', '.join(unknown)}")
        body = re.sub(f"^{indent}", "", body, flags=re.MULTILINE)
        blocks.append(Block(line, kind, needs, status, file, body))
    return blocks


def matches(wanted: str, printed: str) -> bool:
    """Whether text matches, apart from spaces at the ends of lines."""

    def lines(text: str) -> list[str]:
        return [line.rstrip() for line in text.strip("\n").split("\n")]

    pattern = ""
    for line in lines(wanted):
        some = ".*".join(map(re.escape, line.split("…")))
        pattern += r"(?:[^\n]*\n)*" if line.strip() == "…" else some + r"\n"
    return re.fullmatch(pattern, "\n".join(lines(printed)) + "\n") is not None


def shell(text: str, folder: Path, status: int) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "80", "HOME": str(folder)}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    ran = subprocess.run(["bash", "-eu", "-c", text], cwd=folder, env=environment, text=True, **both)
    if ran.returncode != status:
        raise AssertionError(f"exit code {ran.returncode}\n{ran.stdout}")
    return ran.stdout


def transcript(text: str, folder: Path, status: int) -> None:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n", part)
        assert command is not None
        printed = shell(command[0], folder, status)
        if not matches(part[command.end() :], printed):
            raise AssertionError(f"{command[0]}printed\n{printed}")


def run(page: Path, folder: Path) -> int:
    """Runs the blocks that can run here, and returns their number."""
    os.chdir(folder)
    os.environ.update({"LOBSET_CACHE": str(folder / "cache"), "MPLBACKEND": "Agg"})
    if PLACES["crypto"]:
        (folder / "crypto").symlink_to(REAL / "crypto")
    if importlib.util.find_spec("lightning") is None:
        # Debian's PyTorch is too old for Lightning. A plain class can have the hooks of a data module.
        sys.modules["lightning"] = types.SimpleNamespace(LightningDataModule=object)  # type: ignore[assignment]
    names: dict[str, object] = {"__name__": "__main__"}
    ran, printed = 0, None
    for block in blocks_of(page):
        if missing := block.missing():
            print(f"{page.name}:{block.line}: not run without {', '.join(missing)}")
            printed = None
            continue
        try:
            if block.kind == "python":
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
                printed = out.getvalue()
            elif block.kind == "sh":
                printed = shell(block.text, folder, block.status)
            elif block.kind == "console":
                transcript(block.text, folder, block.status)
            elif block.kind == "output":
                if printed is not None and not matches(block.text, printed):
                    raise AssertionError(f"the block before it printed\n{printed}")
                continue
            elif block.kind == "toml":
                import lobset

                lobset.Config.from_toml(block.text)
                if block.file:
                    (folder / block.file).write_text(block.text, encoding="utf-8")
            else:
                continue
            ran += 1
        except BaseException as error:
            print(f"{page}:{block.line}: {type(error).__name__}: {error}", file=sys.stderr)
            raise
    return ran


if __name__ == "__main__":
    print(f"{run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())} blocks ran")
