/** The precompiled character map of SentencePiece models: a double-array trie over UTF-8, and a pool of replacements. */
import { InputError } from '../core/errors.ts';

/** One entry that a text starts with. */
interface CharMapMatch {
  /** Bytes of the text that it covers. */
  readonly length: number;
  readonly replacement: string;
}

/** Bits of one unit of a darts-clone double array. */
const HAS_LEAF = 0x100;
const VALUE = 0x7fffffff;
const LABEL = 0x800000ff;
const WIDE_OFFSET = 0x200;

/**
 * Looks up byte sequences in a `precompiled_charsmap`.
 * Layout: u32 byte size of the trie, the trie's u32 units, then NUL-terminated UTF-8 strings; all little-endian.
 * @see Yata, darts-clone; Kudo and Richardson 2018 (SentencePiece), section 3.2
 */
export class CharMap {
  private readonly units: Uint32Array;
  private readonly pool: Uint8Array;
  private readonly decoder = new TextDecoder();

  /**
   * @param bytes the map as the model file holds it
   * @param path file that held it, for messages
   * @throws InputError where sizes do not fit
   */
  constructor(bytes: Uint8Array, path: string) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const trieBytes = bytes.byteLength >= 4 ? view.getUint32(0, true) : 0;
    if (trieBytes < 4 || trieBytes % 4 !== 0 || trieBytes + 4 > bytes.byteLength) {
      throw new InputError({
        op: 'CharMap',
        problem: 'the character map does not hold the trie that it announces',
        expected: `a multiple of 4 bytes, from 4 to ${Math.max(0, bytes.byteLength - 4)}`,
        received: trieBytes,
        path,
        fix: 'Download the tokenizer again.',
      });
    }
    this.units = Uint32Array.from({ length: trieBytes / 4 }, (_, i) => view.getUint32(4 + i * 4, true));
    this.pool = bytes.subarray(4 + trieBytes);
  }

  /** The shortest entry that `text` starts with at `at`. */
  shortest(text: Uint8Array, at = 0): CharMapMatch | undefined {
    for (const match of this.matches(text, at)) return this.resolve(match);
    return undefined;
  }

  /** The longest entry that `text` starts with at `at`. */
  longest(text: Uint8Array, at: number): CharMapMatch | undefined {
    let last: RawMatch | undefined;
    for (const match of this.matches(text, at)) last = match;
    return last && this.resolve(last);
  }

  private *matches(text: Uint8Array, at: number): Generator<RawMatch> {
    let node = offsetOf(this.units[0] ?? 0);
    for (let i = at; i < text.length; i++) {
      const byte = text[i] ?? 0;
      node = (node ^ byte) >>> 0;
      const unit = this.units[node];
      if (unit === undefined || (unit & LABEL) >>> 0 !== byte) return;
      node = (node ^ offsetOf(unit)) >>> 0;
      if (unit & HAS_LEAF) yield { length: i + 1 - at, start: (this.units[node] ?? 0) & VALUE };
    }
  }

  private resolve({ length, start }: RawMatch): CharMapMatch {
    const end = this.pool.indexOf(0, start);
    return { length, replacement: this.decoder.decode(this.pool.subarray(start, end < 0 ? undefined : end)) };
  }
}

interface RawMatch {
  readonly length: number;
  readonly start: number;
}

function offsetOf(unit: number): number {
  return ((unit >>> 10) << ((unit & WIDE_OFFSET) >>> 6)) >>> 0;
}
