"""What was measured into the query tables of the exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfres import table as tables
from tfres.deploy.runtime.replacing import replace_table

if TYPE_CHECKING:
    from collections.abc import Mapping

_OF_AN_EXPORT = ("bytes", "import_s", "load_s", "memory_bytes")


def keep(results: Mapping[str, Any]) -> None:
    """Put what `bench` gave into the tables of the exports: `ms` and `ms_p90` of every setting, with the `machine`, `threads`
    and `batch` that they are of; under `bench` what the export as a whole takes.

    Rows of what was not timed, such as policies, keep what they have. An export without a table gets one.

    Raises:
        ExportError: an export is another one by now. OSError: it cannot be written. The table is the old one then.
    """
    shared = {"threads": results["threads"], "batch": results["batch"]}
    for export in results["exports"]:
        of_times = {"machine": export["machine"], **shared}
        rows = [{**row, **of_times} for row in export["rows"]]
        whole = {**of_times, **{name: export[name] for name in _OF_AN_EXPORT}}
        new = {"bench": whole, "rows": rows}
        replace_table(export["path"], lambda table, new=new: tables.merge(table or {"rows": []}, new), export["fingerprint"])
