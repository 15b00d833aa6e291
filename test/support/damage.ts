/** Seeded damage: files as broken downloads, failing disks and people with bad intentions make them. */

/** A stream of whole numbers below a bound, the same for a seed on every machine (mulberry32). */
export class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * bound);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}

/** Values at which lengths, counts and offsets go wrong. */
const EDGES = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n].concat([
  2n ** 53n,
  2n ** 63n - 1n,
  2n ** 63n,
  2n ** 64n - 1n,
]);

const join = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap(part => [...part]));
const noise = (chance: Chance, length: number): Uint8Array => Uint8Array.from({ length }, () => chance.below(256));

const WAYS: ((bytes: Uint8Array, at: number, length: number, chance: Chance) => Uint8Array)[] = [
  (bytes, at) => bytes.slice(0, at), // a broken download
  (bytes, _, length, chance) => {
    const bad = bytes.slice();
    for (let i = 0; i < 1 + (length % 8); i++) bad[chance.below(bad.length)] ^= 1 << chance.below(8);
    return bad;
  },
  (bytes, at, length, chance) => join(bytes.slice(0, at), noise(chance, length), bytes.slice(at + length)),
  (bytes, at, length, chance) => join(bytes.slice(0, at), noise(chance, length), bytes.slice(at)),
  (bytes, at, length) => join(bytes.slice(0, at), bytes.slice(at + length)),
  (bytes, at, length) => join(bytes.slice(0, at + length), bytes.slice(at)),
  (bytes, at, length) => bytes.slice().fill(0, at, at + length),
  (bytes, at, _, chance) => {
    const bad = join(bytes, new Uint8Array(8));
    const view = new DataView(bad.buffer);
    const edge = chance.of(EDGES);
    const width = chance.below(4);
    if (width === 0) view.setUint8(at, Number(edge & 0xffn));
    else if (width === 1) view.setUint16(at, Number(edge & 0xffffn), true);
    else if (width === 2) view.setUint32(at, Number(edge & 0xffffffffn), true);
    else view.setBigUint64(at, edge, true);
    return bad.slice(0, bytes.length);
  },
];

/** One to three damages, anywhere. */
export function damage(bytes: Uint8Array, chance: Chance): Uint8Array {
  let bad = bytes;
  for (let i = chance.below(3); i >= 0 && bad.length > 0; i--) {
    bad = chance.of(WAYS)(bad, chance.below(bad.length), 1 + chance.below(Math.min(64, bad.length)), chance);
  }
  return bad;
}

/** What JSON may hold and a reader may not expect. */
const TOKENS = [
  '-1',
  '0',
  '1e999',
  '1.5',
  '4294967296',
  '9007199254740993',
  '18446744073709551615',
  '1e308',
  'null',
  'true',
  '[]',
].concat([
  '{}',
  '""',
  '[[[[[[[[]]]]]]]]',
  '[4294967296,4294967296,4294967296]',
  '"F64"',
  '"F4"',
  '"BOOL"',
  '"\\ud800"',
  '"\\u0000"',
]);

/** A text of JSON with one to three of its values replaced: still JSON. */
export function damageJson(text: string, chance: Chance): string {
  let bad = text;
  for (let i = chance.below(3); i >= 0; i--) {
    const values = [...bad.matchAll(/-?\d+(\.\d+)?|"(?:[^"\\]|\\.)*"|\[[^[\]]*\]/g)];
    const value = values.length > 0 ? chance.of(values) : undefined;
    if (!value) continue;
    const rest = bad.slice(value.index + value[0].length);
    const tokens = rest.startsWith(':') ? [...TOKENS.filter(token => token.startsWith('"')), '"a"'] : TOKENS;
    bad = bad.slice(0, value.index) + chance.of(tokens) + rest;
  }
  return bad;
}

/** A pickle in which opcodes, and what follows them, are exchanged, repeated or dropped. */
export function damagePickle(bytes: Uint8Array, chance: Chance): Uint8Array {
  let bad = bytes;
  for (let i = chance.below(3); i >= 0 && bad.length > 0; i--) {
    const at = chance.below(bad.length);
    const opcode = Uint8Array.of(chance.of(OPCODES));
    const more = chance.below(4);
    if (more === 0) bad = damage(bad, chance);
    else if (more === 1) bad = join(bad.slice(0, at), opcode, bad.slice(at));
    else if (more === 2) bad = join(bad.slice(0, at), opcode, bad.slice(at + 1));
    else bad = join(bad.slice(0, at), new Uint8Array(1 + chance.below(2000)).fill(opcode[0]), bad.slice(at));
  }
  return bad;
}

const OPCODES = [...'(.012BCGJKMNQRTUX]abcehjlopqrstu}']
  .map(c => c.charCodeAt(0))
  .concat(Array.from({ length: 0x19 }, (_, i) => 0x80 + i));
