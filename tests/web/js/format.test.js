import assert from "node:assert/strict";
import test from "node:test";
import * as format from "./static/js/format.js";

const cases = {
  si: [
    [[0, "H/s"], "0 H/s"],
    [[1.234e12, "H/s"], "1.23 TH/s"],
    [[999.4], "999"],
    [[999.6], "1.00 k"],
    [[999_600, "H/s"], "1.00 MH/s"],
    [[12_345], "12.3 k"],
    [[123_456], "123 k"],
    [[4.65e-10], "465 p"],
    [[0.0021, "s"], "2.10 ms"],
    [[1e40], "10000000000 Q"],
    [[-1500], "-1.50 k"],
    [[null], "–"],
    [[NaN], "–"],
    [[undefined], "–"],
  ],
  rateInterval: [
    [[1.18e12, 1.28e12], "1.18–1.28 TH/s"],
    [[9.5e11, 1.05e12], "950 GH/s – 1.05 TH/s"],
    [[0, 1e6], "0 H/s – 1.00 MH/s"],
    [[null, 1], "–"],
  ],
  money: [
    [[312_500_000], "3.12500000 BTC"],
    [[100_000], "0.00100000 BTC"],
    [[99_999], "99,999 sat"],
    [[0], "0 sat"],
    [[2_100_000_000_000_000], "21,000,000.00000000 BTC"],
    [[null], "–"],
  ],
  duration: [
    [[-3], "0 s"],
    [[0.0021], "2.10 ms"],
    [[59.9], "59 s"],
    [[192], "3 min 12 s"],
    [[7200], "2 h"],
    [[90_000], "1 d 1 h"],
    [[3600 * 24 * 365.25 * 3666], "3,666 years"],
    [[1e18], "3.2e+10 years"],
    [[null], "–"],
  ],
  chance: [
    [[0], "0 %"],
    [[0.5], "50 %"],
    [[0.000273], "0.027 %"],
    [[1 / 1_340_123], "1 in 1,340,000"],
    [[1e-20], "1 in 1.00e+20"],
    [[0.99999], "> 99.9 %"],
    [[null], "–"],
  ],
  percent: [
    [[0.998], "99.8 %"],
    [[1.5, 0], "150 %"],
    [[null], "–"],
  ],
  clock: [
    [[1795945204, "Europe/Zurich"], "10:40:04"],
    [[1795945204, "UTC"], "09:40:04"],
    [[0, "UTC"], "–"],
  ],
  dateTime: [
    [[1795945204, "Europe/Zurich"], "29 Nov 2026, 10:40:04 CET"],
    [[1782000000, "Europe/Zurich"], "21 Jun 2026, 02:00:00 CEST"],
    [[null, "UTC"], "–"],
  ],
  zoneName: [
    [[1795945204, "Europe/Zurich"], "CET"],
    [[1795945204, "UTC"], "UTC"],
  ],
  shortHash: [
    [["00000000000000000001a7c94f8ee04b3c5d1be27a90f6cd18e35b7042d6f9ac"], "00000000…42d6f9ac"],
    [[""], "–"],
  ],
  plural: [
    [[1, "share"], "1 share"],
    [[1200, "share"], "1,200 shares"],
    [[0, "entry", "entries"], "0 entries"],
  ],
};

for (const [name, pairs] of Object.entries(cases)) {
  for (const [args, expected] of pairs) {
    test(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`, () => assert.equal(format[name](...args), expected));
  }
}
