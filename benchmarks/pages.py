"""Results on a page: between the marks `<!-- results NAME -->` and `<!-- end of results -->`, and nowhere else."""

from pathlib import Path

from inspatio_gym.files import written_whole

MARKS = ("<!-- results {} -->", "<!-- end of results -->")


def fill(page: Path, study: str, words: str) -> None:
    """Write `words` between the marks of a study on a page. Raises ValueError for a page without them."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(MARKS[0].format(study))
    _, end, after = rest.partition(MARKS[1])
    if not (begin and end):
        raise ValueError(
            f"expected {MARKS[0].format(study)} and {MARKS[1]} in {page}: put them where the results belong"
        )
    with written_whole(page) as partial:
        partial.write_text(f"{before}{begin}\n{words}\n{end}{after}", encoding="utf-8")
