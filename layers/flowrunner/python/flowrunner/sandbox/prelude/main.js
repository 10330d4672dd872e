// What every evaluation starts with. All built-ins that are needed later are captured before any code of the script
// runs, and the answer is put together as text, so that a script that tampers with them harms nobody but itself.
//
// Everything else (nodes and vars, logging, helpers) is in parts of their own, since compiling them would take longer
// than most scripts: a part is a function of `inner`, and comes along when the script mentions one of its names. A
// script that reaches a name in another way asks for the part by touching it, as for any value that is not there yet.
(function (global) {
  const { parse, stringify } = JSON;
  const { defineProperty, keys, hasOwn } = Object;
  const { join } = Array.prototype, { slice } = String.prototype, { apply } = Reflect;
  const ErrorType = Error, TypeErrorType = TypeError, StringOf = String, PromiseType = Promise;
  const MISS = {};
  delete global.performance; // no clock finer than now()

  return function $fr_start(text, ...parts) {
    const data = parse(text);
    const { bound, limit } = data;
    let missing = "", item = -1, index = -1;

    // The host loads what is named here and evaluates again, whatever the script makes of the exception.
    function miss(root, key) {
      missing += (missing && ",") + stringify([root, key]);
      throw MISS;
    }
    function show(value) {
      if (typeof value === "string") return value;
      if (value instanceof ErrorType) return StringOf(value);
      try {
        const text = stringify(value);
        return text === undefined ? StringOf(value) : text;
      } catch (error) {
        if (error === MISS) throw error;
        return "[" + (error instanceof ErrorType ? error.message : "not JSON") + "]";
      }
    }
    function json(value, what) {
      if (value === undefined) return "null";
      const text = stringify(value);
      if (text === undefined) throw new TypeErrorType(what + " is a " + typeof value + ", which is not JSON");
      return text;
    }
    const scope = { ...bound };
    const inner = { data, scope, miss, show, json, tooMuch: false, effects: () => "[],[]", vars: () => '{},"gone":[]' };
    for (let i = 0; i < parts.length; i++) parts[i](inner);

    // A script gets what it mentions as constants. What it reaches in other ways (eval) is here.
    for (const name of data.roots) {
      defineProperty(global, name, {
        get: () => (hasOwn(scope, name) ? scope[name] : miss(name, null)),
        set() { throw new TypeErrorType(name + " is read-only"); },
      });
    }
    for (const name of keys(data.lazy)) {
      const target = name === "random" ? Math : global;
      defineProperty(target, name, {
        get: () => miss("$part", data.lazy[name]),
        set(value) { defineProperty(target, name, { value, writable: true, configurable: true }); },
        configurable: true,
      });
    }

    function result(value) {
      if (value instanceof PromiseType) throw new TypeErrorType("the script is asynchronous; async and await are not supported");
      return json(value, "the result");
    }
    function list(size, each) {
      let result = "";
      for (let i = 0; i < size && result.length <= limit; i++) result += (i ? "," : "") + each(i);
      return "[" + result + "]";
    }
    function evaluate(users) {
      if (data.way === "hook") {
        const made = users[0](scope);
        const value = result(made.hook());
        return value + ',"vars":' + inner.vars() + (data.name === "prep" ? ',"context":' + json(made.context(), "context") : "");
      }
      if (data.way === "expressions") return list(users.length, (i) => { index = i; return result(users[i](scope)()); });
      const calls = { __proto__: null };
      for (let i = 0; i < users.length; i++) calls[i] = users[i](scope);
      return list(data.items.length, (n) => {
        item = n;
        return list(users.length, (i) => { index = i; return result(calls[i](data.items[n], n)); });
      });
    }
    function failure(error) {
      let name = "", message = "an error that cannot be shown", stack = "";
      try {
        if (error instanceof ErrorType) {
          name = StringOf(error.name);
          message = StringOf(error.message);
          stack = StringOf(error.stack);
        } else message = show(error);
      } catch { /* what could be read stands */ }
      const part = (text, size) => stringify(apply(slice, text, [0, size]));
      return '{"name":' + part(name, 200) + ',"message":' + part(message, 4000) + ',"stack":' + part(stack, 4000)
        + ',"item":' + item + ',"index":' + index + "}";
    }
    // Three lines: how it went, what was logged and emitted, and the result, each as JSON (which has no line ends).
    return function $fr_run(...users) {
      let status = "ok", body;
      try {
        body = '{"value":' + evaluate(users) + "}";
        if (body.length > limit) { status = "large"; body = StringOf(body.length); }
      } catch (error) {
        status = "error";
        if (!missing) body = failure(error);
      }
      if (missing) return "missing\n\n[" + missing + "]";
      if (inner.tooMuch) return "logged\n\nnull";
      // Joined, since a long text that was added up is a rope, which the host's binding cannot read.
      return apply(join, [status, "[" + inner.effects() + "]", body], ["\n"]);
    };
  };
})(globalThis);
