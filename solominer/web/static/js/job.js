// 5. The block that is being mined: who is paid, and what is in it.
import { html } from "./core.js";
import { Card, ChartTable, Figure, Figures, NoData, Section } from "./ui.js";
import { fixed, integer, money, percent, si } from "./format.js";

export function Job({ status }) {
  const why = status ? (status.pools?.length && status.coinbase ? "a pool does not tell what is in its blocks" : `no job: ${status.status}`) : "the daemon has not been reached yet";
  return html`<${Section} id="job" title="The block being mined">
    <div class="grid halves">
      <${Card} title="Coinbase" name="coinbase">${status?.coinbase ? html`<${Coinbase} coinbase=${status.coinbase} />` : html`<${NoData} why=${why} />`}</${Card}>
      <${Card} title="Template" name="template">${status?.template ? html`<${Template} template=${status.template} />` : html`<${NoData} why=${why} />`}</${Card}>
    </div>
  </${Section}>`;
}

function Coinbase({ coinbase }) {
  return html`<ul class="outputs">
      ${coinbase.outputs.map(({ sats, pays, script_hex }) => html`<li><span class="address" title=${`script ${script_hex}`}>${pays}</span> <strong>${money(sats)}</strong></li>`)}
    </ul>
    <dl class="pairs">
      <dt>Tag</dt><dd>${coinbase.tag || "none"}</dd>
      <dt>Witness commitment</dt><dd><code>${coinbase.witness_commitment_hex || "none"}</code></dd>
      <dt>Extranonce</dt><dd>${coinbase.extranonce_bytes} bytes</dd>
    </dl>
    <details class="data"><summary>Serialized, without witness</summary><p class="hex" tabindex="0"><code>${coinbase.prefix_hex}<mark>${"··".repeat(coinbase.extranonce_bytes)}</mark>${coinbase.suffix_hex}</code></p></details>`;
}

function Template({ template }) {
  const filled = template.weight / template.weight_limit;
  return html`<${Figures}>
      <${Figure} id="transactions" name="Transactions" value=${integer(template.transactions)} detail=${template.provisional ? "empty block until the template is in" : `height ${integer(template.height)}`} />
      <${Figure} id="fees" name="Fees" value=${money(template.fees_sats)} detail=${`of ${money(template.reward_sats)}`} />
      <${Figure} id="weight" name="Weight" value=${percent(filled)} detail=${`${si(template.weight, "WU")}, ${integer(template.sigops)} sigops`} />
    </${Figures}>
    ${template.fee_histogram.length ? html`<${Fees} bins=${template.fee_histogram} />` : html`<${NoData} why="the block has no transactions, so no fees to show" />`}`;
}

const WIDTH = 480;
const HEIGHT = 120;

function Fees({ bins }) {
  const most = Math.max(...bins.map(([, size]) => size));
  const step = WIDTH / bins.length;
  const all = bins.reduce((sum, [, size]) => sum + size, 0);
  const [fullest] = bins.reduce((best, bin) => (bin[1] > best[1] ? bin : best));
  const sentence = `${si(all, "vB")} of transactions; the largest bin starts at ${fullest} sat/vB, the highest at ${bins.at(-1)[0]} sat/vB.`;
  return html`<figure class="chart">
      <svg class="fees" viewBox=${`0 0 ${WIDTH} ${HEIGHT + 20}`} role="img" aria-label=${sentence}>
        ${bins.map(([low, size], index) => {
          const height = Math.max((size / most) * HEIGHT, 1);
          return html`<rect x=${index * step + 2} y=${HEIGHT - height} width=${step - 4} height=${height} rx="2" />
            <text x=${index * step + step / 2} y=${HEIGHT + 15} text-anchor="middle">${low}</text>`;
        })}
      </svg>
      <figcaption>${sentence} Each bin is labelled with its lowest feerate in sat/vB.</figcaption>
    </figure>
    <${ChartTable} title="Fees as a table" rows=${() => bins} columns=${[["From, sat/vB", ([low]) => fixed(low, 1)], ["Size", ([, size]) => `${integer(size)} vB`, "number"], ["Share", ([, size]) => percent(size / all), "number"]]} />`;
}
