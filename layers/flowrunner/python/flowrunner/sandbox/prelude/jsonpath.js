// jsonpath(value, path): RFC 9535 with filters; the functions length, count and value.
(function () {
  globalThis.jsonpath = function (root, path) {
    let at = 0;
    const text = String(path);
    const fail = (what) => { throw new SyntaxError("jsonpath " + JSON.stringify(text) + ": " + what + " at " + at); };
    const blank = () => { while (/\s/.test(text[at] || "")) at++; };
    const take = (token) => text.startsWith(token, at) ? ((at += token.length), true) : false;
    const expect = (token) => { blank(); if (!take(token)) fail("expected " + token); };
    function match(pattern) {
      pattern.lastIndex = at;
      const found = pattern.exec(text);
      if (found) at += found[0].length;
      return found && found[0];
    }
    function string() {
      const quote = text[at];
      const raw = match(/"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'/y);
      if (raw === null) fail("a text without its end");
      const inner = raw.slice(1, -1);
      const single = (part) => (part === '"' ? '\\"' : part === "\\'" ? "'" : part);
      try { return JSON.parse('"' + (quote === "'" ? inner.replace(/\\[^]|"/g, single) : inner) + '"'); }
      catch { return fail("a text with a bad escape"); }
    }
    const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
    function children(value) {
      return Array.isArray(value) ? value : isObject(value) ? Object.values(value) : [];
    }
    function selector() {
      blank();
      if (take("*")) return children;
      if (text[at] === '"' || text[at] === "'") {
        const name = string();
        return (value) => isObject(value) && Object.hasOwn(value, name) ? [value[name]] : [];
      }
      if (take("?")) {
        const test = either();
        return (value, top) => children(value).filter((item) => test(item, top));
      }
      const slice = match(/(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?)?/y);
      if (slice !== null) return slicer(slice.split(":").map((part) => part.trim()));
      const index = match(/-?(?:0|[1-9]\d*)/y);
      if (index === null) fail("expected a selector");
      if (Math.abs(Number(index)) > Number.MAX_SAFE_INTEGER) fail("an index beyond 2^53-1");
      return (value) => {
        const place = Number(index) < 0 && Array.isArray(value) ? value.length + Number(index) : Number(index);
        return Array.isArray(value) && place >= 0 && place < value.length ? [value[place]] : [];
      };
    }
    function slicer([from, to, by]) {
      const step = by ? Number(by) : 1;
      return (value) => {
        if (!Array.isArray(value) || step === 0) return [];
        const size = value.length, result = [];
        const norm = (part, otherwise) => part === "" || part === undefined ? otherwise : Number(part) < 0 ? size + Number(part) : Number(part);
        const clamp = (place, low, high) => Math.min(Math.max(place, low), high);
        if (step > 0) {
          const end = clamp(norm(to, size), 0, size);
          for (let i = clamp(norm(from, 0), 0, size); i < end; i += step) result.push(value[i]);
        } else {
          const end = clamp(norm(to, -size - 1), -1, size - 1);
          for (let i = clamp(norm(from, size - 1), -1, size - 1); i > end; i += step) result.push(value[i]);
        }
        return result;
      };
    }
    function descend(value, into) {
      into.push(value);
      for (const child of children(value)) descend(child, into);
      return into;
    }
    function segments() {
      const list = [];
      for (;;) {
        const before = at;
        blank();
        const deep = take("..");
        if (deep || take(".")) {
          if (take("*")) list.push([deep, [children]]);
          else if (deep && text[at] === "[") { at++; list.push([deep, brackets()]); }
          else {
            const name = match(/[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*/y);
            if (name === null) fail("expected a name");
            list.push([deep, [(value) => isObject(value) && Object.hasOwn(value, name) ? [value[name]] : []]]);
          }
        } else if (take("[")) list.push([false, brackets()]);
        else { at = before; return list; }
        if (list.length > 64) fail("more than 64 segments");
      }
    }
    function brackets() {
      const list = [selector()];
      for (blank(); take(","); blank()) list.push(selector());
      expect("]");
      return list;
    }
    function walk(start, list, top) {
      let values = [start];
      for (const [deep, selectors] of list) {
        const from = deep ? values.flatMap((value) => descend(value, [])) : values;
        values = from.flatMap((value) => selectors.flatMap((select) => select(value, top)));
      }
      return values;
    }
    function either() {
      const list = [both()];
      for (blank(); take("||"); blank()) list.push(both());
      return (item, top) => list.some((test) => test(item, top));
    }
    function both() {
      const list = [basic()];
      for (blank(); take("&&"); blank()) list.push(basic());
      return (item, top) => list.every((test) => test(item, top));
    }
    function basic() {
      blank();
      if (take("!")) { const test = basic(); return (item, top) => !test(item, top); }
      if (take("(")) { const test = either(); expect(")"); return test; }
      const left = operand();
      blank();
      const operator = match(/==|!=|<=|>=|<|>/y);
      if (operator === null) return left.exists || fail("a value is no test by itself");
      const right = operand();
      return (item, top) => compare(left.value(item, top), operator, right.value(item, top));
    }
    function operand() {
      blank();
      if (text[at] === '"' || text[at] === "'") { const value = string(); return { value: () => value }; }
      const number = match(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y);
      if (number !== null) return { value: () => Number(number) };
      const word = match(/(?:true|false|null)(?!\w)/y);
      if (word !== null) return { value: () => JSON.parse(word) };
      const name = match(/(?:length|count|value)(?=\()/y);
      if (name !== null) {
        expect("(");
        const inner = operand();
        expect(")");
        return { value: (item, top) => call(name, inner, item, top) };
      }
      const own = take("@");
      if (!own && !take("$")) fail("expected a value");
      const list = segments();
      const nodes = (item, top) => walk(own ? item : top, list, top);
      return { nodes, exists: (item, top) => nodes(item, top).length > 0, value: (item, top) => nodes(item, top)[0] };
    }
    function call(name, inner, item, top) {
      if (name === "count") return inner.nodes ? inner.nodes(item, top).length : undefined;
      const value = inner.value(item, top);
      if (name === "value") return value;
      if (typeof value === "string") return [...value].length;
      return Array.isArray(value) ? value.length : isObject(value) ? Object.keys(value).length : undefined;
    }
    function same(left, right) {
      if (left === right) return true;
      if (Array.isArray(left) && Array.isArray(right)) {
        return left.length === right.length && left.every((item, index) => same(item, right[index]));
      }
      if (!isObject(left) || !isObject(right)) return false;
      const names = Object.keys(left);
      return names.length === Object.keys(right).length && names.every((name) => Object.hasOwn(right, name) && same(left[name], right[name]));
    }
    function compare(left, operator, right) {
      if (operator === "==") return same(left, right);
      if (operator === "!=") return !same(left, right);
      const ordered = typeof left === typeof right && (typeof left === "number" || typeof left === "string");
      if (operator === "<=") return same(left, right) || (ordered && left < right);
      if (operator === ">=") return same(left, right) || (ordered && left > right);
      return ordered && (operator === "<" ? left < right : left > right);
    }
    expect("$");
    const list = segments();
    blank();
    if (at < text.length) fail("unexpected text");
    return walk(root, list, root);
  };
})
