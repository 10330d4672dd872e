// One moment and one sequence of random numbers per attempt, so that evaluating twice gives the same.
(function (global) {
  global.$fr_time = function (now, seed) {
    const RealDate = Date;
    let state = 2166136261;
    for (let i = 0; i < seed.length; i++) state = Math.imul(state ^ seed.charCodeAt(i), 16777619);
    function random() { // mulberry32
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    }
    class FixedDate extends RealDate {
      constructor(...parts) { if (parts.length) super(...parts); else super(now); }
      static now() { return now; }
    }
    global.Date = FixedDate;
    Math.random = random;
    if (global.performance) global.performance = { now: () => 0 };
    global.now = () => now;
    global.uuid = () => {
      let hex = "";
      for (let i = 0; i < 32; i++) {
        const nibble = i === 12 ? 4 : i === 16 ? 8 + Math.floor(random() * 4) : Math.floor(random() * 16);
        hex += nibble.toString(16) + (i === 7 || i === 11 || i === 15 || i === 19 ? "-" : "");
      }
      return hex;
    };
  };
})(globalThis);
