// log(...), console and emit(name, data). What they are given is kept as text until the script ends.
(function (inner) {
  const { stringify } = JSON;
  const TypeErrorType = TypeError, RangeErrorType = RangeError;
  const { data: { logLimit }, show, json } = inner;
  let logs = "", events = "", size = 0;
  function count(more) {
    size += more;
    if (size <= logLimit) return;
    inner.tooMuch = true;
    throw new RangeErrorType("too much is logged");
  }
  function write(level, parts) {
    let message = "";
    for (let i = 0; i < parts.length; i++) {
      message += (i ? " " : "") + show(parts[i]);
      if (message.length > logLimit) count(message.length);
    }
    const entry = stringify([level, message]);
    count(entry.length);
    logs += (logs && ",") + entry;
  }
  const log = (...parts) => write("info", parts);
  log.info = log.log = log;
  log.debug = (...parts) => write("debug", parts);
  log.warn = log.warning = (...parts) => write("warning", parts);
  log.error = (...parts) => write("error", parts);
  globalThis.log = globalThis.console = log;
  globalThis.emit = (name, value) => {
    if (typeof name !== "string" || name === "") throw new TypeErrorType("emit(name, data): the name is a text");
    const entry = "[" + stringify(name) + "," + json(value, "the data of emit") + "]";
    count(entry.length);
    events += (events && ",") + entry;
  };
  inner.effects = () => "[" + logs + "],[" + events + "]";
})
