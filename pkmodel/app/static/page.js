/* The page's own fields: what changes goes to the server as one batch whenever it is idle, so that a drag never waits
   for pictures that nobody wants any more; and what the server says is put into the fields. */
(() => {
  "use strict";
  let pending = {}, inflight = false, count = 0, since = 0;
  const ready = () => window.Shiny && Shiny.setInputValue;
  const id = (path) => "f-" + path.replaceAll(".", "-").replaceAll("@", "arm");

  function send() {
    if (!ready() || Object.keys(pending).length === 0) return;
    if (inflight && performance.now() - since < 3000) return;
    inflight = true;
    since = performance.now();
    const edits = pending;
    pending = {};
    Shiny.setInputValue("edits", { n: ++count, edits }, { priority: "event" });
  }
  setInterval(send, 500);

  function value(el) {
    if (el.type === "checkbox") return el.checked;
    return el.value;
  }
  function edit(el) {
    if (el.dataset.list) {
      const all = document.querySelectorAll(`[data-list="${el.dataset.list}"]:checked`);
      pending[el.dataset.list] = Array.from(all, (one) => one.value);
    } else {
      pending[el.dataset.path] = value(el);
      for (const twin of document.querySelectorAll(`[data-path="${el.dataset.path}"]`))
        if (twin !== el) twin.value = el.value;
    }
    send();
  }
  document.addEventListener("input", (event) => {
    if (event.target.type === "range" && event.target.dataset.path) edit(event.target);
  });
  document.addEventListener("change", (event) => {
    const el = event.target;
    if (el.dataset.pick) {
      if (el.value) act(el.dataset.pick, el.value);
      if (el.dataset.pick === "preset") el.value = "";
    } else if ((el.dataset.path || el.dataset.list) && el.type !== "range") edit(el);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input[data-path]:not([type=range])")) edit(event.target);
    const typing = event.target.matches("input:not([type=range]):not([type=checkbox]), textarea");
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && !typing && (key === "z" || key === "y")) {
      event.preventDefault();
      act(key === "z" && !event.shiftKey ? "undo" : "redo", "");
    }
  });

  function act(name, arg, extra) {
    if (!ready()) return;
    send();
    Shiny.setInputValue("act", { n: ++count, act: name, arg, ...extra }, { priority: "event" });
  }
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (!button) return;
    if (button.dataset.act === "copy") return copy(button);
    const form = button.closest("[data-form]");
    const fields = {};
    if (form)
      for (const el of form.querySelectorAll("[data-name]"))
        if (el.type !== "radio" || el.checked) fields[el.dataset.name] = value(el);
    act(button.dataset.act, button.dataset.arg || "", { fields });
  });

  async function copy(button) {
    const from = document.getElementById(button.dataset.arg);
    const text = from.value ?? from.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      if (from.select) from.select();
      else {
        range.selectNodeContents(from);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
      }
      document.execCommand("copy");
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = before), 1500);
  }

  // Tabs, as the ARIA practices have them.
  const tabs = () => Array.from(document.querySelectorAll("[role=tab]"));
  function open(name, focus) {
    for (const tab of tabs()) {
      const on = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", on);
      tab.tabIndex = on ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls"));
      panel.hidden = !on;
      if (on && focus) tab.focus();
      if (on) tab.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    if (ready()) Shiny.setInputValue("tab", name);
    stage(name === "lessons" && document.body.dataset.lesson ? "lesson" : "curve");
    // Shiny looks which outputs can be seen now.
    jQuery(`#panel-${name}`).children().first().trigger("shown");
  }
  function stage(name) {
    for (const one of ["curve", "lesson"]) document.getElementById(`stage-${one}`).hidden = one !== name;
    jQuery(`#stage-${name}`).trigger("shown");
  }
  document.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) open(tab.id.slice(4), false);
  });
  document.addEventListener("keydown", (event) => {
    if (!event.target.matches("[role=tab]")) return;
    const all = tabs(), at = all.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    open(all[(to + all.length) % all.length].id.slice(4), true);
  });

  function ranges(values) {
    for (const el of document.querySelectorAll("input[type=range]")) {
      const unit = values[`${el.dataset.path}_unit`];
      const ends = unit && el.getAttribute(`data-range-${unit}`);
      if (ends) [el.min, el.max, el.step] = ends.split(" ");
    }
  }
  function put(values, force) {
    ranges(values);
    for (const [path, given] of Object.entries(values)) {
      if (path in pending) continue;
      for (const el of document.querySelectorAll(`[data-path="${path}"]`)) {
        if (!force && el === document.activeElement && (el.type === "range" || el.getAttribute("aria-invalid"))) continue;
        if (el.type === "checkbox") el.checked = Boolean(given);
        else if (el.value !== String(given ?? "")) el.value = given ?? "";
      }
      if (Array.isArray(given))
        for (const el of document.querySelectorAll(`[data-list="${path}"]`)) el.checked = given.includes(el.value);
    }
  }

  const start = () => {
    Shiny.addCustomMessageHandler("fields", ({ values, force }) => put(values, force));
    Shiny.addCustomMessageHandler("invalid", (paths) => {
      for (const el of document.querySelectorAll("[aria-invalid]")) {
        el.removeAttribute("aria-invalid");
        el.removeAttribute("aria-describedby");
      }
      for (const path of paths)
        for (const el of document.querySelectorAll(`[data-path="${path}"]`)) {
          el.setAttribute("aria-invalid", "true");
          el.setAttribute("aria-describedby", "messages");
        }
    });
    Shiny.addCustomMessageHandler("link", (query) => {
      history.replaceState(null, "", query ? `?s=${query}` : location.pathname);
      document.getElementById("link-text").value = location.href;
    });
    Shiny.addCustomMessageHandler("steps", ({ undo, redo }) => {
      document.getElementById("undo").disabled = !undo;
      document.getElementById("redo").disabled = !redo;
    });
    Shiny.addCustomMessageHandler("tab", (name) => open(name, false));
    Shiny.addCustomMessageHandler("lesson", (name) => {
      document.body.dataset.lesson = name;
      stage(name && !document.getElementById("panel-lessons").hidden ? "lesson" : "curve");
    });
    Shiny.addCustomMessageHandler("focus", (path) => {
      // The field may still be on its way.
      let tries = 40;
      const look = () => {
        const el = document.getElementById(id(path));
        if (el) el.focus(), el.scrollIntoView({ block: "nearest" });
        else if (tries--) setTimeout(look, 50);
      };
      look();
    });
    // The picture of what was sent last is there, or what was wrong with it is said.
    Shiny.addCustomMessageHandler("done", (_) => {
      inflight = false;
      send();
    });
    jQuery(document).on("shiny:disconnected", () => {
      const box = document.getElementById("gone") || document.createElement("div");
      box.id = "gone";
      box.setAttribute("role", "alert");
      box.textContent = "The page has lost its server: start pkmodel app again and reload. The link in the address bar holds what you see.";
      document.body.append(box);
    });
  };
  const wait = () => (window.Shiny && Shiny.addCustomMessageHandler ? start() : setTimeout(wait, 5));
  wait();
})();
