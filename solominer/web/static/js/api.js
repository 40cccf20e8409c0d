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

// Asks GET `path` now, every `everySecs` (0: not again) while the page is visible, and `soon`: at most once in LEAST_SECS.
const LEAST_SECS = 2;

function repeated(path, everySecs, onAnswer) {
  let askedAt = -Infinity;
  let busy = false;
  let stopped = false;
  let timer = null;

  function plan(secs) {
    clearTimeout(timer);
    timer = stopped ? null : setTimeout(ask, secs * 1000);
  }

  async function ask() {
    timer = null;
    if (busy || (document.hidden && askedAt !== -Infinity)) return plan(LEAST_SECS);
    [busy, askedAt] = [true, performance.now()];
    const answer = await get(path).then((data) => ({ data, error: null }), (error) => ({ error: error.message }));
    busy = false;
    if (stopped) return undefined;
    onAnswer(answer);
    return everySecs && timer === null ? plan(everySecs) : undefined;
  }

  plan(0);
  return {
    soon: () => plan(Math.max(LEAST_SECS - (performance.now() - askedAt) / 1000, 0)),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

// The answers to GET `path` (null: nothing is asked), also asked again when `version` changes. Returns {data, error, reload};
// data and error are null at first, and after a failure the last data stay.
export function useApi(path, everySecs, version = null) {
  const [answer, setAnswer] = useState({ path: null, data: null, error: null });
  const repeating = useRef(null);
  useEffect(() => {
    if (path === null) return undefined;
    const take = (next) => setAnswer((last) => ({ path, data: last.path === path ? last.data : null, ...next }));
    repeating.current = repeated(path, everySecs, take);
    return repeating.current.stop;
  }, [path, everySecs]);
  useEffect(() => repeating.current?.soon(), [version]);
  const known = answer.path === path;
  return { data: known ? answer.data : null, error: known ? answer.error : null, reload: () => repeating.current?.soon() };
}
