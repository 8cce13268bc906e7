"""Tables with damaged bytes and odd cells: the readers give a table or a CohortError, and soon.

`python -m tests.common.cohort.fuzz_tables 100000` reads that many of each format, or of those named after it.
"""

from __future__ import annotations

import csv
import io
import random
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from common.cohort.schema import VARIABLES
from common.cohort.table import read_table
from common.errors import CohortError

HEADINGS = [v.name for v in VARIABLES if v.group not in {"study", "repeated readings"}]
ROW = [
    *("p", "ct/p", "masks/p.nii", "ct/l", "masks/l.nii", "female", "63.5", "0", "1", "0", "1", "3.25", "166"),
    *("98", "1.01", "0", "1", "12.45", "1.5", "deep", "1", "0", "0", "0", "0", "0", "0", "0", "0", "1", "0"),
    *("0", "1", "24", "0", "0", "0", "13", "1.5"),
]
ODD = [
    *(
        "",
        " ",
        "\u200b",
        "\u00a0",
        "NA",
        "nan",
        "inf",
        "-1",
        "1e999",
        "1e-999",
        "9" * 400,
        "1,5",
        "1.234,5",
        "\uff11",
    ),
    *(
        "1-May",
        "../../x",
        "/etc",
        "C:\\x",
        "a\\b",
        "\x07",
        "\ufeff",
        "\u202e",
        "#N/A",
        "=1+1",
        "TRUE",
        "patient",
        "Mean",
    ),
    *(
        "p0",
        '"',
        '""',
        "a\nb",
        "a\rb",
        ",",
        ";",
        "\t",
        "\U0001f9e0",
        "e\u0301",
        "x" * 200_000,
        "-",
        "0x1",
        "1_0",
    ),
    *("2024-05-01", "12450", "1961", "\u0661", "." * 300, "_xD800_", "&amp;", "<v>", "]]>"),
]
SPLICES = [
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xc3",
        b'"',
        b",",
        b"\r",
        b"\n",
        b"\r\n",
        b"\xef\xbb\xbf",
        b",," * 3000,
    ),
    *(
        b"<row>",
        b"</row>",
        b"<c/>",
        b"<c r='A1'/>",
        b"<f/>",
        b"<v>",
        b"</v>",
        b"<is><t>x</t></is>",
        b"t='d'",
        b"t='e'",
    ),
    *(
        b"t='s'",
        b" s='999999'",
        b"r='XFE1'",
        b"r='A1048577'",
        b"r='99999999999'",
        b"r='-1'",
        b"<!DOCTYPE a>",
        b"&a;",
    ),
    *(
        b"<mergeCells><mergeCell ref='A1:ZZZ9999999'/></mergeCells>",
        b"<mergeCell ref='x'/>",
        b"<col min='0' max='9'/>",
    ),
    *(b"<cols><col min='1' max='99999999' hidden='1'/></cols>", b" hidden='1'", b"<autoFilter ref='A1'/>"),
    *(
        b"state='hidden'",
        b"UTF-16",
        b"Target='../../x'",
        b"Id='rId99'",
        b"1e400",
        b"<dimension ref='A1:XFD1048576'/>",
    ),
]


def cells_of(rng: random.Random) -> list[list[str]]:
    """A table with a few odd cells, headings, rows or widths."""
    rows = [list(HEADINGS), *([f"p{i}", *ROW[1:]] for i in range(rng.randrange(4)))]
    for _ in range(rng.randrange(5)):
        row = rng.choice(rows)
        change = rng.randrange(6)
        if change < 4 and row:
            row[rng.randrange(len(row))] = rng.choice(ODD)
        elif change == 4 and row:
            del row[rng.randrange(len(row))]
        else:
            row.insert(rng.randrange(len(row) + 1), rng.choice(ODD))
    return rows


def damage(content: bytes, rng: random.Random) -> bytes:
    """The bytes with a few of them changed, cut, doubled or replaced by what means something to a reader."""
    data = bytearray(content)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(data) + 1)
        change = rng.randrange(5)
        if change == 0 and data:
            data[at % len(data)] = rng.randrange(256)
        elif change == 1:
            del data[at : at + rng.choice([1, 8, 200, len(data)])]
        elif change == 2:
            data[at:at] = rng.choice(SPLICES)
        elif change == 3:
            data[at : at + rng.randrange(12)] = rng.choice(SPLICES)
        else:
            data[at:at] = data[at : at + rng.randrange(400)]
    return bytes(data)


