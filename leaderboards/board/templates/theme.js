"use strict";
// Before anything is painted: the choice between light and dark, where the browser lets us remember it.
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  try {
    const chosen = localStorage.getItem("seqedit-bench-theme");
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
  } catch { /* Storage is switched off: the system's choice it is. */ }
  addEventListener("DOMContentLoaded", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    document.getElementById("theme").addEventListener("click", () => {
      const now = root.dataset.theme || (dark.matches ? "dark" : "light");
      root.dataset.theme = now === "dark" ? "light" : "dark";
      try { localStorage.setItem("seqedit-bench-theme", root.dataset.theme); } catch { /* As above. */ }
    });
  });
})();
