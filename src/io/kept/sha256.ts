/**
 * SHA-256 of bytes that come piece by piece: files are larger than what may lie in memory, and the platform's own digest takes all at
 * once. Its state can be put down and taken up again, so that a download goes on without reading what has arrived.
 * @see FIPS 180-4, section 6.2
 */

/** The first 32 bits of the fractional parts of a root of the first `count` primes; `root` 2 or 3. */
function primeRoots(count: number, root: number): Int32Array {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) {
    let prime = true;
    for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0;
    if (prime) found.push(n);
  }
  return Int32Array.from(found, n => fraction32(n, root));
}

/** Whole arithmetic: the cube root of a prime in doubles is not exact in its 40th bit. */
function fraction32(n: number, root: number): number {
  const goal = BigInt(n) << BigInt(32 * root);
  let [low, high] = [0n, 1n << 40n];
  while (high - low > 1n) {
    const middle = (low + high) >> 1n;
    if (middle ** BigInt(root) <= goal) low = middle;
    else high = middle;
  }
  return Number(low & 0xffffffffn);
}

let tables: { readonly start: Int32Array; readonly rounds: Int32Array } | undefined;

/** A digest that grows. */
export class Sha256 {
  readonly #h: Int32Array;
  readonly #k: Int32Array;
  readonly #w = new Int32Array(64);
  readonly #rest = new Uint8Array(64);
  #length = 0;

  constructor() {
    tables ??= { start: primeRoots(8, 2), rounds: primeRoots(64, 3) };
    this.#h = tables.start.slice();
    this.#k = tables.rounds;
  }

  /**
   * Takes a digest up again.
   * @param state what `state` was
   * @param length bytes that it stood for, a multiple of 64
   * @returns undefined for a text that is no state
   */
  static from(state: string, length: number): Sha256 | undefined {
    if (!/^[0-9a-f]{64}$/.test(state) || length % 64 !== 0) return undefined;
    const digest = new Sha256();
    for (let i = 0; i < 8; i++) digest.#h[i] = Number.parseInt(state.slice(8 * i, 8 * i + 8), 16);
    digest.#length = length;
    return digest;
  }

  /** Takes further bytes. */
  update(bytes: Uint8Array): void {
    let at = 0;
    const filled = this.#length % 64;
    this.#length += bytes.length;
    if (filled > 0) {
      at = Math.min(64 - filled, bytes.length);
      this.#rest.set(bytes.subarray(0, at), filled);
      if (filled + at < 64) return;
      this.#block(this.#rest, 0);
    }
    for (; at + 64 <= bytes.length; at += 64) this.#block(bytes, at);
    this.#rest.set(bytes.subarray(at));
  }

  /** The eight words of all whole blocks so far, in hexadecimal digits. */
  get state(): string {
    return hexOf(this.#h);
  }

  /** The digest in hexadecimal digits; no bytes may follow. */
  finish(): string {
    const bits = BigInt(this.#length) * 8n;
    const padding = new Uint8Array(72 - ((this.#length + 8) % 64));
    padding[0] = 0x80;
    new DataView(padding.buffer).setBigUint64(padding.length - 8, bits);
    this.update(padding);
    return hexOf(this.#h);
  }

  #block(bytes: Uint8Array, at: number): void {
    const w = this.#w;
    for (let i = 0, j = at; i < 16; i++, j += 4) {
      w[i] = (get(bytes, j) << 24) | (get(bytes, j + 1) << 16) | (get(bytes, j + 2) << 8) | get(bytes, j + 3);
    }
    for (let i = 16; i < 64; i++) {
      const x = get(w, i - 15);
      const y = get(w, i - 2);
      const s0 = turn(x, 7) ^ turn(x, 18) ^ (x >>> 3);
      const s1 = turn(y, 17) ^ turn(y, 19) ^ (y >>> 10);
      w[i] = (get(w, i - 16) + s0 + get(w, i - 7) + s1) | 0;
    }
    compress(this.#h, this.#k, w);
  }
}

/** One block of 64 words into the state. Lists and iterators here would make it five times slower. */
function compress(state: Int32Array, k: Int32Array, w: Int32Array): void {
  let a = get(state, 0);
  let b = get(state, 1);
  let c = get(state, 2);
  let d = get(state, 3);
  let e = get(state, 4);
  let f = get(state, 5);
  let g = get(state, 6);
  let h = get(state, 7);
  for (let i = 0; i < 64; i++) {
    const s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + get(k, i) + get(w, i)) | 0;
    const s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0] = get(state, 0) + a;
  state[1] = get(state, 1) + b;
  state[2] = get(state, 2) + c;
  state[3] = get(state, 3) + d;
  state[4] = get(state, 4) + e;
  state[5] = get(state, 5) + f;
  state[6] = get(state, 6) + g;
  state[7] = get(state, 7) + h;
}

/** An element that is there. */
function get(list: Int32Array | Uint8Array, i: number): number {
  return list[i] as number;
}

function turn(x: number, by: number): number {
  return (x >>> by) | (x << (32 - by));
}

/** Words in hexadecimal digits. */
function hexOf(words: Int32Array): string {
  return [...words].map(word => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/**
 * A digest of bytes that are all there, by the platform.
 * @returns hexadecimal digits
 */
export async function digestOf(algorithm: 'SHA-256' | 'SHA-1', bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest(algorithm, bytes as Uint8Array<ArrayBuffer>));
  return [...digest].map(byte => byte.toString(16).padStart(2, '0')).join('');
}
