"""Reading a table's file: CSV here, a workbook in `workbook`."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from common.cohort.schema import find_variable
from common.cohort.sheet import (
    AS_PRESCRIBED,
    CSV,
    LARGEST_FILE,
    MOST_CELLS,
    XLSX,
    SheetCell,
    SheetOptions,
    TableSheet,
    make_sheet,
    read_heading,
    refuse_file,
    strip_text,
)
from common.cohort.workbook import read_workbook

_ROWS_SEARCHED, _FEWEST_HEADINGS = 5, 3
"""Among so many rows so many known headings are a table's."""
_DELIMITERS = {";": "semicolons", "\t": "tabulators", "|": "vertical bars"}


def read_sheet(path: Path, options: SheetOptions = AS_PRESCRIBED) -> TableSheet:
    """The cells of a table file, which is UTF-8 with commas unless the options say otherwise.

    Raises
    ------
    CohortError
        If the file is missing, damaged, too large, of another format or encoding, or has no heading.
    """
    readers = {CSV: _read_csv, XLSX: read_workbook}
    suffix = path.suffix.lower()
    if suffix not in readers:
        extension = ascii(path.suffix)[1:-1] or "no"
        refuse_file(path, f"{extension} extension", f"save the table as {XLSX} or as {CSV} (UTF-8)")
    content = read_content(path)
    if not content:
        refuse_file(path, "the file is empty", "export the table again")
    return readers[suffix](path, content, options)


def read_content(path: Path) -> bytes:
    """The bytes of a table's file.

    Raises
    ------
    CohortError
        If it is missing, no file, too large or cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            refuse_file(path, "cannot be read (it is no file)", "correct `table` in site.toml")
        size = path.stat().st_size
        content = b"" if size > LARGEST_FILE else path.read_bytes()
    except FileNotFoundError:
        refuse_file(path, "no such file", "correct `table` in site.toml")
    except OSError as failure:
        refuse_file(path, f"cannot be read ({failure.strerror})", "check the file's permissions")
    except ValueError:  # a NUL in the name
        refuse_file(path, "is no name of a file", "correct `table` in site.toml")
    if size > LARGEST_FILE:
        what = f"has {size:,} bytes, more than {LARGEST_FILE:,}"
        refuse_file(path, what, "keep the cohort's table alone in it")
    return content


def _read_csv(path: Path, content: bytes, options: SheetOptions) -> TableSheet:
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        refuse_file(path, f"is an Excel workbook with the extension {CSV}", f"rename it to {XLSX}")
    text = _decode_utf8(path, content) if options.encoding == "utf-8" else _decode(path, content, options)
    if text.count(options.separator) > MOST_CELLS:
        sign = "commas" if options.separator == "," else "separators"
        refuse_file(path, f"holds more than {MOST_CELLS:,} {sign}", "keep the cohort's table alone in it")
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=options.separator)
        records = list(reader)
    except csv.Error as failure:
        refuse_file(path, f"is not valid CSV: {failure}", "look for an unclosed quotation mark")
    rows: list[tuple[SheetCell, ...]] = [tuple(map(strip_text, record)) for record in records]
    if options == AS_PRESCRIBED:
        _refuse_delimiter(path, records)
    return make_sheet(path, rows, typed=False, headings_row=options.headings_row)


def _decode_utf8(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in content:
        refuse_file(path, "is not UTF-8 text (UTF-16 or binary)", 'save as "CSV UTF-8 (comma delimited)"')
    try:
        # utf-8-sig drops the byte-order mark that Excel writes before the first heading
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = content.count(b"\n", 0, failure.start) + 1
        what = f"line {line} holds a byte that is not UTF-8 (0x{content[failure.start]:02x})"
        refuse_file(path, what, 'save as "CSV UTF-8 (comma delimited)"')


def _decode(path: Path, content: bytes, options: SheetOptions) -> str:
    try:
        return content.decode(options.encoding)
    except UnicodeDecodeError as failure:
        what = f"byte {failure.start + 1:,} (0x{content[failure.start]:02x}) is none of {options.encoding}"
        refuse_file(path, what, "correct mapping.encoding in site.toml; rhe-client map finds it")


def _refuse_delimiter(path: Path, records: list[list[str]]) -> None:
    """Refuse a table of one column because another character separates its columns.

    A title above the headings may hold such characters; `find_headings_below` tells of it.
    """
    top = records[:_ROWS_SEARCHED]
    if any(map(_is_header, top)):
        return
    alone = [record[0] for record in top if len(record) == 1]
    title = top[0] if top and len(top[0]) == 1 else []
    used = [sign for sign in _DELIMITERS if any(_is_header(line.split(sign)) for line in alone)]
    for delimiter in used or [sign for sign in _DELIMITERS if any(sign in cell for cell in title)]:
        what = f"its columns are separated by {_DELIMITERS[delimiter]}, not by commas"
        refuse_file(path, what, f"save it as {XLSX}, or as CSV with commas and decimal points")


def _is_header(cells: list[str]) -> bool:
    known = {cell for cell in map(read_heading, cells) if find_variable(cell) is not None}
    return len(known) >= _FEWEST_HEADINGS
