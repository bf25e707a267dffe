"""Times as people write them, to epoch milliseconds."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_EPOCH = r"^-?[0-9]{1,18}$"
_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"([01][0-9]|2[0-3])(:[0-5][0-9](:[0-5][0-9]([.,][0-9]+)?)?)?"
_ZONE = r"(Z|[+-]([01][0-9]|2[0-3])(:?[0-5][0-9])?)"
_ISO = rf"^{_DAY}[T ]{_CLOCK} ?{_ZONE}$"
_NO_ZONE = rf"^{_DAY}[T ]{_CLOCK}$"
_DATE_ONLY = rf"^{_DAY}$"
#: days that not every month has
_SHORT_MONTH = r"^[0-9]{4}-(02-(29|30|31)|(04|06|09|11)-31)"

NOT_A_TIME = "is no time; write ISO 8601 with its zone, e.g. 2024-05-01T13:00:00Z, or epoch milliseconds"
NO_ZONE = "has no zone; write 2024-05-01T13:00:00Z if it is UTC, or its offset, e.g. 2024-05-01T13:00:00+02:00"
DATE_ONLY = "has no zone: a day alone does not say when it begins; write e.g. 2024-05-01T00:00:00Z"
NO_SUCH_DAY = "is a day that its month does not have"

_UTC = pa.timestamp("us", "UTC")


def instants(text: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Epoch ms (int64) of each string, and why a string is no time (string, null where it is one; None if all are).

    Takes ISO 8601 with a zone (`T` or a space; Z, +02, +0200, +02:00; any number of decimals of the
    second, cut off below a millisecond) and whole epoch milliseconds. Null stays null.
    """
    # Arrow takes forms that are none of ours (2024-05-01T1300Z): what is taken must not depend on a file's other rows
    if pc.all(pc.match_substring_regex(text, _ISO)).as_py() is not False:
        try:
            return _milliseconds(text.cast(_UTC)), None
        except pa.ArrowInvalid:
            pass  # a day that is none, or finer than µs: looked at one by one below
    epoch = pc.match_substring_regex(text, _EPOCH)
    if pc.all(epoch).as_py():
        return text.cast(pa.int64()), None
    upper = pc.utf8_upper(text)
    iso = pc.match_substring_regex(upper, _ISO)
    unreal = _unreal_days(upper, iso)
    good = pc.and_not(iso, unreal)
    shortened = pc.replace_substring_regex(upper, r"[.,]([0-9]{1,6})[0-9]*", r".\1")
    written = pc.replace_substring_regex(shortened, r" ?(Z|[+-][0-9:]{2,5})$", r"\1")
    nothing = pa.scalar(None, pa.string())
    from_iso = _milliseconds(pc.if_else(good, written, nothing).cast(_UTC))
    from_epoch = pc.if_else(epoch, text, nothing).cast(pa.int64())
    values = pc.coalesce(from_epoch, from_iso)
    if values.null_count == text.null_count:
        return values, None
    why = pc.case_when(
        pc.make_struct(
            pc.or_(good, epoch), unreal, pc.match_substring_regex(upper, _DATE_ONLY), pc.match_substring_regex(upper, _NO_ZONE),
            text.is_valid(),
        ),
        nothing, pa.scalar(NO_SUCH_DAY), pa.scalar(DATE_ONLY), pa.scalar(NO_ZONE), pa.scalar(NOT_A_TIME),
    )
    return values, why


def _milliseconds(times: pa.Array) -> pa.Array:
    """Timestamps in µs to epoch ms, rounded down."""
    raw = times.cast(pa.int64())
    micros = raw.fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(np.floor_divide(micros, 1000), pa.int64(), mask=_nulls(raw))


def _nulls(values: pa.Array) -> np.ndarray | None:
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False), dtype=bool) if values.null_count else None


def _unreal_days(text: pa.Array, iso: pa.Array) -> pa.Array:
    """True where a time names a day such as 30 February."""
    suspect = pc.and_(iso, pc.match_substring_regex(text, _SHORT_MONTH))
    if not pc.any(suspect).as_py():
        return pc.fill_null(suspect, False)
    days = pc.utf8_slice_codeunits(text, 0, 10)
    wrong = pa.array([d for d in pc.unique(days.filter(suspect)).drop_null().to_pylist() if not _exists(d)], pa.string())
    return pc.and_(pc.fill_null(suspect, False), pc.is_in(days, value_set=wrong))


def _exists(day: str) -> bool:
    try:
        date.fromisoformat(day)
    except ValueError:
        return False
    return True
