// 3. Shares, the best of them, luck and odds.
import { html, useMemo } from "./core.js";
import { Chart } from "./chart.js";
import { useApi } from "./api.js";
import { useKept } from "./kept.js";
import { Card, ChartTable, Figure, Figures, missing, NoData, NotUpdated, Section, Table } from "./ui.js";
import { chance, dateTime, duration, fixed, integer, percent, rate, shortHash, si } from "./format.js";

const SCATTER = {
  label: "difficulty (log)",
  scale: { distr: 3 },
  values: (value) => (Number.isInteger(Math.log10(value)) || Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9 ? si(value) : ""),
  series: (palette, faint) => [{ stroke: palette.line, fill: faint(palette.line, 0.45), paths: () => null, points: { show: true, size: 7, fill: faint(palette.line, 0.45) } }],
};

const COLUMNS = [
  ["Time", ({ at }) => dateTime(at)],
  ["Difficulty", ({ difficulty }) => si(difficulty), "number"],
  ["Height", ({ height }) => integer(height), "number"],
  ["Worker", ({ worker }) => worker],
  ["Hash", ({ hash }) => html`<code title=${hash}>${shortHash(hash)}</code>`],
];

export function Shares({ answer, status }) {
  return html`<${Section} id="shares" title="Shares and luck">
    <div class="grid two-one">
      <${Card} title="Difficulty of each share" name="scatter">
        ${missing(answer) ?? (answer.data.shares.length ? html`<${Scatter} shares=${answer.data.shares} />` : html`<${NoData} why="no share has been found yet" />`)}
        <${NotUpdated} answer=${answer} />
      </${Card}>
      <div class="stack">
        <${Best} answer=${answer} status=${status} />
        <${Odds} />
      </div>
    </div>
    <${Card} title="Top 20 shares" wide name="top">
      ${missing(answer) ?? (answer.data.top.length ? html`<${Table} label="top 20 shares" columns=${COLUMNS} rows=${answer.data.top} />` : html`<${NoData} why="no share has been found yet" />`)}
    </${Card}>
  </${Section}>`;
}

function Scatter({ shares }) {
  const data = useMemo(() => {
    const ordered = [...shares].sort((one, other) => one.at - other.at);
    return [ordered.map(({ at }) => at), ordered.map(({ difficulty }) => difficulty)];
  }, [shares]);
  const best = shares.reduce((most, share) => (share.difficulty > most.difficulty ? share : most));
  const span = data[0].at(-1) - data[0][0];
  const sentence = `${integer(shares.length)} shares in ${duration(span)}, each a point at its difficulty. The best has ${si(best.difficulty)}, found by ${best.worker}.`;
  return html`<${Chart} make=${SCATTER} data=${data} sentence=${sentence} height=${320} />
    <${ChartTable} title="The newest shares as a table" rows=${() => [...shares].sort((one, other) => other.at - one.at).slice(0, 100)} columns=${COLUMNS} />`;
}

function Best({ answer, status }) {
  const network = status?.network_difficulty;
  return html`<${Card} title="Best shares" name="best">
    ${missing(answer) ??
    html`<${Figures}>
      <${Figure} id="best-session" name="Best of this run" value=${si(answer.data.best_session?.difficulty)} detail=${distance(answer.data.best_session, network)} />
      <${Figure} id="best-ever" name="Best ever" value=${si(answer.data.best_ever?.difficulty)} detail=${distance(answer.data.best_ever, network)} />
    </${Figures}>
    ${answer.data.best_ever && html`<p class="note">Best ever on ${dateTime(answer.data.best_ever.at)} by ${answer.data.best_ever.worker}${certificate(answer.data.best_ever)}</p>`}`}
  </${Card}>`;
}

const certificate = ({ proof }) => (typeof proof === "string" && proof.startsWith("/") ? html`; <a href=${proof} download>certificate</a>` : null);

function distance(share, networkDifficulty) {
  if (!share) return "none yet";
  if (!networkDifficulty) return null;
  const part = share.difficulty / networkDifficulty;
  return part >= 1 ? "as hard as a block" : `${chance(part)} of a block's difficulty`.replace("1 in ", "1/");
}

function Odds() {
  const [hidden, setHidden] = useKept("odds-hidden");
  const answer = useApi(hidden === "yes" ? null : "/odds", 60);
  if (hidden === "yes") {
    return html`<button type="button" class="quiet" onClick=${() => setHidden("no")}>Show luck and odds</button>`;
  }
  const hide = html`<button type="button" class="small" onClick=${() => setHidden("yes")} aria-label="hide luck and odds">Hide</button>`;
  return html`<${Card} title="Luck and odds" action=${hide} name="odds">${missing(answer) ?? html`<${OddsFigures} odds=${answer.data} />`}<${NotUpdated} answer=${answer} /></${Card}>`;
}

function OddsFigures({ odds }) {
  const told = typeof odds.luck === "number";
  const luck = told ? percent(odds.luck, 0) : "unknown";
  const expected = told && typeof odds.expected_blocks === "number" ? `${Number(odds.expected_blocks.toPrecision(2))} expected for the work done` : "not comparable with the work done";
  return html`<${Figures}>
      <${Figure} id="chance-day" name="A block in a day" value=${chance(odds.chance_per_day)} />
      <${Figure} id="chance-year" name="A block in a year" value=${chance(odds.chance_per_year)} />
      <${Figure} id="expected" name="Mean time to a block" value=${duration(odds.expected_secs_per_block)} detail=${odds.rate_hps ? `at ${rate(odds.rate_hps)}` : null} />
      <${Figure} id="luck" name="Luck" value=${luck} detail=${`p-value ${odds.luck_p_value === null || odds.luck_p_value === undefined ? "–" : fixed(odds.luck_p_value, 3)}`} />
    </${Figures}>
    <p class="note">${integer(odds.blocks_found)} found, ${expected}. Past work does not raise the odds of the next hash.</p>`;
}
