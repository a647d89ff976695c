"""The report as one HTML file that needs nothing beside it: figures, pictures, style and script are inside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimai.artifacts.atomic import write_text
from slimai.language import language
from slimai.number_text import decimals
from slimai.report import charts
from slimai.report.document import Document, load, load_run
from slimai.report.in_language import in_language
from slimai.report.network_drawing import drawing
from slimai.report.strips import strip, verdict

if TYPE_CHECKING:
    from jinja2 import Environment

    from slimai.report.pictures import Shot

# of what hurts, where an earlier version has saved it
EARLIER: Mapping[str, Any] = {"alone_sqnr": None, "score_loss": None, "paste": ""}
PAGE, TEMPLATES = "report.html", Path(__file__).parent / "templates"


def write_page(folder: Path, to: str | None = None) -> Path:
    """Write `report.html` from what the run in `folder` has saved; return its path. Raises InputError.

    to: its language, by default that of the environment.
    """
    path = folder / PAGE
    write_text(path, in_language(page(load_run(folder), load(folder)), to or language()))
    return path


def write_stopped_page(folder: Path, name: str, why: str, causes: Sequence[str], shots: Sequence[Shot]) -> Path:
    """Write the page of a run that ended before its search; return its path."""
    path = folder / PAGE
    write_text(
        path, in_language(_render("stopped.html.j2", name=name, why=why, causes=causes, shots=shots), language())
    )
    return path


def page(run: Document, saved: Document) -> str:
    """Return the page of one run."""
    delivered = run.get("delivered", run.get("best"))
    best = "" if delivered is None else charts.candidate_key(delivered)
    float_score = (run.get("float") or {}).get("score")
    candidates = run["candidates"]
    network = saved.get("network", ())
    nodes = {item["layer"]: item["node"] for item in network}  # one name for a layer: that of what it writes
    cost_layers = [{**row, "name": nodes.get(row["name"], row["name"])} for row in saved["cost"]["layers"]]
    figures = {
        "strip": _strip(delivered, float_score),
        "network": drawing(network, saved["layers"], saved["cost"]["layers"]),
        "pareto": charts.pareto(candidates, float_score, best, metric=str(run["metric"])),
        "ranges": charts.score_by_range(candidates, float_score, best),
        "depth": charts.depth(saved["layers"]) if saved["layers"] else "",
        "cycles": charts.cycles(cost_layers) if cost_layers else "",
    }
    memory = saved.get("memory")
    figures["memory"] = charts.memory(memory["layers"], memory["peak"]) if memory and memory["layers"] else ""
    return _render(
        "report.html.j2",
        run=run,
        delivered=delivered,
        verdict=_verdict(delivered, float_score),
        saved=saved,
        cost_layers=cost_layers,
        suspects=[{**EARLIER, "node": row["layer"], **row} for row in saved["suspects"]],
        commands=saved.get("commands", ()),
        best=best,
        figures=figures,
        warnings=run.get("warnings", ()),
        sides=_sides,
        # runs of earlier versions have not saved them
        proofs=saved.get("proofs", {}),
        memory=memory,
        refusals=saved.get("refusals", ()),
        changes=saved.get("changes", ()),
        rows=_ranked(candidates, best),
        several_levels=len({row["accuracy_level"] for row in candidates}) > 1,
        histograms=_as_script(_histogram_data(saved)),
    )


def write_multirun_page(folder: Path, jobs: Sequence[Mapping[str, Any]], to: str | None = None) -> Path:
    """Write the report over the jobs of a multirun into its folder; jobs: the rows of `multirun.json`."""
    path = folder / PAGE
    write_text(path, in_language(multirun_page(folder, jobs), to or language()))
    return path


def multirun_page(folder: Path, jobs: Sequence[Mapping[str, Any]]) -> str:
    """Return the page over several jobs: the best, score against time, one table, links to the jobs' own pages."""
    points = [_job_point(job) for job in jobs if job.get("score") is not None]
    floats = {job["float"] for job in jobs if job.get("float") is not None}
    links = {job["job"]: f"job{job['job']}/{PAGE}" for job in jobs if (folder / f"job{job['job']}" / PAGE).is_file()}
    metrics = sorted({str(job["metric"]) for job in jobs if job.get("metric")})
    best = _best_job(jobs) if len(metrics) < 2 else None
    key = "" if best is None else charts.candidate_key(_job_point(best))
    float_score = floats.pop() if len(floats) == 1 else None
    words = {job["job"]: str(job["overrides"]).split() for job in jobs}
    same = set.intersection(*map(set, words.values())) if len(words) > 1 else set()
    return _render(
        "multirun.html.j2",
        jobs=jobs,
        links=links,
        metrics=metrics,
        own={number: " ".join(word for word in given if word not in same) for number, given in words.items()},
        common=" ".join(word for word in next(iter(words.values()), []) if word in same),
        best=best,
        strip="" if best is None else _strip(_job_point(best), best["float"]),
        verdict="" if best is None else _verdict(_job_point(best), best["float"]),
        figure=charts.pareto(points, float_score, key, metric=", ".join(metrics)) if points else "",
    )


