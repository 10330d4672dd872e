// What every evaluation starts with. Everything it needs later is captured now, so that a script that
// tampers with built-ins harms nobody but itself.
(function (global) {
  const { parse, stringify } = JSON;
  const { defineProperty, keys, hasOwn, create } = Object;
  const apply = Reflect.apply;
  const push = Array.prototype.push;
  const ErrorType = Error, TypeErrorType = TypeError, StringOf = String, PromiseType = Promise, ProxyType = Proxy;
  const MISS = {};

  global.$fr = function $fr_make(request) {
    const data = parse(request);
    const loaded = data.loaded; // root -> {key: value} of keyed roots; "*" in `whole` marks all keys loaded
    const whole = data.whole;
    const missing = [];
    const logs = [], events = [];
    let logged = 0;
    const written = create(null), removed = create(null), before = create(null);

    function $fr_miss(root, key) {
      apply(push, missing, [[root, key]]);
      throw MISS;
    }
    function $fr_keyed(root) {
      const values = loaded[root];
      return new ProxyType(create(null), {
        get(_, key) {
          if (typeof key !== "string") return undefined;
          if (hasOwn(values, key)) return values[key];
          return whole[root] ? undefined : $fr_miss(root, key);
        },
        has(_, key) {
          if (hasOwn(values, key)) return values[key] !== undefined;
          return whole[root] ? false : $fr_miss(root, key);
        },
        ownKeys() {
          return whole[root] ? keys(values) : $fr_miss(root, null);
        },
        getOwnPropertyDescriptor(_, key) {
          if (!hasOwn(values, key)) return whole[root] ? undefined : $fr_miss(root, key);
          return { value: values[key], enumerable: true, configurable: true, writable: true };
        },
        set() { throw new TypeErrorType(root + " is read-only"); },
        deleteProperty() { throw new TypeErrorType(root + " is read-only"); },
      });
    }
    function $fr_vars() {
      const values = loaded.vars;
      for (const key of keys(values)) before[key] = stringify(values[key]);
      return new ProxyType(create(null), {
        get(_, key) {
          if (typeof key !== "string" || removed[key]) return undefined;
          if (hasOwn(values, key)) return values[key];
          return whole.vars ? undefined : $fr_miss("vars", key);
        },
        has(_, key) {
          if (removed[key]) return false;
          if (hasOwn(values, key)) return values[key] !== undefined;
          return whole.vars ? false : $fr_miss("vars", key);
        },
        set(_, key, value) {
          delete removed[key];
          defineProperty(values, key, { value, enumerable: true, configurable: true, writable: true });
          written[key] = true;
          return true;
        },
        deleteProperty(_, key) {
          delete values[key];
          delete written[key];
          delete before[key];
          removed[key] = true;
          return true;
        },
        ownKeys() {
          return whole.vars ? keys(values) : $fr_miss("vars", null);
        },
        getOwnPropertyDescriptor(_, key) {
          if (!hasOwn(values, key)) return undefined;
          return { value: values[key], enumerable: true, configurable: true, writable: true };
        },
      });
    }
    function $fr_show(value) {
      if (typeof value === "string") return value;
      if (value instanceof ErrorType) return StringOf(value);
      const text = stringify(value);
      return text === undefined ? StringOf(value) : text;
    }
    function $fr_log(level, parts) {
      let message = "";
      for (let i = 0; i < parts.length; i++) message += (i ? " " : "") + $fr_show(parts[i]);
      logged += message.length + 16;
      if (logged > data.logBytes) throw new RangeError("$fr:log");
      apply(push, logs, [[level, message]]);
    }
    function log(...parts) { $fr_log("info", parts); }
    log.debug = (...parts) => $fr_log("debug", parts);
    log.info = log;
    log.warn = log.warning = (...parts) => $fr_log("warning", parts);
    log.error = (...parts) => $fr_log("error", parts);
    function emit(name, value) {
      if (typeof name !== "string" || name === "") throw new TypeErrorType("emit(name, data): the name is a text");
      const text = stringify(value === undefined ? null : value);
      logged += text.length + name.length;
      if (logged > data.logBytes) throw new RangeError("$fr:log");
      apply(push, events, [[name, parse(text)]]);
    }

    const bound = data.bound;
    const scope = {
      ...bound, nodes: $fr_keyed("nodes"), secrets: $fr_keyed("secrets"), vars: $fr_vars(), log, emit,
    };
    global.console = { log, info: log, debug: log.debug, warn: log.warn, error: log.error };

    function $fr_changed() {
      const values = loaded.vars;
      const result = {};
      for (const key of keys(values)) {
        if (values[key] === undefined) continue;
        if (written[key] || stringify(values[key]) !== before[key]) {
          defineProperty(result, key, { value: values[key], enumerable: true });
        }
      }
      return result;
    }
    function $fr_checked(value) {
      if (value instanceof PromiseType) throw new TypeErrorType("the script is asynchronous; await and promises are not supported");
      if (typeof value === "bigint") throw new TypeErrorType("a BigInt is not JSON; use Number(value) or String(value)");
      return value === undefined || typeof value === "function" || typeof value === "symbol" ? null : value;
    }
    function $fr_failure(error) {
      if (error instanceof ErrorType) {
        return { name: StringOf(error.name), message: StringOf(error.message), stack: StringOf(error.stack || "") };
      }
      return { name: "", message: $fr_show(error), stack: "" };
    }
    return {
      scope,
      run(work) {
        let answer, index = -1;
        try {
          const value = work(scope, (at) => { index = at; });
          answer = { value: $fr_checked(value), vars: $fr_changed(), gone: keys(removed), logs, events };
          if (data.kind === "prep") answer.context = scope.context;
          answer = stringify(answer);
        } catch (error) {
          if (!missing.length) answer = stringify({ error: $fr_failure(error), index, logs });
        }
        return missing.length ? stringify({ missing }) : answer;
      },
      value: $fr_checked,
      items: data.items,
      undefine(root, key) { defineProperty(loaded[root], key, { value: undefined, enumerable: false, configurable: true, writable: true }); },
    };
  };
})(globalThis);
