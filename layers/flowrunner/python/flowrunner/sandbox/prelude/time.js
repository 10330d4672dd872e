// One moment and one sequence of random numbers per attempt, so that evaluating twice gives the same. The engine's own
// clock cannot be reached any more.
(function ({ data: { now, seed } }) {
  const RealDate = Date;
  let state = 2166136261; // FNV-1a of the seed
  for (let i = 0; i < seed.length; i++) state = Math.imul(state ^ seed.charCodeAt(i), 16777619);
  function random() { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  function FixedDate(...parts) {
    if (!new.target) return new RealDate(now).toString();
    return Reflect.construct(RealDate, parts.length ? parts : [now], new.target);
  }
  const hidden = (target, name, value) =>
    Object.defineProperty(target, name, { value, writable: true, configurable: true });
  for (const name of ["parse", "UTC"]) hidden(FixedDate, name, RealDate[name]);
  hidden(FixedDate, "now", () => now);
  hidden(FixedDate, "name", "Date");
  Object.defineProperty(FixedDate, "length", { value: 7, configurable: true });
  Object.defineProperty(FixedDate, "prototype", { value: RealDate.prototype, writable: false });
  hidden(RealDate.prototype, "constructor", FixedDate);
  hidden(globalThis, "Date", FixedDate);
  hidden(Math, "random", random);
  globalThis.now = () => now;
  globalThis.uuid = () => {
    let hex = "";
    for (let i = 0; i < 32; i++) {
      const nibble = i === 12 ? 4 : i === 16 ? 8 + Math.floor(random() * 4) : Math.floor(random() * 16);
      hex += nibble.toString(16) + (i === 7 || i === 11 || i === 15 || i === 19 ? "-" : "");
    }
    return hex;
  };
})
