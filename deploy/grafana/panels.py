"""Panels and layout of all dashboards."""

from typing import NamedTuple, Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

SERVICES = 'job=~"ingest|features|inference"'
UIDS = {
    "gaitway-overview": "Overview",
    "gaitway-gateway": "Gateway",
    "gaitway-pipeline": "Pipeline",
    "gaitway-data-quality": "Data quality",
    "gaitway-model": "Model",
}
_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_GREEN, _YELLOW, _RED = "green", "yellow", "red"


class Query(NamedTuple):
    """A PromQL expression, and the name of its series; Grafana replaces `{{label}}`."""

    expr: str
    legend: str = ""


class Limits(NamedTuple):
    """Values from which a panel is yellow and red: upwards, or downwards if ``red`` is below ``yellow``."""

    yellow: float
    red: float

    def steps(self) -> list[model.Threshold]:
        """Grafana's thresholds; the first applies from minus infinity."""
        if self.red >= self.yellow:
            return [_step(None, _GREEN), _step(self.yellow, _YELLOW), _step(self.red, _RED)]
        return [_step(None, _RED), _step(self.red, _YELLOW), _step(self.yellow, _GREEN)]


class _Panel(Protocol):
    """Common methods of the panel builders, for which the library has no base class."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def span(self, w: int) -> Self: ...
    def height(self, h: int) -> Self: ...
    def no_value(self, no_value: str) -> Self: ...
    def build(self) -> model.Panel: ...


_P = TypeVar("_P", bound=_Panel)


def rate(selector: str, by: str = "") -> str:
    """Per second, summed over all workers; ``by``: labels to keep."""
    return f"sum{f' by ({by})' if by else ''} (rate({selector}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """One rate divided by another."""
    return f"{rate(part)} / {rate(whole)}"


def quantile(q: float, metric: str, labels: str = "", by: str = "") -> str:
    """A quantile of a histogram over all workers, interpolated within its buckets."""
    buckets = f"{metric}_bucket{{{labels}}}" if labels else f"{metric}_bucket"
    return f"histogram_quantile({q}, {rate(buckets, f'le, {by}' if by else 'le')})"


def quantiles(metric: str, labels: str = "") -> list[Query]:
    """Median and 99 %."""
    return [Query(quantile(q, metric, labels), name) for q, name in ((0.5, "median"), (0.99, "99 %"))]


def number(
    title: str, expr: str | Query, unit: str, description: str, limits: Limits, *, width: int = 3, words: str = ""
) -> stat.Panel:
    """One current value, coloured by its limits. ``words``: names of 0 and 1, such as `away/there`."""
    query = expr if isinstance(expr, Query) else Query(expr)
    panel = (
        stat.Panel()
        .with_target(_target(query, "A").instant())
        .thresholds(_thresholds(limits.steps()))
        .color_mode(common_model.BigValueColorMode.BACKGROUND)
        .graph_mode(common_model.BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    )
    if query.legend:
        panel.text_mode(common_model.BigValueTextMode.VALUE_AND_NAME)
    if words:
        panel.mappings([_mapping(*words.split("/"))])
    return _frame(panel, title, unit, description, width, 4)


def lines(
    title: str,
    queries: list[Query],
    unit: str,
    description: str,
    limits: Limits | None = None,
    *,
    stacked: bool = False,
    signed: bool = False,
    width: int = 12,
) -> timeseries.Panel:
    """Values over time; ``limits`` are drawn as lines."""
    panel = (
        timeseries.Panel()
        .fill_opacity(30 if stacked else 5)
        .show_points(common_model.VisibilityMode.NEVER)
        .thresholds(_thresholds(limits.steps() if limits else [_step(None, _GREEN)]))
        .legend(
            common.VizLegendOptions()
            .display_mode(common_model.LegendDisplayMode.TABLE)
            .placement(common_model.LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_model.TooltipDisplayMode.MULTI)
            .sort(common_model.SortOrder.DESCENDING)
        )
    )
    for ref_id, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(_target(query, ref_id).range())
    if not signed:
        panel.min(0)
    if limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(common_model.GraphTresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(common.StackingConfig().mode(common_model.StackingMode.NORMAL))
    return _frame(panel, title, unit, description, width, 8)


def bars(
    title: str, query: Query, unit: str, description: str, limits: Limits | None = None, *, width: int = 12
) -> bargauge.Panel:
    """Current values, one bar per series."""
    panel = (
        bargauge.Panel()
        .with_target(_target(query, "A").instant())
        .thresholds(_thresholds(limits.steps() if limits else [_step(None, "blue")]))
        .orientation(common_model.VizOrientation.HORIZONTAL)
        .display_mode(common_model.BarGaugeDisplayMode.BASIC)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .min(0)
    )
    return _frame(panel, title, unit, description, width, 8)


def board(uid: str, description: str, panels: list[_Panel]) -> dashboard.Dashboard:
    """A dashboard of these panels, row by row, with links to the others."""
    frame = (
        dashboard.Dashboard(f"Gaitway: {UIDS[uid]}")
        .uid(uid)
        .description(description)
        .tags(["gaitway"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .link(
            dashboard.DashboardLink("Gaitway")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["gaitway"])
            .keep_time(True)
            .include_vars(True)
        )
    )
    for number_, panel in enumerate(panels, start=1):
        frame.with_panel(_Numbered(panel, number_))
    return frame


class _Numbered(Builder[model.Panel]):
    """A panel with a fixed id, so that links to it stay valid."""

    def __init__(self, panel: _Panel, number_: int) -> None:
        self._panel, self._number = panel, number_

    def build(self) -> model.Panel:
        """The panel."""
        built = self._panel.build()
        built.id_val = self._number
        return built


def _frame(panel: _P, title: str, unit: str, description: str, width: int, height: int) -> _P:
    return (
        panel.title(title)
        .description(description)
        .datasource(_SOURCE)
        .unit(unit)
        .span(width)
        .height(height)
        .no_value("no data")
    )


def _target(query: Query, ref_id: str) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(ref_id).datasource(_SOURCE)
    return target.legend_format(query.legend) if query.legend else target


def _step(value: float | None, color: str) -> model.Threshold:
    return model.Threshold(value=value, color=color)


def _thresholds(steps: list[model.Threshold]) -> dashboard.ThresholdsConfig:
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(zero: str, one: str) -> model.ValueMap:
    return model.ValueMap(options={"0": model.ValueMappingResult(text=zero), "1": model.ValueMappingResult(text=one)})
