// A proof of solominer (docs/evidence.md), checked with Web Crypto alone: no code of the server has a part in it.

const COMMITMENT_HEADER = "6a24aa21a9ed";
const POW_LIMIT = (1n << 224n) - 1n;
const POW_LIMITS = { mainnet: POW_LIMIT, testnet3: POW_LIMIT, testnet4: POW_LIMIT, signet: 0x377aen << 216n, regtest: (1n << 255n) - 1n };
const NOT_SECURE =
  "this browser hashes only on pages over HTTPS or on this machine; verify with `solominer verify` or scripts/verify.py instead";

export function bytes(hex) {
  if (typeof hex !== "string" || hex.length % 2 || /[^0-9a-f]/.test(hex)) throw new Error(`not hex: ${String(hex).slice(0, 40)}`);
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

export const hex = (data) => Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
const joined = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const reversed = (data) => Uint8Array.from(data).reverse();
const littleEndian = (data) => BigInt(`0x${hex(reversed(data)) || "0"}`);

async function sha256d(data) {
  const once = await crypto.subtle.digest("SHA-256", data);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", once));
}

// The number that the 4 bytes of a header's bits stand for.
export function targetOf(nbits) {
  if (nbits & 0x800000) throw new Error("the header's bits are negative");
  const exponent = BigInt(nbits >>> 24);
  const digits = BigInt(nbits & 0x7fffff);
  return exponent <= 3n ? digits >> (8n * (3n - exponent)) : digits << (8n * (exponent - 3n));
}

class Reader {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  take(size) {
    if (this.at + size > this.data.length) throw new Error("the coinbase is cut short");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }

  number(size) {
    return Number(littleEndian(this.take(size)));
  }

  length() {
    const first = this.number(1);
    return first < 253 ? first : this.number({ 253: 2, 254: 4, 255: 8 }[first]);
  }
}

// The parts of a coinbase that a proof speaks of: {stripped, scriptSig, outputs: [{sats, script}], reserved}.
export function parseCoinbase(data) {
  const reader = new Reader(data);
  const version = reader.take(4);
  const hasWitness = data[4] === 0 && data[5] === 1;
  if (hasWitness) reader.take(2);
  const start = reader.at;
  if (reader.length() !== 1) throw new Error("a coinbase has one input");
  const spent = hex(reader.take(36));
  if (spent !== "00".repeat(32) + "ffffffff") throw new Error("the coinbase spends an output: it is none");
  const scriptSig = reader.take(reader.length());
  reader.take(4);
  const outputs = Array.from({ length: reader.length() }, () => ({ sats: reader.number(8), script: hex(reader.take(reader.length())) }));
  const body = data.subarray(start, reader.at);
  const witness = hasWitness ? Array.from({ length: reader.length() }, () => reader.take(reader.length())) : [];
  const locktime = reader.take(4);
  if (reader.at !== data.length) throw new Error("bytes are left over after the coinbase");
  return { stripped: joined(version, body, locktime), scriptSig, outputs, reserved: witness[0] };
}

// How BIP 34 writes a height at the start of the scriptSig.
export function heightPush(height) {
  if (height === 0) return "00";
  if (height <= 16) return (0x50 + height).toString(16);
  const digits = [];
  for (let rest = height; rest > 0; rest = Math.floor(rest / 256)) digits.push(rest % 256);
  if (digits.at(-1) & 0x80) digits.push(0);
  return hex([digits.length, ...digits]);
}

// {checked, unchecked, wrong}: sentences. Never throws: what cannot be read is wrong.
export async function verifyProof(proof) {
  const findings = { checked: [], unchecked: [], wrong: [] };
  if (!globalThis.crypto?.subtle) return { ...findings, wrong: [NOT_SECURE] };
  const expect = (holds, checked, wrong) => (holds ? findings.checked.push(checked) : findings.wrong.push(wrong), holds);
  try {
    if (proof.schema !== "solominer-proof/1") throw new Error(`${proof.schema} is no proof that this page knows`);
    if (proof.kind !== "block" && proof.kind !== "share") throw new Error("it is neither of a block nor of a share");
    if (!(proof.network in POW_LIMITS)) throw new Error(`there is no network ${proof.network}`);
    const header = bytes(proof.header_hex);
    if (header.length !== 80) throw new Error("a header has 80 bytes");
    await checkWork(proof, header, expect);
    await checkCoinbase(proof, header, expect, findings);
  } catch (error) {
    findings.wrong.push(`cannot be read: ${error.message}`);
  }
  findings.unchecked.push(`that the chain holds the block: ask a node for getblockheader ${proof.hash}`);
  findings.unchecked.push("who found it, when, and what the nodes answered: the miner's word");
  return findings;
}

async function checkWork(proof, header, expect) {
  const hash = await sha256d(header);
  const target = targetOf(Number(littleEndian(header.subarray(72, 76))));
  expect(hex(reversed(hash)) === proof.hash, "the header hashes to the block's hash", `the header hashes to ${hex(reversed(hash))}`);
  const stated = BigInt(`0x${proof.target_hex}`) === target && BigInt(proof.expected_hashes) === (1n << 256n) / (target + 1n);
  expect(stated && target > 0n && target <= POW_LIMITS[proof.network], "the target is what the header's bits say", "the target is not what the header's bits say");
  const bound = proof.kind === "block" ? target : BigInt(`0x${proof.share_target_hex}`);
  const name = proof.kind === "block" ? "network's target" : "share target";
  expect(littleEndian(hash) <= bound, `the hash is below the ${name}`, `the hash is above the ${name}`);
}

async function checkCoinbase(proof, header, expect, findings) {
  if (!(proof.coinbase_hex || proof.coinbase_txid) || !proof.merkle_branch_hex) {
    findings.unchecked.push("that the header commits to a coinbase: it or its Merkle branch is not in the proof");
    return;
  }
  const coinbase = proof.coinbase_hex ? parseCoinbase(bytes(proof.coinbase_hex)) : null;
  let root = coinbase ? await sha256d(coinbase.stripped) : reversed(bytes(proof.coinbase_txid));
  for (const other of proof.merkle_branch_hex) root = await sha256d(joined(root, bytes(other)));
  const leads = expect(
    hex(root) === hex(header.subarray(36, 68)),
    `the coinbase leads through ${proof.merkle_branch_hex.length} hashes to the header's Merkle root`,
    "the coinbase and its branch do not give the header's Merkle root",
  );
  if (coinbase === null) findings.unchecked.push("what the coinbase says and pays: only its txid is in the proof");
  if (coinbase === null || !leads) return;
  if (littleEndian(header.subarray(0, 4)) >= 2n && proof.height > 0) {
    expect(hex(coinbase.scriptSig).startsWith(heightPush(proof.height)), `the coinbase states height ${proof.height}`, "the coinbase states another height");
  }
  await checkCommitment(proof, coinbase, expect, findings);
  const paid = coinbase.outputs.reduce((sum, { sats }) => sum + sats, 0);
  if (proof.template?.reward_sats !== undefined) {
    expect(paid === proof.template.reward_sats, `the coinbase pays ${paid} satoshis, as stated`, `the coinbase pays ${paid} satoshis, not ${proof.template.reward_sats}`);
  }
}

async function checkCommitment(proof, coinbase, expect, findings) {
  const commitment = coinbase.outputs.findLast(({ script }) => script.length >= 76 && script.startsWith(COMMITMENT_HEADER));
  if (!commitment || !proof.witness_root_hex || !coinbase.reserved) {
    findings.unchecked.push("the witnesses: there is no commitment, or what it needs is not in the proof");
    return;
  }
  const made = await sha256d(joined(bytes(proof.witness_root_hex), coinbase.reserved));
  expect(hex(made) === commitment.script.slice(12, 76), "the coinbase commits to the witness root", "the coinbase does not commit to the witness root");
}
