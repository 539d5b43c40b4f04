"""The settings file of `lobset init` and its schema, and the messages of the command without credentials."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib

import jsonschema
import pytest

import lobset


def command(*words, **variables):
    """Runs the package's command without credentials in the environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "GOOGLE_", "AZURE_"))}
    return subprocess.run(
        [sys.executable, "-m", "lobset", *map(str, words)],
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("init")
    assert command("init", folder, "--currency", "USDJPY").returncode == 0
    schema = json.loads((folder / "lobset.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    return (folder / "lobset.toml").read_text(), jsonschema.Draft7Validator(schema)


def test_the_settings_file_is_what_its_schema_says(written):
    text, schema = written
    schema.validate(tomllib.loads(text))
    assert lobset.Config.from_toml(text) == lobset.Config(currency="USDJPY")
    switched_on = re.sub(r"^#(\w+ = )", r"\1", text, flags=re.M)
    values = tomllib.loads(switched_on)
    assert len(values) == len(schema.schema["properties"]) > 30
    schema.validate(values)
    assert lobset.Config.from_toml(switched_on) == lobset.Config(currency="USDJPY")


@pytest.mark.parametrize(
    "right",
    [
        "max_gap = '15m'",
        "features = ['trade_counts']\nprice_range = [-1, 2.5]",
        "symbols = ['M6AM4']\npublishers = [39]",
        "targets = ['a=return(5)']",
        "[[targets]]\nname = 'a'\nkind = 'return(5)'",
        "sessions = ['08:30-15:00 America/Chicago mon-fri']\nfit_until = '2024-10-01'",
    ],
)
def test_the_schema_takes_what_lobset_takes(written, right):
    written[1].validate(tomllib.loads(right))
    lobset.Config.from_toml(right)


@pytest.mark.parametrize(
    "wrong",
    [
        "nbinz = 3",
        "nbins = 1",
        "nbins = 2.5",
        "max_gap = '15'",
        "features = ['depth']",
        "price_range = [1, 2, 3]",
        "compression = 'gzip'",
        "targets = [{ name = 'a' }]",
    ],
)
def test_the_schema_refuses_what_lobset_refuses(written, wrong):
    with pytest.raises(jsonschema.ValidationError):
        written[1].validate(tomllib.loads(wrong))
    with pytest.raises(lobset.ConfigError):
        lobset.Config.from_toml(wrong)


def test_a_store_without_credentials_says_which_variables_are_missing():
    # Like the metadata address outside of a cloud, this one never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        metadata = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ran = command("inspect", "s3://bucket/market", "s3://bucket/other", AWS_METADATA_ENDPOINT=metadata)
    assert ran.returncode == 3
    names = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"
    assert f"there are no credentials for s3://: {names}" in ran.stderr, ran.stderr
    assert "help: set them, from a profile in ~/.aws with " in ran.stderr
    out = command("validate", "az://container/out")
    assert out.returncode == 3 and "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY are not set" in out.stderr
