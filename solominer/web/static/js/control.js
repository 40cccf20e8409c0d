// What a visitor with the role `control` can do.
import { html, useState } from "./core.js";
import { post } from "./api.js";

const BY_HAND = "by hand";

// Runs `path`; returns [busy, error, run].
function useControl() {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(null);
  async function run(action) {
    setBusy(true);
    try {
      await post(`/control/${action}`);
      setError(null);
    } catch (failure) {
      setError(failure.message);
    }
    setBusy(false);
  }
  return [busy, error, run];
}

export function PauseButton({ status, session }) {
  const [busy, error, run] = useControl();
  if (session.role !== "control") return null;
  const paused = status.pauses.includes(BY_HAND);
  const others = status.pauses.filter((reason) => reason !== BY_HAND);
  return html`<div class="control">
    <button type="button" class=${paused ? "primary" : ""} disabled=${busy} onClick=${() => run(paused ? "resume" : "pause")}>${paused ? "Resume" : "Pause"}</button>
    ${others.length > 0 && html`<p class="note">Also paused: ${others.join(", ")}</p>`}
    ${error && html`<p class="note" role="alert">${error}</p>`}
  </div>`;
}

// Trades a token for a cookie.
export function Login({ onDone }) {
  const [error, setError] = useState(null);
  async function submit(event) {
    event.preventDefault();
    try {
      await post("/login", { token: new FormData(event.target).get("token").trim() });
      onDone();
    } catch (failure) {
      setError(failure.message);
    }
  }
  return html`<form class="card login" onSubmit=${submit}>
    <h1>Log in</h1>
    <label for="token">Token</label>
    <input id="token" name="token" type="password" autocomplete="current-password" required aria-describedby="token-help" />
    <p id="token-help" class="note">Make one on the miner: <code>solominer web token add</code></p>
    ${error && html`<p class="trouble" role="alert">${error}</p>`}
    <button type="submit" class="primary">Log in</button>
  </form>`;
}

export function LogoutButton({ session, onDone }) {
  if (session.local || !session.role) return null;
  return html`<button type="button" class="small" onClick=${() => post("/logout").then(onDone, onDone)}>Log out</button>`;
}
