"""Settings for a market that `lobset simulate` can write in a second."""

SMALL = {
    "lookback_rows": 200,
    "lookforward_input": 200,
    "lookforward_offset": 20,
    "nbins": 5,
    "min_symbol_samples": 1_000,
}
FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
TOML = "".join(f"{name} = {value}\n" for name, value in SMALL.items())
