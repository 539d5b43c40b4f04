"""A simulated market that has what a real one has and the simulator leaves out: nulls, and numbers at the ends of their
types."""

import subprocess
from pathlib import Path

import numpy as np
import pyarrow as pa

LEVEL = [("bid_px", "i8"), ("ask_px", "i8"), ("bid_sz", "u4"), ("ask_sz", "u4"), ("bid_ct", "u4"), ("ask_ct", "u4")]
RECORD = np.dtype([
    ("length", "u1"), ("rtype", "u1"), ("publisher_id", "u2"), ("instrument_id", "u4"), ("ts_event", "u8"),
    ("price", "i8"), ("size", "u4"), ("action", "S1"), ("side", "S1"), ("flags", "u1"), ("depth", "u1"),
    ("ts_recv", "u8"), ("ts_in_delta", "i4"), ("sequence", "u4"), ("levels", LEVEL, 10),
])  # fmt: skip
NO_PRICE, NO_TIME, MOST = np.iinfo("i8").max, np.iinfo("u8").max, np.iinfo("u4").max


def make(lobset, folder, days, rows):
    """Writes the market with the command `lobset` and then the nulls into its files."""
    folder = Path(folder)
    subprocess.run(
        [lobset, "simulate", folder, "-q", "--days", str(days), "--rows", str(rows)],
        check=True,
        stdout=subprocess.DEVNULL,
    )

    def holes(data):
        records = np.frombuffer(data, dtype=RECORD, offset=8 + int.from_bytes(data[4:8], "little"))
        deep = records["levels"][::5, 6:]
        deep["bid_px"], deep["ask_px"] = NO_PRICE, NO_PRICE
        for count, _ in LEVEL[2:]:
            deep[count] = 0
        records["price"][::7] = NO_PRICE
        records["ts_event"][::11] = NO_TIME
        records["levels"]["bid_sz"][::13, 0] = MOST
        records["sequence"][::17] = MOST
        records["ts_in_delta"][::19] = -1
        records["flags"][::2] |= 128

    change(folder, holes)
    return folder


def rename(folder, names):
    """Gives symbols other names, in the metadata of all files of a simulated market."""

    def renamed(data):
        end = 8 + int.from_bytes(data[4:8], "little")
        for old, new in names.items():
            fields = [name.encode().ljust(71, b"\0") for name in (old, new)]
            data[:end] = data[:end].replace(*fields)

    change(folder, renamed)


def change(folder, work):
    """Unpacks the files of a simulated market, and changes their bytes in place."""
    for path in sorted(folder.glob("*.dbn.zst")):
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            data = bytearray(stream.read())
        work(data)
        path.with_suffix("").write_bytes(data)
        path.unlink()
