"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // Filters: rows show if their text contains all words, and the button of their value is pressed.
  for (const box of all(".filtered")) {
    const controls = box.querySelector(".controls");
    const search = box.querySelector(".filter-text");
    const chips = all(".chip[data-value]", box);
    const onlyFailed = box.querySelector(".only-failed");
    const rows = all(".filterable", box);
    const none = box.querySelector(".none-found");
    const texts = new Map();
    // Of a test its name and place, of others all.
    const textOf = (row) => {
      if (!texts.has(row)) texts.set(row, (row.querySelector(":scope > summary h3") ?? row).textContent.toLowerCase());
      return texts.get(row);
    };
    const unprinted = box.querySelector(".unprinted");
    const isPressed = (chip) => chip.ariaPressed === "true";
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const pressed = new Set(chips.filter(isPressed).map((chip) => chip.dataset.value));
      let number = 0;
      for (const row of rows) {
        const shown = pressed.has(row.dataset.value) && words.every((word) => textOf(row).includes(word));
        row.hidden = !shown;
        number += shown;
      }
      const [shown, inAll] = [number, box.dataset.all ?? rows.length].map((each) => Number(each).toLocaleString("en"));
      box.querySelector(".found").textContent = `${shown} of ${inAll} shown`;
      if (none) none.hidden = number > 0;
      if (unprinted) {
        unprinted.textContent = (number - 30).toLocaleString("en");
        unprinted.parentElement.hidden = number <= 30;
      }
      if (onlyFailed) onlyFailed.ariaPressed = String(chips.every((chip) => isPressed(chip) === "failed" in chip.dataset));
    };
    const press = (which) => chips.forEach((chip) => { chip.ariaPressed = String(which(chip)); });
    // The address has the filter of the tests, so that it is there again when the page is loaded again.
    const isKept = box.closest("#tests") !== null;
    const keep = () => {
      const without = chips.filter((chip) => !isPressed(chip)).map((chip) => chip.dataset.value);
      const filter = new URLSearchParams({ filter: search.value, without: without.join(",") });
      const isFiltered = search.value !== "" || without.length > 0;
      history.replaceState(null, "", isFiltered ? `#${filter}` : location.pathname + location.search);
    };
    const changed = () => {
      apply();
      if (isKept) keep();
    };
    if (isKept && location.hash.startsWith("#filter=")) {
      const kept = new URLSearchParams(location.hash.slice(1));
      const without = new Set((kept.get("without") ?? "").split(","));
      search.value = kept.get("filter");
      press((chip) => !without.has(chip.dataset.value));
    }
    controls.hidden = false;
    search.addEventListener("input", changed);
    for (const chip of chips) {
      chip.addEventListener("click", () => {
        chip.ariaPressed = String(!isPressed(chip));
        changed();
      });
    }
    onlyFailed?.addEventListener("click", () => {
      const isOn = isPressed(onlyFailed);
      press((chip) => isOn || "failed" in chip.dataset);
      changed();
    });
    const order = box.querySelector(".order");
    if (order) {
      const rankOf = (row) => chips.findIndex((chip) => chip.dataset.value === row.dataset.value);
      const numberOf = (row) => Number(row.id.slice("test-".length));
      const orders = {
        number: (a, b) => numberOf(a) - numberOf(b),
        name: (a, b) => collator.compare(textOf(a), textOf(b)),
        seconds: (a, b) => b.dataset.seconds - a.dataset.seconds,
        rank: (a, b) => rankOf(a) - rankOf(b) || numberOf(a) - numberOf(b),
      };
      order.addEventListener("change", () => box.querySelector(".list").append(...rows.sort(orders[order.value])));
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
    for (let within = target; within; within = within.parentElement) {
      if (within.hidden) within.hidden = false;
      if (within.tagName === "DETAILS") within.open = true;
    }
    target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();

  // A failure shows the figures of its tests small; their data is in the page once.
  for (const link of all(".thumb")) {
    const figure = document.querySelector(`${link.hash} img`);
    const small = document.createElement("img");
    small.src = figure.src;
    small.alt = "";
    link.prepend(small);
  }

  // Tracebacks and the command can be copied; where the clipboard can't be used, the text is selected.
  const addCopy = (beside, parts, what) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-label", `Copy ${what}`);
    const say = (word) => {
      button.textContent = word;
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    };
    const select = () => {
      const range = document.createRange();
      range.setStartBefore(parts[0].firstChild);
      range.setEndAfter(parts.at(-1).lastChild);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      say("Selected");
    };
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(parts.map((part) => part.textContent).join("\n...\n"));
        say("Copied");
      } catch {
        select();
      }
    });
    beside.append(button);
  };
  for (const heading of all(".failure h4")) {
    const parts = [];
    for (let next = heading.nextElementSibling; next && next.tagName !== "H4"; next = next.nextElementSibling) {
      if (next.tagName === "PRE") parts.push(next);
    }
    addCopy(heading, parts, heading.textContent);
  }
  addCopy(document.querySelector(".command"), all(".command code"), "the command");

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
