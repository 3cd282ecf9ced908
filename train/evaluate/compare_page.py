"""comparison.html: two systems clip by clip, those first that only one of them gets right."""

from collections.abc import Callable, Sequence
from typing import Any

from avsc.features.pages.clip_media import ClipMedia
from avsc.features.pages.page import Cell, ClipColumn, Page, Section, Value
from avsc.features.store.reader import Store
from avsc.train.evaluate.clip_results import ClipResult, clip_results, strip
from avsc.train.evaluate.compare import ComparedGroup, Comparison
from avsc.train.evaluate.submissions import Truth
from avsc.train.evaluate.writing import LOG_LOSS, PERCENT
from avsc.train.protocol import Segments

OUTCOMES = {
    (True, False): "only the first is right",
    (False, True): "only the second is right",
    (False, False): "both are wrong",
    (True, True): "both are right",
}
"""By whether the first is right and whether the second is, in the order of the table."""
COLUMNS = (
    ClipColumn("clip", "Clip"),
    ClipColumn("scene", "Scene", filtered=True, several=True),
    ClipColumn("outcome", "Outcome", filtered=True),
    ClipColumn("first", "First predicts", filtered=True),
    ClipColumn("second", "Second predicts", filtered=True),
    ClipColumn("first_loss", "First's log-loss", number=3),
    ClipColumn("second_loss", "Second's log-loss", number=3),
    ClipColumn("difference", "Second - first", number=3),
    ClipColumn("city", "City", filtered=True),
    ClipColumn("location", "Location"),
)


class ComparisonPage:
    """The page of a comparison.

    Args:
        systems: the names of both and their predictions, of the same segments.
        truth: the clips and scenes that they refer to.
        store: for the clips' images and acoustic frames; None where the truth is a manifest.
        sound: returns that of a clip, by its row in the clip table; None without sound.
    """

    def __init__(
        self,
        comparison: Comparison,
        systems: Sequence[tuple[str, Segments]],
        truth: Truth,
        store: Store | None,
        sound: Callable[[int], bytes | None] | None = None,
    ) -> None:
        self.comparison, self.systems = comparison, systems
        self.clips, self.classes, self.sound = truth.clips, truth.classes, sound
        self.media = None if store is None else ClipMedia(store)
        first, second = (clip_results(segments) for _, segments in systems)
        seconds = {result.row: result for result in second}
        order = list(OUTCOMES)
        self.pairs = sorted(
            ((result, seconds[result.row]) for result in first),
            key=lambda pair: (
                order.index((pair[0].right, pair[1].right)),
                -abs(pair[1].loss - pair[0].loss),
            ),
        )

    def page(self, verdict: Sequence[str]) -> Page:
        """Return the page.

        Args:
            verdict: paragraphs on the means over scenes, and on how to read intervals and p.
        """
        sound = self.sound
        (first, _), (second, _) = self.systems
        return Page(
            title=f"{first} and {second}",
            text=[
                f"The first is {first}, the second {second}; differences are second minus first. "
                "Clips that only one of them gets right come first, those whose log-loss differs "
                "most before others."
            ],
            sections=[
                self._outcomes(),
                self._differences("mean", verdict),
                *(self._differences(group) for group in ("scene", "city")),
            ],
            columns=COLUMNS,
            rows=[self._row(*pair) for pair in self.pairs],
            clip=self._clip,
            sound=None if sound is None else lambda number: sound(self.pairs[number][0].row),
        )

    def _row(self, first: ClipResult, second: ClipResult) -> list[Value]:
        clip = self.clips[first.row]
        return [
            clip.id,
            clip.labels,
            OUTCOMES[first.right, second.right],
            self.classes[first.best],
            self.classes[second.best],
            round(first.loss, 4),
            round(second.loss, 4),
            round(second.loss - first.loss, 4),
            clip.city,
            clip.location,
        ]

    def _clip(self, number: int) -> dict[str, Any]:
        strips = [
            strip(name, segments, result, self.classes)
            for (name, segments), result in zip(self.systems, self.pairs[number], strict=True)
        ]
        row = self.pairs[number][0].row
        return {**(self.media.shown(row) if self.media else {}), "strips": strips}

    def _outcomes(self) -> Section:
        counts = dict.fromkeys(OUTCOMES.values(), 0)
        for first, second in self.pairs:
            counts[OUTCOMES[first.right, second.right]] += 1
        rows = [
            [Cell(outcome, {"outcome": outcome}, head=True), Cell(f"{count:,}", number=True)]
            for outcome, count in counts.items()
        ]
        text = "A clip is right if its mean probability is highest for its scene."
        return Section("Clips by outcome", [text], ["outcome", "clips"], rows)

    def _differences(self, group: str, text: Sequence[str] = ()) -> Section:
        rows = [_cells(row) for row in self.comparison.rows if row.group == group]
        title = "Mean over scenes" if group == "mean" else f"By {group}"
        columns = [group, "segments"]
        for figure in ("log-loss", "accuracy / %"):
            columns += [f"first, {figure}", "second", "difference", "95 % interval", "p"]
        return Section(title, text, columns if rows else [], rows)


def _cells(row: ComparedGroup) -> list[Cell]:
    link = {} if row.group == "mean" else {row.group: row.name}
    cells = [Cell(row.name, link, head=True), Cell(f"{row.segments:,}", number=True)]
    for form, figure in ((LOG_LOSS, row.log_loss), (PERCENT, row.accuracy)):
        digits = form.decimals(figure.interval)
        cells += [
            Cell(text, number=True)
            for text in (
                form.figure(figure.first, digits),
                form.figure(figure.second, digits),
                form.figure(figure.difference, digits, "+"),
                form.interval(figure.interval, "+"),
                f"{figure.p:.2g}",
            )
        ]
    return cells
