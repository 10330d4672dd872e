// What JSON.stringify would drop or spoil without a word is refused, with the place and the remedy.
(function () {
  const { stringify } = JSON, TypeErrorType = TypeError;
  function refuse(type, what, remedy) {
    Object.defineProperty(type.prototype, "toJSON", {
      value(key) { throw new TypeErrorType(what + (key === "" ? "" : " at " + stringify(key)) + " is not JSON; " + remedy); },
      configurable: true, writable: true,
    });
  }
  refuse(BigInt, "a BigInt", "use Number(value) or String(value)");
  refuse(Promise, "a promise", "async and await are not supported");
  refuse(Map, "a Map", "use Object.fromEntries(map)");
  refuse(Set, "a Set", "use [...set]");
})
