"use strict";
// Two rows side by side: their curves over each other, their numbers and differences.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const selects = [document.getElementById("a"), document.getElementById("b")];
  const sections = [...document.querySelectorAll("section[data-standing]")];
  const said = document.getElementById("said");
  const out = document.getElementById("differences");
  const sides = ["side-a", "side-b"];
  let pair = [null, null];

  const followers = followCharts(
    data,
    (run) => !pair.some((row) => row && String(row.run) === run),
    (run) => (pair[0] && pair[0].run === run ? 0 : 1),
  );

  const text = (measure, value) => {
    if (value === null) return "-";
    if (measure.shape === "share") return (100 * value).toFixed(1);
    return (measure.shape === "memory" ? value / 2 ** 30 : value).toFixed(2);
  };
  const signed = (measure, value) => (value > 0 ? "+" : "") + text(measure, value).replace("-", "\u2212");
  const range = (measure, low, high, write = text) =>
    low === null || high === null ? "" : `${write(measure, low)} to ${write(measure, high)}`;

  const cell = (value, interval) => {
    const made = document.createElement("td");
    made.append(element("b", value), " ", element("small", interval));
    return made;
  };

  const number = (measure, [value, low, high]) => cell(text(measure, value), range(measure, low, high));

  const verdict = (measure, [value, low, high], [a, b]) => {
    if (a.values[measure.key][0] === null || b.values[measure.key][0] === null) return ["not measured", ""];
    if (value === null) return ["nothing in common", ""];
    if (value === 0 && !low && !high) return ["the same", "even"];
    if (low === null || high === null) return ["no interval", ""];
    if (low <= 0 && high >= 0) return ["could be chance", "even"];
    return [`${((value > 0) === measure.more ? a : b).label} is better`, "clear"];
  };

  const differences = ([a, b]) => {
    const found = data.pairs[a.standing][a.run < b.run ? `${a.run}-${b.run}` : `${b.run}-${a.run}`];
    const turn = ([value, low, high]) => (a.run < b.run || value === null ? [value, low, high]
      : [-value, high === null ? null : -high, low === null ? null : -low]);
    const body = document.createElement("tbody");
    data.measures.forEach((measure, at) => {
      const difference = turn(found[at]);
      const row = document.createElement("tr");
      const heading = element("th", measure.heading);
      heading.scope = "row";
      const [words, className] = verdict(measure, difference, [a, b]);
      row.append(heading, number(measure, a.values[measure.key]), number(measure, b.values[measure.key]),
        cell(
          difference[0] === null ? "-" : signed(measure, difference[0]),
          range(measure, difference[1], difference[2], signed),
        ),
        element("td", words, className));
      body.append(row);
    });
    const row = document.createElement("tr");
    const heading = element("th", "edits before collapse");
    heading.scope = "row";
    row.append(heading, element("td", a.survived), element("td", b.survived), element("td", ""), element("td", ""));
    body.append(row);
    return body;
  };

  const show = () => {
    for (const follower of followers) follower.clear();
    const [a, b] = pair;
    const same = a && b && a.standing === b.standing && a !== b;
    for (const section of sections) {
      section.hidden = !same || section.dataset.standing !== String(a.standing);
      if (section.hidden) continue;
      for (const group of section.querySelectorAll("svg [data-run]")) {
        const side = pair.findIndex((row) => group.dataset.run === String(row.run));
        group.classList.remove(...sides);
        group.classList.toggle("rest", side < 0);
        // What is chosen is drawn over the rest.
        if (side >= 0) { group.classList.add(sides[side]); group.parentNode.append(group); }
      }
      for (const cursor of section.querySelectorAll("svg > g:not([class])")) cursor.parentNode.append(cursor);
    }
    out.hidden = !same;
    document.title = same ? `${a.label} and ${b.label}` : "Compare two rows";
    said.replaceChildren();
    if (!a || !b) said.textContent = "Choose two rows.";
    else if (a === b) said.textContent = "These are the same row: choose another one.";
    else if (!same) unlike(a, b);
    else {
      out.querySelector("tbody").replaceWith(differences(pair));
      pair.forEach((row, at) => {
        const link = element("a", row.label, `run r${at}`);
        link.href = row.page;
        out.querySelectorAll("thead th")[1 + at].replaceChildren(link);
      });
      said.textContent = `${a.label} minus ${b.label}`;
    }
  };

  const unlike = (a, b) => {
    const [left, right] = [data.parts[a.standing], data.parts[b.standing]];
    const differing = Object.keys(left).filter((part) => left[part] !== right[part]);
    said.append(element("p", "These two were not measured in the same way, so their numbers cannot be compared. What differs:"));
    const list = document.createElement("ul");
    for (const part of differing) list.append(element("li", `${part}: ${left[part]} against ${right[part]}`));
    said.append(list);
  };

  const byId = (id) => data.rows.find((row) => row.id === id) || null;
  const choose = () => { pair = selects.map((select) => byId(select.value)); show(); };

  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const found = [byId(asked.get("a")), byId(asked.get("b"))];
    // Who names one row is shown it beside the best of the same table.
    const known = found[0] || found[1];
    const best = data.rows.filter((row) => row !== known && (!known || row.standing === known.standing));
    selects.forEach((select, at) => { select.value = (found[at] || best.shift() || data.rows[0]).id; });
    choose();
  };
  const write = () => history.replaceState(null, "", `#a=${selects[0].value}&b=${selects[1].value}`);

  for (const select of selects) select.addEventListener("change", () => { choose(); write(); });
  document.getElementById("swap").addEventListener("click", () => {
    [selects[0].value, selects[1].value] = [selects[1].value, selects[0].value];
    choose();
    write();
  });
  addEventListener("hashchange", () => { if (!location.hash || location.hash.includes("=")) read(); });
  read();
})();
