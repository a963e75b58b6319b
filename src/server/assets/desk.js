// The keys of the review desk: a key presses the button, follows the link or goes to the field that names it. The page
// works without this file; it sends nothing by itself.
"use strict";

// A key or a tap that comes sooner was meant for the item before: nobody has read this one yet.
const UNREAD_MS = 400;

let isSent = false;

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (event.key === "Escape" && field) field.blur();
  if (field || !/^[a-z]$/i.test(event.key)) return;
  const target = document.querySelector(`[data-key="${event.key.toLowerCase()}"]`);
  if (!target) return;
  event.preventDefault();
  if (target.matches("button, a")) target.click();
  else target.focus();
});

// A mark is sent once, however often a key is pressed.
document.addEventListener("submit", (event) => {
  if (!event.target.matches(".marking")) return;
  if (isSent || document.documentElement.dataset.keys !== "awake") event.preventDefault();
  else isSent = true;
});

// A page that is shown again from the browser's memory may be sent again.
window.addEventListener("pageshow", () => {
  isSent = false;
  delete document.documentElement.dataset.keys;
  setTimeout(() => {
    document.documentElement.dataset.keys = "awake";
  }, UNREAD_MS);
});
