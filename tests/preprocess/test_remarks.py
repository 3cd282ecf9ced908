"""What of a recording is not obeyed is said once per extraction, and in each receipt."""

import subprocess
import sys
from pathlib import Path

from painted import encode

from avsc.features.specs import ImageSpec
from avsc.features.store.layout import receipt_file
from avsc.features.store.reader import Store
from avsc.features.streams import HIGH_DYNAMIC_RANGE, NOT_SQUARE
from avsc.preprocess.receipt import read_receipt


def test_what_is_not_obeyed_is_said_once(tmp_path: Path) -> None:
    wide = "-vf", "setsar=4/3", "-c:v", "libx264"
    bright = "-vf", "setparams=color_trc=smpte2084", "-c:v", "libx264"
    for name, options in {"a": wide, "b": wide, "c": bright, "d": ("-c:v", "libx264")}.items():
        encode(tmp_path / f"{name}.mp4", *options, count=30)
    manifest = tmp_path / "clips.csv"
    manifest.write_text("id,scene,video\n" + "".join(f"{n},x,{n}.mp4\n" for n in "abcd"))
    path = tmp_path / "store"
    program = Path(sys.executable).parent / "avsc-prep"
    done = subprocess.run(
        [program, "extract", "--manifest", manifest, "--out", path, "--workers", "1",
         "--products", "images", "--block-size", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"warning: {NOT_SQUARE}") == 1
    assert done.stderr.count(f"warning: {HIGH_DYNAMIC_RANGE}") == 1
    store = Store.open(path)
    spec = store.spec("images")
    assert isinstance(spec, ImageSpec)
    receipts = [read_receipt(receipt_file(path, spec, block)) for block in range(4)]
    assert [receipt.warnings for receipt in receipts if receipt is not None] == [
        (NOT_SQUARE,),
        (NOT_SQUARE,),
        (HIGH_DYNAMIC_RANGE,),
        (),
    ]
