// Requests to the server's API, and a hook that repeats one.
import { useEffect, useRef, useState } from "./core.js";

const BASE = "/api/v1";

export class ApiError extends Error {
  constructor(what, todo = "", status = 0) {
    super(todo ? `${what}; ${todo}` : what);
    this.status = status;
  }
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(BASE + path, { ...options, headers: { Accept: "application/json", ...options.headers } });
  } catch {
    throw new ApiError("the web server does not answer");
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  if (body?.error) throw new ApiError(body.error, body.todo, response.status);
  if (response.status === 404) throw new ApiError("this server does not have it", "", 404);
  throw new ApiError(`the web server answered with status ${response.status}`, "", response.status);
}

export const get = (path) => request(path);

export const post = (path, body = {}) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// The answer to GET `path`, asked again every `everySecs` while the page is visible and whenever `version` changes, at most
// once in `LEAST_SECS`. Returns {data, error, reload}: both null at first; after a failure the last data stay.
const LEAST_SECS = 2;

export function useApi(path, everySecs, version = null) {
  const [answer, setAnswer] = useState({ path: null, data: null, error: null });
  const asked = useRef({ path: null, at: 0 });
  const [round, setRound] = useState(0);

  useEffect(() => {
    if (path === null) return undefined;
    let current = true;
    let timer = null;
    const waited = path === asked.current.path ? (performance.now() - asked.current.at) / 1000 : LEAST_SECS;
    async function load() {
      if (document.hidden && asked.current.path === path) return again();
      asked.current = { path, at: performance.now() };
      try {
        const data = await get(path);
        if (current) setAnswer({ path, data, error: null });
      } catch (error) {
        if (current) setAnswer((last) => ({ path, data: last.path === path ? last.data : null, error: error.message }));
      }
      return again();
    }
    function again() {
      if (current && everySecs) timer = setTimeout(load, everySecs * 1000);
    }
    timer = setTimeout(load, Math.max(LEAST_SECS - waited, 0) * 1000);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [path, everySecs, version, round]);

  const fresh = answer.path === path;
  return { data: fresh ? answer.data : null, error: fresh ? answer.error : null, reload: () => setRound((n) => n + 1) };
}
