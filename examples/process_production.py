"""Phases 1 and 2 as two calls: fit the class boundaries on the first half, then write the datasets with them.

    python examples/process_production.py /path/to/dbn audusd

`lobset.process` does both in one call, and validates the result. Use two calls for boundaries that you keep: fit them
once, then apply them to new data.
"""

import argparse
from pathlib import Path

import lobset


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a folder of DBN files, MBP-10")
    parser.add_argument("out", type=Path, help="the folder for the datasets")
    parser.add_argument("--currency", help="tag and preset [default: from the data]")
    parser.add_argument("--config", type=Path, help="further settings, in TOML")
    arguments = parser.parse_args()

    config = lobset.Config() if arguments.config is None else lobset.Config.from_toml(arguments.config)
    if arguments.currency is not None:
        config = config.replace(currency=arguments.currency)

    boundaries = arguments.out.with_suffix(".thresholds.json")
    thresholds = lobset.fit_thresholds(arguments.data, boundaries, config)
    print(f"boundaries fitted on data before {thresholds.fit_until}: {boundaries}")

    manifest = lobset.build(arguments.data, arguments.out, boundaries, config)
    for symbol, dataset in manifest.datasets.items():
        print(f"{symbol}: {dataset}")

    proved = lobset.validate(arguments.out, against=arguments.data)
    print(f"{proved.rows:,} rows proved, {proved.rows_against:,} of them against the raw files")


if __name__ == "__main__":
    main()
