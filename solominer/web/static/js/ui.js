// The pieces that sections are made of.
import { html, useState } from "./core.js";
import { clock, dateTime } from "./format.js";

export function Section({ id, title, children }) {
  return html`<section id=${id} aria-labelledby=${`${id}-title`}>
    <h2 id=${`${id}-title`}>${title}</h2>
    ${children}
  </section>`;
}

export function Card({ title, action = null, wide = false, name = null, children }) {
  return html`<article class=${wide ? "card wide" : "card"} data-widget=${name}>
    ${title && html`<header><h3>${title}</h3>${action}</header>`}
    ${children}
  </article>`;
}

export const NoData = ({ why }) => html`<p class="nodata">No data: ${why}</p>`;

// The reason why `answer` (of useApi) has nothing to show, as NoData; null where it has data.
export function missing(answer) {
  if (answer.data) return null;
  return html`<${NoData} why=${answer.error ?? "not loaded yet"} />`;
}

export const NotUpdated = ({ answer }) =>
  answer.data && answer.error ? html`<p class="note">Not updated: ${answer.error}</p>` : null;

// One figure: its name, the value, and a line below.
export const Figure = ({ name, value, detail = null, id = null }) =>
  html`<div class="figure"><dt>${name}</dt><dd data-value=${id}>${value}${detail !== null && html`<small>${detail}</small>`}</dd></div>`;

export const Figures = ({ children }) => html`<dl class="figures">${children}</dl>`;

export const Time = ({ at, full = true }) =>
  html`<time datetime=${new Date(at * 1000).toISOString()} title=${dateTime(at)}>${full ? dateTime(at) : clock(at)}</time>`;

// A table that scrolls sideways by itself where the page is narrow. `columns`: [title, cell(row), class]; the first names the row.
export function Table({ label, columns, rows, rowKey = (row, index) => index }) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr>${columns.map(([title, , kind]) => html`<th scope="col" class=${kind}>${title}</th>`)}</tr></thead>
      <tbody>
        ${rows.map(
          (row, index) => html`<tr key=${rowKey(row, index)}>
            ${columns.map(([, cell, kind], at) =>
              at === 0 ? html`<th scope="row" class=${kind}>${cell(row)}</th>` : html`<td class=${kind}>${cell(row)}</td>`,
            )}
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

// The table behind a chart; its rows are made when it is opened.
export function ChartTable({ title, columns, rows }) {
  const [open, setOpen] = useState(false);
  return html`<details class="data" onToggle=${(event) => setOpen(event.target.open)}>
    <summary>${title}</summary>
    ${open && html`<${Table} label=${title} columns=${columns} rows=${rows()} />`}
  </details>`;
}

export const Badge = ({ kind = "", children }) => html`<span class=${`badge ${kind}`}>${children}</span>`;

// One of several: [value, text] pairs.
export const Choice = ({ label, options, value, onChange }) =>
  html`<div class="choice" role="group" aria-label=${label}>
    ${options.map(
      ([each, text]) =>
        html`<button type="button" aria-pressed=${String(each === value)} onClick=${() => onChange(each)}>${text}</button>`,
    )}
  </div>`;

// Text to take away with one click. Clipboards need a secure context; elsewhere the text can be selected.
export function Copyable({ text, label }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard.writeText(text).then(() => setCopied(true), () => setCopied(false));
  return html`<div class="copyable">
    <pre tabindex="0">${text}</pre>
    ${navigator.clipboard && html`<button type="button" class="small" aria-label=${`copy ${label}`} onClick=${copy}>${copied ? "Copied" : "Copy"}</button>`}
  </div>`;
}
