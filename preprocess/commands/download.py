"""``avsc-prep download``: download a known data set."""

import shlex
from pathlib import Path

import click

from avsc.manifests.clips import Dataset
from avsc.manifests.errors import DONE
from avsc.manifests.help import Verb
from avsc.manifests.shell import settings
from avsc.manifests.tau2021 import DATASETS, RELEASES, search_folders
from avsc.preprocess.download.data_set import Download, address, choose, download
from avsc.preprocess.download.fetch import RetryPolicy
from avsc.preprocess.progress import Reporter


@click.command(
    "download", cls=Verb, example="avsc-prep download --dataset TAU2021 --only meta,examples"
)
@click.option("--dataset", type=click.Choice(list(RELEASES)), required=True, help="The data set.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder to put it in.  [default: $AVSC_DATA/NAME, else ./data/NAME]",
)
@click.option(
    "--only",
    default="",
    help="Kinds or names of archives, separated by commas, such as meta,examples or audio.8.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Archives to fetch at a time.",
)
@click.option(
    "--keep-archives/--no-keep-archives",
    default=False,
    show_default=True,
    help="Keep each archive after unpacking it.",
)
@click.option("--url", help="A mirror: the folder of the archives, or an address with {file}.")
@click.option(
    "--attempts",
    type=click.IntRange(1),
    default=RetryPolicy().attempts,
    show_default=True,
    help="Give up after so many attempts in a row that bring no new data.",
)
@settings
def download_command(
    dataset: str,
    root: Path | None,
    only: str,
    parallel: int,
    keep_archives: bool,
    url: str | None,
    attempts: int,
) -> int:
    """Fetch the archives of a data set, verify their size and MD5, and unpack them.

    Safe to run again: it resumes where it stopped, and does nothing when all is there. An archive
    is removed once it is unpacked, unless --keep-archives.
    """
    release = RELEASES[dataset]
    names = [name.strip() for name in only.split(",") if name.strip()]
    job = Download(
        root or search_folders(dataset)[0],
        address(url, release),
        choose(release, names),
        keep_archives,
        parallel,
        RetryPolicy(attempts),
    )
    job.tidy()
    missing = job.missing()
    total = sum(archive.size for archive in missing)
    click.echo(
        f"{dataset}: {len(job.archives)} archives, {len(missing)} to get ({total / 1e9:.2f} GB) "
        f"-> {job.root}"
    )
    if missing:
        with Reporter(total, "download", "GB", 1e-9) as reporter:
            download(job, reporter.reach, reporter.say)
    if all(job.is_done(archive) for archive in release.archives if archive.kind == "meta"):
        _show(DATASETS[dataset](job.root))
    return DONE


def _show(clips: Dataset) -> None:
    """Say what the folder holds of the data set, as extraction will find it."""
    whole = sum(
        all(name and clips.path(name).is_file() for name in (clip.audio, clip.video))
        for clip in clips.clips
    )
    click.echo(f"{len(clips.clips)} clips are listed; the recordings of {whole} are there.")
    command = ["avsc-prep", "extract", "--dataset", clips.name, "--root", str(clips.root)]
    click.echo(f"Next: {shlex.join(command)}")
