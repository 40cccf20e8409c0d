// 7. What happened, what went wrong and what to do, and the reports.
import { html } from "./core.js";
import { useApi } from "./api.js";
import { Badge, Card, missing, NoData, NotUpdated, Section, Time } from "./ui.js";
import { clock, integer, rate, zoneName } from "./format.js";

const SHOWN_EVENTS = 30;

export function Log({ status }) {
  return html`<${Section} id="log" title="Events, errors and reports">
    <div class="grid halves">
      <${Card} title=${status ? `Events, times in ${zoneName(status.at)}` : "Events"} name="events">${status?.events.length ? html`<${Events} events=${status.events} />` : html`<${NoData} why=${status ? "nothing has happened yet" : "the daemon has not been reached yet"} />`}</${Card}>
      <div class="stack"><${Errors} /><${Reports} /></div>
    </div>
  </${Section}>`;
}

const Events = ({ events }) =>
  html`<ol class="events" tabindex="0" aria-label="events, newest first">
    ${events.slice(-SHOWN_EVENTS).reverse().map(([at, text]) => html`<li key=${`${at}${text}`}><time>${clock(at)}</time> <span>${text}</span></li>`)}
  </ol>`;

function Errors() {
  const answer = useApi("/errors?limit=20", 15);
  return html`<${Card} title="Errors and what to do" name="errors">
    ${missing(answer) ?? (answer.data.errors.length ? html`<ul class="errors">${answer.data.errors.map((error) => html`<${Problem} error=${error} />`)}</ul>` : html`<p class="note">No errors are recorded.</p>`)}
    <${NotUpdated} answer=${answer} />
  </${Card}>`;
}

const Problem = ({ error: { at, severity, message, todo, count } }) =>
  html`<li><p><${Badge} kind=${severity === "warning" ? "warn" : "bad"}>${severity}</${Badge}> ${message}${count > 1 ? ` (${integer(count)} times)` : ""}</p>
    ${todo && html`<p><b>To do:</b> ${todo}</p>`}<p class="note"><${Time} at=${at} /></p></li>`;

function Reports() {
  const answer = useApi("/reports?limit=24", 60);
  const reports = answer.data?.reports ?? [];
  const days = [...new Set(reports.map(({ part }) => part.slice(0, 10)))];
  return html`<${Card} title="Reports, in UTC" name="reports">
    ${missing(answer) ??
    (reports.length
      ? html`<p class="links"><b>Days</b> ${days.map((day) => html`<a href=${`/reports/${day}`}>${day}</a> `)}</p>
          <p class="links"><b>Hours</b> ${reports.map(({ part, rate_hps }) => html`<a href=${`/reports/${part}`} title=${rate_hps ? rate(rate_hps) : null}>${part.slice(5)}</a> `)}</p>`
      : html`<${NoData} why="the first report is written at the end of the first hour" />`)}
    <${NotUpdated} answer=${answer} />
  </${Card}>`;
}
