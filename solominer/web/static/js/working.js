// 1. Is it working? One line, the figures behind it, what is wrong, and a found block until it is put away.
import { html, useEffect, useRef, useState } from "./core.js";
import { Badge, Figure, Figures, Time } from "./ui.js";
import { clock, dateTime, duration, integer, money, plural, rate, rateInterval, shortHash, si } from "./format.js";
import { useKept } from "./kept.js";
import { PauseButton } from "./control.js";

export const hasValue = (status) => status.network === "mainnet" && !status.simulated;

// What the daemon is doing: [kind, headline]; kind is good, warn or bad.
export function headline({ status, lostAt, cutAt }) {
  if (cutAt !== null) return ["bad", `No connection to the web server since ${clock(cutAt)}`];
  if (status === null) return lostAt === null ? ["warn", "Connecting"] : ["bad", "The daemon is not running"];
  if (lostAt !== null) return ["bad", `The daemon has not answered since ${clock(lostAt)}`];
  const working = status.status === "mining";
  if (working) return ["good", `Mining on height ${integer(status.template?.height ?? status.height + 1)}`];
  return ["warn", status.status.charAt(0).toUpperCase() + status.status.slice(1)];
}

// The moment of the newest share: as recorded, or when the count was seen to grow.
function useLastShare(status, recordedAt) {
  const seen = useRef({ shares: null, at: null });
  if (status && seen.current.shares !== status.shares) {
    const grew = seen.current.shares !== null && status.shares > seen.current.shares;
    seen.current = { shares: status.shares, at: grew ? status.at : seen.current.at };
  }
  return Math.max(recordedAt ?? 0, seen.current.at ?? 0) || null;
}

export function Working({ live, shares, session }) {
  const { status } = live;
  const [kind, text] = headline(live);
  const lastShare = useLastShare(status, shares.data?.shares[0]?.at);
  useEffect(() => {
    document.title = status && kind === "good" ? `${rate(status.rate_hps)} · solominer` : `${text} · solominer`;
  });
  return html`<section id="working" class=${`card hero ${kind}`} aria-labelledby="working-title">
    <header>
      <h1 id="working-title" role="status"><span class="dot" aria-hidden="true"></span>${text}</h1>
      ${status && html`<${PauseButton} status=${status} session=${session} />`}
    </header>
    <${Trouble} live=${live} />
    ${status &&
    html`<${Figures}>
      <${Figure} id="rate" name="Hash rate, last minute" value=${rate(status.rate_hps)} detail=${`95 %: ${rateInterval(status.rate_low_hps, status.rate_high_hps)}`} />
      <${Figure} id="tip" name="Age of the tip" value=${status.tip_at ? duration(status.at - status.tip_at) : "no tip yet"} detail=${`height ${integer(status.height)}`} />
      <${Figure} id="last-share" name="Last share" value=${lastShare ? `${duration(Math.max(status.at - lastShare, 0))} ago` : "none yet"} detail=${`${plural(status.shares, "share")} in this run`} />
      <${Figure} id="blocks" name=${status.mode === "pool" ? "Blocks found for the pool" : "Blocks accepted"} value=${integer(status.accepted_blocks)} detail=${`difficulty ${si(status.network_difficulty)}`} />
    </${Figures}>`}
  </section>`;
}

function Trouble({ live }) {
  if (live.cutAt !== null) {
    return html`<p class="trouble">Trying again every few seconds.${live.status && html` What is shown is from ${clock(live.status.at)}.`}</p>`;
  }
  if (live.lostAt === null) return null;
  const since = live.status ? html`Daemon lost since <${Time} at=${live.lostAt} />; what is shown is from ${clock(live.status.at)}` : "The daemon has not been reached yet";
  return html`<p class="trouble" data-widget="lost">${since}. Start it with <code>solominer run</code>, or look at its log.</p>`;
}

// The newest block stays announced until it is put away; a chain without value announces nothing.
export function FoundBanner({ status, blocks }) {
  const [putAway, setPutAway] = useKept("block-put-away");
  const newest = status && hasValue(status) ? newestBlock(status, blocks) : null;
  if (!newest || newest.hash === putAway) return null;
  return html`<aside class="found" aria-label="found block" data-widget="found">
    <div>
      <strong>Block ${integer(newest.height)} found</strong>
      <p><${Badge}>${newest.state}</${Badge}> ${money(newest.reward_sats)}${newest.found_at ? ` on ${dateTime(newest.found_at)}` : ""} · <code title=${newest.hash}>${shortHash(newest.hash)}</code> · <a href="#blocks">details</a></p>
    </div>
    <button type="button" onClick=${() => setPutAway(newest.hash)}>Dismiss</button>
  </aside>`;
}

function newestBlock(status, blocks) {
  const live = status.blocks.map((block) => ({ ...block, hash: block.hash_hex }));
  const recorded = blocks.data?.blocks ?? [];
  return [...recorded, ...live].reduce((best, block) => (best === null || block.height > best.height ? block : best), null);
}

// What must be known before anything else on the page is read.
export function Notices({ status }) {
  if (status === null) return null;
  if (status.simulated) {
    return html`<p class="notice" data-widget="simulated"><strong>Simulation.</strong> The node is simulated: blocks, heights and rewards on this page are not real.</p>`;
  }
  if (status.network === "mainnet") return null;
  return html`<p class="notice" data-widget="test-chain"><strong>${status.network}.</strong> Coins of this chain have no value.</p>`;
}
