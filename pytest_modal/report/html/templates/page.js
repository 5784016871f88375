"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // Filters: rows show if their text contains all words, and the button of their value is pressed.
  for (const box of all(".filtered")) {
    const controls = box.querySelector(".controls");
    const search = box.querySelector(".filter-text");
    const chips = all(".chip", box);
    const rows = all(".filterable", box);
    const none = box.querySelector(".none-found");
    const texts = new Map();
    const textOf = (row) => {
      if (!texts.has(row)) texts.set(row, row.dataset.search ?? row.textContent.toLowerCase());
      return texts.get(row);
    };
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const pressed = new Set(chips.filter((chip) => chip.ariaPressed === "true").map((chip) => chip.dataset.value));
      let number = 0;
      for (const row of rows) {
        const shown = pressed.has(row.dataset.value) && words.every((word) => textOf(row).includes(word));
        row.hidden = !shown;
        number += shown;
      }
      box.querySelector(".found").textContent = `${number} of ${rows.length} shown`;
      if (none) none.hidden = number > 0;
    };
    controls.hidden = false;
    search.addEventListener("input", apply);
    for (const chip of chips) {
      chip.addEventListener("click", () => {
        chip.ariaPressed = chip.ariaPressed === "true" ? "false" : "true";
        apply();
      });
    }
    const order = box.querySelector(".order");
    if (order) {
      order.addEventListener("change", () => {
        const by = order.value;
        const value = (row) => row.dataset[by];
        const compare = by === "search" ? (a, b) => collator.compare(value(a), value(b))
          : by === "seconds" ? (a, b) => value(b) - value(a)
          : (a, b) => value(a) - value(b) || a.dataset.number - b.dataset.number;
        box.querySelector(".list").append(...rows.sort(compare));
      });
      const toggle = (open) => () => rows.forEach((row) => { row.open = open; });
      box.querySelector(".open-all").addEventListener("click", toggle(true));
      box.querySelector(".close-all").addEventListener("click", toggle(false));
    }
    apply();
  }

  // Tables are sorted by a click on a heading.
  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.sort ?? cell.textContent.trim();
  };
  const between = (a, b) => {
    const [first, second] = [a, b].map((text) => (text === "" ? NaN : Number(text.replace(/[,%]/g, ""))));
    return Number.isNaN(first) || Number.isNaN(second) ? collator.compare(a, b) : first - second;
  };
  for (const table of all("table.sortable")) {
    const body = table.tBodies[0];
    if (body.rows.length < 2) continue;
    all("thead th", table).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const turn = heading.ariaSort === "ascending" ? -1 : 1;
        all("thead th", table).forEach((other) => other.removeAttribute("aria-sort"));
        heading.ariaSort = turn > 0 ? "ascending" : "descending";
        body.append(...[...body.rows].sort((a, b) => turn * between(key(a, column), key(b, column))));
      });
    });
  }

  // A link to something that is closed opens it.
  const reveal = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    if (!target) return;
    if (target.hidden) target.hidden = false;
    if (target.tagName === "DETAILS") target.open = true;
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // A figure is shown large by a click.
  const dialog = document.getElementById("zoom");
  for (const image of all(".picture img")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "zoomer";
    button.setAttribute("aria-label", `${image.alt}, show it large`);
    image.replaceWith(button);
    button.append(image);
    button.addEventListener("click", () => {
      const large = dialog.querySelector("img");
      large.src = image.src;
      large.alt = image.alt;
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
})();
