// 4. Found blocks: what became of them, and their proofs.
import { html, useState } from "./core.js";
import { get } from "./api.js";
import { Badge, Card, NoData, NotUpdated, Section, Time } from "./ui.js";
import { clock, integer, money, plural, shortHash } from "./format.js";
import { verifyProof } from "./verify.js";

const MATURE = 100;
const KINDS = { accepted: "good", confirmed: "good", mature: "good", stale: "bad", rejected: "bad" };

// The records' blocks with the newest state from the daemon; those alone where the records are not to be had.
export function merged(recorded, status) {
  const live = new Map((status?.blocks ?? []).map((block) => [block.hash_hex, block]));
  const blocks = recorded.map((block) => ({ ...block, ...live.get(block.hash) }));
  const known = new Set(recorded.map((block) => block.hash));
  const others = [...live.values()].filter((block) => !known.has(block.hash_hex)).map((block) => ({ ...block, hash: block.hash_hex }));
  return [...blocks, ...others].sort((one, other) => other.height - one.height);
}

export function Blocks({ answer, status, onMore }) {
  const blocks = merged(answer.data?.blocks ?? [], status);
  return html`<${Section} id="blocks" title="Blocks">
    <${Card} title=${blocks.length ? "Found blocks, newest first" : "Found blocks"} wide name="blocks">
      ${blocks.length ? html`<ul class="blocks">${blocks.map((block) => html`<${Block} key=${block.hash} block=${block} />`)}</ul>` : html`<${NoData} why=${answer.error ?? "no block has been found yet"} />`}
      ${onMore && answer.data?.next && html`<button type="button" class="quiet" onClick=${onMore}>Older blocks</button>`}
      ${blocks.length > 0 && answer.error && html`<p class="note">Only the daemon's newest: ${answer.error}</p>`}
      <${NotUpdated} answer=${answer} />
    </${Card}>
  </${Section}>`;
}

function Block({ block }) {
  const maturesIn = Math.max(MATURE - block.confirmations, 0);
  const lost = KINDS[block.state] === "bad";
  return html`<li class="block" data-hash=${block.hash}>
    <div class="block-main">
      <strong>${integer(block.height)}</strong> <${Badge} kind=${KINDS[block.state] ?? ""}>${block.state}</${Badge}>
      <code title=${block.hash}>${shortHash(block.hash)}</code>
      ${block.found_at && html`<span>found <${Time} at=${block.found_at} />${block.worker && html` by ${block.worker}`}</span>`}
    </div>
    <div class="block-side">
      <strong>${money(block.reward_sats)}</strong>
      ${!lost && html`<label>${plural(block.confirmations, "confirmation")}, ${maturesIn ? `matures in ${plural(maturesIn, "block")}` : "mature"}
        <meter min="0" max=${MATURE} value=${Math.min(block.confirmations, MATURE)}></meter></label>`}
    </div>
    <${Life} block=${block} />
    ${block.proof && html`<${Proof} path=${block.proof} hash=${block.hash} />`}
  </li>`;
}

function Life({ block }) {
  const steps = [
    ...(block.states ?? []).map(({ at, state, reason }) => [at, reason ? `${state}: ${reason}` : state]),
    ...(block.answers ?? []).map(({ at, node, answer }) => [at, `${node}: ${answer}`]),
  ].sort(([one], [other]) => one - other);
  if (steps.length === 0) return null;
  return html`<details><summary>History: ${plural(steps.length, "entry", "entries")}</summary>
    <ol class="steps">${steps.map(([at, what]) => html`<li><time title="local time">${clock(at)}</time> ${what}</li>`)}</ol>
  </details>`;
}

function Proof({ path, hash }) {
  const [findings, setFindings] = useState(null);
  async function verify() {
    try {
      setFindings(await verifyProof(await get(path.replace("/api/v1", ""))));
    } catch (error) {
      setFindings({ checked: [], unchecked: [], wrong: [error.message] });
    }
  }
  return html`<div class="proof">
    <a class="button small" href=${`${path}?download=1`} download=${`${hash}.json`}>Download proof</a>
    <button type="button" class="small" onClick=${verify}>Verify</button>
    ${findings && html`<${Findings} findings=${findings} />`}
  </div>`;
}

function Findings({ findings: { checked, unchecked, wrong } }) {
  const list = (mark, name, texts) => texts.map((text) => html`<li class=${name}><b>${mark}</b> ${text}</li>`);
  return html`<div class="findings" role="status" data-holds=${String(wrong.length === 0)}>
    <strong>${wrong.length ? "The proof does not hold" : "The proof holds"}</strong>
    <ul>${list("Wrong:", "bad", wrong)}${list("Checked:", "", checked)}${list("Not checked:", "note", unchecked)}</ul>
  </div>`;
}
