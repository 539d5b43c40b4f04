"""The documentation: every block runs, and every link leads somewhere."""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

import lobset
from run_page import blocks_of
from small import SMALL, TOML

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
HAS_TORCH = importlib.util.find_spec("torch") is not None


def names(pages):
    return [str(page.relative_to(ROOT)) for page in pages]


def wanted(page):
    """Whether a page has something to run here: with torch installed, pages without it would run a second time."""
    texts = [block.text for block in blocks_of(page) if block.kind not in ("text", "output")]
    return bool(texts) and (not HAS_TORCH or any(re.search(r"\btorch\b", text) for text in texts))


RUN = [page for page in PAGES if wanted(page)]


@pytest.fixture(scope="session")
def cluster():
    """The environment of a Ray cluster and an S3 server with files in s3://market, if Ray is installed."""
    if importlib.util.find_spec("ray") is None:
        yield {}
        return
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as folder:
        environment = {
            "TEST_LOBSET_CLUSTER": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_TMPDIR": folder,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT": f"http://{host}:{port}",
        }
        store = boto3.client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT"],
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        store.create_bucket(Bucket="market")
        store.create_bucket(Bucket="datasets")
        for path in lobset.simulate(Path(folder) / "market", days=3, rows=60_000):
            store.upload_file(str(path), "market", f"mbp-10/{path.name}")
        command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--port=0", "--num-cpus=4"]
        options = ["--include-dashboard=false", f"--object-store-memory={80 << 20}"]
        with (Path(folder) / "head.log").open("w") as log:
            head = subprocess.Popen([*command, *options], env={**os.environ, **environment}, stdout=log, stderr=log)
        try:
            # address="auto" looks for the cluster here.
            while not (Path(folder) / "ray" / "ray_current_cluster").exists():
                assert head.poll() is None, (Path(folder) / "head.log").read_text()
                time.sleep(0.1)
            yield environment
        finally:
            head.terminate()
            head.wait()
            server.stop()


@pytest.mark.parametrize("page", RUN, ids=names(RUN))
def test_the_blocks_of_a_page_run(page, tmp_path, request):
    environment = dict(os.environ)
    if any("cluster" in block.needs for block in blocks_of(page)):
        environment |= request.getfixturevalue("cluster")
    runner = Path(__file__).with_name("run_page.py")
    ran = subprocess.run([sys.executable, runner, page, tmp_path], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-4000:]
    print(ran.stdout)


def slug(heading):
    """The anchor of a heading, as GitHub and the site generate it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


LINKED = [*PAGES, *(ROOT / name for name in ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benches/RESULTS.md"])]


@pytest.mark.parametrize("page", LINKED, ids=names(LINKED))
def test_the_links_of_a_page_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists() and target.is_relative_to(ROOT), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in map(slug, headings), link


def test_the_python_of_a_dataset_card_runs(tmp_path, monkeypatch):
    lobset.simulate(tmp_path / "market", days=2, rows=15_000)
    config = lobset.Config(**SMALL, samples=400, ticks_per_bin=20)
    lobset.process(tmp_path / "market", tmp_path / "out", config, progress=False)
    monkeypatch.chdir(tmp_path / "out")
    blocks = re.findall(
        r"```python\n(.*?)```", (tmp_path / "out/README.md").read_text(encoding="utf-8"), flags=re.DOTALL
    )
    names, ran = {}, []
    for block in blocks:
        modules = re.findall(r"^(?:import|from) (\w+)", block, flags=re.MULTILINE)
        # tests/compatibility runs the block for `datasets`, and the environment of test_torch.py the one for torch.
        if all(importlib.util.find_spec(module) for module in modules):
            exec(compile(block, "README.md", "exec"), names)
            ran += modules
    assert len(blocks) == 5 and "polars" in ran
    assert ("duckdb" in ran and sum(count for *_, count in names["classes"]) > 1_000) or (
        "torch" in ran and len(names["loader"]) > 10
    )


def test_the_production_example_runs(tmp_path):
    lobset.simulate(tmp_path / "market", days=2, rows=15_000)
    settings = tmp_path / "lobset.toml"
    settings.write_text(TOML)
    script = ROOT / "examples" / "process_production.py"
    words = [
        sys.executable,
        script,
        tmp_path / "market",
        tmp_path / "audusd",
        "--config",
        settings,
        "--currency",
        "EURUSD",
    ]
    ran = subprocess.run([*map(str, words)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "fitted on data before 2024-04-02T" in ran.stdout and "1,000 of them against the raw files" in ran.stdout
    assert lobset.Manifest.read(tmp_path / "audusd").config == lobset.Config(**SMALL, currency="EURUSD")
    assert (tmp_path / "audusd.thresholds.json").is_file() and (tmp_path / "audusd" / "manifest.json").is_file()
