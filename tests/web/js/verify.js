// Verdicts on proofs: a JSON array of proofs on standard input, their findings on standard output.
import { readFileSync } from "node:fs";
import { verifyProof } from "./static/js/verify.js";

const proofs = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(await Promise.all(proofs.map(verifyProof))));