def _best_job(jobs: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the job with the highest score; of equal ones the fastest, then the first."""
    scored = [job for job in jobs if job.get("score") is not None]
    return min(scored, key=lambda job: (-job["score"], job["ms"] or 0.0, job["job"]), default=None)


def _job_point(job: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "score": job["score"],
        "interval": job.get("interval"),
        "latency_ms": job["ms"],
        "range": job["range"],
        "accuracy_level": job["level"],
        "profile": f"job{job['job']} {job['profile']}",
        "label": f"job{job['job']}",
        "status": "full",
    }


def _sides(item: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (title, data URI, text) of what is shown of an image: the truth where labels tell it, both networks."""
    truth = tuple(item.get("truth", ("", "")))
    shown = [("truth", *truth)] if any(truth) else []
    return [*shown, *zip(("float", "fixed point"), item["shots"], item["texts"], strict=True)]


def _strip(row: Mapping[str, Any] | None, float_score: float | None) -> str:
    """Return the delivered score with its interval against float; empty without a score."""
    if row is None or row["score"] is None:
        return ""
    return strip(row["score"], row.get("interval"), float_score)


def _verdict(row: Mapping[str, Any] | None, float_score: float | None) -> str:
    return "" if row is None or row["score"] is None else verdict(row.get("interval"), float_score)


def _ranked(candidates: Sequence[Mapping[str, Any]], best: str) -> list[Mapping[str, Any]]:
    """Return the rows, best score first, of equal ones the delivered; partial ones come behind the full ones."""

    def order(row: Mapping[str, Any]) -> tuple[bool, float, bool]:
        score = row["score"] if row["score"] is not None else -1.0
        return row["status"] != "full", -score, charts.candidate_key(row) != best

    return sorted(candidates, key=order)


def _histogram_data(saved: Document) -> dict[str, Any]:
    """Return by tensor what the script draws: bins and limits."""
    limits = {row["tensor"]: (row["low"], row["high"], row["dtype"]) for row in saved["layers"]}
    return {
        name: {**data, "limits": limits.get(name, (None, None, ""))[:2]} for name, data in saved["histograms"].items()
    }


def _as_script(data: Any) -> str:
    """Return JSON that may stand inside a script element."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=True).replace("<", "\\u003c")


def _render(template: str, **values: Any) -> str:
    from jinja2 import TemplateRuntimeError  # noqa: PLC0415 - spares jinja2

    try:
        return _environment().get_template(template).render(**values) + "\n"
    except TemplateRuntimeError as error:  # a value that is not there
        raise ValueError(str(error)) from error


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - spares jinja2

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["num"] = partial(decimals, none="–")
    environment.filters["short"] = charts.shortened
    return environment
