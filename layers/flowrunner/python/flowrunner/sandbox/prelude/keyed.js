// nodes, secrets and vars: what is loaded key by key.
(function (inner) {
  const { stringify } = JSON;
  const { defineProperty, keys, hasOwn, create } = Object;
  const TypeErrorType = TypeError, ProxyType = Proxy;
  const { data: { loaded, whole, absent }, miss, json } = inner;
  const written = create(null), removed = create(null), before = create(null);
  for (const [root, key] of absent) {
    defineProperty(loaded[root], key, { value: undefined, configurable: true, writable: true });
  }
  function read(root, key) {
    const values = loaded[root];
    if (hasOwn(values, key)) return values[key];
    return whole[root] ? undefined : miss(root, key);
  }
  function descriptor(value) {
    return value === undefined ? undefined : { value, enumerable: true, configurable: true, writable: true };
  }
  function keyed(root) {
    const refused = () => { throw new TypeErrorType(root + " is read-only"); };
    return new ProxyType(create(null), {
      get(_, key) {
        if (typeof key !== "string") return undefined;
        if (root === "secrets" && (key === "toJSON" || key === "toString" || key === "valueOf")) miss(root, null);
        return read(root, key);
      },
      has: (_, key) => read(root, key) !== undefined,
      ownKeys: () => (whole[root] ? keys(loaded[root]) : miss(root, null)),
      getOwnPropertyDescriptor: (_, key) => descriptor(read(root, key)),
      set: refused, deleteProperty: refused, defineProperty: refused,
    });
  }
  // A loaded value can be changed in place (vars.list.push(1)), so its text before is kept from the first touch on.
  function variable(key) {
    if (removed[key]) return undefined;
    const value = read("vars", key);
    if (typeof value === "object" && !written[key] && before[key] === undefined) before[key] = stringify(value);
    return value;
  }
  function remove(key) {
    delete loaded.vars[key];
    delete written[key];
    delete before[key];
    return (removed[key] = true);
  }
  inner.scope.nodes = keyed("nodes");
  inner.scope.secrets = keyed("secrets");
  inner.scope.vars = new ProxyType(create(null), {
    get: (_, key) => (typeof key === "string" ? variable(key) : undefined),
    has: (_, key) => variable(key) !== undefined,
    set(_, key, value) {
      if (typeof key !== "string") throw new TypeErrorType("the name of a var is a text");
      if (value === undefined) return remove(key);
      delete removed[key];
      delete before[key];
      defineProperty(loaded.vars, key, { value, enumerable: true, configurable: true, writable: true });
      return (written[key] = true);
    },
    defineProperty() { throw new TypeErrorType("write vars.name = value"); },
    deleteProperty: (_, key) => remove(key),
    ownKeys: () => (whole.vars ? keys(loaded.vars) : miss("vars", null)),
    getOwnPropertyDescriptor: (_, key) => descriptor(variable(key)),
  });
  inner.vars = () => {
    let result = "";
    for (let i = 0, names = keys(loaded.vars); i < names.length; i++) {
      const key = names[i];
      if (!written[key] && before[key] === undefined) continue;
      const text = json(loaded.vars[key], "vars." + key);
      if (text !== before[key]) result += (result && ",") + stringify(key) + ":" + text;
    }
    return "{" + result + '},"gone":' + stringify(keys(removed));
  };
})
