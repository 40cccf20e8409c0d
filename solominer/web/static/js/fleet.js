// 6. What the work runs on: nodes, engines with their workers, devices, and how fast a new tip reaches them.
import { html } from "./core.js";
import { useApi } from "./api.js";
import { Badge, Card, missing, NoData, NotUpdated, Section, Table } from "./ui.js";
import { integer, plural, rate, si } from "./format.js";
import { Devices } from "./devices.js";

const NOT_REACHED = "the daemon has not been reached yet";

export function Fleet({ status }) {
  return html`<${Section} id="fleet" title="Nodes and workers">
    <div class="grid halves">
      ${status?.pools?.length ? html`<${Card} title="Pools" name="pools"><${Pools} pools=${status.pools} /></${Card}>` : null}
      ${status?.mode === "pool" ? null : html`<${Card} title="Nodes" name="nodes">${status?.nodes.length ? html`<${Nodes} nodes=${status.nodes} />` : html`<${NoData} why=${status ? "no node is configured" : NOT_REACHED} />`}</${Card}>`}
      <${Latency} />
    </div>
    <${Card} title="Engines and workers" wide name="workers">${status?.workers.length ? html`<${Workers} workers=${status.workers} />` : html`<${NoData} why=${status ? "no worker is running and no miner is connected" : NOT_REACHED} />`}</${Card}>
    <${Devices} />
  </${Section}>`;
}

function Pools({ pools }) {
  const columns = [
    ["Pool", ({ url }) => url],
    ["User", ({ user }) => user],
    ["State", ({ active, state }) => html`<${Badge} kind=${active ? "good" : state === "bad" ? "bad" : ""}>${active ? "active" : state}</${Badge}>`],
    ["Accepted", ({ accepted }) => integer(accepted), "number"],
    ["Rejected", ({ rejected }) => integer(rejected), "number"],
    ["Stale", ({ stale }) => integer(stale), "number"],
    ["Difficulty", ({ difficulty }) => si(difficulty), "number"],
    ["Latency", ({ latency_secs }) => si(latency_secs, "s"), "number"],
  ];
  const told = pools.flatMap(({ url, note, message }) => [note, message && `says: ${message}`].filter(Boolean).map((text) => `${url}: ${text}`));
  return html`<${Table} label="pools" columns=${columns} rows=${pools} rowKey=${({ url, user }) => `${url} ${user}`} />
    ${told.map((text) => html`<p class="trouble">${text}</p>`)}`;
}

function nodeState(node) {
  if (!node.usable) return ["bad", "unusable"];
  return node.active ? ["good", "active"] : ["", "ready"];
}

function Nodes({ nodes }) {
  const columns = [
    ["Node", ({ name }) => name],
    ["State", (node) => html`<${Badge} kind=${nodeState(node)[0]}>${nodeState(node)[1]}</${Badge}>`],
    ["Height", ({ height }) => integer(height), "number"],
    ["Peers", ({ peers }) => integer(peers), "number"],
    ["ZMQ", ({ zmq }) => zmq],
    ["RPC", ({ rpc_secs }) => si(rpc_secs, "s"), "number"],
  ];
  const problems = nodes.flatMap(({ name, note, fork }) => [note, fork && `on another chain: ${fork}`].filter(Boolean).map((text) => `${name}: ${text}`));
  return html`<${Table} label="nodes" columns=${columns} rows=${nodes} rowKey=${({ name }) => name} />
    ${problems.map((text) => html`<p class="trouble">${text}</p>`)}`;
}

const engineOf = ({ worker }) => worker.split("/")[0];

function workerState(worker) {
  if (worker.state === "left") return ["", "left"];
  if (!worker.alive) return ["bad", "lost"];
  return worker.rate_hps > 0 ? ["good", "hashing"] : ["warn", "idle"];
}

function Workers({ workers }) {
  const engines = Map.groupBy ? Map.groupBy(workers, engineOf) : grouped(workers);
  return [...engines].map(([engine, own]) => {
    const total = own.reduce((sum, { rate_hps }) => sum + rate_hps, 0);
    const quiet = own.filter((worker) => ["warn", "bad"].includes(workerState(worker)[0])).length;
    return html`<h4>${engine} <small>${rate(total)}, ${plural(own.length, "worker")}${quiet ? `, ${quiet} not hashing` : ""}</small></h4>
      <${Table} label=${`workers of ${engine}`} columns=${engine === "stratum" ? MINER : WORKER} rows=${own} rowKey=${({ worker }) => worker} />`;
  });
}

function grouped(workers) {
  const engines = new Map();
  for (const worker of workers) engines.set(engineOf(worker), [...(engines.get(engineOf(worker)) ?? []), worker]);
  return engines;
}

const COMMON = [
  ["Worker", ({ worker }) => worker.split("/").slice(1).join("/")],
  ["State", (worker) => html`<${Badge} kind=${workerState(worker)[0]}>${workerState(worker)[1]}</${Badge}>`],
  ["Hash rate", ({ rate_hps }) => rate(rate_hps), "number"],
  ["Shares", ({ shares }) => integer(shares), "number"],
];
const WORKER = [...COMMON, ["Kernel", ({ kernel }) => kernel], ["Hashes", ({ hashes_counted }) => si(hashes_counted), "number"]];
const MINER = [
  ...COMMON,
  ["Rejected", ({ rejected }) => integer(rejected), "number"],
  ["Difficulty", ({ difficulty }) => si(difficulty), "number"],
  ["Best", ({ best_difficulty }) => si(best_difficulty), "number"],
  ["Connections", ({ connections }) => integer(connections), "number"],
  ["Program", ({ kernel }) => kernel],
];

const KINDS = {
  tip_to_stop: "old work stopped",
  tip_to_empty: "empty job sent",
  tip_to_full: "full job sent",
};

function Latency() {
  const answer = useApi("/latency", 30);
  const columns = [
    ["New tip until", ([kind]) => KINDS[kind] ?? kind.replaceAll("_", " ")],
    ["Median", ([, each]) => si(each.p50_secs, "s"), "number"],
    ["99 %", ([, each]) => si(each.p99_secs, "s"), "number"],
    ["Last", ([, each]) => si(each.last_secs, "s"), "number"],
    ["Samples", ([, each]) => integer(each.samples), "number"],
  ];
  const kinds = Object.entries(answer.data?.kinds ?? {});
  return html`<${Card} title="Latency" name="latency">
    ${missing(answer) ?? (kinds.length ? html`<${Table} label="latency" columns=${columns} rows=${kinds} />` : html`<${NoData} why="no new tip has been seen yet" />`)}
    <${NotUpdated} answer=${answer} />
  </${Card}>`;
}
