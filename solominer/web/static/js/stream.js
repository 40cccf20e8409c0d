// The daemon's state as it changes, from the server-sent events. Reconnects by itself.

const RETRY_SECS = 2;

// Calls `onChange` with {status, lostAt, cutAt}: the newest state of the daemon or null, since when the daemon has not
// answered (Unix seconds or null), since when this page has had no connection to the web server. Returns how to stop.
export function follow(onChange, now = () => Date.now() / 1000) {
  let state = { status: null, lostAt: null, cutAt: null };
  let source = null;
  let timer = null;

  function change(part) {
    state = { ...state, ...part };
    onChange(state);
  }

  function open() {
    source = new EventSource("/api/v1/events");
    source.addEventListener("status", (event) => change({ status: JSON.parse(event.data), lostAt: null, cutAt: null }));
    source.addEventListener("lost", (event) => change({ lostAt: JSON.parse(event.data).lost_at, cutAt: null }));
    source.addEventListener("error", () => {
      change({ cutAt: state.cutAt ?? now() });
      if (source.readyState !== EventSource.CLOSED) return;
      clearTimeout(timer);
      timer = setTimeout(open, RETRY_SECS * 1000);
    });
  }

  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
