// 2. The hash rate with its interval, and shares against what that rate makes one expect: two charts, two axes.
import { html, useMemo, useState } from "./core.js";
import { Chart } from "./chart.js";
import { useApi } from "./api.js";
import { Card, ChartTable, Choice, missing, NotUpdated, Section } from "./ui.js";
import { dateTime, fixed, integer, rate, rateInterval, si, zoneName } from "./format.js";

const SPANS = [["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"]];
const SECS = { "1h": 3600, "24h": 86400, "7d": 7 * 86400, "30d": 30 * 86400 };

const RATE = {
  label: "hash rate",
  scale: { range: (plot, low, high) => [0, (high ?? 1) * 1.08 || 1] },
  values: rate,
  series: (palette) => [
    { stroke: "transparent", points: { show: false } },
    { stroke: "transparent", points: { show: false } },
    { stroke: palette.line, width: 2 },
  ],
  bands: [{ series: [2, 1] }],
};

const SHARES = {
  label: "shares",
  scale: { range: (plot, low, high) => [0, (high ?? 1) * 1.1 || 1] },
  values: (value) => si(value),
  series: (palette, faint) => [
    { stroke: "transparent", paths: globalThis.uPlot.paths.bars({ size: [0.7, 24] }), fill: faint(palette.line, 0.35), points: { show: false } },
    { stroke: palette.text, width: 2, dash: [5, 4], points: { show: false } },
  ],
};

export function HashRate() {
  const [span, setSpan] = useState("24h");
  const answer = useApi(`/history?span=${span}`, span === "1h" ? 20 : 60);
  const points = answer.data?.points.filter((point) => point.rate_hps !== null) ?? [];
  const choice = html`<${Choice} label="time span" options=${SPANS} value=${span} onChange=${setSpan} />`;
  return html`<${Section} id="hashrate" title="Hash rate">
    <${Card} title=${`Hash rate over ${nameOf(span)}`} action=${choice} wide name="history">
      ${missing(answer) ?? (points.length ? html`<${Charts} history=${answer.data} span=${span} />` : html`<p class="nodata">No data: nothing was recorded in the last ${nameOf(span)}</p>`)}
      <${NotUpdated} answer=${answer} />
    </${Card}>
  </${Section}>`;
}

const nameOf = (span) => SPANS.find(([each]) => each === span)[1];

function Charts({ history, span }) {
  const { points } = history;
  const rates = useMemo(() => columns(points, "rate_low_hps", "rate_high_hps", "rate_hps"), [history]);
  const shares = useMemo(() => columns(points, "shares", "expected_shares"), [history]);
  const hasShares = points.some((point) => point.shares !== null);
  const zone = zoneName(points.at(-1).at);
  return html`<${Chart} make=${RATE} data=${rates} secs=${SECS[span]} sentence=${rateSentence(points, span)} />
    ${hasShares && html`<${Chart} make=${SHARES} data=${shares} secs=${SECS[span]} height=${150} sentence=${sharesSentence(points, span)} />`}
    <${ChartTable} title=${`Hash rate and shares over ${nameOf(span)} as a table, times in ${zone}`} rows=${() => [...points].reverse()} columns=${TABLE} />`;
}

const columns = (points, ...names) => [points.map(({ at }) => at), ...names.map((name) => points.map((point) => point[name]))];

const TABLE = [
  ["Time", ({ at }) => dateTime(at)],
  ["Hash rate", ({ rate_hps }) => rate(rate_hps), "number"],
  ["95 % interval", (point) => rateInterval(point.rate_low_hps, point.rate_high_hps), "number"],
  ["Shares", ({ shares }) => integer(shares), "number"],
  ["Expected", ({ expected_shares }) => fixed(expected_shares, 1), "number"],
];

export function rateSentence(points, span) {
  const rates = points.map((point) => point.rate_hps).filter((each) => each !== null);
  const mean = rates.reduce((sum, each) => sum + each, 0) / rates.length;
  const gaps = points.length - rates.length;
  return (
    `Over ${nameOf(span)} the hash rate was ${rate(mean)} on average, between ${rate(Math.min(...rates))} and ${rate(Math.max(...rates))}; ` +
    `last ${rate(rates.at(-1))}. The band is the 95 % interval.${gaps ? ` ${gaps} of ${points.length} points have no data.` : ""}`
  );
}

export function sharesSentence(points, span) {
  const sum = (name) => points.reduce((total, point) => total + (point[name] ?? 0), 0);
  const expected = points.some((point) => point.expected_shares !== null) ? fixed(sum("expected_shares"), 1) : null;
  return `${integer(sum("shares"))} shares over ${nameOf(span)}${expected ? `; ${expected} expected for the hashes done (dashed)` : ""}.`;
}
