"""What sets other tools beside this one measures and kills rightly; the tools are not installed."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from videos import drawn, write_video

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

ORPHAN = '''
import subprocess, sys
burn = """import time
end = time.process_time() + 0.3
while time.process_time() < end: pass
print("burnt", flush=True)
time.sleep(600)"""
subprocess.Popen([sys.executable, "-c", burn], start_new_session=True)
import time; time.sleep(600)
'''


def python(*arguments: object) -> str:
    """Run Python in the folder of the benchmarks; return what it prints."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=BENCHMARKS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_frames_are_found_by_their_bytes(tmp_path: Path) -> None:
    """PyAV beside itself: at k + 0.5 s, every byte equal."""
    for name in ("a", "b"):
        scene = list(drawn(60, np.random.default_rng(4)))
        write_video(tmp_path / f"{name}.mp4", scene, options={"g": "30"})
    arguments = ["--tables", "extraction", "--peers", "pyav", "--rounds", 1, "--folder", tmp_path]
    row = python("-m", "peers", *arguments).split("---")[-1].splitlines()[1]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[-3:] == ["0.50, 1.50 ...", "2/2", "2/2"]
    assert abs(float(cells[2])) < 60  # one clip more: of so small ones nothing but noise


def test_what_outlives_a_program_is_counted_and_ended(tmp_path: Path) -> None:
    """Nothing is left to work on after a kill, and nobody's time is forgotten."""
    program = tmp_path / "orphan.py"
    program.write_text(ORPHAN)
    code = f"""
import psutil
from pathlib import Path
from peers.measure import adopt, run
adopt()
log = Path("{tmp_path}/log")
usage = run(["{program}"], log, kill_when=lambda: b"burnt" in log.read_bytes())
print(usage.status, usage.cpu > 0.3, len(psutil.Process().children(recursive=True)))
"""
    assert python("-c", code).split() == ["-9", "True", "0"]


def test_openings_are_counted(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from peers.killed import Opened
folder = Path("{tmp_path}")
(folder / "a").write_text("x")
with Opened(folder) as opened:
    (folder / "a").read_text(), (folder / "a").read_text(), list(folder.iterdir())
    print(opened.total(), opened.total())
"""
    assert python("-c", code).split() == ["2", "2"]
