// The page: the daemon's state from the stream, the records from the API, one component for each section.
import { html, render, useEffect, useState } from "./core.js";
import { get, useApi } from "./api.js";
import { follow } from "./stream.js";
import { Choice } from "./ui.js";
import { useKept } from "./kept.js";
import { dateTime } from "./format.js";
import { LogoutButton } from "./control.js";
import { FoundBanner, Notices, Working } from "./working.js";
import { HashRate } from "./hashrate.js";
import { Shares } from "./shares.js";
import { Blocks } from "./blocks.js";
import { Job } from "./job.js";
import { Fleet } from "./fleet.js";
import { Log } from "./log.js";
import { Setup } from "./setup.js";

const THEMES = [["light", "Light"], ["system", "Auto"], ["dark", "Dark"]];
const PLACES = [["hashrate", "Hash rate"], ["shares", "Shares"], ["blocks", "Blocks"], ["job", "Job"], ["fleet", "Nodes"], ["log", "Events"], ["setup", "Setup"]];
const FEW_BLOCKS = 8;
const MOST_BLOCKS = 100;
const UNKNOWN = { role: null, local: false, login_required: false };

function App() {
  const [session, setSession] = useState(null);
  useEffect(() => void get("/session").then(enter, () => setSession(UNKNOWN)), []);
  const enter = (found) => (found.login_required ? location.replace("/login") : setSession(found));
  return session && html`<${Page} session=${session} />`;
}

function Page({ session }) {
  const [live, setLive] = useState({ status: null, lostAt: null, cutAt: null });
  const [blockLimit, setBlockLimit] = useState(FEW_BLOCKS);
  useEffect(() => follow(setLive), []);
  const { status } = live;
  const shares = useApi("/shares?limit=500", 15, status?.started_at);
  const blocks = useApi(`/blocks?limit=${blockLimit}`, 30, status?.blocks.at(-1)?.hash_hex);
  return html`<${Header} places=${PLACES}><${LogoutButton} session=${session} /></${Header}>
    <main id="main">
      <${Notices} status=${status} />
      <${FoundBanner} status=${status} blocks=${blocks} />
      <${Working} live=${live} shares=${shares} session=${session} />
      <${HashRate} />
      <${Shares} answer=${shares} status=${status} />
      <${Blocks} answer=${blocks} status=${status} onMore=${blockLimit < MOST_BLOCKS && (() => setBlockLimit((limit) => Math.min(limit * 4, MOST_BLOCKS)))} />
      <${Job} status=${status} />
      <${Fleet} status=${status} />
      <${Log} status=${status} />
      <${Setup} status=${status} />
    </main>
    <footer>${status && html`<p>State of <time>${dateTime(status.at)}</time> · run since ${dateTime(status.started_at)} · records in <code>${status.data_dir}</code> · <a href="/plain">plain page</a></p>`}</footer>`;
}

function Header({ places = [], children }) {
  const [chosen, choose] = useKept("theme");
  const set = (theme) => (choose(theme), dispatchEvent(new CustomEvent("solominer-theme", { detail: theme })));
  return html`<header class="top">
    <a class="brand" href="#main"><img src="/icon.svg" alt="" width="28" height="28" />solominer</a>
    <nav aria-label="sections">${places.map(([id, name]) => html`<a href=${`#${id}`}>${name}</a>`)}</nav>
    <div class="tools">${children}<${Choice} label="theme" options=${THEMES} value=${chosen ?? "system"} onChange=${set} /></div>
  </header>`;
}

render(html`<${App} />`, document.getElementById("app"));
