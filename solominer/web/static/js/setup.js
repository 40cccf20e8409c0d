// 8. For who opens it first: is everything in order, and how do miners connect?
import { html } from "./core.js";
import { useApi } from "./api.js";
import { Badge, Card, Copyable, missing, NoData, Section } from "./ui.js";

const KINDS = { ok: "good", warning: "warn", failed: "bad", skipped: "" };
const WORST_FIRST = ["failed", "warning", "skipped", "ok"];
const CONF_LINE = /^\s*[a-z]+=\S+.*$/;

export function Setup({ status }) {
  return html`<${Section} id="setup" title="Setup">
    <div class="grid halves">
      <${Doctor} />
      <${Card} title="Connect a miner" name="stratum">${status?.stratum_urls.length ? status.stratum_urls.map((url) => html`<${Address} key=${url} url=${url} />`) : html`<${NoData} why=${status ? html`the Stratum server is off; start it with <code>solominer run --stratum 0.0.0.0:3333</code>` : "the daemon has not been reached yet"} />`}</${Card}>
    </div>
  </${Section}>`;
}

function Address({ url }) {
  return html`<div class="address-qr">
    <img src=${`/api/v1/qr?text=${encodeURIComponent(url)}`} alt=${`QR code of ${url}`} width="132" height="132" loading="lazy" />
    <div><${Copyable} text=${url} label="the Stratum address" /><p class="note">Enter it as the pool's address; user name and password as in the documentation of the Stratum server.</p></div>
  </div>`;
}

function Doctor() {
  const answer = useApi("/doctor", 0);
  const again = html`<button type="button" class="small" onClick=${answer.reload}>Check again</button>`;
  const findings = [...(answer.data?.findings ?? [])].sort((one, other) => WORST_FIRST.indexOf(one.status) - WORST_FIRST.indexOf(other.status));
  const bad = findings.filter(({ status }) => status === "failed" || status === "warning");
  const rest = findings.filter(({ status }) => status !== "failed" && status !== "warning");
  return html`<${Card} title="solominer doctor" action=${again} name="doctor">
    ${missing(answer) ??
    html`<p>${bad.length ? `${bad.length} of ${findings.length} checks need attention.` : `All ${findings.length} checks passed or do not apply.`}</p>
      <ul class="errors">${bad.map((finding) => html`<${Finding} finding=${finding} />`)}</ul>
      <details class="data"><summary>${rest.length} others</summary><ul class="errors">${rest.map((finding) => html`<${Finding} finding=${finding} />`)}</ul></details>`}
  </${Card}>`;
}

function Finding({ finding: { check, status, evidence, todo, subject } }) {
  const lines = (todo ?? "").split("\n");
  const conf = lines.filter((line) => CONF_LINE.test(line)).map((line) => line.trim());
  const advice = lines.filter((line) => !CONF_LINE.test(line)).join(" ");
  return html`<li><p><${Badge} kind=${KINDS[status]}>${status}</${Badge}> <b>${subject ? `${subject}: ` : ""}${check}</b> ${evidence}</p>
    ${advice && html`<p><b>To do:</b> ${advice}</p>`}
    ${conf.length > 0 && html`<${Copyable} text=${conf.join("\n")} label="the lines for bitcoin.conf" />`}</li>`;
}
