// Preact and htm under the names that every module of the page uses.
import { h, render } from "../vendor/preact.js";
import { useCallback, useEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
import htm from "../vendor/htm.js";

export const html = htm.bind(h);
export { render, useCallback, useEffect, useMemo, useRef, useState };
