"use strict";
// Sorting, filtering and choosing a pair; all of it is in the address, so that a link brings it back.
(() => {
  const tables = [...document.querySelectorAll("table.board")];
  const controls = [...document.querySelectorAll("#filters [data-filter]")];
  const count = document.getElementById("count");
  const empty = document.getElementById("empty");
  const tray = document.getElementById("tray");
  const fresh = () => ({ sort: "s", reverse: false, pair: [] });
  let state = fresh();

  const rowsOf = (table) => [...table.tBodies[0].rows];
  const all = tables.flatMap(rowsOf);

  // --- Sorting -----------------------------------------------------------------------------
  const value = (row, key) => {
    const cell = row.querySelector(`[data-key="${CSS.escape(key)}"]`);
    const text = cell ? cell.dataset.value : "";
    if (text === "") return null;
    return key === "editor" ? text : Number(text);
  };

  const sort = () => {
    for (const table of tables) {
      const heading = table.querySelector(`th[data-sort="${CSS.escape(state.sort)}"]`);
      if (!heading) continue;
      const up = (heading.dataset.first === "ascending") !== state.reverse;
      for (const other of table.tHead.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = (a, b) => {
        const [left, right] = [value(a, state.sort), value(b, state.sort)];
        if (left === right) return a.dataset.place - b.dataset.place;
        if (left === null) return 1;
        if (right === null) return -1;
        return (left < right ? -1 : 1) * (up ? 1 : -1);
      };
      const rows = rowsOf(table), sorted = [...rows].sort(order);
      // Moving a row takes the focus from what is in it.
      if (sorted.some((row, at) => row !== rows[at])) table.tBodies[0].append(...sorted);
    }
  };

  for (const button of document.querySelectorAll("th[data-sort] button")) {
    button.addEventListener("click", () => {
      const key = button.closest("th").dataset.sort;
      state.reverse = key === state.sort && !state.reverse;
      state.sort = key;
      apply();
    });
  }

  // --- Filtering ---------------------------------------------------------------------------
  const conditions = {
    q: (row, words) => words.toLowerCase().split(/\s+/).every((word) => row.dataset.text.includes(word)),
    model: (row, name) => row.dataset.model === name,
    suite: (row, name) => row.dataset.suite === name,
    kind: (row, name) => row.dataset.kind === name,
    needs: (row, name) => JSON.parse(row.dataset.needs).includes(name),
    without: (row, name) => !JSON.parse(row.dataset.needs).includes(name),
  };

  const chosen = () => controls
    .map((control) => [control.dataset.filter, control.type === "checkbox" ? (control.checked ? control.value : "") : control.value.trim()])
    .filter(([, wanted]) => wanted !== "");

  const filter = () => {
    const wanted = chosen();
    for (const row of all) row.hidden = !wanted.every(([name, what]) => conditions[name](row, what));
    const shown = all.filter((row) => !row.hidden).length;
    for (const table of tables) {
      table.closest("section").hidden = rowsOf(table).every((row) => row.hidden);
    }
    const said = `${shown} of ${all.length} rows shown`;
    if (count.textContent !== said) count.textContent = said;
    empty.hidden = shown > 0;
    document.getElementById("reset").hidden = !wanted.length;
  };

  for (const control of controls) {
    control.addEventListener(control.type === "search" ? "input" : "change", () => apply());
  }
  document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("reset").addEventListener("click", () => {
    for (const control of controls) { if (control.type === "checkbox") control.checked = false; else control.value = ""; }
    apply();
    controls[0].focus();
  });

  // --- Two rows to compare -----------------------------------------------------------------
  const boxes = [...document.querySelectorAll("input[data-pair]")];
  for (const box of boxes) {
    box.addEventListener("change", () => {
      const id = box.dataset.pair;
      state.pair = box.checked ? [...state.pair, id].slice(-2) : state.pair.filter((each) => each !== id);
      apply();
    });
  }

  const choosePair = () => {
    for (const box of boxes) box.checked = state.pair.includes(box.dataset.pair);
    tray.hidden = !state.pair.length;
    const names = state.pair.map((id) => boxes.find((box) => box.dataset.pair === id).dataset.label);
    document.getElementById("chosen").textContent = names.join(" and ") + (names.length < 2 ? ": choose a second one" : "");
    const link = document.getElementById("to-compare");
    link.hidden = names.length < 2;
    link.href = `compare.html#a=${state.pair[0]}&b=${state.pair[1]}`;
  };
  document.getElementById("clear").addEventListener("click", () => { state.pair = []; apply(); });

  // --- The address -------------------------------------------------------------------------
  const write = () => {
    const said = new URLSearchParams();
    if (state.sort !== "s" || state.reverse) said.set("sort", (state.reverse ? "-" : "") + state.sort);
    for (const [name, what] of chosen()) said.append(name, what);
    if (state.pair.length) said.set("pair", state.pair.join("."));
    const text = said.toString();
    if (text !== location.hash.slice(1)) {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    }
  };

  const read = () => {
    const said = new URLSearchParams(location.hash.slice(1));
    state = fresh();
    const sorted = said.get("sort") || "s";
    const key = sorted.replace(/^-/, "");
    if (document.querySelector(`th[data-sort="${CSS.escape(key)}"]`)) {
      state.sort = key;
      state.reverse = sorted.startsWith("-");
    }
    for (const control of controls) {
      const values = said.getAll(control.dataset.filter);
      if (control.type === "checkbox") control.checked = values.includes(control.value);
      else control.value = values[0] || "";
      // A select has no such choice: then it is not made.
      if (control.selectedIndex === -1) control.value = "";
    }
    state.pair = (said.get("pair") || "").split(".").filter((id) => boxes.some((box) => box.dataset.pair === id)).slice(0, 2);
  };

  const apply = () => { sort(); filter(); choosePair(); write(); };
  addEventListener("hashchange", () => {
    // A jump to a part of the page is no change of what is shown.
    if (location.hash && !location.hash.includes("=")) return;
    read();
    apply();
  });
  if (!location.hash || location.hash.includes("=")) read();
  sort(); filter(); choosePair();
})();
