// The miners in the house, as the device monitor sees them.
import { html } from "./core.js";
import { useApi } from "./api.js";
import { Badge, Card, missing, NoData, NotUpdated, Table, Time } from "./ui.js";
import { duration, fixed, integer, NONE, plural, rate, si } from "./format.js";

const KINDS = { hashing: "good", idle: "warn", hot: "bad", offline: "bad" };
const NONE_CONFIGURED = html`no device is configured; <code>solominer devices scan 192.168.1.0/24</code> prints the lines for <code>devices</code> in the config`;

const celsius = (value) => (value === null ? NONE : `${fixed(value, 0)} °C`);

function pool({ pools, mines_here }) {
  if (mines_here) return "here";
  return pools.length ? html`<span title=${pools.join(", ")}>${mines_here === null ? pools[0] : "elsewhere"}</span>` : NONE;
}

const COLUMNS = [
  ["Device", ({ name, model }) => html`<span title=${model}>${name}</span>`],
  ["State", ({ state }) => html`<${Badge} kind=${KINDS[state]}>${state ?? "not asked yet"}</${Badge}>`],
  ["Hash rate", ({ rate_hps }) => rate(rate_hps), "number"],
  ["Chip", ({ temp_c }) => celsius(temp_c), "number"],
  ["Regulator", ({ vr_temp_c }) => celsius(vr_temp_c), "number"],
  ["Power", ({ power_w }) => si(power_w, "W"), "number"],
  ["Efficiency", ({ j_per_th }) => (j_per_th === null ? NONE : `${fixed(j_per_th, 1)} J/TH`), "number"],
  ["Shares", ({ shares_accepted }) => integer(shares_accepted), "number"],
  ["Rejected", ({ shares_rejected }) => integer(shares_rejected), "number"],
  ["Best session", ({ best_session_difficulty }) => si(best_session_difficulty), "number"],
  ["Best ever", ({ best_ever_difficulty }) => si(best_ever_difficulty), "number"],
  ["Mines", pool],
  ["Up for", ({ uptime_secs }) => duration(uptime_secs), "number"],
];

function summary(devices) {
  const hashing = devices.filter(({ rate_hps }) => rate_hps > 0);
  const watts = devices.reduce((sum, { power_w }) => sum + (power_w ?? 0), 0);
  const total = hashing.reduce((sum, { rate_hps }) => sum + rate_hps, 0);
  return `${integer(hashing.length)} of ${plural(devices.length, "device")} hashing: ${rate(total)}${watts ? `, ${si(watts, "W")}` : ""}`;
}

export function Devices() {
  const answer = useApi("/devices", 15);
  const devices = answer.data?.devices ?? [];
  return html`<${Card} title="Devices" wide name="devices">
    ${missing(answer) ?? (devices.length ? html`<p>${summary(devices)}</p><${Table} label="devices" columns=${COLUMNS} rows=${devices} rowKey=${({ name }) => name} />` : html`<${NoData} why=${NONE_CONFIGURED} />`)}
    ${devices.filter(({ problem }) => problem).map(({ name, problem, seen_at }) => html`<p class="trouble">${name}: ${problem}; ${seen_at === null ? "it has not answered yet" : html`last seen <${Time} at=${seen_at} />`}</p>`)}
    <${NotUpdated} answer=${answer} />
  </${Card}>`;
}
