// Runs before the first paint: the theme that was chosen here, or else the system's.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let kept = null;
  try {
    kept = localStorage.getItem("solominer.theme");
  } catch {
    // no storage: the system's theme
  }
  const root = document.documentElement;
  const apply = (chosen) => {
    root.dataset.chosen = chosen;
    root.dataset.theme = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
  };
  apply(kept === "light" || kept === "dark" ? kept : "system");
  dark.addEventListener("change", () => apply(root.dataset.chosen));
  addEventListener("solominer-theme", (event) => apply(event.detail));
})();
