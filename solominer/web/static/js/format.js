// Numbers and times as people read them. Pure: no DOM, no clock. Times in are Unix seconds.

export const NONE = "–";

const PREFIXES = ["q", "r", "y", "z", "a", "f", "p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q"];
const UNITY = PREFIXES.indexOf("");
const STEPS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
export const YEAR_SECS = 365.25 * 86400;

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// "1.23 TH/s": three significant digits and an SI prefix.
export function si(value, unit = "") {
  if (!isNumber(value)) return NONE;
  if (value === 0) return unit ? `0 ${unit}` : "0";
  let power = Math.floor(Math.log10(Math.abs(value)) / 3);
  if (Math.abs(value) / 1000 ** power >= 999.5) power += 1;
  power = Math.min(Math.max(power, -UNITY), PREFIXES.length - 1 - UNITY);
  const text = threeDigits(value / 1000 ** power);
  const suffix = PREFIXES[power + UNITY] + unit;
  return suffix ? `${text} ${suffix}` : text;
}

function threeDigits(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

export const rate = (hps) => si(hps, "H/s");

// "1.18–1.28 TH/s", the unit once where both ends have the same.
export function rateInterval(low, high) {
  if (!isNumber(low) || !isNumber(high)) return NONE;
  const [from, to] = [rate(low), rate(high)];
  const [number, unit] = from.split(" ");
  return to.endsWith(` ${unit}`) ? `${number}–${to}` : `${from} – ${to}`;
}

export const integer = (value) => (isNumber(value) ? Math.round(value).toLocaleString("en-US") : NONE);

export function fixed(value, digits) {
  return isNumber(value) ? value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : NONE;
}

// Satoshis as bitcoin from 0.001 on, else as satoshis.
export function money(sats) {
  if (!isNumber(sats)) return NONE;
  return Math.abs(sats) >= 100_000 ? `${fixed(sats / 1e8, 8)} BTC` : `${integer(sats)} sat`;
}

// A length of time in its two largest units: "3 min 12 s"; from 2 years on in years.
export function duration(secs) {
  if (!isNumber(secs)) return NONE;
  if (secs < 0) return "0 s";
  if (secs < 1) return si(secs, "s");
  if (secs >= 2 * YEAR_SECS) {
    const years = secs / YEAR_SECS;
    return `${years < 1e6 ? integer(years) : years.toExponential(1)} years`;
  }
  const first = STEPS.findIndex(([, size]) => secs >= size);
  const [unit, size] = STEPS[first];
  let count = Math.floor(secs / size);
  if (first === STEPS.length - 1) return `${count} s`;
  const [smallUnit, smallSize] = STEPS[first + 1];
  const rest = Math.floor((secs - count * size) / smallSize);
  return rest ? `${count} ${unit} ${rest} ${smallUnit}` : `${count} ${unit}`;
}

// A probability: "12 %", "0.034 %", and "1 in 1,230,000" where per cent say little.
export function chance(probability) {
  if (!isNumber(probability)) return NONE;
  if (probability <= 0) return "0 %";
  if (probability >= 0.9995) return "> 99.9 %";
  if (probability >= 0.0001) return `${Number((probability * 100).toPrecision(2))} %`;
  const inverse = Number((1 / probability).toPrecision(3));
  return `1 in ${inverse < 1e15 ? integer(inverse) : inverse.toExponential(2)}`;
}

export const percent = (fraction, digits = 1) => (isNumber(fraction) ? `${fixed(fraction * 100, digits)} %` : NONE);

const DAY = { day: "numeric", month: "short", year: "numeric" };
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

function local(at, options, zone) {
  return isNumber(at) && at > 0 ? new Date(at * 1000).toLocaleString("en-GB", { ...options, timeZone: zone }) : NONE;
}

// The reader's own time; `zone` is an IANA name for tests.
export const clock = (at, zone) => local(at, CLOCK, zone);
export const date = (at, zone) => local(at, DAY, zone);
export const dateTime = (at, zone) => local(at, { ...DAY, ...CLOCK, timeZoneName: "short" }, zone);
export const shortDate = (at, zone) => local(at, { day: "numeric", month: "short" }, zone);
export const hourMinute = (at, zone) => local(at, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, zone);

export function zoneName(at, zone) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "short" }).formatToParts(new Date(at * 1000));
  return parts.find((part) => part.type === "timeZoneName").value;
}

// "00000000…a1b2c3d4"
export const shortHash = (hash) => (hash && hash.length > 20 ? `${hash.slice(0, 8)}…${hash.slice(-8)}` : hash || NONE);

export const plural = (count, one, many = `${one}s`) => `${integer(count)} ${count === 1 ? one : many}`;
