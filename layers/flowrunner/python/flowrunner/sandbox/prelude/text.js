// base64, hash, hmac and duration over UTF-8 text.
(function () {
  function utf8(text) {
    const bytes = [];
    for (const char of String(text)) {
      const code = char.codePointAt(0);
      if (code < 0x80) bytes.push(code);
      else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
      else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
      else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    }
    return bytes;
  }
  function text(bytes) {
    let escaped = "";
    for (const byte of bytes) escaped += "%" + (byte < 16 ? "0" : "") + byte.toString(16);
    try { return decodeURIComponent(escaped); } catch { throw new TypeError("base64.decode: the bytes are not UTF-8 text"); }
  }
  const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  globalThis.base64 = {
    encode(value) {
      const bytes = utf8(value);
      let result = "";
      for (let i = 0; i < bytes.length; i += 3) {
        const group = (bytes[i] << 16) | ((bytes[i + 1] || 0) << 8) | (bytes[i + 2] || 0);
        result += ALPHABET[group >> 18] + ALPHABET[(group >> 12) & 63];
        result += i + 1 < bytes.length ? ALPHABET[(group >> 6) & 63] : "=";
        result += i + 2 < bytes.length ? ALPHABET[group & 63] : "=";
      }
      return result;
    },
    decode(value) {
      const clean = String(value).replace(/-/g, "+").replace(/_/g, "/").replace(/\s|=+$/g, "");
      const bytes = [];
      let buffer = 0, bits = 0;
      for (const char of clean) {
        const digit = ALPHABET.indexOf(char);
        if (digit < 0) throw new TypeError("base64.decode: " + JSON.stringify(char) + " is no base64 character");
        buffer = ((buffer << 6) | digit) & 0xffffff;
        bits += 6;
        if (bits >= 8) { bits -= 8; bytes.push((buffer >> bits) & 255); }
      }
      return text(bytes);
    },
  };
  // SHA-256 (FIPS 180-4). The constants are the fractional parts of roots of the first primes.
  const K = [], H0 = [];
  function constants() {
    for (let n = 2; K.length < 64; n++) {
      let prime = true;
      for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break; }
      if (!prime) continue;
      if (H0.length < 8) H0.push((Math.sqrt(n) % 1) * 4294967296 | 0);
      K.push((Math.cbrt(n) % 1) * 4294967296 | 0);
    }
  }
  function sha256(message) {
    if (K.length === 0) constants();
    const bytes = message.slice();
    const length = bytes.length;
    bytes.push(0x80);
    while (bytes.length % 64 !== 56) bytes.push(0);
    const high = Math.floor(length / 0x20000000), low = (length << 3) >>> 0;
    for (const word of [high, low]) bytes.push((word >>> 24) & 255, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);
    const h = H0.slice(), w = new Array(64);
    const rot = (x, n) => (x >>> n) | (x << (32 - n));
    for (let at = 0; at < bytes.length; at += 64) {
      for (let i = 0; i < 16; i++) {
        const j = at + i * 4;
        w[i] = (bytes[j] << 24) | (bytes[j + 1] << 16) | (bytes[j + 2] << 8) | bytes[j + 3];
      }
      for (let i = 16; i < 64; i++) {
        const s0 = rot(w[i - 15], 7) ^ rot(w[i - 15], 18) ^ (w[i - 15] >>> 3);
        const s1 = rot(w[i - 2], 17) ^ rot(w[i - 2], 19) ^ (w[i - 2] >>> 10);
        w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
      }
      let [a, b, c, d, e, f, g, k] = h;
      for (let i = 0; i < 64; i++) {
        const t1 = (k + (rot(e, 6) ^ rot(e, 11) ^ rot(e, 25)) + ((e & f) ^ (~e & g)) + K[i] + w[i]) | 0;
        const t2 = ((rot(a, 2) ^ rot(a, 13) ^ rot(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        k = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
      }
      const next = [a, b, c, d, e, f, g, k];
      for (let i = 0; i < 8; i++) h[i] = (h[i] + next[i]) | 0;
    }
    const result = [];
    for (const word of h) result.push((word >>> 24) & 255, (word >>> 16) & 255, (word >>> 8) & 255, word & 255);
    return result;
  }
  function hex(bytes) {
    let result = "";
    for (const byte of bytes) result += (byte < 16 ? "0" : "") + byte.toString(16);
    return result;
  }
  globalThis.hash = { sha256: (value) => hex(sha256(utf8(value))) };
  globalThis.hmac = {
    sha256(key, value) { // RFC 2104
      let secret = utf8(key);
      if (secret.length > 64) secret = sha256(secret);
      while (secret.length < 64) secret.push(0);
      const inner = sha256(secret.map((byte) => byte ^ 0x36).concat(utf8(value)));
      return hex(sha256(secret.map((byte) => byte ^ 0x5c).concat(inner)));
    },
  };
  const UNITS = { ms: 1, s: 1000, m: 60000, h: 3600000, d: 86400000 };
  globalThis.duration = (value) => {
    if (typeof value === "number") return value * 1000;
    const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*$/.exec(String(value));
    if (!match) throw new TypeError("duration(" + JSON.stringify(value) + "): write it like 500ms, 20s, 5m, 2h or 1d");
    return Math.round(Number(match[1]) * UNITS[match[2] || "s"]);
  };
})
