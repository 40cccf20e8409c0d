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

export function LogoutButton({ session }) {
  if (session.local || !session.role) return null;
  const logOut = () => post("/logout").finally(() => location.replace("/login"));
  return html`<button type="button" class="small" onClick=${logOut}>Log out</button>`;
}
