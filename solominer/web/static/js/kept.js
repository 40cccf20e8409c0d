// What this browser keeps: small texts, under names of our own. Without storage they last as long as the page.
import { useState } from "./core.js";

const PREFIX = "solominer.";
const fallback = new Map();

function read(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return fallback.get(name) ?? null;
  }
}

function write(name, text) {
  try {
    localStorage.setItem(PREFIX + name, text);
  } catch {
    fallback.set(name, text);
  }
}

// [text or null, set]
export function useKept(name) {
  const [text, setText] = useState(() => read(name));
  return [text, (next) => (write(name, next), setText(next))];
}