def write_csv(rng: random.Random) -> bytes:
    """A CSV file, odd in its cells, its bytes, or both."""
    text = io.StringIO()
    csv.writer(text, lineterminator=rng.choice(["\n", "\r\n", "\r"])).writerows(cells_of(rng))
    content = text.getvalue().encode(rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"]))
    return damage(content, rng) if rng.random() < 0.6 else content


_PARTS: dict[str, bytes] = {}


def parts_of() -> dict[str, bytes]:
    """The members of an ordinary workbook."""
    if not _PARTS:
        import openpyxl

        workbook = openpyxl.Workbook()
        sheet = workbook.active
        sheet.append(HEADINGS)
        for i in range(3):
            sheet.append([f"p{i}", *(_type(cell) for cell in ROW[1:])])
        kept = io.BytesIO()
        workbook.save(kept)
        with zipfile.ZipFile(kept) as archive:
            _PARTS.update({name: archive.read(name) for name in archive.namelist()})
    return _PARTS


def _type(cell: str) -> str | float:
    return float(cell) if cell.replace(".", "").isdigit() else cell


def write_xlsx(rng: random.Random) -> bytes:
    """A workbook, odd in its cells, in the XML of a member, in the archive's bytes, or all."""
    parts = dict(parts_of())
    sheet = "xl/worksheets/sheet1.xml"
    if rng.random() < 0.4:
        parts[sheet] = sheet_xml(cells_of(rng), rng)
    if rng.random() < 0.6:
        name = rng.choice([sheet, sheet, sheet, *parts])
        parts[name] = damage(parts[name], rng)
    if rng.random() < 0.1:
        del parts[rng.choice(list(parts))]
    kept = io.BytesIO()
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(kept, "w", method if rng.random() < 0.2 else zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return damage(kept.getvalue(), rng) if rng.random() < 0.3 else kept.getvalue()


def sheet_xml(rows: list[list[str]], rng: random.Random) -> bytes:
    """A worksheet of text and numbers, some of another type than they look."""
    lines = []
    for number, row in enumerate(rows, start=1):
        cells = []
        for cell in row:
            kind = (
                rng.choice(["n", "str", "inlineStr", "b", "e", "d", "s"])
                if rng.random() < 0.05
                else "inlineStr"
            )
            text = cell.replace("&", "&amp;").replace("<", "&lt;")
            text = "".join(c for c in text if c.isprintable() or c in "\t\n\r")
            value = f"<is><t>{text}</t></is>" if kind == "inlineStr" else f"<v>{text}</v>"
            if kind == "inlineStr" and isinstance(_type(cell), float):
                kind, value = "n", f"<v>{cell}</v>"
            cells.append(f'<c t="{kind}">{value}</c>')
        lines.append(f'<row r="{number}">{"".join(cells)}</row>')
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    return f'<worksheet xmlns="{space}"><sheetData>{"".join(lines)}</sheetData></worksheet>'.encode()


WRITERS = {"csv": write_csv, "xlsx": write_xlsx}


def read_one(form: str, seed: int, folder: Path) -> tuple[bool, float]:
    """Whether the file of this seed can be read, and the seconds that it took."""
    path = folder / f"t.{form}"
    path.write_bytes(WRITERS[form](random.Random(f"{form} {seed}")))
    start = time.perf_counter()
    try:
        read_table(path)
    except CohortError as refusal:
        str(refusal).encode()
        return False, time.perf_counter() - start
    return True, time.perf_counter() - start


def main(number: int, forms: Sequence[str]) -> None:
    """Read this many files of each format, and say how many could be read, and what failed."""
    with tempfile.TemporaryDirectory() as folder:
        for form in forms:
            good, slowest, crashes = 0, (0.0, 0), dict[str, int]()
            for seed in range(number):
                try:
                    read, seconds = read_one(form, seed, Path(folder))
                except Exception as failure:  # noqa: BLE001 - it looks for what else is raised
                    crashes.setdefault(f"{type(failure).__name__}: {str(failure)[:80]}", seed)
                    continue
                good += read
                slowest = max(slowest, (seconds, seed))
            print(f"{form}: {number} files, {good} read, the slowest {slowest[0]:.2f} s (seed {slowest[1]})")
            for crash, seed in crashes.items():
                print(f"  seed {seed}: {crash}")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:] or list(WRITERS))
